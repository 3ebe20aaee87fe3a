//! The names of the users and groups that SIDs stand for.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use wire::security::{Sid, WellKnown};
use wire::{AccountName, eq_ignore_case};

use super::domain_users;
use crate::core::caller::Caller;
use crate::core::config::{Grant, Grantee};
use crate::core::domain::{Asker, Domain, Named};
use crate::core::identity;
use crate::core::server::Server;

/// A user, group or domain that a SID stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) sid: Sid,
    pub(crate) kind: PrincipalKind,
    /// The domain of the principal; empty if it has none.
    pub(crate) domain: String,
    pub(crate) domain_sid: Sid,
    /// The name in the domain; empty for the domain itself.
    pub(crate) name: String,
}

/// The kind of principal (SID_NAME_USE, MS-LSAT 2.2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalKind {
    /// One of the local groups that every machine has.
    Alias,
    /// All accounts of a machine.
    Domain,
    /// A group of accounts.
    Group,
    /// An account.
    User,
    /// A group whose members the system determines.
    WellKnownGroup,
}

/// The names of the server's accounts, of the machine's Unix users and groups, and of the groups that every machine
/// has.
pub(crate) struct Names<'a> {
    server: &'a Server,
    /// The user for whom the domain is asked.
    asker: Asker,
    /// The names in the users file, read when they are first needed.
    accounts: OnceCell<HashMap<Sid, String>>,
}

impl<'a> Names<'a> {
    /// Creates a view of the server's present names.
    pub(crate) fn new(server: &'a Server) -> Self {
        Self { server, asker: Asker::Server, accounts: OnceCell::new() }
    }

    /// As [`Self::new`], for a caller who looks up names. Callers share the domain's time.
    pub(crate) fn for_caller(server: &'a Server, caller: &Caller) -> Self {
        Self { asker: Asker::User(AccountName::new(&caller.user)), ..Self::new(server) }
    }

    /// The principal with this SID.
    pub(crate) fn of_sid(&self, sid: Sid) -> Option<Principal> {
        if let Some(it) = WellKnown::of_sid(sid) {
            return Some(well_known(it));
        }
        if sid == self.server.machine().sid() {
            return Some(self.machine());
        }
        match (sid.authority(), sid.sub_authorities()) {
            (22, [1, uid]) => return Some(unix(sid, PrincipalKind::User, identity::user_name(*uid)?)),
            (22, [2, gid]) => return Some(unix(sid, PrincipalKind::Group, identity::group_name(*gid)?)),
            _ => {}
        }
        if domain_users(sid) == Some(sid) && sid.split_rid()?.0 == self.server.machine().sid() {
            return self.of_domain(sid, PrincipalKind::Group, NONE);
        }
        if let Some(group) = self.own_group_of(sid) {
            return self.of_domain(sid, PrincipalKind::Alias, &group);
        }
        if let Some(account) = self.account_of(sid) {
            return self.of_domain(sid, PrincipalKind::User, &account);
        }
        self.of_domain_sid(sid)
    }

    /// The user or group of the server's domain, or of one that it trusts, with this SID, as far as it is known.
    pub(crate) fn of_domain_sid(&self, sid: Sid) -> Option<Principal> {
        self.server.domain()?.principal_of_sid(&self.asker, sid)
    }

    /// The SID of the user or group of a grant, as far as it is known.
    pub(crate) fn of_grantee(&self, grant: &Grant) -> Option<Sid> {
        let domain = self.server.domain();
        let of_domain = |name: &str| {
            let domain = domain.as_ref()?;
            domain.known_sid(&domain.with_domain(name))
        };
        match &grant.who {
            Grantee::User(_) if grant.is_for_everyone() => Some(Sid::WORLD),
            Grantee::User(name) => {
                let accounts = self.server.accounts();
                let local = self.server.local_name(name).and_then(|name| accounts.user(name));
                local.and_then(|user| self.server.sids_of(user).first().copied()).or_else(|| of_domain(name))
            }
            Grantee::Group(name) => {
                if let Some(own) = self.server.settings().local_group(name) {
                    return Some(self.server.machine().local_group(&own.name));
                }
                let is_plain = !name.contains(['\\', '@']) && name.parse::<Sid>().is_err();
                if is_plain { identity::gid_of(name).map(Sid::unix_group) } else { of_domain(name) }
            }
        }
    }

