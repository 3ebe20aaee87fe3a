//! The rows of smbstatus, from its JSON or its text.

use control::{LockRange, Timestamp, Word};

/// The report of smbstatus. A list that the report does not have is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Status {
    pub(super) version: Option<String>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) trees: Vec<TreeRow>,
    pub(super) opens: Vec<OpenRow>,
    /// `None` if byte-range locks are not reported.
    pub(super) locks: Option<Vec<LockRow>>,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SessionRow {
    /// `session_global_id`; the text has none.
    pub(super) id: Option<u32>,
    pub(super) process: u64,
    pub(super) uid: Option<u32>,
    pub(super) user: String,
    /// The client's name or address.
    pub(super) machine: String,
    /// The client's socket, for example `ipv4:192.0.2.7:49152`.
    pub(super) socket: Option<String>,
    pub(super) dialect: Option<String>,
    pub(super) encryption: Protection,
    pub(super) signing: Protection,
    /// The time of the logon; Samba 4.17 does not report it.
    pub(super) created: Option<Timestamp>,
    pub(super) transport: Option<String>,
}

/// The signing or encryption of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// True if it is in use, if only for a part of the messages.
    pub(super) used: Option<bool>,
    pub(super) algorithm: Option<String>,
}

/// A tree connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TreeRow {
    pub(super) id: Option<u32>,
    pub(super) session: Option<u32>,
    pub(super) process: u64,
    pub(super) share: String,
    pub(super) machine: String,
    pub(super) connected: Option<Timestamp>,
}

/// An open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OpenRow {
    pub(super) process: u64,
    pub(super) uid: Option<u32>,
    pub(super) user: Option<String>,
    /// The number of the open in its process; the text has none.
    pub(super) number: Option<u64>,
    pub(super) access: Option<u32>,
    pub(super) share_access: Option<u32>,
    pub(super) oplock: Option<Word>,
    pub(super) lease: Option<Word>,
    pub(super) opened: Option<Timestamp>,
    /// The share's directory.
    pub(super) directory: String,
    /// The path below it, with slashes.
    pub(super) name: String,
    pub(super) inode: Option<(u64, u64)>,
    pub(super) delete_pending: Option<bool>,
}

/// A byte-range lock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LockRow {
    pub(super) process: u64,
    pub(super) directory: String,
    pub(super) name: String,
    pub(super) range: LockRange,
}

/// The process of a durable open whose client is disconnected (`server_id_set_disconnected`).
pub(super) const DISCONNECTED: u64 = u64::MAX;

/// The oplock and the lease that the words of smbstatus mean: `NONE`, `LEVEL_II`, `EXCLUSIVE`, `BATCH`,
/// `EXCLUSIVE+BATCH`, `LEASE(RWH)`.
pub(super) fn caching(words: &str) -> (Option<Word>, Option<Word>) {
    if let Some(letters) = words.strip_prefix("LEASE(").and_then(|rest| rest.strip_suffix(')')) {
        return (Some(Word::known("lease")), Some(lease(letters)));
    }
    let word = match words {
        "NONE" | "" => Word::known("none"),
        _ if words.contains("BATCH") => Word::known("batch"),
        _ if words.contains("EXCLUSIVE") => Word::known("exclusive"),
        _ if words.contains("LEVEL_II") => Word::known("level2"),
        _ => return (None, None),
    };
    (Some(word), None)
}

/// The letters of a lease in the order of other answers.
pub(super) fn lease(letters: &str) -> Word {
    let letters: String = ['R', 'W', 'H'].into_iter().filter(|letter| letters.contains(*letter)).collect();
    Word::from(letters.as_str())
}
