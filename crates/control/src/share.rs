//! Shares and the connections to them (MS-SRVS 2.2.4.2, 2.2.4.26).

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The kind of a share (`STYPE_*`, MS-SRVS 2.2.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareKind {
    /// A directory.
    #[default]
    Disk,
    /// A printer.
    Print,
    /// A communication device.
    Comm,
    /// Named pipes.
    Ipc,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// One share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The name.
    pub name: String,
    /// The kind.
    pub kind: ShareKind,
    /// True for a hidden share and for those of the system itself (`STYPE_SPECIAL`).
    #[serde(default)]
    pub special: bool,
    /// The directory on the server.
    pub path: Option<String>,
    /// The reason that the directory is not available; `None` if it is. Clients cannot connect to the share
    /// meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
    /// The remark.
    pub comment: String,
    /// The current number of connections.
    pub uses: Option<u32>,
    /// The maximum of connections; `None` for no limit.
    pub uses_max: Option<u32>,
    /// True if nobody may write.
    pub read_only: Option<bool>,
    /// True if clients must encrypt.
    pub encrypt: Option<bool>,
    /// The offline copies that clients may keep: "manual", "documents", "programs" or "none".
    pub caching: Option<String>,
    /// The permissions; `None` if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Grant>>,
    /// The drain of the share, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<crate::Drain>,
    /// The node that owns the share, for a share of a cluster: empty if none does at present. `None` for a share of the
    /// server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A share to create: the body of `POST /v1/shares`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewShare {
    /// The name.
    pub name: String,
    /// The directory on the server, which must exist.
    pub path: String,
    /// True for a share of the server's cluster.
    #[serde(skip_serializing_if = "is_false")]
    pub cluster: bool,
    /// The other settings.
    pub settings: ShareChange,
}

/// A change of a share: the body of `PATCH /v1/shares/{name}`. A field that is `None` leaves the setting as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareChange {
    /// The remark.
    pub comment: Option<String>,
    /// The maximum of connections; 0 for no limit.
    pub uses_max: Option<u32>,
    /// The offline copies that clients may keep, as in [`Share::caching`].
    pub caching: Option<String>,
    /// True if nobody may write.
    pub read_only: Option<bool>,
    /// The permissions, which replace all previous ones.
    pub grants: Option<Vec<Grant>>,
}

/// A permission on a share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The account, or "Everyone"; empty for a group. Accounts of servers of other makes include the domain; an
    /// account without a name there is a SID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The group; on Shareward servers, a Unix group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The right.
    pub right: GrantRight,
    /// True if the entry denies access, which takes precedence over grants. Only on servers of other makes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub denied: bool,
    /// The access mask of "special" (MS-SMB2 2.2.13.1), for example "0x00120089".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

impl Grant {
    /// A grant of reading to an account.
    pub fn of_user(name: &str) -> Self {
        Self { user: name.to_owned(), ..Self::default() }
    }

    /// A grant of reading to a group.
    pub fn of_group(name: &str) -> Self {
        Self { group: Some(name.to_owned()), ..Self::default() }
    }

    /// The name of the account or group.
    pub fn who(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.user)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A right on a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantRight {
    /// Read.
    #[default]
    Read,
    /// Read, write and delete.
    Change,
    /// Read, write, delete, and change permissions.
    Full,
    /// Another right, only on servers of other makes.
    Special,
}

/// One connection of a session to a share: a tree connect (MS-SMB2 3.3.1.9; `CONNECTION_INFO_1` of
/// MS-SRVS 2.2.4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `TreeConnect.TreeGlobalId`.
    pub id: u32,
    /// The share.
    pub share: String,
    /// The kind of share.
    pub kind: ShareKind,
    /// The number of opens on this connection.
    pub opens: Option<u32>,
    /// The account; empty for an anonymous session.
    pub user: String,
    /// The DNS name of the domain whose user the account is, if the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The client's address, as [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The session, by its `SessionGlobalId`.
    pub session_id: Option<u32>,
    /// The time of the connection.
    pub connected_at: Option<Timestamp>,
    /// Seconds since then.
    pub active_seconds: Option<u64>,
}

/// The filters of `GET /v1/connections`. An entry must match all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionQuery {
    /// As [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// As [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, ignoring case.
    pub share: Option<String>,
    /// Only entries with higher ids.
    pub after: Option<u64>,
    /// The most entries of the page.
    pub limit: Option<u32>,
}

impl ConnectionQuery {
    /// True if `connection` matches. A filter on an unknown value does not match.
    pub fn matches(&self, connection: &Connection) -> bool {
        self.user.as_ref().is_none_or(|user| {
            crate::session::same_user(user, None, connection.realm.as_deref(), &connection.user)
        }) && self.client.as_ref().is_none_or(|client| {
            connection.computer.as_deref().is_some_and(|it| crate::address::same_computer(it, client))
        }) && self.share.as_ref().is_none_or(|share| wire::eq_ignore_case(&connection.share, share))
    }
}
