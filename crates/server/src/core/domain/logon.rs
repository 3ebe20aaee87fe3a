//! The users of sessions of a domain's users.

use std::sync::Arc;

use auth::{DomainUser, IdentityKind};
use vfs::Actor;
use wire::security::Sid;
use wire::{eq_ignore_case, names};

use super::{Asker, Domain, Named, is_own};
use crate::core::audit::loggable;
use crate::core::config::Settings;
use crate::core::security::{Machine, PrincipalKind};
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
        let user = domain.accepted(settings, self.machine(), user).map_err(NotAdmitted::Unknown)?;
        domain.ids.learn(&user).map_err(NotAdmitted::Unknown)?;
        domain.names.learn(Named {
            sid: user.sid,
            domain: user.domain.clone(),
            name: user.name.clone(),
            kind: PrincipalKind::User,
        });
        let actor = match settings.unix_identities {
            true => {
                let actor = domain.actor_of(&user).map_err(NotAdmitted::Unknown)?;
                self.find_ids_of_groups(&user.groups);
                actor
            }
            false => Actor::Process,
        };
        // The first clients after a start get the rights of groups whose names the domain is just asked for.
        domain.names.wait_for_prepared();
        let name = user.qualified_name();
        let user = self.user_with(settings, name, IdentityKind::User, actor, Some(Arc::new(user)));
        self.check_logon_groups(settings, &domain, &user)?;
        Ok(user)
    }

    /// True if a user who has a session may no longer have one: the server has left the domain, or the user is in none
    /// of `logon_groups`. While it is not known who is in them, sessions stay.
    pub(crate) fn is_expelled(&self, settings: &Settings, user: &User) -> bool {
        if user.domain.is_none() {
            return false;
        }
        let Some(domain) = self.domain() else { return true };
        let groups = &domain.settings.logon_groups;
        let are_settled = groups.iter().all(|group| domain.names.is_settled(&domain.settings, group));
        let member = self.member(settings, user);
        !groups.is_empty() && are_settled && !groups.iter().any(|group| member.is_in(group))
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
        let is_admitted = || groups.is_empty() || groups.iter().any(|group| member.is_in(group));
        if is_admitted() {
            return Ok(());
        }
        if domain.names.is_served() {
            domain.names.wait_for_names(&Asker::Server, &domain.settings, groups.iter().map(String::as_str));
        }
        if is_admitted() {
            return Ok(());
        }
        let name = loggable(&user.name);
        Err(NotAdmitted::NotGranted(format!("{name} is in none of the logon_groups of [domain]")))
    }
}

impl Domain {
    /// The user as this server takes it from a controller: with the domain's name as the settings spell it, and without
    /// the SIDs that no controller gives. The error is the reason for the log.
    ///
    /// A domain that the server's domain trusts describes its users itself, and the server's domain passes on the names
    /// as they are. So a name counts only with the realm or the SID that it belongs to.
    fn accepted(
        &self,
        settings: &Settings,
        machine: Machine,
        user: &DomainUser,
    ) -> Result<DomainUser, String> {
        let mut user = user.clone();
        let name = loggable(&user.qualified_name());
        for part in [&user.name, &user.domain, &user.dns_domain] {
            if part.contains(['\\', '@']) || part.contains(char::is_control) {
                return Err(format!("the controller gave the user a name that none can have: {name:?}"));
            }
        }
        if user.name.is_empty() || user.domain.is_empty() {
            return Err(format!("the controller gave the user a name that none can have: {name:?}"));
        }
        if [&user.domain, &user.dns_domain].into_iter().any(|it| is_own(settings, it) || is_system(it)) {
            return Err(format!("the domain of {name} has a name that means this machine"));
        }
        let is_of_realm = eq_ignore_case(&user.dns_domain, &self.settings.realm);
        if self.is_called(&user.domain) {
            if !user.dns_domain.is_empty() && !is_of_realm {
                let realm = loggable(&user.dns_domain);
                return Err(format!("{name} is not a user of the server's domain: its realm is {realm}"));
            }
            user.domain.clone_from(&self.settings.name);
        } else if is_of_realm {
            let (its, own) = (loggable(&user.domain), &self.settings.name);
            return Err(format!("the domain of {name} is {its}, but the name in [domain] is {own}"));
        } else if user.domain.contains('.') && !eq_ignore_case(&user.domain, &user.dns_domain) {
            return Err(format!("the domain of {name} has the DNS name of another"));
        }
        user.domain = names::upper(&user.domain);
        let is_of_machine = |sid: Sid| sid.split_rid().is_some_and(|(issuer, _)| issuer == machine.sid());
        let is_of_a_domain = |sid: Sid| super::domain_of(sid).is_some() && !is_of_machine(sid);
        if !is_of_a_domain(user.sid) {
            return Err(format!("{name} has a SID that no domain gives: {}", user.sid));
        }
        if super::domain_of(user.primary_group) != super::domain_of(user.sid) {
            return Err(format!("the primary group of {name} is not of its domain: {}", user.primary_group));
        }
        // The groups of this machine, of Unix and the well-known ones are the server's to give (MS-PAC 4.1.2.2).
        user.groups.retain(|sid| is_of_a_domain(*sid) || is_assertion(*sid));
        Ok(user)
    }

    /// True for a user of the server's domain: its name, its realm and its SID are of that domain, as far as each is
    /// known.
    pub(super) fn owns(&self, user: &DomainUser) -> bool {
        self.is_called(&user.domain)
            && (user.dns_domain.is_empty() || eq_ignore_case(&user.dns_domain, &self.settings.realm))
            && (super::domain_of(user.sid).is_none_or(|issuer| self.sid().is_none_or(|own| own == issuer)))
    }
}

/// True for the name of an authority of the system, which no domain can have.
fn is_system(domain: &str) -> bool {
    SYSTEM.iter().any(|it| eq_ignore_case(it, domain))
}

/// The names of authorities of every Windows system and of this server (MS-DTYP 2.4.2.4).
const SYSTEM: [&str; 5] = ["BUILTIN", "NT AUTHORITY", "NT SERVICE", "Unix User", "Unix Group"];

/// True for a SID by which a controller says how a user has authenticated: `S-1-18-*` (MS-DTYP 2.4.2.4).
fn is_assertion(sid: Sid) -> bool {
    sid.authority() == 18
}
