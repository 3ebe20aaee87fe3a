//! The accounts and their passwords.

use std::net::IpAddr;
use std::time::Duration;

use auth::users::{AccountFlags, AccountRules, ChangeError, User, UserDb, now, nt_hash};
use wire::FileTime;
use zeroize::Zeroizing;

use super::{Caller, Ended, Error, Right, audit, check};
use crate::core::audit::{account_locked, loggable};
use crate::core::config::{PasswordPolicy, SECONDS_OF_DAY};
use crate::core::domain::Member;
use crate::core::guesses::{Guessed, Origin, Turn};
use crate::core::limits::PASSWORD_LENGTH_MAX;
use crate::core::server::Server;

/// The reason why a password was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// The operation is refused.
    Refused(Error),
    /// Too many old passwords were wrong; the caller can try again after this time.
    NotYet(Duration),
}

impl From<Error> for NotSet {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The accounts, in the order of their file, which is read again if it has changed.
pub(crate) fn users(server: &Server, caller: &Caller) -> Result<Vec<User>, Error> {
    check(caller, Right::ReadUsers)?;
    server.refresh_accounts();
    Ok(server.accounts().users().cloned().collect())
}

/// True if the account administers the server. Does not check rights: part of [`users`].
pub(crate) fn is_administrator(server: &Server, name: &str) -> bool {
    let settings = server.settings();
    settings.is_administrator(&Member::local(&settings, name, Vec::new))
}

/// The recent wrong passwords of the account. Does not check rights: part of [`users`].
pub(crate) fn guessed(server: &Server, name: &str) -> Guessed {
    server.logons.guesses().of_account(name, server.now())
}

/// A change of an account; `None` leaves a part as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserEdit {
    /// True if it may log on. Enabling it also unlocks it, as in Windows.
    pub(crate) active: Option<bool>,
    /// The time from which on it may not log on; the inner `None` means never.
    pub(crate) expires: Option<Option<FileTime>>,
    /// The hours of the week at which it may log on; the inner `None` means all.
    pub(crate) logon_hours: Option<Option<[u8; 21]>>,
    /// True if its user must change the password before the next logon.
    pub(crate) must_change_password: Option<bool>,
    /// True if its user may change the password.
    pub(crate) password_changeable: Option<bool>,
    /// False exempts it from the rules for passwords.
    pub(crate) password_required: Option<bool>,
}

impl UserEdit {
    fn apply(&self, accounts: &mut UserDb, name: &str) -> Result<(), Error> {
        if let Some(active) = self.active {
            accounts.set_enabled(name, active).map_err(of_change)?;
            if active {
                accounts.unlock(name).map_err(of_change)?;
            }
        }
        if let Some(must) = self.must_change_password {
            accounts.set_must_change(name, must, now()).map_err(of_change)?;
        }
        let amend = |flags: &mut AccountFlags, rules: &mut AccountRules| {
            if let Some(expires) = self.expires {
                rules.expires = expires;
            }
            if let Some(hours) = self.logon_hours {
                rules.logon_hours = hours;
            }
            if let Some(changeable) = self.password_changeable {
                rules.is_password_fixed = !changeable;
            }
            if let Some(required) = self.password_required {
                flags.set('N', !required);
            }
        };
        accounts.amend(name, amend).map_err(of_change)?;
        let user = accounts.user(name).ok_or(Error::NoSuchUser)?;
        // An account whose password never becomes too old ignores the demand, and a fixed password cannot follow it.
        let is_followed = user.must_change_password() && !user.rules.is_password_fixed;
        if self.must_change_password == Some(true) && !is_followed {
            return Err(Error::InvalidParameter);
        }
        Ok(())
    }

    /// A description for the audit log.
    fn act(&self) -> &'static str {
        match (self.active, Self { active: None, ..*self } == Self::default()) {
            (Some(true), true) => "enable account",
            (Some(false), true) => "disable account",
            _ => "change account",
        }
    }
}

/// Changes an account.
pub(crate) fn change_user(
    server: &Server,
    caller: &Caller,
    name: &str,
    edit: &UserEdit,
) -> Result<User, Error> {
    check(caller, Right::ChangeSettings)?;
    let set = server.change_account(super::cluster_shares::author(caller), name, |accounts| {
        edit.apply(accounts, name)?;
        accounts.user(name).cloned().ok_or(Error::NoSuchUser)
    });
    // Also removes the lock of a name that is not an account.
    if edit.active == Some(true) && matches!(set, Ok(_) | Err(Error::NoSuchUser)) {
        server.logons.guesses().forgive(name);
    }
    let outcome = set.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    audit::act(server, caller, edit.act(), &format!("user {}", loggable(name)), &outcome);
    set
}

