//! Recent refusals, with the opens that caused them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// STATUS_SHARING_VIOLATION: another open does not share the access.
    SharingViolation,
    /// STATUS_LOCK_NOT_GRANTED or STATUS_FILE_LOCK_CONFLICT: a byte-range lock of another open.
    LockConflict,
    /// STATUS_ACCESS_DENIED.
    AccessDenied,
    /// STATUS_DELETE_PENDING: the file is being deleted.
    DeletePending,
    /// STATUS_SHARING_PAUSED: the share, the client or the server is drained.
    Draining,
    /// STATUS_SHARING_VIOLATION: a command holds the path (`net wait`).
    Held,
    /// A kind this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// One refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The number; later refusals have higher ones.
    pub id: u64,
    /// The time.
    pub at: Option<Timestamp>,
    /// The reason.
    pub kind: RefusalKind,
    /// The NTSTATUS that the client got, for example "0xc0000043".
    pub status: String,
    /// The share.
    pub share: Option<String>,
    /// The path below the share, in the form of [`crate::OpenFile::path`].
    pub path: String,
    /// The account that was refused.
    pub user: String,
    /// The address of the client that was refused, in the form of [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The `SessionGlobalId` of the session that was refused.
    pub session_id: Option<u32>,
    /// The requested access.
    pub wanted: Option<crate::Access>,
    /// The `FileGlobalId` of the open that caused the refusal.
    pub holder_file_id: Option<u32>,
    /// The account of that open.
    pub holder_user: Option<String>,
    /// The client of that open.
    pub holder_computer: Option<String>,
}

/// The filters of `GET /v1/refusals`. An entry must match all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalQuery {
    /// The account that was refused, in the form of [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// The client that was refused, in the form of [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, ignoring case.
    pub share: Option<String>,
    /// The path, in the form of [`crate::FileQuery::path`].
    pub path: Option<String>,
    /// Only refusals with higher numbers.
    pub after: Option<u64>,
    /// The most entries of the page.
    pub limit: Option<u32>,
}
