//! The comparison of users with the names in settings.

use std::cell::OnceCell;
use std::sync::Arc;

use auth::{DomainUser, IdentityKind};
use vfs::Actor;
use wire::security::Sid;
use wire::{AccountName, eq_ignore_case};

use super::unix::{group_names, unix_names};
use super::{Domain, Written, qualified};
use crate::core::config::{LocalGroups, Settings};
use crate::core::identity;
use crate::core::server::Server;
use crate::core::session::User;

/// A user, as the names of users and groups in settings are compared with it.
///
/// `CORP\carol`, `carol@corp.example`, the user principal name (if no account has it as its name) and, if there is no local account of that name, `carol`
/// mean one user of the domain; `SERVER\carol` and `carol` mean the local account. `CORP\staff`, `staff@corp.example`
/// and a SID mean a group of the domain; other names are groups of the server, or else Unix groups.
pub(crate) struct Member<'a> {
    /// The names that mean the user; empty for a caller without an account.
    names: Vec<AccountName>,
    /// The user principal name, if its domain is the server's: a controller of another could name any.
    principal: Option<AccountName>,
    /// The SIDs of a domain's user and of its groups.
    sids: Vec<Sid>,
    /// The SID of the group Domain Admins of the user's domain, if that is the server's.
    domain_admins: Option<Sid>,
    domain: Option<Arc<Domain>>,
    /// The server's own groups.
    own_groups: LocalGroups,
    unix_groups: OnceCell<Vec<String>>,
    find_unix_groups: Box<dyn Fn() -> Vec<String> + 'a>,
}

impl<'a> Member<'a> {
    /// A caller without an account, whom no name means.
    pub(crate) fn nobody() -> Self {
        Self::new(Vec::new(), Vec::new)
    }

    /// A local account. Its Unix groups are looked up if they are needed.
    pub(crate) fn local(settings: &Settings, name: &str, unix_groups: impl Fn() -> Vec<String> + 'a) -> Self {
        if name.is_empty() {
            return Self::nobody();
        }
        let full = [name.to_owned(), format!("{}\\{name}", settings.name), format!(".\\{name}")];
        Self::new(full.iter().map(|it| AccountName::new(it)).collect(), unix_groups).with_own_groups(settings)
    }

    /// A user of a domain. `is_shadowed` is true if a local account has the plain name.
    fn of_domain(
        domain: &Arc<Domain>,
        user: &DomainUser,
        is_shadowed: bool,
        unix_groups: impl Fn() -> Vec<String> + 'a,
    ) -> Self {
        let mut names = vec![qualified(&user.domain, &user.name)];
        if !user.dns_domain.is_empty() {
            names.push(format!("{}\\{}", user.dns_domain, user.name));
            names.push(format!("{}@{}", user.name, user.dns_domain));
        }
        let is_of_servers = domain.owns(user);
        let mut principal = None;
        if is_of_servers {
            // Without a domain in it, the name could be that of a local account.
            principal = user.principal_name.as_deref().filter(|it| is_principal(it)).map(AccountName::new);
            names.push(format!("{}\\{}", domain.settings.realm, user.name));
            names.push(format!("{}@{}", user.name, domain.settings.realm));
            if !is_shadowed {
                names.push(user.name.clone());
            }
        }
        let mut sids = vec![user.sid];
        sids.extend(&user.groups);
        Self {
            sids,
            principal,
            domain_admins: domain_admins(user.sid).filter(|_| is_of_servers),
            domain: Some(Arc::clone(domain)),
            ..Self::new(names.iter().map(|it| AccountName::new(it)).collect(), unix_groups)
        }
    }

    fn new(names: Vec<AccountName>, unix_groups: impl Fn() -> Vec<String> + 'a) -> Self {
        Self {
            names,
            principal: None,
            sids: Vec::new(),
            domain_admins: None,
            domain: None,
            own_groups: LocalGroups::default(),
            unix_groups: OnceCell::new(),
            find_unix_groups: Box::new(unix_groups),
        }
    }

    /// The user as a member of the server's own groups.
    fn with_own_groups(self, settings: &Settings) -> Self {
        Self { own_groups: settings.local_groups(), ..self }
    }

