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
        names.push(format!("{}@{}", user.name, user.dns_domain.to_lowercase()));
    }
    names
}