/// Adds an account.
pub(crate) fn add_user(
    server: &Server,
    caller: &Caller,
    name: &str,
    password: &str,
    edit: &UserEdit,
) -> Result<User, Error> {
    check(caller, Right::ChangeSettings)?;
    let uid = crate::core::identity::uid_of(name).unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let new = NewPassword::Text(Zeroizing::new(password.to_owned()));
    let added = new.check(server, edit.password_required == Some(false)).and_then(|()| {
        server.change_account(super::cluster_shares::author(caller), name, |accounts| {
            // The names of accounts and groups are of one kind (MS-SAMR 3.1.1.8.4).
            if server.settings().local_group(name).is_some() {
                return Err(Error::GroupExists);
            }
            accounts.add(name, uid, password, now()).map_err(of_change)?;
            edit.apply(accounts, name)?;
            accounts.user(name).cloned().ok_or(Error::Internal)
        })
    });
    let outcome = added.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    audit::act(server, caller, "add account", &format!("user {}", loggable(name)), &outcome);
    added
}

/// Deletes an account. Its sessions continue, as on Windows.
pub(crate) fn delete_user(server: &Server, caller: &Caller, name: &str) -> Result<User, Error> {
    check(caller, Right::ChangeSettings)?;
    let deleted = server.change_account(super::cluster_shares::author(caller), name, |accounts| {
        let user = accounts.user(name).cloned().ok_or(Error::NoSuchUser)?;
        accounts.delete(name).map_err(of_change)?;
        Ok(user)
    });
    let outcome = deleted.as_ref().map(|_: &User| Ended::default()).map_err(|error| *error);
    audit::act(server, caller, "delete account", &format!("user {}", loggable(name)), &outcome);
    deleted
}

/// True if the server can act for the account; `None` if that takes no Unix account. Does not check rights: part of
/// [`users`].
pub(crate) fn has_unix_account(server: &Server, name: &str) -> Option<bool> {
    server.settings().unix_identities.then(|| crate::core::identity::uid_of(name).is_some())
}

/// A new password.
pub(crate) enum NewPassword {
    /// The password.
    Text(Zeroizing<String>),
    /// The NT hash of the password, which is all that some clients send.
    Hash(Zeroizing<[u8; 16]>),
}

/// A function that decrypts a password that was encrypted with the account's old one, given its NT hash.
pub(crate) type Open<'a> = &'a dyn Fn(&[u8; 16]) -> Result<NewPassword, Error>;

/// Sets a password. Administrators can set all passwords; users can change their own, with the old one.
/// Disabled or locked accounts remain so, and sessions continue. Wrong old passwords count as failed logons.
pub(crate) fn set_password(
    server: &Server,
    caller: &Caller,
    name: &str,
    old: Option<&str>,
    new: &str,
) -> Result<User, NotSet> {
    if !caller.is_called(name) || old.is_none() {
        check(caller, Right::ChangeSettings)?;
    }
    let change = || {
        let new = NewPassword::Text(Zeroizing::new(new.to_owned()));
        Ok((old.map(|old| Zeroizing::new(nt_hash(old))), new))
    };
    set(server, caller, name, old.is_some(), change)
}

/// Changes a password for any caller who knows the old one, independently of the caller's logon (MS-SAMR
/// 1.3). No lock is held during `open`, which may take a second. An account that does not exist gets the
/// answer for a wrong password, after the same time.
pub(crate) fn change_password(
    server: &Server,
    caller: &Caller,
    name: &str,
    open: Open<'_>,
) -> Result<User, NotSet> {
    // No logon may have reread the file since it was changed.
    server.refresh_accounts();
    let change = || {
        let old = server.accounts().user(name).and_then(|user| user.nt_hash).map(Zeroizing::new);
        let new = open(&old.as_deref().copied().unwrap_or_default());
        if old.is_none() { Err(Error::WrongPassword) } else { new.map(|new| (old, new)) }
    };
    set(server, caller, name, true, change).map_err(|error| match error {
        NotSet::Refused(Error::NoSuchUser) => NotSet::Refused(Error::WrongPassword),
        other => other,
    })
}

