//! Local groups: those that every machine has, and the server's own.

use rpc::ndr::Enum16;
use rpc::samr::{AliasGeneralInformation, AliasInformation, RidEnumeration};
use wire::NtStatus;
use wire::security::{Sid, WellKnown};

use super::accounts::{self, Account};
use super::domains::sid_of;
use super::objects::Domain;
use super::of_error;
use crate::admin::{self, Caller};
use crate::core::server::Server;

/// A local group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// One that every machine has.
    BuiltIn(WellKnown),
    /// One of the server's own, by its name.
    Own(String),
}

impl Alias {
    /// The name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::BuiltIn(alias) => alias.name,
            Self::Own(name) => name,
        }
    }

    /// The domain that has it.
    pub(super) fn domain(&self) -> Domain {
        match self {
            Self::BuiltIn(_) => Domain::Builtin,
            Self::Own(_) => Domain::Accounts,
        }
    }
}

/// The local groups of a domain, by their RIDs.
pub(super) fn aliases(server: &Server, domain: Domain) -> Vec<RidEnumeration> {
    let mut all: Vec<RidEnumeration> = all(server, domain)
        .into_iter()
        .filter_map(|(alias, sid)| {
            Some(RidEnumeration { rid: sid.split_rid()?.1, name: alias.name().into() })
        })
        .collect();
    all.sort_by_key(|it| it.rid);
    all
}

fn all(server: &Server, domain: Domain) -> Vec<(Alias, Sid)> {
    match domain {
        Domain::Builtin => WellKnown::aliases().map(|it| (Alias::BuiltIn(it), it.sid)).collect(),
        Domain::Accounts => {
            let settings = server.settings();
            let own = settings.groups.iter();
            own.map(|it| (Alias::Own(it.name.clone()), server.machine().local_group(&it.name))).collect()
        }
    }
}

/// The local group with this RID.
pub(super) fn with_rid(server: &Server, domain: Domain, rid: u32) -> Result<Alias, NtStatus> {
    let sid = sid_of(server, domain, rid);
    let found = all(server, domain).into_iter().find(|(_, it)| Some(*it) == sid);
    found.map(|(alias, _)| alias).ok_or(NtStatus::NO_SUCH_ALIAS)
}

/// The RIDs of the local groups that contain some of these SIDs.
pub(super) fn memberships(
    server: &Server,
    caller: &Caller,
    domain: Domain,
    sids: &[Option<Sid>],
) -> Result<Vec<u32>, NtStatus> {
    let mut rids = Vec::new();
    for (alias, sid) in all(server, domain) {
        let members = members(server, caller, &alias)?;
        if sids.iter().flatten().any(|sid| members.contains(sid))
            && let Some((_, rid)) = sid.split_rid()
        {
            rids.push(rid);
        }
    }
    Ok(rids)
}

/// The members of a local group: for Administrators the accounts that the settings name, for Users all accounts.
pub(super) fn members(server: &Server, caller: &Caller, alias: &Alias) -> Result<Vec<Sid>, NtStatus> {
    let alias = match alias {
        Alias::Own(name) => return admin::group_members(server, caller, name).map_err(of_error),
        Alias::BuiltIn(alias) => alias,
    };
    let is_in = |account: &&Account| match alias.sid {
        Sid::ADMINISTRATORS => admin::is_administrator(server, &account.user.name),
        Sid::USERS => true,
        _ => false,
    };
    let domain = server.machine();
    let accounts = accounts::all(server, caller)?;
    Ok(accounts.iter().filter(is_in).map(|account| Sid::of_domain(domain.0, account.rid)).collect())
}

/// SAMPR_ALIAS_INFO_BUFFER of a class.
pub(super) fn information(
    server: &Server,
    caller: &Caller,
    alias: &Alias,
    class: Enum16,
) -> Result<AliasInformation, NtStatus> {
    let comment = match alias {
        Alias::BuiltIn(_) => String::new(),
        Alias::Own(name) => server.settings().local_group(name).ok_or(NtStatus::NO_SUCH_ALIAS)?.comment,
    };
    Ok(match class {
        Enum16(1) => AliasInformation::General(AliasGeneralInformation {
            name: alias.name().into(),
            members: admin::saturated(members(server, caller, alias)?.len()),
            comment: comment.into(),
        }),
        Enum16(2) => AliasInformation::Name(alias.name().into()),
        Enum16(3) => AliasInformation::Comment(comment.into()),
        _ => return Err(NtStatus::INVALID_INFO_CLASS),
    })
}
