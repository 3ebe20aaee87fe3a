//! Recent refusals: who wanted what, and whose open stood in the way.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// STATUS_SHARING_VIOLATION: another open excludes this one.
    SharingViolation,
    /// STATUS_LOCK_NOT_GRANTED or STATUS_FILE_LOCK_CONFLICT: a byte-range lock stands in the way.
    LockConflict,
    /// STATUS_ACCESS_DENIED.
    AccessDenied,
    /// STATUS_DELETE_PENDING: the file is going away.
    DeletePending,
    /// A kind this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// One refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its number, rising.
    pub id: u64,
    /// When.
    pub at: Option<Timestamp>,
    /// Why.
    pub kind: RefusalKind,
    /// The NTSTATUS that went to the client, as "0xc0000043".
    pub status: String,
    /// The share.
    pub share: Option<String>,
    /// The path below the share, as [`crate::OpenFile::path`].
    pub path: String,
    /// Who wanted it.
    pub user: String,
    /// From where, as [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The session that wanted it, by its `SessionGlobalId`.
    pub session_id: Option<u32>,
    /// What was wanted.
    pub wanted: Option<crate::Access>,
    /// The open that stood in the way, by its `FileGlobalId`.
    pub holder_file_id: Option<u32>,
    /// That open's account.
    pub holder_user: Option<String>,
    /// That open's client.
    pub holder_computer: Option<String>,
}

/// The filters of `GET /v1/refusals`; all that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalQuery {
    /// Who wanted it, as [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// From where, as [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, in any case.
    pub share: Option<String>,
    /// As [`crate::FileQuery::path`].
    pub path: Option<String>,
    /// Only numbers above this one.
    pub after: Option<u64>,
    /// Entries of the page.
    pub limit: Option<u32>,
}
