//! Information about domains and local groups, and lists of their contents.

use rpc::ndr::{Container, Enum16, OldLargeInteger, UnicodeString, VaryingArray};
use rpc::samr::{
    DOMAIN_SERVER_ENABLED, DOMAIN_SERVER_PRIMARY, DisplayInformation, DisplayOther, DomainGeneralInformation,
    DomainGeneralInformation2, DomainInformation, DomainLockoutInformation, DomainModifiedInformation,
    DomainPasswordInformation, RidEnumeration, UserDomainPasswordInformation,
};
use wire::NtStatus;
use wire::security::{Sid, WellKnown};

use super::accounts::{self, Account, DOMAIN_USERS};
use super::objects::Domain;
use super::of_error;
use crate::admin::{self, Caller, Right};
use crate::core::limits::{SAM_LIST_BYTES_MAX, SAM_LOOKUPS_MAX};
use crate::core::security::{Principal, PrincipalKind};
use crate::core::server::Server;

/// SidTypeUnknown (MS-SAMR 2.2.2.3).
const UNKNOWN: u32 = 8;

/// The duration that never ends (MS-SAMR 3.1.1.6).
const FOREVER: OldLargeInteger = OldLargeInteger(i64::MIN);

/// The rules for passwords.
pub(super) fn password_information(server: &Server) -> UserDomainPasswordInformation {
    UserDomainPasswordInformation { length_min: policy(server).length_min, properties: 0 }
}

/// The rules of [`admin::change_password`].
pub(super) fn policy(server: &Server) -> DomainPasswordInformation {
    let rules = server.settings().passwords;
    let days = |days: u32| OldLargeInteger(-i64::from(days).saturating_mul(INTERVALS_OF_DAY));
    DomainPasswordInformation {
        length_min: u16::try_from(rules.min_length.max(1)).unwrap_or(u16::MAX),
        history: u16::try_from(rules.history).unwrap_or(u16::MAX),
        properties: 0,
        age_max: if rules.max_age_days == 0 { FOREVER } else { days(rules.max_age_days) },
        age_min: days(rules.min_age_days),
    }
}

/// The intervals of 100 nanoseconds of a day.
const INTERVALS_OF_DAY: i64 = 24 * 60 * 60 * 10_000_000;

/// SAMPR_DOMAIN_INFO_BUFFER of a class.
pub(super) fn information(
    server: &Server,
    caller: &Caller,
    domain: Domain,
    Enum16(class): Enum16,
) -> Result<DomainInformation, NtStatus> {
    Ok(match class {
        1 => DomainInformation::Password(policy(server)),
        2 => DomainInformation::General(general(server, caller, domain)?),
        3 => DomainInformation::Logoff(FOREVER),
        5 => DomainInformation::Name(domain.name(server).into()),
        7 => DomainInformation::ServerRole(Enum16(DOMAIN_SERVER_PRIMARY)),
        8 => DomainInformation::Modified(DomainModifiedInformation::default()),
        9 => DomainInformation::State(Enum16(DOMAIN_SERVER_ENABLED)),
        11 => DomainInformation::General2(DomainGeneralInformation2 {
            general: general(server, caller, domain)?,
            lockout: lockout(server),
        }),
        12 => DomainInformation::Lockout(lockout(server)),
        _ => return Err(NtStatus::INVALID_INFO_CLASS),
    })
}

fn general(server: &Server, caller: &Caller, domain: Domain) -> Result<DomainGeneralInformation, NtStatus> {
    let (users, groups, aliases) = match domain {
        Domain::Accounts => (accounts::all(server, caller)?.len(), 1, server.settings().groups.len()),
        Domain::Builtin => (0, 0, WellKnown::aliases().count()),
    };
    Ok(DomainGeneralInformation {
        force_logoff: FOREVER,
        name: domain.name(server).into(),
        state: DOMAIN_SERVER_ENABLED.into(),
        role: DOMAIN_SERVER_PRIMARY.into(),
        users: admin::saturated(users),
        groups,
        aliases: admin::saturated(aliases),
        ..DomainGeneralInformation::default()
    })
}

fn lockout(server: &Server) -> DomainLockoutInformation {
    let policy = server.settings().lockout;
    let duration = |minutes: u32| OldLargeInteger(-i64::from(minutes).saturating_mul(HUNDRED_NS_IN_A_MINUTE));
    DomainLockoutInformation {
        duration: if policy.duration == 0 { FOREVER } else { duration(policy.duration) },
        window: duration(policy.window),
        threshold: u16::try_from(policy.threshold).unwrap_or(u16::MAX),
    }
}

const HUNDRED_NS_IN_A_MINUTE: i64 = 600_000_000;

