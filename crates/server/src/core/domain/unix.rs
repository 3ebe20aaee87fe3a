//! The Unix identities of a domain's users.

use std::sync::Arc;

use auth::DomainUser;
use vfs::Actor;
use wire::security::Sid;

use super::{Domain, Written};
use crate::core::config::IdRule;
use crate::core::identity;
use crate::core::server::Server;

impl Domain {
    /// The Unix identity of a user: the name service's, or the ids of the table, as the settings say. The error is the
    /// reason for the log.
    pub(crate) fn actor_of(&self, user: &DomainUser) -> Result<Actor, String> {
        let rule = self.settings.ids;
        if matches!(rule, IdRule::Auto | IdRule::NameService)
            && let Some(actor) = unix_names(user).iter().find_map(|name| identity::actor_of(name))
        {
            if let Actor::User(identity) = &actor {
                self.ids.record(user, identity.uid);
            }
            return Ok(actor);
        }
        if rule == IdRule::NameService {
            let names = unix_names(user).join(" or ");
            return Err(format!("the name service does not know {names}, and ids = \"nss\""));
        }
        if !self.ids.is_open() {
            return Err(String::from("the table of the domain's Unix ids cannot be opened"));
        }
        let Some(uid) = self.ids.uid(user.sid) else {
            return Err(format!(
                "{} has no Unix id: its domain has no range in id_ranges, or the range ends below it",
                user.qualified_name()
            ));
        };
        let Some(gid) = self.ids.gid(user.primary_group) else {
            return Err(format!("the primary group {} has no Unix id", user.primary_group));
        };
        let groups = user.groups.iter().filter_map(|group| self.ids.gid(*group)).collect();
        Ok(Actor::user(uid, gid, groups))
    }
}

impl Server {
    /// The user of a domain whose process on this machine has this uid and Unix name; `None` for local users. Groups
    /// are those of the name service, as far as they have SIDs.
    pub(crate) fn domain_user_of_unix(&self, uid: u32, unix_name: &str) -> Option<(Arc<Domain>, DomainUser)> {
        let domain = self.domain()?;
        let sid = domain.ids.user_sid(uid);
        let own_name = &domain.settings.name;
        let (of, name) = match Written::new(unix_name) {
            Written::Qualified { domain, name } => (domain.to_owned(), name),
            Written::Principal { name, realm } if domain.is_called(realm) => (own_name.clone(), name),
            Written::Principal { name, realm } => (realm.split('.').next()?.to_owned(), name),
            // The name service leaves out the domain, but the id is not a local user's.
            Written::Plain(name) if sid.is_some() => (own_name.clone(), name),
            Written::Plain(_) => return None,
        };
        let of = if domain.is_called(&of) { own_name.clone() } else { wire::names::upper(&of) };
        let groups = identity::group_ids(unix_name);
        let groups = groups.into_iter().filter_map(|gid| domain.ids.group_sid(gid)).collect();
        let user = DomainUser {
            name: name.to_owned(),
            domain: of,
            dns_domain: String::new(),
            principal_name: None,
            full_name: String::new(),
            // Without a SID, names alone mean the user.
            sid: sid.unwrap_or_default(),
            primary_group: Sid::default(),
            groups,
        };
        Some((domain, user))
    }
}

/// The names under which the name service may know a user of a domain. The plain name is none of them, because it may
/// be a local user's.
pub(super) fn unix_names(user: &DomainUser) -> Vec<String> {
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
        let state = tempfile::tempdir().unwrap();
        let mut defaults = Settings::conventional(false, |_| None);
        defaults.name = String::from("FILES");
        defaults.state_directory = state.path().into();
        let text = format!("[domain]\nrealm = 'acme.test'\nids = '{ids}'\n");
        let settings = parse(&text, std::path::Path::new("/"), defaults).unwrap();
        (state, Server::new(settings, auth::UserDb::default()).unwrap())
    }

    #[test]
    fn users_whom_the_name_service_does_not_know_have_the_ids_of_the_rule() {
        for ids in ["auto", "rid"] {
            let (_state, server) = server(ids);
            let domain = server.domain().unwrap();
            domain.ids.learn(&user());
            let actor = domain.actor_of(&user()).unwrap();
            assert_eq!(actor, Actor::user(2_001_104, 2_000_513, vec![2_000_513, 2_001_201]), "{ids}");
            assert_eq!(domain.sid(), Some(Sid::of(5, [21, 1, 2, 3])));
        }
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
        domain.ids.learn(&trusted);
        let refused = domain.actor_of(&trusted).unwrap_err();
        assert!(refused.contains("its domain has no range in id_ranges"), "{refused}");
    }

    #[test]
    fn processes_of_the_domains_users_are_these_users() {
        let (state, server) = server("rid");
        let before = server.domain().unwrap();
        let ids = Ids::by_rid(&state.path().join("other"), [1, 2, 3], 10_000);
        let domain =
            Domain { settings: before.settings.clone(), ids, names: DomainNames::new(None, Ids::default()) };
        *server.identity.domain.write() = Some(Arc::new(domain));
        let of = |uid, name| server.domain_user_of_unix(uid, name).map(|(_, user)| user.qualified_name());
        for (uid, name) in
            [(11_104, "ACME\\carol"), (11_104, "carol@acme.test"), (11_104, "carol"), (7, "acme\\carol")]
        {
            assert_eq!(of(uid, name).as_deref(), Some("ACME\\carol"), "{uid} {name}");
        }
        assert_eq!(of(7, "EU\\carol").as_deref(), Some("EU\\carol"));
        assert_eq!(of(7, "carol"), None, "a local user");
        let (domain, user) = server.domain_user_of_unix(11_104, "carol").unwrap();
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
}
