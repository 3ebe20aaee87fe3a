//! What happens, as it happens.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The filters of `GET /v1/events`, which is answered with one [`Event`] to a line (NDJSON) until the client goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only events after the one with this number; none for those from now on.
    pub after: Option<u64>,
}

/// Something that happened. Fields that do not belong to its kind are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Its number, rising by one.
    pub id: u64,
    /// When.
    pub at: Option<Timestamp>,
    /// What: "connection_up", "connection_down", "session_up", "session_down", "tree_up", "tree_down", "opened",
    /// "closed", "orphaned", "reclaimed", "refused", "break_sent", "break_timed_out", "share_added", "share_removed";
    /// "lost" where events are missing here because they are no longer remembered.
    pub kind: String,
    /// The session it is about, by its `SessionGlobalId`.
    pub session_id: Option<u32>,
    /// The open it is about, by its `FileGlobalId`.
    pub file_id: Option<u32>,
    /// The share.
    pub share: Option<String>,
    /// The path below the share.
    pub path: Option<String>,
    /// The account.
    pub user: Option<String>,
    /// The client's address.
    pub computer: Option<String>,
    /// Why it ended or was refused, in one word.
    pub reason: Option<String>,
    /// How many events are missing, for "lost".
    pub lost: Option<u64>,
}
