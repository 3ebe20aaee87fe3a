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
    /// How the close of one open went; none where many ended or the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// How the close of one open went for what its client had cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The client had nothing that could be lost: no write caching was granted.
    Clean,
    /// The client gave its write caching up in time, and wrote back what it had.
    Flushed,
    /// The client kept its write caching: by order, or because it did not answer in time. What it had cached and not
    /// written is lost to it.
    Forced,
}

impl Ended {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            files: self.files.saturating_add(other.files),
            outcome: None,
        }
    }
}
