//! The Unix identities of a domain's users.

use std::sync::Arc;

use auth::DomainUser;
use domain::ids::Kind;
use vfs::Actor;
use wire::eq_ignore_case;
use wire::security::Sid;

use super::{Domain, IdQuestion, Written, is_own};
use crate::core::audit::loggable;
use crate::core::config::IdRule;
use crate::core::identity;
use crate::core::server::Server;

impl Domain {
    /// The Unix identity of a user: the name service's, or the ids of the table, as the settings say. The error is the
    /// reason for the log.
    pub(crate) fn actor_of(&self, user: &DomainUser) -> Result<Actor, String> {
        let rule = self.settings.ids;
        if self.asks_name_service() {
            for name in unix_names(user) {
                // Without an answer the user could have another id than at the next logon, and its files with it.
                let found = identity::actor_for_sure(&name).map_err(|error| error.to_string())?;
                if let Some(actor) = found {
                    return self.admitted(user, actor);
                }
            }
            // It gives the user's groups no ids either.
            self.ids.leave_to_rules(IdQuestion::OfSid(Kind::User, user.sid));
            for group in user.groups.iter().chain([&user.primary_group]) {
                self.ids.leave_to_rules(IdQuestion::OfSid(Kind::Group, *group));
            }
        }
        if rule == IdRule::NameService {
            let names = unix_names(user).iter().map(|it| loggable(it)).collect::<Vec<_>>().join(" or ");
            return Err(format!("the name service does not know {names}, and ids = \"nss\""));
        }
        if !self.ids.is_open() {
            return Err(String::from("the table of the domain's Unix ids cannot be opened"));
        }
        let Some(uid) = self.ids.uid(user.sid) else {
            return Err(format!(
                "{} has no Unix id: its domain has no range in id_ranges, or the range ends below it",
                loggable(&user.qualified_name())
            ));
        };
        let Some(gid) = self.ids.gid(user.primary_group) else {
            return Err(format!("the primary group {} has no Unix id", user.primary_group));
        };
        let groups = user.groups.iter().filter_map(|group| self.ids.gid(*group)).collect();
        Ok(Actor::user(uid, gid, groups))
    }

    /// The identity that the name service gives a user, which is kept in the table of ids. The error is the reason for
    /// the log: it is not used if it is that of another, who would have the user's files.
    fn admitted(&self, user: &DomainUser, actor: Actor) -> Result<Actor, String> {
        if let Actor::User(identity) = &actor {
            let (uid, gid) = (identity.uid, identity.gid);
            if uid == 0 || gid == 0 {
                let name = loggable(&user.qualified_name());
                return Err(format!("the name service gives {name} an id of root: uid {uid}, gid {gid}"));
            }
            self.ids.record(user.sid, Kind::User, uid)?;
        }
        Ok(actor)
    }

    /// True if the name service is asked for ids before the rules of the settings give them.
    pub(super) fn asks_name_service(&self) -> bool {
        matches!(self.settings.ids, IdRule::Auto | IdRule::NameService)
    }
}

impl Server {
    /// The user whose process on this machine has this uid and Unix name.
    pub(crate) fn unix_user(&self, uid: u32, unix_name: &str) -> UnixUser {
        let Some(domain) = self.domain() else { return local(uid, unix_name) };
        let settings = self.settings();
        let sid = domain.ids.user_sid(uid);
        let own_name = &domain.settings.name;
        // The SID says the domain for sure, and the name service how the user is called there.
        let of_sid = sid.and_then(|sid| domain.ids.domain_name(sid));
        let (of, dns_domain, name) = match (Written::new(unix_name), of_sid) {
            (Written::Qualified { domain: own, .. }, _) if is_own(&settings, own) => {
                return UnixUser::Unknown;
            }
            (Written::Qualified { domain: named, name }, Some(of)) if eq_ignore_case(named, &of) => {
                (of, "", name)
            }
            (Written::Principal { name, realm }, Some(of))
                if domain.is_called(realm) == domain.is_called(&of) =>
            {
                (of, realm, name)
            }
            // The name service leaves out the domain, but the id is not a local user's.
            (Written::Plain(name), Some(of)) => (of, "", name),
            (_, Some(_)) => return UnixUser::Unknown,
            (Written::Qualified { domain: named, name }, None) if domain.is_called(named) => {
                (own_name.clone(), "", name)
            }
            (Written::Qualified { domain: named, name }, None) => (named.to_owned(), "", name),
            (Written::Principal { name, realm }, None) if domain.is_called(realm) => {
                (own_name.clone(), "", name)
            }
            // Which NetBIOS name the realm has, only its controllers know.
            (Written::Principal { name, realm }, None) => (realm.to_owned(), realm, name),
            (Written::Plain(_), None) if sid.is_some() => return UnixUser::Unknown,
            (Written::Plain(_), None) => return local(uid, unix_name),
        };
        let dns_domain = if domain.is_called(&of) { "" } else { dns_domain };
        let groups = identity::group_ids(unix_name);
        let groups = groups.into_iter().filter_map(|gid| domain.ids.group_sid(gid)).collect();
        let user = DomainUser {
            name: name.to_owned(),
            domain: wire::names::upper(&of),
            dns_domain: dns_domain.to_ascii_lowercase(),
            principal_name: None,
            full_name: String::new(),
            // Without a SID, names alone mean the user.
            sid: sid.unwrap_or_default(),
            primary_group: Sid::default(),
            groups,
        };
        UnixUser::OfDomain(domain, Box::new(user))
    }
}

