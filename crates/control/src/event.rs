//! Events: changes of the server's state, in their order.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The query of `GET /v1/events`. The answer is one [`Event`] per line (NDJSON) until the client disconnects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventQuery {
    /// Only events with higher numbers; `None` for new events only.
    pub after: Option<u64>,
    /// The run of the server to which `after` belongs: [`Event::epoch`] of the stream in which it was read. If the
    /// server was restarted since, the stream says so by a "lost" event, and goes on with the events of this run.
    pub epoch: Option<u64>,
    /// True for the events of the caller's own sessions and opens only, which every user may read.
    pub mine: Option<bool>,
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
    /// "closed", "orphaned", "reclaimed", "locked", "refused", "deleted", "renamed", "break_sent",
    /// "break_acknowledged", "break_timed_out", "close_announced", "close_cancelled", "drain_begun", "drain_done",
    /// "drain_ended", "share_added", "share_changed", "share_removed". "lost" stands for events that are no longer available, and
    /// "begin" is the first line of every stream: its `id` is the number after which the stream begins.
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
    /// The account; the administrator of a drain.
    pub user: Option<String>,
    /// The client's address; for a drain of one client, that client.
    pub computer: Option<String>,
    /// The reason that it ended or was refused.
    pub reason: Option<String>,
    /// The number of missing events, for "lost"; `None` if it is unknown, because the server was restarted.
    pub lost: Option<u64>,
    /// The run of the server, for "begin": the time at which it started, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// True if the open is of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<bool>,
    /// The bytes that were read through the open, for "closed".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<u64>,
    /// The bytes that were written through the open, for "closed".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_written: Option<u64>,
    /// The account of the open that stood in the way, for "refused".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_user: Option<String>,
    /// The client of that open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_computer: Option<String>,
    /// The path of the file that took the name, for "deleted".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The opens that were closed at the deadline, for "drain_done".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<u64>,
    /// The time of the close, for "close_announced"; the time at which the remaining opens are closed, for "drain_begun".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The administrator, for "close_announced" and "close_cancelled".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The message for the user, for "close_announced".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