    /// Asks the domain for the users and groups of grants, and waits for the answers for a limited time.
    pub(crate) fn look_up_grantees(&self, grants: &[Grant]) {
        let Some(domain) = self.server.domain() else { return };
        let accounts = self.server.accounts();
        let own = self.server.settings().local_groups();
        let names =
            grants.iter().filter(|grant| !grant.is_for_everyone()).filter_map(|grant| match &grant.who {
                Grantee::User(name) => {
                    let is_local =
                        self.server.local_name(name).is_some_and(|name| accounts.user(name).is_some());
                    (!is_local).then(|| domain.with_domain(name))
                }
                Grantee::Group(name) => own.find(name).is_none().then_some(Cow::Borrowed(name.as_str())),
            });
        let names: Vec<_> = names.collect();
        domain.names.wait_for_names(&self.asker, &domain.settings, names.iter().map(|it| &**it));
    }

    /// Asks the domain for these SIDs, and waits for the answers for a limited time. Afterwards [`Self::of_sid`] knows
    /// them.
    pub(crate) fn look_up_sids(&self, sids: impl Iterator<Item = Sid>) {
        let Some(domain) = self.server.domain() else { return };
        let own = self.server.machine().sid();
        let is_others = |sid: &Sid| sid.split_rid().is_some_and(|(of, _)| of != own && is_of_domain(*sid));
        domain.names.wait_for_sids(&self.asker, sids.filter(is_others));
    }

    /// The principal with this name: `NAME`, or `DOMAIN\\NAME` with one of the domains in the results of
    /// [`Self::of_sid`]. Names that are not local are those of the server's domain.
    pub(crate) fn of_name(&self, written: &str) -> Option<Principal> {
        let name = written;
        if name.is_empty() {
            return None;
        }
        if let Some(it) = WellKnown::of_name(name) {
            return Some(well_known(it));
        }
        let (domain, name) = match name.split_once('\\') {
            Some((domain, name)) => (Some(domain), name),
            None => (None, name),
        };
        let own_name = &self.server.settings().name;
        let of_server = self.server.domain();
        let may_be_in = |it: &str| domain.is_none_or(|domain| eq_ignore_case(domain, it));
        if domain.is_none_or(str::is_empty) && eq_ignore_case(name, own_name)
            || may_be_in(own_name) && name.is_empty()
        {
            return Some(self.machine());
        }
        if may_be_in(own_name) {
            let accounts = self.server.accounts();
            if let Some(account) = accounts.user(name) {
                let sid = self.server.sids_of(account).first().copied()?;
                return self.of_domain(sid, PrincipalKind::User, &account.name);
            }
            if let Some(group) = self.server.settings().local_group(name) {
                let sid = self.server.machine().local_group(&group.name);
                return self.of_domain(sid, PrincipalKind::Alias, &group.name);
            }
        }
        let of_domain = |name: &str| of_server.as_ref()?.principal_of_name(&self.asker, name);
        // The name service may know a user or group of the domain, too.
        let is_local = domain.is_some_and(|domain| {
            [own_name, UNIX_USER, UNIX_GROUP].iter().any(|it| eq_ignore_case(it, domain))
        });
        if !is_local && let Some(found) = of_domain(written) {
            return Some(found);
        }
        if may_be_in(UNIX_USER)
            && let Some(uid) = identity::uid_of(name)
        {
            return Some(unix(Sid::unix_user(uid), PrincipalKind::User, name.to_owned()));
        }
        if may_be_in(UNIX_GROUP)
            && let Some(gid) = identity::gid_of(name)
        {
            return Some(unix(Sid::unix_group(gid), PrincipalKind::Group, name.to_owned()));
        }
        None
    }

