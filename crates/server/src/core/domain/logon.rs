//! The users of sessions of a domain's users.

use std::sync::Arc;

use auth::{DomainUser, IdentityKind};
use vfs::Actor;

use super::{Domain, Named};
use crate::core::config::Settings;
use crate::core::security::PrincipalKind;
use crate::core::server::Server;
use crate::core::session::User;

/// The reason why a user of a domain, who has proved who it is, gets no session; for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    /// The user is in none of the groups that may log on.
    #[error("{0}")]
    NotGranted(String),
    /// The user has no identity here.
    #[error("{0}")]
    Unknown(String),
}

impl Server {
    /// The user of a session with the permissions that apply. Looks up names, which may take a while.
    pub(crate) fn domain_user(&self, settings: &Settings, user: &DomainUser) -> Result<User, NotAdmitted> {
        let domain = self.domain().ok_or_else(|| {
            NotAdmitted::Unknown(String::from("the server is a member of no domain (see [domain])"))
        })?;
        if user.name.is_empty() || user.domain.is_empty() || user.name.contains(['\\', '@']) {
            let reason = format!("the controller gave the user a name that none can have: {:?}", user.name);
            return Err(NotAdmitted::Unknown(reason));
        }
        domain.ids.learn(user);
        domain.names.learn(Named {
            sid: user.sid,
            domain: user.domain.clone(),
            name: user.name.clone(),
            kind: PrincipalKind::User,
        });
        let actor = match settings.unix_identities {
            true => domain.actor_of(user).map_err(NotAdmitted::Unknown)?,
            false => Actor::Process,
        };
        let name = user.qualified_name();
        let user = self.user_with(settings, name, IdentityKind::User, actor, Some(Arc::new(user.clone())));
        self.check_logon_groups(settings, &domain, &user)?;
        Ok(user)
    }

    /// Refuses users who are in none of `logon_groups`.
    fn check_logon_groups(
        &self,
        settings: &Settings,
        domain: &Domain,
        user: &User,
    ) -> Result<(), NotAdmitted> {
        let groups = &domain.settings.logon_groups;
        let member = self.member(settings, user);
        if groups.is_empty() || groups.iter().any(|group| member.is_in(group)) {
            return Ok(());
        }
        Err(NotAdmitted::NotGranted(format!("{} is in none of the logon_groups of [domain]", user.name)))
    }
}
