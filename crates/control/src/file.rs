//! Opens (`Open` of MS-SMB2 3.3.1.10; `FILE_INFO_3` of MS-SRVS 2.2.4.7).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::names::path_below;

use crate::{Bound, Timestamp, Word, glob};

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
    /// The path below the share, with backslashes and without a leading one; for a pipe, its name. If a server of
    /// another make reports only a path on its own disk, that path.
    pub path: String,
    /// The path on the server's own disk.
    pub server_path: Option<String>,
    /// The share.
    pub share: Option<String>,
    /// The account; empty for an anonymous session.
    pub user: String,
    /// The DNS name of the domain whose user the account is, if the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// True if the guest account took the place of the account.
    #[serde(default)]
    pub guest: Option<bool>,
    /// The client's address, as [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The session's `SessionGlobalId`; also `None` for a durable open whose client is disconnected.
    pub session_id: Option<u32>,
    /// The granted access.
    pub access: Option<Access>,
    /// The access that other opens may have: a selection of "read", "write" and "delete".
    pub share_access: Option<Vec<Word>>,
    /// The bits of [`permission`].
    pub permissions: Option<u32>,
    /// The number of byte-range locks of this open.
    pub locks: Option<u32>,
    /// The first [`crate::limits::LOCK_RANGES_MAX`] of these locks.
    #[serde(default)]
    pub lock_ranges: Vec<LockRange>,
    /// The oplock held: "none", "level2", "exclusive", "batch" or "lease".
    pub oplock: Option<Word>,
    /// The letters of the lease's state, for example "RWH"; `None` without a lease.
    pub lease: Option<Word>,
    /// True if the open survives a lost connection.
    pub durable: Option<bool>,
    /// The end of an open whose client is gone, unless it comes back before; `None` if the client is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// True for a directory.
    pub directory: Option<bool>,
    /// True if the file will be deleted when its last open is closed.
    pub delete_pending: Option<bool>,
    /// The time of the open.
    pub opened_at: Option<Timestamp>,
    /// Seconds since the last request on it.
    pub idle_seconds: Option<u64>,
    /// Bytes read through this open.
    pub bytes_read: Option<u64>,
    /// Bytes written through this open.
    pub bytes_written: Option<u64>,
    /// True for a named pipe.
    #[serde(default)]
    pub pipe: bool,
    /// The announcement of its close, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<crate::AnnouncedClose>,
    /// As [`crate::Session::make`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<Word>,
}

/// A granted access mask (MS-SMB2 2.2.13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The mask.
    pub mask: AccessBits,
    /// The names of its bits in the specification.
    pub names: Vec<Word>,
}

impl Access {
    /// The access `mask` with the names of its bits.
    pub fn new(mask: u32, names: Vec<Word>) -> Self {
        Self { mask: AccessBits(mask), names }
    }
}

/// The bits of an access mask. In JSON it is the text "0x0012019f".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessBits(pub u32);

impl fmt::Display for AccessBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl Serialize for AccessBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccessBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bits = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        bits.map(Self).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &"an access mask"))
    }
}

/// A byte-range lock (MS-SMB2 2.2.26.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRange {
    /// The first byte.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
    /// True for an exclusive lock, false for a shared one.
    pub exclusive: bool,
}

/// The filters of `GET /v1/files`. An entry must match all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileQuery {
    /// As [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// As [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, ignoring case.
    pub share: Option<String>,
    /// The path below the share or on the server, as a pattern of [`glob::matches`].
    pub path: Option<String>,
    /// The session's `SessionGlobalId`.
    pub session: Option<u32>,
    /// The time since the last request on it.
    pub idle: Option<Bound>,
    /// The time since it was opened.
    pub age: Option<Bound>,
    /// True for opens with byte-range locks, false for those without.
    pub locked: Option<bool>,
    /// True for opens with write access, false for those without.
    pub writing: Option<bool>,
    /// True for opens that wait for their clients to come back, false for the others.
    pub waiting: Option<bool>,
    /// True for the caller's own opens only, which every user may list.
    pub mine: Option<bool>,
    /// Only entries with higher ids.
    pub after: Option<u64>,
    /// The most entries of the page.
    pub limit: Option<u32>,
}

impl FileQuery {
    /// True if `file`, at the time `now`, matches all filters but `mine`. A filter on an unknown value does not
    /// match.
    pub fn matches(&self, file: &OpenFile, now: Timestamp) -> bool {
        let age = || u64::try_from(now.0.saturating_sub(file.opened_at?.0) / 1000).ok();
        let path = |pattern: &String| {
            glob::matches(pattern, &file.path)
                || file.server_path.as_deref().is_some_and(|path| glob::matches(pattern, path))
        };
        self.user.as_deref().is_none_or(|user| is_of(file, user))
            && self.client.as_ref().is_none_or(|client| {
                file.computer.as_deref().is_some_and(|it| crate::address::same_computer(it, client))
            })
            && self
                .share
                .as_ref()
                .is_none_or(|share| file.share.as_ref().is_some_and(|it| wire::eq_ignore_case(it, share)))
            && self.path.as_ref().is_none_or(path)
            && self.session.is_none_or(|session| file.session_id == Some(session))
            && self.idle.is_none_or(|bound| file.idle_seconds.is_some_and(|idle| bound.allows(idle)))
            && self.age.is_none_or(|bound| age().is_some_and(|age| bound.allows(age)))
            && self.locked.is_none_or(|locked| file.locks.is_some_and(|locks| (locks > 0) == locked))
            && self.waiting.is_none_or(|waiting| file.waits_until.is_some() == waiting)
            && self.writing.is_none_or(|writing| {
                file.permissions.is_some_and(|bits| (bits & permission::WRITE != 0) == writing)
            })
    }
}

/// The options of closing an open: the query of `DELETE /v1/files/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseFile {
    /// True to close at once; cached data that the client has not written is lost. Otherwise the server breaks the
    /// caching lease or oplock first, and the client has `grace` seconds to write.
    pub force: bool,
    /// The seconds that the client has, at most [`crate::limits::GRACE_MAX`]; `None` for the server's default.
    pub grace: Option<u32>,
    /// Close only if this account has it open, else fail with 2314. In the form of [`crate::SessionQuery::user`].
    pub expect_user: Option<String>,
    /// Close only if it has this path, below the share or on the server, ignoring case; else fail with 2314.
    pub expect_path: Option<String>,
}

impl CloseFile {
    /// True if `file` is the expected one.
    pub fn expects(&self, file: &OpenFile) -> bool {
        let is_path = |path: &str| {
            [Some(&*file.path), file.server_path.as_deref()]
                .into_iter()
                .flatten()
                .any(|it| path_below(it, path) == Some(""))
        };
        self.expect_user.as_deref().is_none_or(|user| is_of(file, user))
            && self.expect_path.as_deref().is_none_or(is_path)
    }
}

/// True if the account has it open, and no guest who goes by its name.
fn is_of(file: &OpenFile, user: &str) -> bool {
    file.guest != Some(true) && crate::session::same_user(user, None, file.realm.as_deref(), &file.user)
}
