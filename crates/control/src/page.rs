//! The envelopes of answers.

use serde::{Deserialize, Serialize};

use crate::SCHEMA;

/// One page of a list, ordered by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The entries.
    pub items: Vec<T>,
    /// What to send as `after` for the next page; none when this is the last. It is the last id of
    /// this page, so the list is stable while entries come and go.
    pub next: Option<u64>,
}

impl<T> Page<T> {
    /// A page that `next` continues.
    pub fn new(items: Vec<T>, next: Option<u64>) -> Self {
        Self { schema: SCHEMA, items, next }
    }

    /// The only page of a short list.
    pub fn whole(items: Vec<T>) -> Self {
        Self::new(items, None)
    }
}

/// The answer to every request that ends something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Sessions that were ended.
    pub sessions: u32,
    /// Opens that were closed, with their sessions or by themselves.
    pub files: u32,
}

impl Ended {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            files: self.files.saturating_add(other.files),
        }
    }
}
