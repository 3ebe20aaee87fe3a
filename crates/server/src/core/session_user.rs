//! Who sessions act for. Whether a user is an administrator is in the settings, and a session outlives a change of
//! them: what it may do follows.

use std::sync::Arc;

use auth::IdentityKind;

use crate::core::config::{Allow, Role, Settings};
use crate::core::roles::Roles;
use crate::core::security::Token;
use crate::core::server::Server;
use crate::core::session::{Session, User};

impl Server {
    /// The user of this name and kind, with the groups and privileges that the settings give.
    pub(crate) fn user_with(
        &self,
        settings: &Settings,
        name: String,
        kind: IdentityKind,
        actor: vfs::Actor,
    ) -> User {
        let is_account = kind == IdentityKind::User;
        let administrator = is_account && settings.is_administrator(&name);
        let accounts = self.accounts();
        let account = accounts.user(&name).filter(|_| is_account);
        let of_account = account.map(|account| self.sids_of(account)).unwrap_or_default();
        let token = Token::new(kind, &actor, &of_account, administrator);
        User { name, kind, actor, token, administrator }
    }

    /// Lets a session act for a user, who was looked up with `settings`.
    pub(crate) fn act_for(&self, session: &Arc<Session>, user: User, settings: &Arc<Settings>) {
        session.set_user(user);
        // Whoever exchanges the settings from here on finds the user in the session.
        if !Arc::ptr_eq(settings, &self.settings()) {
            self.refresh_user(session);
            if !self.refresh_standing(session) {
                self.refresh_by_group(vec![Arc::clone(session)]);
            }
        }
    }

    /// Gives the users of all sessions the groups and privileges of the settings in force.
    pub(crate) fn refresh_users(&self) {
        let mut by_group = Vec::new();
        let mut last = None;
        loop {
            let batch = self.registry.lock("refresh_users").sessions_after(last, BATCH);
            let Some(end) = batch.last().map(|it| it.0) else { break };
            last = Some(end);
            for (_, session) in batch {
                self.refresh_user(&session);
                if !self.refresh_standing(&session) {
                    by_group.push(session);
                }
            }
        }
        self.refresh_by_group(by_group);
    }

    /// Tells the registry whether a session is an administrator's, if that can be said without asking for groups; false:
    /// it cannot.
    fn refresh_standing(&self, session: &Session) -> bool {
        let Some(user) = session.user().filter(|user| user.kind == IdentityKind::User) else { return true };
        loop {
            let settings = self.settings();
            let administers = settings.is_administrator(&user.name)
                || Roles::administers(&settings.roles, &user.name, Vec::new);
            let has_groups = |role: &Role| role.allow == Allow::Administer && !role.groups.is_empty();
            if !administers && settings.roles.iter().any(has_groups) {
                return false;
            }
            if self.set_standing(session, administers, &settings) {
                return true;
            }
        }
    }

    /// The same for those whose groups have to be asked for, which may take its time.
    fn refresh_by_group(&self, sessions: Vec<Arc<Session>>) {
        let Some(server) = self.this().filter(|_| !sessions.is_empty()) else { return };
        let refresh = move || {
            for session in sessions {
                let Some(user) = session.user() else { continue };
                let groups = || crate::core::identity::group_names(&user.name);
                loop {
                    let settings = server.settings();
                    let administers = settings.is_administrator(&user.name)
                        || Roles::administers(&settings.roles, &user.name, groups);
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

    /// False: other settings than those that say so are in force by now.
    fn set_standing(&self, session: &Session, administers: bool, settings: &Arc<Settings>) -> bool {
        let set = self.registry.lock("set_administrator").set_administrator(session.id(), administers);
        // A session that has ended meanwhile has none.
        set.is_err() || Arc::ptr_eq(settings, &self.settings())
    }

    fn refresh_user(&self, session: &Session) {
        loop {
            let Some(before) = session.user() else { return };
            let settings = self.settings();
            if before.kind != IdentityKind::User
                || before.administrator == settings.is_administrator(&before.name)
            {
                return;
            }
            let User { name, kind, actor, .. } = User::clone(&before);
            let after = self.user_with(&settings, name, kind, actor);
            // A logon that has come in between is looked at instead.
            if session.replace_user(&before, after) {
                tracing::info!(session = session.global_id().value(), "the user's rights have changed");
            }
        }
    }
}

/// Sessions looked up in one hold of the registry's lock.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use auth::users::UserDb;

    use super::*;
    use crate::core::config::ShareSettings;
    use crate::core::start_error::StartError;

    /// A tree connect that has looked a share up before a change has to look again.
    #[test]
    fn what_was_looked_up_before_a_change_is_not_served() {
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
