//! The history: sessions, opens, changes, refusals and acts of administration that are over.

use serde::{Deserialize, Serialize};

use crate::{Access, SCHEMA, Timestamp};

/// The query of `GET /v1/history`. An entry must match all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryQuery {
    /// The file, or the directory with everything below it, in the form of [`crate::WhoQuery::path`]; `None` for
    /// everything.
    pub path: Option<String>,
    /// The share that `path` is relative to; without a path, its root.
    pub share: Option<String>,
    /// Only sessions and opens that lasted at this time.
    pub at: Option<Timestamp>,
    /// Only entries that had not ended at this time.
    pub since: Option<Timestamp>,
    /// Only entries that had begun at this time.
    pub until: Option<Timestamp>,
    /// The account of the entry, or of the open that stood in its way.
    pub user: Option<String>,
    /// The client of the entry, or of the open that stood in its way, in the form of [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// Comma-separated kinds of entries, in the words of [`HistoryEntry::kind`]; `None` for all.
    pub kinds: Option<String>,
    /// The most entries, up to [`crate::limits::HISTORY_MAX`]: the latest ones. `None` for
    /// [`crate::limits::HISTORY_DEFAULT`].
    pub limit: Option<u32>,
}

/// An entry of the history. Fields that do not apply to its kind are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// The number of the entry; of an act, its number in the chain of acts.
    pub id: u64,
    /// The kind: "session", "open", "deleted", "renamed", "refused", "logon_refused", "drain", "act"; "gap" stands for
    /// entries that are missing.
    pub kind: String,
    /// The time, or the beginning of a session or open.
    pub at: Timestamp,
    /// The end of a session, an open or a gap; `None` while it lasts.
    pub ended_at: Option<Timestamp>,
    /// The share.
    pub share: Option<String>,
    /// The path below the share; the old one of a rename.
    pub path: Option<String>,
    /// The new path of a rename.
    pub new_path: Option<String>,
    /// The account; the administrator of a drain. In "logon_refused" anybody can have claimed it.
    pub user: Option<String>,
    /// The client's address; the client that is drained; of an act, the place from which it was asked for.
    pub computer: Option<String>,
    /// The `SessionGlobalId`, as it was then.
    pub session_id: Option<u32>,
    /// The `FileGlobalId`, as it was then.
    pub file_id: Option<u32>,
    /// The granted or requested access.
    pub access: Option<Access>,
    /// The bytes that were read through an open.
    pub bytes_read: Option<u64>,
    /// The bytes that were written through an open.
    pub bytes_written: Option<u64>,
    /// The reason of the end, of the refusal or of the gap; "replaced" for a file of which another one took the name;
    /// "begun", "done" or "ended" for a drain.
    pub reason: Option<String>,
    /// The `FileGlobalId` of the open that stood in the way.
    pub holder_file_id: Option<u32>,
    /// The account of that open.
    pub holder_user: Option<String>,
    /// The client of that open.
    pub holder_computer: Option<String>,
    /// The number of entries that are missing, for "gap".
    pub missing: Option<u64>,
    /// The act, for "act".
    pub act: Option<String>,
    /// The object of an act.
    pub object: Option<String>,
    /// The outcome of an act.
    pub outcome: Option<String>,
    /// The path of the file that took the name, for "deleted".
    pub replaced_by: Option<String>,
    /// The opens that were closed at the deadline of a drain.
    pub closed: Option<u64>,
}

/// Another name of the file in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryName {
    /// The share.
    pub share: String,
    /// The path below the share.
    pub path: String,
    /// The time since which the file had the name; `None` if it is not known.
    pub since: Option<Timestamp>,
    /// The time until which the file had the name; `None` if it is not known.
    pub until: Option<Timestamp>,
    /// True if the file had the name after that of the query.
    pub later: bool,
}

/// The answer to [`HistoryQuery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The entries, in the order of their beginnings.
    pub items: Vec<HistoryEntry>,
    /// The other names of the file, whose entries are in `items`, too.
    pub names: Vec<HistoryName>,
    /// True if there are earlier entries that match.
    pub has_earlier: bool,
    /// The time of the first entry of the whole history; `None` if there is none.
    pub begins: Option<Timestamp>,
    /// The number of entries that were left out since the server started; gaps show where. `None` for a caller who may not
    /// see everything.
    pub left_out: Option<u64>,
    /// The reason why nothing can be recorded at present; `None` if all is well, or for a caller who may not see
    /// everything.
    pub failure: Option<String>,
}

/// The state of the history of a server: what is written, and what had to be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryState {
    /// True if the settings turn the history on.
    pub enabled: bool,
    /// The reason why nothing can be recorded at present; `None` if all is well.
    pub failure: Option<String>,
    /// The records that were written since the server started.
    pub written: u64,
    /// The events and records that wait for being written.
    pub waiting: u64,
    /// The records that were left out since the server started. The history has gaps where they are missing.
    pub left_out: u64,
    /// The bytes of the file, without its write-ahead log; `None` if it cannot be used.
    pub bytes: Option<u64>,
    /// The time of the oldest entry; `None` if there is none.
    pub oldest: Option<Timestamp>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            items: Vec::new(),
            names: Vec::new(),
            has_earlier: false,
            begins: None,
            left_out: None,
            failure: None,
        }
    }
}
