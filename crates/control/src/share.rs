//! Shares and the connections to them (MS-SRVS 2.2.4.2, 2.2.4.26).

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What is shared (`STYPE_*`, MS-SRVS 2.2.2.4).
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
    /// A kind this version does not know.
    #[serde(other)]
    Unknown,
}

/// One share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The name.
    pub name: String,
    /// What is shared.
    pub kind: ShareKind,
    /// Whether it is hidden or there for the system itself (`STYPE_SPECIAL`).
    #[serde(default)]
    pub special: bool,
    /// The directory on the server.
    pub path: Option<String>,
    /// Why the directory is not there; none where it is. The share's clients are refused meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
    /// The remark.
    pub comment: String,
    /// Connections now.
    pub uses: Option<u32>,
    /// Connections at most; none for no limit.
    pub uses_max: Option<u32>,
    /// Whether nobody may write.
    pub read_only: Option<bool>,
    /// Whether clients must encrypt.
    pub encrypt: Option<bool>,
    /// What clients may cache: "manual", "documents", "programs" or "none".
    pub caching: Option<String>,
    /// Who may do what; none if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<Grant>>,
}

/// A share to make: the body of `POST /v1/shares`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewShare {
    /// The name.
    pub name: String,
    /// The directory on the server; it must be there.
    pub path: String,
    /// Everything else.
    pub settings: ShareChange,
}

/// A change of a share: the body of `PATCH /v1/shares/{name}`. What is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareChange {
    /// The remark.
    pub comment: Option<String>,
    /// Connections at most; 0 for no limit.
    pub uses_max: Option<u32>,
    /// What clients may cache, as [`Share::caching`].
    pub caching: Option<String>,
    /// Whether nobody may write.
    pub read_only: Option<bool>,
    /// Who may do what; it replaces what there was.
    pub grants: Option<Vec<Grant>>,
}

/// Who may do what with a share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The account, or "Everyone"; empty where a group is meant. Of another server it comes with its domain, or is the
    /// SID of an account that has no name there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The group: on a server of ours a Unix group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What they may do.
    pub right: GrantRight,
    /// Whether it is what they may not do, whatever else is granted. Only of other servers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub denied: bool,
    /// What "special" is: an access mask (MS-SMB2 2.2.13.1), as "0x00120089".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
}

impl Grant {
    /// A grant to an account, to read.
    pub fn of_user(name: &str) -> Self {
        Self { user: name.to_owned(), ..Self::default() }
    }

    /// A grant to a group, to read.
    pub fn of_group(name: &str) -> Self {
        Self { group: Some(name.to_owned()), ..Self::default() }
    }

    /// The name, whatever it is of.
    pub fn who(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.user)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// What somebody may do with a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantRight {
    /// To read.
    #[default]
    Read,
    /// To read, write and delete.
    Change,
    /// All that, and to change permissions.
    Full,
    /// Something else, which only other servers grant.
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
    /// What is shared.
    pub kind: ShareKind,
    /// Opens on this connection.
    pub opens: Option<u32>,
    /// The account; empty for an anonymous session.
    pub user: String,
    /// The client's address, as [`crate::Session::computer`].
    pub computer: Option<String>,
    /// The session, by its `SessionGlobalId`.
    pub session_id: Option<u32>,
    /// When it was made.
    pub connected_at: Option<Timestamp>,
    /// Seconds since then.
    pub active_seconds: Option<u64>,
}

/// The filters of `GET /v1/connections`; all that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionQuery {
    /// As [`crate::SessionQuery::user`].
    pub user: Option<String>,
    /// As [`crate::SessionQuery::client`].
    pub client: Option<String>,
    /// The share, in any case.
    pub share: Option<String>,
    /// Only ids above this one.
    pub after: Option<u64>,
    /// Entries of the page.
    pub limit: Option<u32>,
}

impl ConnectionQuery {
    /// Whether `connection` matches. What is unknown of the entry does not match a filter for it.
    pub fn matches(&self, connection: &Connection) -> bool {
        self.user.as_ref().is_none_or(|user| crate::session::same_user(user, None, &connection.user))
            && self.client.as_ref().is_none_or(|client| {
                connection.computer.as_deref().is_some_and(|it| crate::address::same_computer(it, client))
            })
            && self.share.as_ref().is_none_or(|share| connection.share.to_lowercase() == share.to_lowercase())
    }
}
