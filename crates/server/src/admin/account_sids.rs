//! The names of accounts and their SIDs in files and shares (MS-LSAT 3.1.4).

use wire::security::Sid;

use super::{Caller, Error, Right, check};
use crate::core::security::{Names, Principal};
use crate::core::server::Server;

/// The accounts with these SIDs; `None` for SIDs that the server does not know.
pub(crate) fn names_of_sids(
    server: &Server,
    caller: &Caller,
    sids: impl Iterator<Item = Option<Sid>>,
) -> Result<Vec<Option<Principal>>, Error> {
    check(caller, Right::SeeServer)?;
    let names = Names::for_caller(server, caller);
    let sids: Vec<_> = sids.collect();
    names.look_up_sids(sids.iter().copied().flatten());
    Ok(sids.into_iter().map(|sid| names.of_sid(sid?)).collect())
}

/// The accounts with these names; `None` for names that the server does not know.
pub(crate) fn sids_of_names<'a>(
    server: &Server,
    caller: &Caller,
    asked: impl Iterator<Item = &'a str>,
) -> Result<Vec<Option<Principal>>, Error> {
    check(caller, Right::SeeServer)?;
    let names = Names::for_caller(server, caller);
    let asked: Vec<_> = asked.collect();
    names.look_up_names(asked.iter().copied());
    Ok(asked.into_iter().map(|name| names.of_name(name)).collect())
}
