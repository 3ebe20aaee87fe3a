//! The accounts and their passwords.

use std::net::IpAddr;
use std::time::Duration;

use auth::users::{ChangeError, User, now, nt_hash};
use registry::AddressGroup;

use super::{Caller, Ended, Error, Right, audit, check};
use crate::guesses::{Guessed, Origin, Turn};
use crate::server::Server;

/// Why a password was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// The verb is refused.
    Refused(Error),
    /// Too many old passwords were wrong: to be asked again when this time has passed.
    NotYet(Duration),
}

impl From<Error> for NotSet {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The accounts, in the order of their file, which is read again where it has changed.
pub(crate) fn users(server: &Server, caller: &Caller) -> Result<Vec<User>, Error> {
    check(caller, Right::ReadUsers)?;
    server.refresh_accounts();
    Ok(server.accounts().users().cloned().collect())
}

/// Whether the account administers the server. Not a verb: it is a part of [`users`].
pub(crate) fn is_administrator(server: &Server, name: &str) -> bool {
    server.settings().is_administrator(name)
}

/// What was guessed lately of the account's password. Not a verb: it is a part of [`users`].
pub(crate) fn guessed(server: &Server, name: &str) -> Guessed {
    server.guesses().of_account(name, server.now())
}

/// Enables or disables an account. To enable it unlocks it too, as on Windows.
pub(crate) fn set_active(server: &Server, caller: &Caller, name: &str, active: bool) -> Result<User, Error> {
    check(caller, Right::ChangeSettings)?;
    let set = server.change_accounts(|accounts| {
        accounts.set_enabled(name, active).map_err(of_change)?;
        if active {
            accounts.unlock(name).map_err(of_change)?;
        }
        accounts.user(name).cloned().ok_or(Error::NoSuchUser)
    });
    // A lock of a name without an account goes as well.
    if active && matches!(set, Ok(_) | Err(Error::NoSuchUser)) {
        server.guesses().forgive(name);
    }
    let outcome = set.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    let act = if active { "enable account" } else { "disable account" };
    audit::act(caller, act, &format!("user {name}"), &outcome);
    set
}

/// Sets a password. Administrators set anybody's; others change their own, and give the old one. An
/// account that is disabled or locked stays so. Sessions go on. Wrong old passwords count like those of logons.
pub(crate) fn set_password(
    server: &Server,
    caller: &Caller,
    name: &str,
    old: Option<&str>,
    new: &str,
) -> Result<User, NotSet> {
    let own = !caller.user.is_empty() && caller.user.eq_ignore_ascii_case(name);
    if !own || old.is_none() {
        check(caller, Right::ChangeSettings)?;
    }
    let origin = match caller.from.parse::<IpAddr>() {
        Ok(address) => Origin::Address(AddressGroup::of(address)),
        Err(_) => Origin::Machine,
    };
    let attempt = old.map(|_| server.guesses().attempt(name, origin));
    if let Some(attempt) = &attempt {
        let mut guesses = server.guesses();
        match guesses.turn(attempt, server.now()) {
            // The file is read without the table.
            Turn::Now => guesses.spent(attempt, server.now()),
            Turn::In(wait) => return Err(NotSet::NotYet(wait)),
            Turn::Locked => {
                drop(guesses);
                audit::act(caller, "set password", &format!("user {name}"), &Err(Error::LockedOut));
                return Err(Error::LockedOut.into());
            }
        }
    }
    let set = if new.is_empty() || new.chars().count() > PASSWORD_MAX {
        Err(Error::InvalidParameter)
    } else {
        server.change_accounts(|accounts| {
            let user = accounts.user(name).ok_or(Error::NoSuchUser)?;
            if old.is_some_and(|old| user.nt_hash != Some(nt_hash(old))) {
                return Err(Error::WrongPassword);
            }
            accounts.set_password(name, new, now()).map_err(of_change)?;
            accounts.user(name).cloned().ok_or(Error::NoSuchUser)
        })
    };
    match (&attempt, &set) {
        (Some(attempt), Ok(_)) => server.guesses().accepted(attempt, server.now()),
        (Some(attempt), Err(Error::WrongPassword)) => {
            let locked = server.guesses().wrong(attempt, server.settings().lockout, server.now());
            if locked {
                audit::account_locked(name, &caller.from);
            }
        }
        _ => {}
    }
    if matches!(set, Err(Error::WrongPassword)) {
        server.statistics.password_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let outcome = set.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    audit::act(caller, "set password", &format!("user {name}"), &outcome);
    set.map_err(NotSet::Refused)
}

fn of_change(error: ChangeError) -> Error {
    match error {
        ChangeError::NoSuchUser => Error::NoSuchUser,
        ChangeError::BadName | ChangeError::Exists => Error::Internal,
    }
}

/// Characters of the longest password: what Windows takes.
const PASSWORD_MAX: usize = 256;