    /// Asks the domain for these names, and waits for the answers for a limited time. Afterwards [`Self::of_name`] knows
    /// them.
    pub(crate) fn look_up_names<'b>(&self, names: impl Iterator<Item = &'b str>) {
        let Some(domain) = self.server.domain() else { return };
        let names: Vec<_> = names.map(|name| domain.with_domain(name)).collect();
        domain.names.wait_for_names(&self.asker, &domain.settings, names.iter().map(|it| &**it));
    }

    /// The name of the server's own group with this SID.
    pub(crate) fn own_group_of(&self, sid: Sid) -> Option<String> {
        let machine = self.server.machine();
        let settings = self.server.settings();
        let is_meant = |name: &str| machine.is_local_group(sid) && machine.local_group(name) == sid;
        settings.groups.iter().find(|group| is_meant(&group.name)).map(|group| group.name.clone())
    }

    /// The account of the users file with this SID.
    pub(crate) fn account_of(&self, sid: Sid) -> Option<String> {
        if let (22, [1, uid]) = (sid.authority(), sid.sub_authorities()) {
            let name = identity::user_name(*uid)?;
            return self.server.accounts().user(&name).map(|account| account.name.clone());
        }
        let accounts = self.accounts.get_or_init(|| {
            let accounts = self.server.accounts();
            let sids_of = |account: &auth::users::User| {
                let sids = self.server.sids_of(account);
                let own = sids.into_iter().filter(|sid| domain_users(*sid) != Some(*sid));
                own.map(|sid| (sid, account.name.clone())).collect::<Vec<_>>()
            };
            accounts.users().flat_map(sids_of).collect()
        });
        accounts.get(&sid).cloned()
    }

    fn machine(&self) -> Principal {
        let sid = self.server.machine().sid();
        Principal {
            sid,
            kind: PrincipalKind::Domain,
            domain: self.server.settings().name.clone(),
            domain_sid: sid,
            name: String::new(),
        }
    }

    fn of_domain(&self, sid: Sid, kind: PrincipalKind, name: &str) -> Option<Principal> {
        let (domain_sid, _) = sid.split_rid()?;
        let domain = self.server.settings().name.clone();
        Some(Principal { sid, kind, domain, domain_sid, name: name.to_owned() })
    }
}

impl Domain {
    /// The owner of a SID of the domain, as far as it is known.
    fn principal_of_sid(&self, asker: &Asker, sid: Sid) -> Option<Principal> {
        if self.sid() == Some(sid) {
            return Some(self.principal());
        }
        principal(self.names.known_name(asker, sid)?)
    }

    /// The name with a domain: plain names are of the server's.
    fn with_domain<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match name.contains(['\\', '@']) || name.parse::<Sid>().is_ok() {
            true => Cow::Borrowed(name),
            false => Cow::Owned(format!("{}\\{name}", self.settings.name)),
        }
    }

    /// The owner of a name of the domain, as far as it is known.
    fn principal_of_name(&self, asker: &Asker, name: &str) -> Option<Principal> {
        if self.is_called(name.strip_suffix('\\').unwrap_or(name)) && self.sid().is_some() {
            return Some(self.principal());
        }
        principal(self.names.known_owner(asker, &self.settings, &self.with_domain(name))?)
    }

    /// The domain itself.
    fn principal(&self) -> Principal {
        let sid = self.sid().unwrap_or_default();
        let (kind, domain) = (PrincipalKind::Domain, self.settings.name.clone());
        Principal { sid, kind, domain, domain_sid: sid, name: String::new() }
    }
}