    /// The user without Unix groups, which may take a while to look up.
    pub(crate) fn without_unix_groups(self) -> Self {
        Self { find_unix_groups: Box::new(Vec::new), unix_groups: OnceCell::new(), ..self }
    }

    /// True for a caller without an account.
    pub(crate) fn is_nobody(&self) -> bool {
        self.names.is_empty()
    }

    /// True if the name of a user in the settings means this user, or is a group of a domain that the user is in.
    pub(crate) fn is(&self, written: &str) -> bool {
        let name = AccountName::new(written);
        !self.is_nobody()
            && (self.names.contains(&name) || self.is_principal(&name, written) || self.has_sid(written))
    }

    /// True for the user principal name, unless it is that of another: `carol@corp.example` means the account carol, and
    /// whoever may write the attribute of an account can give it such a name.
    fn is_principal(&self, name: &AccountName, written: &str) -> bool {
        let is_anothers = |domain: &Domain| {
            domain.known_sid(written).is_some_and(|sid| self.sids.first().is_none_or(|own| *own != sid))
        };
        self.principal.as_ref() == Some(name) && !self.domain.as_deref().is_some_and(is_anothers)
    }

    /// True if the user is in the group. A group of the server comes before a Unix group of the same name.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        if self.is_nobody() {
            return false;
        }
        match self.own_groups.find(group) {
            Some(own) => {
                own.users.iter().any(|it| self.is(it)) || own.groups.iter().any(|it| self.is_in_others(it))
            }
            None => self.is_in_others(group),
        }
    }

    /// True if the user is in a group of a domain, or in a Unix group.
    fn is_in_others(&self, group: &str) -> bool {
        if self.has_sid(group) {
            return true;
        }
        let unix_groups = self.unix_groups.get_or_init(&self.find_unix_groups);
        // The names of local groups have one spelling, those of a domain have not.
        let is_qualified = group.contains(['\\', '@']);
        unix_groups.iter().any(|it| it == group || is_qualified && eq_ignore_case(it, group))
    }

    /// True if the user is in the group Domain Admins of the server's domain, whose members are administrators of every
    /// member of the domain, as on Windows.
    pub(crate) fn is_domain_administrator(&self) -> bool {
        self.domain_admins.is_some_and(|group| self.sids.contains(&group))
    }

    /// True if the name is that of a SID that the user has.
    fn has_sid(&self, written: &str) -> bool {
        let Some(domain) = self.domain.as_ref().filter(|_| !self.sids.is_empty()) else { return false };
        domain.known_sid(written).is_some_and(|sid| self.sids.contains(&sid))
    }
}

impl Server {
    /// The user of a domain with a process on this machine, as the names in settings are compared with it.
    pub(crate) fn member_of_process<'a>(
        &self,
        domain: &Arc<Domain>,
        user: &DomainUser,
        unix_groups: impl Fn() -> Vec<String> + 'a,
    ) -> Member<'a> {
        let is_shadowed = self.accounts().user(&user.name).is_some();
        Member::of_domain(domain, user, is_shadowed, unix_groups).with_own_groups(&self.settings())
    }

    /// The user of a session, as the names in settings are compared with it.
    pub(crate) fn member<'a>(&self, settings: &Settings, user: &'a User) -> Member<'a> {
        if user.kind != IdentityKind::User {
            return Member::nobody();
        }
        let member = match (&user.domain, self.domain()) {
            (Some(known), Some(domain)) => {
                let is_shadowed = self.accounts().user(&known.name).is_some();
                Member::of_domain(&domain, known, is_shadowed, || unix_groups_of(known, &user.actor))
            }
            // The server has left the domain, so only the qualified name means the user.
            (Some(_), None) => Member::new(vec![AccountName::new(&user.name)], Vec::new),
            (None, _) => Member::local(settings, &user.name, || identity::group_names(&user.name)),
        };
        member.with_own_groups(settings)
    }
}

/// True for a name of the form `name@realm`.
fn is_principal(name: &str) -> bool {
    matches!(Written::new(name), Written::Principal { .. })
}

