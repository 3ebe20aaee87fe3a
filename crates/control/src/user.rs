//! Accounts, and logons at the machine itself.

use serde::{Deserialize, Serialize};

use crate::{LogonHours, Timestamp};

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    pub name: String,
    /// True if it may log on.
    pub enabled: bool,
    /// True if it may administer the server.
    pub administrator: Option<bool>,
    /// The time of the last change of the password.
    pub password_set: Option<Timestamp>,
    /// True if it has a password.
    pub password_required: Option<bool>,
    /// True if wrong passwords have locked it.
    pub locked: Option<bool>,
    /// The end of the lock; `None` if it is not locked, or until an administrator unlocks it.
    pub locked_until: Option<Timestamp>,
    /// The number of wrong passwords that currently count towards a lock.
    pub wrong_passwords: Option<u32>,
    /// The time from which on it may not log on; `None` if it does not expire.
    pub expires: Option<Timestamp>,
    /// The hours of the week at which it may log on; `None` for all hours.
    pub logon_hours: Option<LogonHours>,
    /// The time from which on its password is too old; `None` if it does not expire.
    pub password_expires: Option<Timestamp>,
    /// True if its user must change the password before the next logon.
    pub must_change_password: Option<bool>,
    /// True if its user may change the password.
    pub password_changeable: Option<bool>,
    /// True if it has the Unix account that the server needs to act for it; `None` if none is needed.
    pub unix_account: Option<bool>,
}

/// The body of `PATCH /v1/users/{name}`. A field that is `None` leaves the account as it is, and
/// is left out: servers refuse fields that they do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserChange {
    /// True if it may log on, which also unlocks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// See [`User::expires`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// True if it does not expire, whatever `expires` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_expires: Option<bool>,
    /// See [`User::logon_hours`]; [`LogonHours::ALL`] for all hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logon_hours: Option<LogonHours>,
    /// See [`User::must_change_password`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_change_password: Option<bool>,
    /// See [`User::password_changeable`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_changeable: Option<bool>,
    /// False exempts it from the rules for passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_required: Option<bool>,
}

/// The body of `POST /v1/users`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The settings that differ from those of a new account.
    #[serde(default)]
    pub settings: UserChange,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The body of `PUT /v1/users/{name}/password`. Users can change their own password and must give the old one;
/// administrators can change any without it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The old password; `None` if an administrator sets the new one.
    #[serde(default)]
    pub old: Option<String>,
    /// The new password.
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
    /// The account's domain.
    pub domain: Option<String>,
    /// The terminal or seat.
    pub terminal: Option<String>,
    /// The address or name of the remote computer, for a remote logon.
    pub from: Option<String>,
    /// The time of the logon.
    pub since: Option<Timestamp>,
}