fn principal(named: Named) -> Option<Principal> {
    let Named { sid, domain, name, kind } = named;
    let domain_sid = if kind == PrincipalKind::Domain { sid } else { sid.split_rid()?.0 };
    Some(Principal { sid, kind, domain, domain_sid, name })
}

/// True for the SID of a user or group of any domain or machine.
fn is_of_domain(sid: Sid) -> bool {
    domain_users(sid).is_some()
}

fn well_known(it: WellKnown) -> Principal {
    Principal {
        sid: it.sid,
        kind: if it.is_alias() { PrincipalKind::Alias } else { PrincipalKind::WellKnownGroup },
        domain: it.domain.to_owned(),
        domain_sid: it.domain_sid(),
        name: it.name.to_owned(),
    }
}

fn unix(sid: Sid, kind: PrincipalKind, name: String) -> Principal {
    let domain = if kind == PrincipalKind::User { UNIX_USER } else { UNIX_GROUP };
    let domain_sid = sid.split_rid().map_or(sid, |(domain, _)| domain);
    Principal { sid, kind, domain: domain.to_owned(), domain_sid, name }
}

/// The domains of Unix users and groups, with the names that Samba uses.
const UNIX_USER: &str = "Unix User";
const UNIX_GROUP: &str = "Unix Group";

/// The group of all users of a machine without a domain, with the name that Windows uses.
const NONE: &str = "None";

#[cfg(test)]
mod tests {
    use auth::UserDb;

    use super::*;
    use crate::core::config::{GrantRight, Settings, parse};

    #[test]
    fn users_of_the_domain_who_have_logged_on_have_names() {
        let state = tempfile::tempdir().unwrap();
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        defaults.state_directory = state.path().into();
        let settings = parse("[domain]\nrealm = 'acme.test'\n", std::path::Path::new("/"), defaults).unwrap();
        let mut accounts = UserDb::default();
        accounts.add("alice", 1, "password", wire::FileTime::NONE).unwrap();
        let server = Server::new(settings, accounts).unwrap();
        let sid = Sid::of_domain([1, 2, 3], 1104);
        let user = auth::DomainUser {
            name: String::from("Perdita"),
            domain: String::from("ACME"),
            dns_domain: String::from("acme.test"),
            principal_name: None,
            full_name: String::new(),
            sid,
            primary_group: Sid::of_domain([1, 2, 3], 513),
            groups: Vec::new(),
        };
        server.domain_user(&server.settings(), &user).unwrap();
        let names = Names::new(&server);
        let found = names.of_sid(sid).unwrap();
        assert_eq!((found.domain.as_str(), found.name.as_str()), ("ACME", "Perdita"));
        assert_eq!((found.kind, found.domain_sid), (PrincipalKind::User, Sid::of(5, [21, 1, 2, 3])));
        for name in ["acme\\perdita", "perdita@acme.test", "perdita"] {
            assert_eq!(names.of_name(name).as_ref(), Some(&found), "{name}");
        }
        let domain = names.of_name("ACME").unwrap();
        assert_eq!((domain.kind, domain.sid), (PrincipalKind::Domain, found.domain_sid));
        assert_eq!(names.of_sid(found.domain_sid), Some(domain));
        // The local account has precedence, and the server's own name excludes the domain.
        assert_eq!(names.of_name("alice").unwrap().domain, "FILES");
        assert_eq!(names.of_name("FILES\\perdita"), None);
        let grant = |who| Grant { who, right: GrantRight::Read };
        for written in ["perdita", "ACME\\PERDITA", "S-1-5-21-1-2-3-1104"] {
            assert_eq!(names.of_grantee(&grant(Grantee::User(written.into()))), Some(sid), "{written}");
        }
        assert_eq!(names.of_grantee(&grant(Grantee::User("FILES\\perdita".into()))), None);
        assert_ne!(names.of_grantee(&grant(Grantee::User("FILES\\alice".into()))), None);
        assert_eq!(names.of_grantee(&grant(Grantee::Group("perdita".into()))), None, "a Unix group");
    }
}
