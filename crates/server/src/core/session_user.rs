//! The users of sessions. The settings decide who is an administrator, and a session outlives a change of the settings,
//! so the rights of its user are refreshed.

use std::sync::Arc;

use auth::{DomainUser, IdentityKind};
use registry::EndReason;
use wire::security::Sid;

use crate::core::config::{Allow, Role, Settings};
use crate::core::domain::Member;
use crate::core::roles::Roles;
use crate::core::security::Token;
use crate::core::server::Server;
use crate::core::session::{Session, User};

impl Server {
    /// The user with this name and kind, with the groups and privileges of the settings. `domain` describes the user of
    /// a domain.
    pub(crate) fn user_with(
        &self,
        settings: &Settings,
        name: String,
        kind: IdentityKind,
        actor: vfs::Actor,
        domain: Option<Arc<DomainUser>>,
    ) -> User {
        let mut user = User { name, kind, actor, domain, token: Token::default(), administrator: false };
        let member = self.member(settings, &user);
        let administrator = settings.is_administrator(&member);
        let groups = self.local_groups_of(settings, &member);
        drop(member);
        user.administrator = administrator;
        let ids = self.domain().map(|it| it.ids.clone()).unwrap_or_default();
        user.token = match &user.domain {
            Some(domain) => Token::of_domain_user(&user.actor, domain, user.administrator),
            None => {
                let accounts = self.accounts();
                let account = accounts.user(&user.name).filter(|_| kind == IdentityKind::User);
                let of_account = account.map(|account| self.sids_of(account)).unwrap_or_default();
                Token::new(kind, &user.actor, &of_account, user.administrator)
            }
        };
        user.token = user.token.with_ids(ids).with_local_groups(groups);
        user
    }

    /// The SIDs of the server's own groups with the user. Its Unix groups are looked up if one of them contains groups.
    fn local_groups_of(&self, settings: &Settings, member: &Member<'_>) -> Vec<Sid> {
        let groups = settings.groups.iter().filter(|group| member.is_in(&group.name));
        groups.map(|group| self.machine().local_group(&group.name)).collect()
    }

    /// Sets the user of a session. The user was looked up with `settings`.
    pub(crate) fn act_for(&self, session: &Arc<Session>, user: User, settings: &Arc<Settings>) {
        session.set_user(user);
        // From now on a change of the settings finds the user in the session.
        if !Arc::ptr_eq(settings, &self.settings()) {
            self.refresh_user(session, Groups::LookUp);
            if !self.refresh_standing(session) {
                self.refresh_by_group(vec![Arc::clone(session)]);
            }
        }
    }

    /// Gives the users of all sessions the groups and privileges of the settings in force.
    pub(crate) fn refresh_users(&self) {
        let mut by_group = Vec::new();
        let mut last = None;
        let are_nested = self.settings().has_nested_groups();
        let groups = if are_nested { Groups::Leave } else { Groups::LookUp };
        loop {
            let batch = self.registry.lock("refresh_users").sessions_after(last, BATCH);
            let Some(end) = batch.last().map(|it| it.0) else { break };
            last = Some(end);
            for (_, session) in batch {
                self.refresh_user(&session, groups);
                if !self.refresh_standing(&session) || are_nested {
                    by_group.push(session);
                }
            }
        }
        self.refresh_by_group(by_group);
    }

    /// Records in the registry if a session is an administrator's. Returns false if this cannot be decided without
    /// looking up groups.
    fn refresh_standing(&self, session: &Session) -> bool {
        let Some(user) = session.user().filter(|user| user.kind == IdentityKind::User) else { return true };
        loop {
            let settings = self.settings();
            let member = self.member(&settings, &user).without_unix_groups();
            let administers =
                settings.is_administrator(&member) || Roles::administers(&settings.roles, &member);
            let has_groups = |role: &Role| role.allow == Allow::Administer && !role.groups.is_empty();
            if !administers && settings.roles.iter().any(has_groups) {
                return false;
            }
            if self.set_standing(session, administers, &settings) {
                return true;
            }
        }
    }