/// The user of a process on this machine.
#[derive(Debug)]
pub(crate) enum UnixUser {
    /// A local user, who has the files and sessions of the account with the same name.
    Local,
    /// A user of a domain. Its groups are those of the name service, as far as they have SIDs.
    OfDomain(Arc<Domain>, Box<DomainUser>),
    /// A user who is neither for sure.
    Unknown,
}

/// A local user, if the name is that of the user with this uid only. Name services can give users of domains the names
/// of local users.
fn local(uid: u32, unix_name: &str) -> UnixUser {
    match identity::uid_of(unix_name) {
        Some(known) if known == uid => UnixUser::Local,
        _ => UnixUser::Unknown,
    }
}

/// The names of Unix groups of a user of a domain. The name of a local group can be that of a group of a domain, too, if
/// the name service leaves out the domain; then it means the local one.
pub(crate) fn group_names(groups: &[u32]) -> Vec<String> {
    let named = groups.iter().filter_map(|gid| Some((*gid, identity::group_name(*gid)?)));
    let is_meant = |gid: u32, name: &str| name.contains(['\\', '@']) || identity::gid_of(name) == Some(gid);
    named.filter(|(gid, name)| is_meant(*gid, name)).map(|(_, name)| name).collect()
}

/// The names under which the name service may know a user of a domain. The plain name is none of them, because it may
/// be a local user's.
pub(crate) fn unix_names(user: &DomainUser) -> Vec<String> {
    let mut names = vec![user.qualified_name()];
    if !user.dns_domain.is_empty() {
        names.push(format!("{}@{}", user.name, user.dns_domain.to_ascii_lowercase()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::{Allow, Role, Settings, parse};
    use crate::core::domain::{DomainNames, Ids};
    use crate::core::roles::{Reach, Roles};
    use crate::core::start_error::StartError;

    fn sid(rid: u32) -> Sid {
        Sid::of_domain([1, 2, 3], rid)
    }

    fn user() -> DomainUser {
        DomainUser {
            name: String::from("nobody of this name"),
            domain: String::from("ACME"),
            dns_domain: String::from("acme.test"),
            principal_name: None,
            full_name: String::new(),
            sid: sid(1104),
            primary_group: sid(513),
            groups: vec![sid(513), sid(1201), Sid::of(18, [1])],
        }
    }

    /// A server in the domain ACME, whose ids begin at 2000000.
    fn server(ids: &str) -> (tempfile::TempDir, Arc<Server>) {
        server_with(&format!("ids = '{ids}'\n"))
    }

    /// A server in the domain ACME with these lines in `[domain]`.
    fn server_with(lines: &str) -> (tempfile::TempDir, Arc<Server>) {
        let state = tempfile::tempdir().unwrap();
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        defaults.state_directory = state.path().into();
        let text = format!("[domain]\nrealm = 'acme.test'\n{lines}");
        let settings = parse(&text, std::path::Path::new("/"), defaults).unwrap();
        (state, Server::new(settings, auth::UserDb::default()).unwrap())
    }

    #[test]
    fn users_whom_the_name_service_does_not_know_have_the_ids_of_the_rule() {
        for ids in ["auto", "rid"] {
            let (_state, server) = server(ids);
            let domain = server.domain().unwrap();
            domain.ids.learn(&user()).unwrap();
            let actor = domain.actor_of(&user()).unwrap();
            assert_eq!(actor, Actor::user(2_001_104, 2_000_513, vec![2_000_513, 2_001_201]), "{ids}");
            assert_eq!(domain.sid(), Some(Sid::of(5, [21, 1, 2, 3])));
        }
    }

    #[test]
    fn rules_give_ids_once_the_name_service_was_asked() {
        let (_state, server) = server("auto");
        let domain = server.domain().unwrap();
        domain.ids.learn(&user()).unwrap();
        let other = sid(1300);
        assert_eq!((domain.ids.uid(other), domain.ids.gid(other)), (None, None), "nobody has asked");
        let question = IdQuestion::OfSid(Kind::User, other);
        assert!(domain.ids.is_open_question(&question));
        domain.ids.leave_to_rules(question);
        assert!(!domain.ids.is_open_question(&question));
        assert_eq!((domain.ids.uid(other), domain.ids.gid(other)), (Some(2_001_300), None));
        // An answer of the name service has precedence, also later.
        domain.ids.record(other, Kind::User, 7_300).unwrap();
        assert_eq!((domain.ids.uid(other), domain.ids.user_sid(7_300)), (Some(7_300), Some(other)));
        assert_eq!(domain.ids.user_sid(2_001_300), None, "a user has one id");
    }

    #[test]
    fn autorid_gives_each_domain_its_part() {
        let range = "id_ranges = [{ first = 1000000, last = 1999999 }]";
        let (_state, server) = server_with(&format!("ids = 'autorid'\n{range}\n"));
        let domain = server.domain().unwrap();
        let of_eu = DomainUser {
            domain: String::from("EU"),
            dns_domain: String::from("eu.test"),
            sid: Sid::of_domain([7, 8, 9], 1104),
            primary_group: Sid::of_domain([7, 8, 9], 513),
            groups: Vec::new(),
            ..user()
        };
        let uids: Vec<_> = [user(), of_eu.clone(), user(), of_eu]
            .iter()
            .map(|user| {
                domain.ids.learn(user).unwrap();
                domain.ids.uid(user.sid).unwrap()
            })
            .collect();
        let [first, second, again, second_again] = uids[..] else { panic!("{uids:?}") };
        assert_eq!((first, second), (again, second_again));
        assert_eq!(second, first + 100_000, "the next part");
        assert_eq!(domain.ids.user_sid(second), Some(Sid::of_domain([7, 8, 9], 1104)));
        assert_eq!(domain.ids.uid(Sid::of_domain([4, 5, 6], 1104)), None, "a domain that nobody has named");
    }

    #[test]
    fn users_without_an_id_are_refused_with_the_reason() {
        let (_state, server) = server("nss");
        let refused = server.domain().unwrap().actor_of(&user()).unwrap_err();
        assert!(refused.contains("ACME\\nobody of this name or nobody of this name@acme.test"), "{refused}");
        let (_state, server) = self::server("rid");
        let trusted =
            DomainUser { domain: String::from("EU"), sid: Sid::of_domain([7, 8, 9], 1104), ..user() };
        let domain = server.domain().unwrap();
        domain.ids.learn(&trusted).unwrap();
        let refused = domain.actor_of(&trusted).unwrap_err();
        assert!(refused.contains("its domain has no range in id_ranges"), "{refused}");
    }

    /// A server in the domain ACME, whose ids begin at 10000, with the domain EU, which has recorded ids.
    fn server_with_ids() -> (tempfile::TempDir, Arc<Server>) {
        let (state, server) = server("rid");
        let before = server.domain().unwrap();
        let ids = Ids::of_domain_by_rid(&state.path().join("other"), "ACME", [1, 2, 3], 10_000);
        let names = DomainNames::new(None, Ids::default());
        let domain = Domain::with_tables(before.settings.clone(), ids, names);
        let of_eu = DomainUser { domain: String::from("EU"), sid: of_eu(), ..user() };
        domain.ids.learn(&of_eu).unwrap();
        domain.ids.record(of_eu.sid, Kind::User, 7_000).unwrap();
        *server.identity.domain.write() = Some(Arc::new(domain));
        (state, server)
    }

    fn of_eu() -> Sid {
        Sid::of_domain([7, 8, 9], 1104)
    }

    fn name_of(server: &Server, uid: u32, name: &str) -> Option<String> {
        match server.unix_user(uid, name) {
            UnixUser::OfDomain(_, user) => Some(user.qualified_name()),
            UnixUser::Local | UnixUser::Unknown => None,
        }
    }

    #[test]
    fn processes_of_the_domains_users_are_these_users() {
        let (_state, server) = server_with_ids();
        let of = |uid, name| name_of(&server, uid, name);
        for (uid, name) in
            [(11_104, "ACME\\carol"), (11_104, "carol@acme.test"), (11_104, "carol"), (7, "acme\\carol")]
        {
            assert_eq!(of(uid, name).as_deref(), Some("ACME\\carol"), "{uid} {name}");
        }
        assert_eq!(of(7, "EU\\carol").as_deref(), Some("EU\\carol"));
        let UnixUser::OfDomain(domain, user) = server.unix_user(11_104, "carol") else { panic!("no user") };
        assert_eq!(user.sid, sid(1104));
        let member = server.member_of_process(&domain, &user, || vec![String::from("ACME\\Helpdesk")]);
        let roles = [Role {
            allow: Allow::View,
            users: Vec::new(),
            groups: vec![String::from("acme\\helpdesk")],
            shares: Vec::new(),
        }];
        assert_eq!(Roles::of(&roles, &member).view, Reach::Everything);
    }

    #[test]
    fn processes_of_another_domains_users_are_no_users_of_the_servers() {
        let (_state, server) = server_with_ids();
        // The plain name is that of the domain of the id, and a realm is no NetBIOS name.
        assert_eq!(name_of(&server, 7_000, "carol").as_deref(), Some("EU\\carol"));
        assert_eq!(name_of(&server, 7_000, "carol@eu.test").as_deref(), Some("EU\\carol"));
        assert_eq!(name_of(&server, 7, "carol@acme.evil.test").as_deref(), Some("ACME.EVIL.TEST\\carol"));
        let UnixUser::OfDomain(domain, user) = server.unix_user(7, "carol@acme.evil.test") else {
            panic!("no user")
        };
        let member = server.member_of_process(&domain, &user, Vec::new);
        assert!(member.is("carol@acme.evil.test"));
        assert!(!member.is("ACME\\carol") && !member.is("carol@acme.test") && !member.is("carol"));
        // The name service contradicts the table of ids.
        for name in ["ACME\\carol", "carol@acme.test", "FILES\\carol"] {
            assert!(matches!(server.unix_user(7_000, name), UnixUser::Unknown), "{name}");
        }
    }

    #[test]
    fn domain_that_comes_back_has_its_ids_while_sessions_are_open() {
        let (_state, server) = server("rid");
        let of_session = server.domain_user(&server.settings(), &user()).unwrap();
        let with = Settings::clone(&server.settings());
        let without = Settings { domain: None, ..with.clone() };
        for settings in [without, with] {
            server.reload::<StartError>(|| Ok((settings, auth::UserDb::default()))).unwrap();
        }
        assert_eq!(server.domain().unwrap().ids.uid(of_session.domain.unwrap().sid), Some(2_001_104));
    }

    #[test]
    fn processes_of_local_users_have_the_uid_of_the_name() {
        let (_state, server) = server_with_ids();
        assert!(matches!(server.unix_user(0, "root"), UnixUser::Local));
        for (uid, name) in [(7, "root"), (7, "FILES\\root"), (7, "nobody, ever")] {
            assert!(matches!(server.unix_user(uid, name), UnixUser::Unknown), "{uid} {name}");
        }
    }

    #[test]
    fn ids_of_the_name_service_that_the_table_gives_to_others_are_refused() {
        let (_state, server) = server_with_ids();
        let domain = server.domain().unwrap();
        let refused = domain.ids.record(sid(1105), Kind::User, 7_000).unwrap_err();
        assert!(refused.contains("contradicts the table"), "{refused}");
        for (uid, gid) in [(0, 7_001), (7_001, 0)] {
            let refused = domain.admitted(&user(), Actor::user(uid, gid, Vec::new())).unwrap_err();
            assert!(refused.contains("an id of root"), "{refused}");
        }
        let good = Actor::user(7_001, 7_001, Vec::new());
        assert_eq!(domain.admitted(&user(), good.clone()), Ok(good));
        assert_eq!(domain.ids.user_sid(7_001), Some(sid(1104)));
    }
}
