//! Accounts, and who is logged on at the machine.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    pub name: String,
    /// Whether it may log on.
    pub enabled: bool,
    /// Whether it administers the server.
    pub administrator: Option<bool>,
    /// When the password was set.
    pub password_set: Option<Timestamp>,
    /// Whether it has a password at all.
    pub password_required: Option<bool>,
    /// Whether it is locked: too many passwords were wrong.
    pub locked: Option<bool>,
    /// When it is unlocked by itself; none where it is not locked, or until an administrator unlocks it.
    pub locked_until: Option<Timestamp>,
    /// How many wrong passwords count towards a lock at the moment.
    pub wrong_passwords: Option<u32>,
}

/// The body of `PATCH /v1/users/{name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whether it may log on. `true` unlocks it as well.
    pub active: bool,
}

/// The body of `PUT /v1/users/{name}/password`. Users change their own and give the old one; administrators need not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The old password; none where an administrator sets it.
    #[serde(default)]
    pub old: Option<String>,
    /// The new one.
    pub new: String,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").finish_non_exhaustive()
    }
}

/// One logon at the machine itself (`WKSTA_USER_INFO_1`, MS-WKST 2.2.5.10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logon {
    /// The account.
    pub user: String,
    /// Its domain.
    pub domain: Option<String>,
    /// The terminal or seat.
    pub terminal: Option<String>,
    /// From where, for a remote logon.
    pub from: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}