/// The names of the Unix groups of a domain's user.
fn unix_groups_of(user: &DomainUser, actor: &Actor) -> Vec<String> {
    match actor {
        Actor::User(identity) => {
            let groups: Vec<_> = identity.groups.iter().chain([&identity.gid]).copied().collect();
            group_names(&groups)
        }
        Actor::Process => {
            let mut found = unix_names(user).into_iter().map(|name| identity::group_ids(&name));
            group_names(&found.find(|groups| !groups.is_empty()).unwrap_or_default())
        }
    }
}

/// The SID of the group Domain Admins of a user's domain (DOMAIN_GROUP_RID_ADMINS, MS-DTYP 2.4.2.4).
fn domain_admins(user: Sid) -> Option<Sid> {
    match (user.authority(), user.sub_authorities()) {
        (5, [21, a, b, c, _]) => Some(Sid::of_domain([*a, *b, *c], DOMAIN_ADMINS)),
        _ => None,
    }
}

const DOMAIN_ADMINS: u32 = 512;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use auth::UserDb;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::core::config::{Allow, Role, parse};
    use crate::core::domain::names::tests::Frontdesk;
    use crate::core::domain::names::{Answers, NameSource};
    use crate::core::domain::{Asker, DomainNames, Ids, NotAdmitted};
    use crate::core::roles::{Reach, Roles};

    fn sid(rid: u32) -> Sid {
        Sid::of_domain([1, 2, 3], rid)
    }

    fn carol() -> DomainUser {
        DomainUser {
            name: String::from("carol"),
            domain: String::from("CORP"),
            dns_domain: String::from("corp.test"),
            principal_name: Some(String::from("carol.jones@corp.example")),
            full_name: String::from("Carol Jones"),
            sid: sid(1104),
            primary_group: sid(513),
            groups: vec![sid(513), sid(1201)],
        }
    }

    /// A user of a domain that the server's domain trusts.
    fn of_eu() -> DomainUser {
        DomainUser {
            domain: String::from("EU"),
            dns_domain: String::from("eu.test"),
            sid: Sid::of_domain([7, 8, 9], 1104),
            primary_group: Sid::of_domain([7, 8, 9], 513),
            groups: Vec::new(),
            ..carol()
        }
    }

    /// A server with a state directory of its own.
    struct Here {
        server: Arc<Server>,
        _state: tempfile::TempDir,
    }

    impl std::ops::Deref for Here {
        type Target = Server;

        fn deref(&self) -> &Server {
            &self.server
        }
    }

    fn server(settings: &str) -> Here {
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        let state = tempfile::tempdir().unwrap();
        defaults.state_directory = state.path().into();
        let text =
            format!("[server]\nadministrators = ['CORP\\boss']\n[domain]\nrealm = 'corp.test'\n{settings}");
        let settings = parse(&text, Path::new("/"), defaults).unwrap();
        let mut accounts = UserDb::default();
        accounts.add("alice", 1, "password", wire::FileTime::NONE).unwrap();
        Here { server: Server::new(settings, accounts).unwrap(), _state: state }
    }

    fn user(server: &Server, user: &DomainUser) -> User {
        server.domain_user(&server.settings(), user).unwrap()
    }

    #[test]
    fn every_spelling_of_a_user_of_the_domain_means_it() {
        let server = server("");
        let settings = server.settings();
        let user_of = |it: &DomainUser| user(&server, it);
        let known = user_of(&carol());
        assert_eq!(known.name, "CORP\\carol");
        let member = server.member(&settings, &known);
        for written in [
            "CORP\\carol",
            "corp\\CAROL",
            "corp.test\\carol",
            "carol@corp.test",
            "Carol.Jones@Corp.Example",
            "carol",
            "S-1-5-21-1-2-3-1104",
        ] {
            assert!(member.is(written), "{written}");
        }
        for written in
            ["FILES\\carol", ".\\carol", "EU\\carol", "carol@eu.test", "caro", "S-1-5-21-1-2-3-1105"]
        {
            assert!(!member.is(written), "{written}");
        }
    }

    #[test]
    fn plain_name_of_a_local_account_is_not_the_user_of_the_domain() {
        let server = server("");
        let settings = server.settings();
        let of_domain = user(&server, &DomainUser { name: String::from("alice"), ..carol() });
        let local =
            server.user_with(&settings, String::from("alice"), IdentityKind::User, Actor::Process, None);
        let (of_domain, local) = (server.member(&settings, &of_domain), server.member(&settings, &local));
        assert!(local.is("alice") && local.is("files\\ALICE") && local.is(".\\alice"));
        assert!(!local.is("CORP\\alice") && !local.is("alice@corp.test"));
        assert!(!of_domain.is("alice") && !of_domain.is("FILES\\alice") && of_domain.is("CORP\\alice"));
    }

    #[test]
    fn principal_name_without_realm_means_no_local_account() {
        let server = server("");
        let principal_name = Some(String::from("alice"));
        let known = user(&server, &DomainUser { principal_name, ..carol() });
        assert!(!server.member(&server.settings(), &known).is("alice"));
        for name in ["alice@corp.test", "FILES\\alice", ""] {
            let named = DomainUser { name: String::from(name), ..carol() };
            let refused = server.domain_user(&server.settings(), &named);
            assert!(matches!(refused, Err(NotAdmitted::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn users_of_trusted_domains_have_their_domain_in_their_name() {
        let server = server("");
        let known = user(&server, &of_eu());
        let member = server.member(&server.settings(), &known);
        assert!(member.is("EU\\carol") && member.is("carol@eu.test"));
        assert!(!member.is("carol") && !member.is("CORP\\carol") && !member.is("carol@corp.test"));
    }

    #[test]
    fn groups_of_the_domain_are_matched_by_sid() {
        let server = server("");
        let known = user(&server, &carol());
        let member = server.member(&server.settings(), &known);
        assert!(member.is_in("S-1-5-21-1-2-3-1201") && member.is("S-1-5-21-1-2-3-1201"));
        assert!(!member.is_in("S-1-5-21-1-2-3-1202") && !member.is_in("root"));
        assert!(!Member::nobody().is_in("S-1-5-21-1-2-3-1201"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn groups_of_the_domain_are_matched_by_name_once_the_domain_has_answered() {
        let server = server("logon_groups = ['corp\\FrontDesk']\n");
        let domain = server.domain().unwrap();
        let names = DomainNames::new(Some(Box::new(Frontdesk { asked: Arc::default() })), Ids::default());
        let domain = Arc::new(Domain::with_tables(domain.settings.clone(), domain.ids.clone(), names));
        *server.identity.domain.write() = Some(Arc::clone(&domain));
        let log_on = || server.domain_user(&server.settings(), &carol());
        let early = log_on();
        assert!(matches!(early, Err(NotAdmitted::NotGranted(_))), "nobody knows the group yet: {early:?}");
        let names = Arc::clone(&domain.names);
        let answering = crate::core::bulkhead::spawn(async move { names.answer().await });
        tokio::task::block_in_place(|| {
            domain.names.wait_for_names(&Asker::Server, &domain.settings, ["CORP\\frontdesk"].into_iter());
        });
        let known = log_on().unwrap();
        let member = server.member(&server.settings(), &known);
        assert!(member.is_in("frontdesk@corp.test") && member.is("CORP\\frontdesk"));
        let role = |shares| Role {
            allow: Allow::Close,
            users: Vec::new(),
            groups: vec!["CORP\\frontdesk".into()],
            shares,
        };
        let roles = Roles::of(&[role(vec![String::from("data")])], &member);
        assert_eq!(roles.close, Reach::Shares([wire::ShareName::new("DATA")].into()));
        let other = DomainUser { groups: vec![sid(513)], sid: sid(1105), ..carol() };
        assert!(matches!(server.domain_user(&server.settings(), &other), Err(NotAdmitted::NotGranted(_))));
        answering.abort();
    }

    /// A domain that never answers.
    struct Hanging;

    impl NameSource for Hanging {
        fn names_of(&self, _: Vec<Sid>) -> BoxFuture<'_, Answers> {
            Box::pin(std::future::pending())
        }

        fn owners_of(&self, _: Vec<String>) -> BoxFuture<'_, Answers> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn users_log_on_while_the_domain_does_not_answer_for_the_groups_of_roles() {
        let server =
            server("[[role]]\nallow = 'close'\ngroups = ['CORP\\frontdesk', 'S-1-5-21-1-2-3-1201']\n");
        let domain = server.domain().unwrap();
        let names = DomainNames::new(Some(Box::new(Hanging)), Ids::default());
        names.prepare(&domain.settings, ["CORP\\frontdesk"].into_iter());
        let domain = Arc::new(Domain::with_tables(domain.settings.clone(), domain.ids.clone(), names));
        *server.identity.domain.write() = Some(Arc::clone(&domain));
        let names = Arc::clone(&domain.names);
        let answering = crate::core::bulkhead::spawn(async move { names.answer().await });
        while !domain.names.is_served() {
            tokio::task::yield_now().await;
        }
        // Both wait at the same time, and neither for the other.
        let logons = [1104, 1105].map(|rid| {
            let server = Arc::clone(&server.server);
            tokio::task::spawn_blocking(move || {
                let groups = if rid == 1104 { vec![sid(1201)] } else { Vec::new() };
                let user = DomainUser { name: format!("user{rid}"), sid: sid(rid), groups, ..carol() };
                let settings = server.settings();
                let known = server.domain_user(&settings, &user).unwrap();
                Roles::of(&settings.roles, &server.member(&settings, &known)).close
            })
        });
        let mut reach = Vec::new();
        for logon in logons {
            reach.push(logon.await.unwrap());
        }
        assert_eq!(reach, [Reach::Everything, Reach::Nothing], "a SID needs no answer");
        answering.abort();
    }

    #[test]
    fn domain_admins_administer_members_of_the_domain() {
        let server = server("");
        let is_administrator = |it: &DomainUser| user(&server, it).administrator;
        assert!(!is_administrator(&carol()));
        assert!(is_administrator(&DomainUser { groups: vec![sid(512)], ..carol() }));
        assert!(is_administrator(&DomainUser { name: String::from("Boss"), sid: sid(1105), ..carol() }));
        let of_another = Sid::of_domain([1, 2, 4], 512);
        assert!(!is_administrator(&DomainUser { groups: vec![of_another], ..carol() }));
        let trusted = DomainUser { groups: vec![Sid::of_domain([7, 8, 9], 512)], ..of_eu() };
        assert!(!is_administrator(&trusted), "the administrators of another domain");
    }

    #[test]
    fn users_of_trusted_domains_are_none_of_the_servers_domain() {
        let server = server("");
        let log_on = |it: &DomainUser| server.domain_user(&server.settings(), it);
        let refused = |it: &DomainUser| match log_on(it) {
            Err(NotAdmitted::Unknown(reason)) => reason,
            other => panic!("{it:?}: {other:?}"),
        };
        // Before the SID of the server's domain is known, and afterwards.
        for _ in 0..2 {
            for domain in ["CORP", "corp", "corp.test"] {
                let reason = refused(&DomainUser { domain: domain.to_owned(), ..of_eu() });
                assert!(reason.contains("its realm is eu.test"), "{reason}");
            }
            for domain in ["FILES", "files", ".", "BUILTIN", "nt authority"] {
                let reason = refused(&DomainUser { domain: domain.to_owned(), ..of_eu() });
                assert!(reason.contains("means this machine"), "{reason}");
            }
            let reason = refused(&DomainUser { domain: String::from("asia.test"), ..of_eu() });
            assert!(reason.contains("the DNS name of another"), "{reason}");
            let reason = refused(&DomainUser { domain: String::from("EU"), ..carol() });
            assert!(reason.contains("the name in [domain] is CORP"), "{reason}");
            log_on(&carol()).unwrap();
        }
        // The realm is that of the server's domain, or not known, but the SID is of another.
        let sid = Sid::of_domain([7, 8, 9], 1104);
        let primary_group = Sid::of_domain([7, 8, 9], 513);
        for dns_domain in ["", "corp.test"] {
            let dns_domain = dns_domain.to_owned();
            let reason = refused(&DomainUser { sid, primary_group, dns_domain, ..carol() });
            assert!(reason.contains("CORP has the SID S-1-5-21-7-8-9"), "{reason}");
        }
        let known = server.domain().unwrap().known_sid("CORP\\carol");
        assert_eq!(known, Some(self::sid(1104)), "a refused user has no name");
        // A controller of another domain may say any user principal name.
        let known = user(&server, &of_eu());
        assert!(!server.member(&server.settings(), &known).is("carol.jones@corp.example"));
    }

    #[test]
    fn groups_of_this_machine_are_not_the_controllers_to_give() {
        let server = server("");
        let own = server.machine();
        let groups = vec![
            sid(1201),
            Sid::of(18, [1]),
            Sid::ADMINISTRATORS,
            Sid::unix_user(0),
            Sid::unix_group(0),
            Sid::of(5, [18]),
            Sid::of_domain(own.0, 1000),
            Sid::WORLD,
        ];
        let known = user(&server, &DomainUser { groups, ..carol() });
        assert_eq!(known.domain.unwrap().groups, [sid(1201), Sid::of(18, [1])]);
        let of_machine = DomainUser {
            sid: Sid::of_domain(own.0, 1000),
            primary_group: Sid::of_domain(own.0, 513),
            ..carol()
        };
        for wrong in [of_machine, DomainUser { sid: Sid::ADMINISTRATORS, ..carol() }] {
            let refused = server.domain_user(&server.settings(), &wrong);
            assert!(matches!(refused, Err(NotAdmitted::Unknown(_))), "{refused:?}");
        }
    }

    #[test]
    fn user_principal_name_that_is_anothers_account_means_the_account() {
        let server = server("");
        let domain = server.domain().unwrap();
        let mallory = DomainUser {
            name: String::from("mallory"),
            principal_name: Some(String::from("carol@corp.test")),
            sid: sid(1666),
            ..carol()
        };
        user(&server, &carol());
        let known = user(&server, &mallory);
        assert!(domain.owns(known.domain.as_deref().unwrap()));
        assert!(!server.member(&server.settings(), &known).is("carol@corp.test"));
        assert!(server.member(&server.settings(), &user(&server, &carol())).is("carol@corp.test"));
    }

    #[test]
    fn only_members_of_logon_groups_log_on() {
        let server = server("logon_groups = ['S-1-5-21-1-2-3-1201']\n");
        assert!(server.domain_user(&server.settings(), &carol()).is_ok());
        let refused = server.domain_user(&server.settings(), &DomainUser { groups: Vec::new(), ..carol() });
        assert!(matches!(refused, Err(NotAdmitted::NotGranted(_))));
    }

    #[test]
    fn sessions_of_users_outside_the_logon_groups_end_once_the_groups_are_known() {
        let by_sid = server("logon_groups = ['S-1-5-21-1-2-3-1201']\n");
        let user = by_sid.domain_user(&by_sid.settings(), &carol()).unwrap();
        let outside = DomainUser { groups: Vec::new(), ..carol() };
        let outsider = User { domain: Some(Arc::new(outside)), ..user.clone() };
        let is_expelled = |server: &Server, user: &User| server.is_expelled(&server.settings(), user);
        assert!(!is_expelled(&by_sid, &user));
        assert!(is_expelled(&by_sid, &outsider));
        let by_name = server("logon_groups = ['CORP\\nobody-has-asked']\n");
        assert!(!is_expelled(&by_name, &outsider), "nobody knows yet who is in the group");
        assert!(!is_expelled(&server(""), &outsider));
    }

    #[test]
    fn user_keeps_the_groups_of_the_controller_when_settings_change() {
        let server = server("");
        let known = user(&server, &carol());
        let settings = server.settings();
        let User { name, kind, actor, domain, .. } = known.clone();
        let again = server.user_with(&settings, name, kind, actor, domain);
        assert_eq!(again.token, known.token);
        assert!(again.token.is(sid(1201)));
    }
}