/// A part of a list, and the status that shows if it is the last.
pub(super) struct Part<T> {
    pub(super) entries: Vec<T>,
    pub(super) context: u32,
    pub(super) status: NtStatus,
}

/// The entries after the RID in `context`, as many as are requested.
pub(super) fn part(all: Vec<RidEnumeration>, context: u32, preferred_maximum: u32) -> Part<RidEnumeration> {
    let wanted = usize::try_from(preferred_maximum).unwrap_or(usize::MAX).min(SAM_LIST_BYTES_MAX);
    let mut rest = all.into_iter().filter(|entry| entry.rid > context).peekable();
    let (mut entries, mut bytes) = (Vec::new(), 0_usize);
    // There is always one entry, so that a client that continues makes progress.
    while let Some(entry) = rest.next_if(|_| entries.is_empty() || bytes < wanted) {
        bytes = bytes.saturating_add(size(&entry.name));
        entries.push(entry);
    }
    let status = if rest.peek().is_some() { NtStatus::MORE_ENTRIES } else { NtStatus::SUCCESS };
    let context = entries.last().map_or(context, |last: &RidEnumeration| last.rid);
    Part { entries, context, status }
}

/// The approximate size of an entry with this name, in bytes.
fn size(name: &UnicodeString) -> usize {
    name.text.len().saturating_mul(2).saturating_add(24)
}

/// The accounts of the requested kind, or all.
pub(super) fn users(server: &Server, caller: &Caller, control: u32) -> Result<Vec<RidEnumeration>, NtStatus> {
    let accounts = accounts::all(server, caller)?;
    let is_wanted = |account: &&Account| control == 0 || account.control(server) & control != 0;
    Ok(accounts.iter().filter(is_wanted).map(Account::enumerated).collect())
}

/// The groups of a domain.
pub(super) fn groups(domain: Domain) -> Vec<RidEnumeration> {
    match domain {
        Domain::Accounts => vec![RidEnumeration { rid: DOMAIN_USERS, name: NONE.into() }],
        Domain::Builtin => Vec::new(),
    }
}

/// The name of the group of all accounts on a machine without a domain.
const NONE: &str = "None";