/// Checks whether an attempt is permitted now, and changes the password. `change` returns the NT hash that
/// the account must still have, and the new password. If `guessable`, a wrong old password counts as a guess.
fn set(
    server: &Server,
    caller: &Caller,
    name: &str,
    guessable: bool,
    change: impl FnOnce() -> Result<(Option<Zeroizing<[u8; 16]>>, NewPassword), Error>,
) -> Result<User, NotSet> {
    let origin = origin(caller);
    let object = format!("user {}", loggable(name));
    let attempt = guessable.then(|| server.logons.guesses().attempt(name, origin));
    let mut spent = None;
    if let Some(attempt) = &attempt {
        let mut guesses = server.logons.guesses();
        match guesses.turn(attempt, server.now()) {
            // The file is read without holding the table's lock.
            Turn::Now => spent = Some(guesses.spent(attempt, server.now())),
            Turn::In(wait) => return Err(NotSet::NotYet(wait)),
            Turn::Locked => {
                drop(guesses);
                audit::act(server, caller, "set password", &object, &Err(Error::LockedOut));
                return Err(Error::LockedOut.into());
            }
        }
    }
    let set = change().and_then(|(old, new)| {
        let policy = server.settings().passwords;
        server.change_account(super::cluster_shares::author(caller), name, |accounts| {
            let user = accounts.user(name).ok_or(Error::NoSuchUser)?;
            let is_own = old.is_some();
            if old.is_some_and(|old| user.nt_hash != Some(*old)) {
                return Err(Error::WrongPassword);
            }
            new.check(server, user.flags.contains('N'))?;
            let hash = new.hash();
            if is_own {
                check_change(user, &hash, policy)?;
            }
            let remembered = usize::try_from(policy.history.saturating_sub(1)).unwrap_or(0);
            accounts.replace_password(name, *hash, remembered, now()).map_err(of_change)?;
            accounts.user(name).cloned().ok_or(Error::NoSuchUser)
        })
    });
    match (&attempt, &set) {
        (Some(attempt), Ok(_)) => {
            let mut guesses = server.logons.guesses();
            guesses.accepted(attempt, server.now());
            spent.into_iter().for_each(|spent| guesses.give_back(spent, server.now()));
        }
        (Some(attempt), Err(Error::WrongPassword)) => {
            let locked = server.logons.guesses().wrong(attempt, server.settings().lockout, server.now());
            if locked {
                account_locked(name, &caller.from);
            }
        }
        _ => {}
    }
    if matches!(set, Err(Error::WrongPassword)) {
        server.statistics.password_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let outcome = set.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    audit::act(server, caller, "set password", &object, &outcome);
    set.map_err(NotSet::Refused)
}

/// Lets a caller prove their own password again, if an attempt is permitted now. A wrong one counts as a
/// failed logon; the error of `judge` is true for one. A right one may be refused for another reason, such as an account
/// that has expired.
pub(crate) fn prove<T>(
    server: &Server,
    caller: &Caller,
    judge: impl FnOnce() -> Result<T, bool>,
) -> Option<T> {
    let mut guesses = server.logons.guesses();
    let attempt = guesses.attempt(&caller.user, origin(caller));
    if guesses.turn(&attempt, server.now()) != Turn::Now {
        return None;
    }
    let is_wrong = match judge() {
        Ok(proof) => {
            guesses.accepted(&attempt, server.now());
            return Some(proof);
        }
        Err(is_wrong) => is_wrong,
    };
    let locked = guesses.refused(&attempt, is_wrong, server.settings().lockout, server.now());
    drop(guesses);
    let error = if is_wrong { Error::WrongPassword } else { Error::AccessDenied };
    if is_wrong {
        server.statistics.password_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    audit::act(server, caller, "prove password", "named pipe", &Err(error));
    if locked {
        account_locked(&caller.user, &caller.from);
    }
    None
}

fn origin(caller: &Caller) -> Origin {
    caller.from.parse::<IpAddr>().map_or(Origin::Machine, Origin::of)
}

/// Checks the rules for a user's change of the own password; an administrator's change need not follow them.
fn check_change(user: &User, new: &[u8; 16], policy: PasswordPolicy) -> Result<(), Error> {
    if user.rules.is_password_fixed {
        return Err(Error::PasswordFixed);
    }
    let remembered = usize::try_from(policy.history).unwrap_or(usize::MAX);
    let used = user.nt_hash.iter().chain(&user.rules.old_hashes).take(remembered);
    if used.into_iter().any(|used| used == new) {
        return Err(Error::PasswordUsed);
    }
    let age_min = u64::from(policy.min_age_days).saturating_mul(SECONDS_OF_DAY);
    let age = now().to_unix().0.saturating_sub(user.last_change.to_unix().0);
    let is_known = user.last_change != FileTime::NONE && !user.must_change_password();
    if is_known && u64::try_from(age).unwrap_or(0) < age_min {
        return Err(Error::PasswordTooRecent);
    }
    Ok(())
}

impl NewPassword {
    /// Checks that the password is permitted. `is_exempt` is true for accounts without rules. Of a hash, only that of
    /// the empty password can be recognized, so a hash is refused if there is a minimal length.
    fn check(&self, server: &Server, is_exempt: bool) -> Result<(), Error> {
        let min = if is_exempt { 0 } else { server.settings().passwords.min_length };
        match self {
            Self::Text(text) => match text.chars().count() {
                0 => Err(Error::InvalidParameter),
                length if length > PASSWORD_MAX => Err(Error::InvalidParameter),
                length if length < usize::try_from(min).unwrap_or(usize::MAX) => Err(Error::PasswordTooShort),
                _ => Ok(()),
            },
            Self::Hash(hash) if **hash == nt_hash("") => Err(Error::InvalidParameter),
            Self::Hash(_) if min > 1 => Err(Error::PasswordTooShort),
            Self::Hash(_) => Ok(()),
        }
    }

    fn hash(&self) -> Zeroizing<[u8; 16]> {
        match self {
            Self::Text(text) => Zeroizing::new(nt_hash(text)),
            Self::Hash(hash) => hash.clone(),
        }
    }
}

/// An account that the caller may see: the caller's own, or any with the right to list accounts.
pub(crate) fn user(server: &Server, caller: &Caller, name: &str) -> Result<User, Error> {
    if !caller.is_called(name) {
        check(caller, Right::ReadUsers)?;
    }
    server.accounts().user(name).cloned().ok_or(Error::NoSuchUser)
}

fn of_change(error: ChangeError) -> Error {
    match error {
        ChangeError::NoSuchUser => Error::NoSuchUser,
        ChangeError::BadName => Error::BadUserName,
        ChangeError::Exists => Error::UserExists,
    }
}

/// Characters of the longest password, as in Windows.
const PASSWORD_MAX: usize = PASSWORD_LENGTH_MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Settings;
    use crate::core::limits::GUESSES_OF_PAIR;

    /// Authentication at the RPC level asks a client for the password again.
    #[tokio::test(start_paused = true)]
    async fn passwords_proved_on_a_pipe_count_as_guesses_of_logons() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let at = |from: &str| Caller { user: "alice".into(), from: from.into(), ..Caller::default() };
        let mut judged = 0;
        for _ in 0..GUESSES_OF_PAIR.at_once * 2 {
            let wrong = prove(&server, &at("10.0.0.1"), || {
                judged += 1;
                Err::<(), _>(true)
            });
            assert_eq!(wrong, None);
        }
        assert_eq!(judged, GUESSES_OF_PAIR.at_once);
        assert_eq!(guessed(&server, "alice").wrong, judged, "each counts towards a lock");
        assert_eq!(prove(&server, &at("10.0.0.1"), || Ok(())), None, "nor is the right one looked at");
        assert_eq!(prove(&server, &at("10.0.0.2"), || Ok(())), Some(()));
        assert_eq!(guessed(&server, "alice").wrong, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn right_password_of_an_expired_account_on_a_pipe_is_no_guess() {
        let server = Server::new(Settings::conventional(false, |_| None), UserDb::default()).unwrap();
        let at = |from: &str| Caller { user: "alice".into(), from: from.into(), ..Caller::default() };
        assert_eq!(prove(&server, &at("10.0.0.1"), || Err::<(), _>(false)), None);
        assert_eq!(guessed(&server, "alice").wrong, 0);
        assert_eq!(prove(&server, &at("10.0.0.2"), || Err::<(), _>(true)), None);
        assert_eq!(guessed(&server, "alice").wrong, 1);
    }
}