    /// Records this for sessions whose groups have to be looked up, which may take a while.
    fn refresh_by_group(&self, sessions: Vec<Arc<Session>>) {
        let Some(server) = self.this().filter(|_| !sessions.is_empty()) else { return };
        let refresh = move || {
            for session in sessions {
                server.refresh_user(&session, Groups::LookUp);
                let Some(user) = session.user() else { continue };
                loop {
                    let settings = server.settings();
                    let member = server.member(&settings, &user);
                    let administers =
                        settings.is_administrator(&member) || Roles::administers(&settings.roles, &member);
                    if server.set_standing(&session, administers, &settings) {
                        break;
                    }
                }
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(refresh)),
            Err(_) => refresh(),
        }
    }

    /// Records in the registry if a session is an administrator's. Returns false if other settings are in force by now.
    fn set_standing(&self, session: &Session, administers: bool, settings: &Arc<Settings>) -> bool {
        let set = self.registry.lock("set_administrator").set_administrator(session.id(), administers);
        // If the session has ended meanwhile, nothing is recorded.
        set.is_err() || Arc::ptr_eq(settings, &self.settings())
    }

    /// Ends the session of a user who may no longer log on.
    fn expel(&self, session: &Session) {
        tracing::info!(
            session = session.global_id().value(),
            "the session ends: by the settings of [domain], its user may not log on any more"
        );
        let id = session.global_id();
        let ended =
            self.registry.lock("expel").close_session_by_global_id(id, EndReason::Administrator, self.now());
        // It may have ended by itself.
        if let Ok(effects) = ended {
            self.apply(effects);
        }
    }

    fn refresh_user(&self, session: &Session, groups: Groups) {
        loop {
            let Some(before) = session.user() else { return };
            let settings = self.settings();
            if self.is_expelled(&settings, &before) {
                self.expel(session);
                return;
            }
            if before.kind != IdentityKind::User {
                return;
            }
            let member = self.member(&settings, &before);
            let is_in_same = || match groups {
                Groups::Leave => true,
                Groups::LookUp => {
                    before.token.local_groups(self.machine()) == self.local_groups_of(&settings, &member)
                }
            };
            if before.administrator == settings.is_administrator(&member) && is_in_same() {
                return;
            }
            drop(member);
            let User { name, kind, actor, domain, .. } = User::clone(&before);
            let after = self.user_with(&settings, name, kind, actor, domain);
            // If a logon has changed the user in between, the loop examines the new user.
            if session.replace_user(&before, after) {
                tracing::info!(
                    session = session.global_id().value(),
                    "the rights of the session's user have changed with the settings"
                );
            }
        }
    }
}

/// The treatment of the server's own groups when a session's user is refreshed.
#[derive(Clone, Copy)]
enum Groups {
    /// Determines them again, which may take a while if they contain other groups.
    LookUp,
    /// Leaves them as they are.
    Leave,
}

/// The number of sessions that are listed under one hold of the registry's lock.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use auth::users::UserDb;

    use super::*;
    use crate::core::config::ShareSettings;
    use crate::core::start_error::StartError;

    /// A tree connect that has looked a share up before a change has to look it up again.
    #[test]
    fn share_looked_up_before_a_change_is_not_served() {
        let settings = || Settings::conventional(false, |_| None);
        let accounts = || UserDb::parse("").unwrap();
        let server = Server::new(settings(), accounts()).unwrap();
        let before = server.share(ShareSettings::IPC).unwrap();
        assert_eq!(server.while_served(&before, || 7), Some(7));
        server.reload::<StartError>(|| Ok((settings(), accounts()))).unwrap();
        assert_eq!(server.while_served(&before, || 7), None);
        let after = server.share(ShareSettings::IPC).unwrap();
        assert_eq!(server.while_served(&after, || 7), Some(7));
    }
}