/// The RIDs and kinds of names.
pub(super) fn rids_of(
    server: &Server,
    caller: &Caller,
    domain: Domain,
    VaryingArray(names): &VaryingArray<UnicodeString>,
) -> Result<(Vec<u32>, Vec<u32>, NtStatus), NtStatus> {
    if names.len() > SAM_LOOKUPS_MAX {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let prefix = domain.name(server);
    let full: Vec<_> = names.iter().map(|name| format!("{prefix}\\{}", name.text)).collect();
    let found = admin::sids_of_names(server, caller, full.iter().map(String::as_str)).map_err(of_error)?;
    let found: Vec<_> = found.into_iter().map(|it| entry(server, domain, &it?)).collect();
    let status = mapped(&found);
    let (rids, kinds) =
        found.into_iter().map(|it| it.map_or((0, UNKNOWN), |(rid, kind, _)| (rid, kind))).unzip();
    Ok((rids, kinds, status))
}

/// The names and kinds of RIDs.
pub(super) fn names_of(
    server: &Server,
    caller: &Caller,
    domain: Domain,
    VaryingArray(rids): &VaryingArray<u32>,
) -> Result<(Vec<UnicodeString>, Vec<u32>, NtStatus), NtStatus> {
    if rids.len() > SAM_LOOKUPS_MAX {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let sids = rids.iter().map(|rid| sid_of(server, domain, *rid));
    let found = admin::names_of_sids(server, caller, sids).map_err(of_error)?;
    let found: Vec<_> = found.into_iter().map(|it| entry(server, domain, &it?)).collect();
    let status = mapped(&found);
    let name = |it: Option<(u32, u32, String)>| match it {
        Some((_, kind, name)) => (name.into(), kind),
        None => (UnicodeString::absent(), UNKNOWN),
    };
    let (names, kinds) = found.into_iter().map(name).unzip();
    Ok((names, kinds, status))
}

/// The SID of a RID in a domain.
pub(super) fn sid_of(server: &Server, domain: Domain, rid: u32) -> Option<Sid> {
    match domain {
        Domain::Accounts => Some(Sid::of_domain(server.machine().0, rid)),
        Domain::Builtin => Some(Sid::of(5, [32, rid])),
    }
}

/// The RID, kind and name of a principal in the domain; `None` if it is in another domain.
fn entry(server: &Server, domain: Domain, principal: &Principal) -> Option<(u32, u32, String)> {
    let kind = match principal.kind {
        PrincipalKind::User => 1,
        PrincipalKind::Group => 2,
        PrincipalKind::Alias => 4,
        PrincipalKind::Domain | PrincipalKind::WellKnownGroup => return None,
    };
    let (of, rid) = principal.sid.split_rid()?;
    let rid = match principal.kind {
        // The account may be found by the SID of another server as well, but its RID is this server's.
        PrincipalKind::User if domain == Domain::Accounts => {
            accounts::rid(server, server.accounts().user(&principal.name)?)?
        }
        _ if of == domain.sid(server) => rid,
        _ => return None,
    };
    Some((rid, kind, principal.name.clone()))
}

fn mapped<T>(found: &[Option<T>]) -> NtStatus {
    match found.iter().flatten().count() {
        all if all == found.len() => NtStatus::SUCCESS,
        0 => NtStatus::NONE_MAPPED,
        _ => NtStatus::SOME_NOT_MAPPED,
    }
}

/// A part of a list of accounts for display.
pub(super) struct Display {
    pub(super) available: u32,
    pub(super) returned: u32,
    pub(super) information: DisplayInformation,
    pub(super) status: NtStatus,
}

/// The part of a list that a caller requests.
#[derive(Clone, Copy)]
pub(super) struct ListPart {
    /// The index of the first entry.
    pub(super) index: u32,
    pub(super) entries_max: u32,
    pub(super) bytes_max: u32,
}

/// The accounts from an index of the list on, which is sorted by name.
pub(super) fn display(
    server: &Server,
    caller: &Caller,
    domain: Domain,
    class: Enum16,
    part: ListPart,
) -> Result<Display, NtStatus> {
    let mut all = match (domain, class) {
        (Domain::Accounts, DisplayInformation::USERS | DisplayInformation::MACHINES) => {
            accounts::all(server, caller)?
        }
        (_, DisplayInformation::USERS | DisplayInformation::MACHINES | DisplayInformation::GROUPS) => {
            admin::check(caller, Right::ReadUsers).map_err(of_error)?;
            Vec::new()
        }
        _ => return Err(NtStatus::INVALID_INFO_CLASS),
    };
    let is_user = class == DisplayInformation::USERS;
    all.retain(|account| account.user.flags.contains('U') == is_user);
    all.sort_by_cached_key(|account| wire::AccountName::new(&account.user.name));
    let places = 1_u32..;
    if class == DisplayInformation::GROUPS {
        let groups = groups(domain).into_iter().zip(places).map(|(group, index)| DisplayOther {
            index,
            rid: group.rid,
            flags: rpc::samr::GROUP_ATTRIBUTES,
            name: group.name,
            ..DisplayOther::default()
        });
        let part = part.of(groups.collect(), |it| size(&it.name));
        return Ok(part.into_display(|groups| DisplayInformation::Groups(Container(groups))));
    }
    let users = all.iter().zip(places).map(|(account, index)| account.displayed(server, index));
    let part = part.of(users.collect(), |it| size(&it.name));
    Ok(part.into_display(|users| {
        if is_user {
            return DisplayInformation::Users(Container(users));
        }
        let machine = |it: rpc::samr::DisplayUser| DisplayOther {
            index: it.index,
            rid: it.rid,
            flags: it.account_control,
            name: it.name,
            comment: it.comment,
        };
        DisplayInformation::Machines(Container(users.into_iter().map(machine).collect()))
    }))
}

/// A part of a list that is requested by position.
struct Placed<T> {
    entries: Vec<T>,
    available: usize,
    returned: usize,
    is_last: bool,
}

impl ListPart {
    fn of<T>(self, all: Vec<T>, size: impl Fn(&T) -> usize) -> Placed<T> {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let available = all.iter().map(&size).sum();
        let wanted = count(self.bytes_max).min(SAM_LIST_BYTES_MAX);
        let mut rest = all.into_iter().skip(count(self.index)).peekable();
        let (mut entries, mut returned) = (Vec::new(), 0_usize);
        while let Some(entry) = rest
            .next_if(|_| entries.is_empty() || returned < wanted && entries.len() < count(self.entries_max))
        {
            returned = returned.saturating_add(size(&entry));
            entries.push(entry);
        }
        Placed { entries, available, returned, is_last: rest.peek().is_none() }
    }
}

impl<T> Placed<T> {
    fn into_display(self, information: impl FnOnce(Vec<T>) -> DisplayInformation) -> Display {
        Display {
            available: admin::saturated(self.available),
            returned: admin::saturated(self.returned),
            information: information(self.entries),
            status: if self.is_last { NtStatus::SUCCESS } else { NtStatus::MORE_ENTRIES },
        }
    }
}
