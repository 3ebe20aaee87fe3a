//! The accounts and their passwords.

use auth::users::{ChangeError, User, now, nt_hash};

use super::{Caller, Ended, Error, Right, audit, check};
use crate::server::Server;

/// The accounts, in the order of their file.
pub(crate) fn users(server: &Server, caller: &Caller) -> Result<Vec<User>, Error> {
    check(caller, Right::ReadUsers)?;
    Ok(server.accounts().users().cloned().collect())
}

/// Whether the account administers the server. Not a verb: it is a part of [`users`].
pub(crate) fn is_administrator(server: &Server, name: &str) -> bool {
    server.settings().is_administrator(name)
}

/// Sets a password. Administrators set anybody's; others change their own, and give the old one. An
/// account that is disabled or locked stays so. Sessions go on.
pub(crate) fn set_password(
    server: &Server,
    caller: &Caller,
    name: &str,
    old: Option<&str>,
    new: &str,
) -> Result<User, Error> {
    let own = !caller.user.is_empty() && caller.user.eq_ignore_ascii_case(name);
    if !own || old.is_none() {
        check(caller, Right::ChangeSettings)?;
    }
    let set = if new.is_empty() || new.chars().count() > PASSWORD_MAX {
        Err(Error::InvalidParameter)
    } else {
        server.change_accounts(|accounts| {
            let user = accounts.user(name).ok_or(Error::NoSuchUser)?;
            if old.is_some_and(|old| user.nt_hash != Some(nt_hash(old))) {
                return Err(Error::WrongPassword);
            }
            accounts.set_password(name, new, now()).map_err(|error| match error {
                ChangeError::NoSuchUser => Error::NoSuchUser,
                ChangeError::BadName | ChangeError::Exists => Error::Internal,
            })?;
            accounts.user(name).cloned().ok_or(Error::NoSuchUser)
        })
    };
    if matches!(set, Err(Error::WrongPassword)) {
        server.statistics.password_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let outcome = set.as_ref().map(|_| Ended::default()).map_err(|error| *error);
    audit::act(caller, "set password", &format!("user {name}"), &outcome);
    set
}

/// Characters of the longest password: what Windows takes.
const PASSWORD_MAX: usize = 256;
