//! Common answers: pages of lists, and the results of ending sessions and opens.

use serde::{Deserialize, Serialize};

use crate::SCHEMA;

/// One page of a list, ordered by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The entries.
    pub items: Vec<T>,
    /// The value of `after` for the next page; `None` on the last page. It is the last id of this page, so that no
    /// entry is repeated or skipped while others come and go.
    pub next: Option<u64>,
}

impl<T> Page<T> {
    /// A page that continues at `next`.
    pub fn new(items: Vec<T>, next: Option<u64>) -> Self {
        Self { schema: SCHEMA, items, next }
    }

    /// The only page of a short list.
    pub fn whole(items: Vec<T>) -> Self {
        Self::new(items, None)
    }
}

/// The answer to a request that ends sessions or closes opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The number of sessions that were ended.
    pub sessions: u32,
    /// The number of opens that were closed, with their sessions or alone.
    pub files: u32,
    /// The outcome of closing one open; `None` if several ended, or if the server does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// The outcome of closing one open, for the data that its client had cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The client had no write caching, so no data was unwritten.
    Clean,
    /// The client gave up its write caching in time and wrote its cached data.
    Flushed,
    /// The client kept its write caching, because the close was forced or because it did not answer in time. Cached
    /// data that it had not written is lost.
    Forced,
}

impl Ended {
    /// The sum of both, without an outcome.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            files: self.files.saturating_add(other.files),
            outcome: None,
        }
    }
}
