//! Events: changes of the server's state, in their order.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The query of `GET /v1/events`. The answer is one [`Event`] per line (NDJSON) until the client disconnects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only events with higher numbers; `None` for new events only.
    pub after: Option<u64>,
}

/// One event. Fields that do not apply to its kind are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The number, one more than that of the previous event.
    pub id: u64,
    /// The time.
    pub at: Option<Timestamp>,
    /// The kind: "connection_up", "connection_down", "session_up", "session_down", "tree_up", "tree_down", "opened",
    /// "closed", "orphaned", "reclaimed", "refused", "deleted", "renamed", "break_sent", "break_timed_out",
    /// "share_added", "share_removed"; "lost" stands for events that are no longer available.
    pub kind: String,
    /// The session's `SessionGlobalId`.
    pub session_id: Option<u32>,
    /// The open's `FileGlobalId`.
    pub file_id: Option<u32>,
    /// The share.
    pub share: Option<String>,
    /// The path below the share.
    pub path: Option<String>,
    /// The old path, for "renamed".
    pub from: Option<String>,
    /// The account.
    pub user: Option<String>,
    /// The client's address.
    pub computer: Option<String>,
    /// The reason that it ended or was refused.
    pub reason: Option<String>,
    /// The number of missing events, for "lost".
    pub lost: Option<u64>,
}
