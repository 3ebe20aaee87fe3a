//! Opens (`Open` of MS-SMB2 3.3.1.10; `FILE_INFO_3` of MS-SRVS 2.2.4.7).

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The bits of [`OpenFile::permissions`] (`fi3_permissions`, MS-SRVS 2.2.4.7).
pub mod permission {
    /// PERM_FILE_READ.
    pub const READ: u32 = 0x01;
    /// PERM_FILE_WRITE.
    pub const WRITE: u32 = 0x02;
    /// PERM_FILE_CREATE.
    pub const CREATE: u32 = 0x04;
    /// ACCESS_EXEC.
    pub const EXECUTE: u32 = 0x08;
    /// ACCESS_DELETE.
    pub const DELETE: u32 = 0x10;
    /// ACCESS_ATRIB.
    pub const ATTRIBUTES: u32 = 0x20;
    /// ACCESS_PERM.
    pub const PERMISSIONS: u32 = 0x40;
}

/// One open file, directory or pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// `Open.FileGlobalId`.
    pub id: u32,
    /// The path below the share, with backslashes and no leading one; for a pipe its name. Where a
    /// server of another make tells only its local path, that.
    pub path: String,
    /// The path on the server's own disk.
    pub server_path: Option<String>,
    /// The share.
    pub share: Option<String>,
    /// The account; empty for an anonymous session.
    pub user: String,
    /// The client's address, as [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The session, by its `SessionGlobalId`; none also for a durable open without one.
    pub session_id: Option<u32>,
    /// What was granted.
    pub access: Option<Access>,
    /// What others may do meanwhile: of "read", "write", "delete".
    pub share_access: Option<Vec<String>>,
    /// The bits of [`permission`].
    pub permissions: u32,
    /// Byte-range locks held through this open.
    pub locks: u32,
    /// Those locks, up to [`crate::limits::LOCK_RANGES_MAX`] of them.
    #[serde(default)]
    pub lock_ranges: Vec<LockRange>,
    /// The oplock held: "none", "level2", "exclusive", "batch" or "lease".
    pub oplock: Option<String>,
    /// The lease's state as its letters, as "RWH"; none without a lease.
    pub lease: Option<String>,
    /// Whether the open outlives its connection.
    pub durable: Option<bool>,
    /// Whether it is a directory.
    pub directory: Option<bool>,
    /// Whether it goes away with its last open.
    pub delete_pending: Option<bool>,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// Seconds since the last request on it.
    pub idle_seconds: Option<u64>,
    /// Bytes read through this open.
    pub bytes_read: Option<u64>,
    /// Bytes written through this open.
    pub bytes_written: Option<u64>,
    /// Whether it is a named pipe.
    #[serde(default)]
    pub pipe: bool,
}

/// A granted access mask (MS-SMB2 2.2.13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The mask, as "0x0012019f".
    pub mask: String,
    /// The names of its bits, as the specification spells them.
    pub names: Vec<String>,
}

impl Access {
    /// The access `mask`, whose bits are called `names`.
    pub fn new(mask: u32, names: Vec<String>) -> Self {
        Self { mask: format!("{mask:#010x}"), names }
    }
}

/// A byte-range lock (MS-SMB2 2.2.26.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRange {
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
    /// Whether others may not even read.
    pub exclusive: bool,
}

/// The filters of `GET /v1/files`; all that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileQuery {
    /// As [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// As [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, in any case.
    pub share: Option<String>,
    /// A part of the path below the share or of the path on the server, in any case.
    pub path: Option<String>,
    /// Only ids above this one.
    pub after: Option<u64>,
    /// Entries of the page.
    pub limit: Option<u32>,
}
