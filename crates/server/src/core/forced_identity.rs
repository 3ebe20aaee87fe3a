//! The Unix identity that a share gives its users: `force_user` and `force_group`. Administrators see the users
//! themselves, and the rights to the share are those of the users; only its files are accessed as somebody else.

use std::sync::Arc;

use parking_lot::Mutex;
use vfs::Actor;

use crate::core::config::FileSettings;
use crate::core::identity;
use crate::core::security::Token;
use crate::core::server::Server;
use crate::core::session::User;

/// The Unix identity that a tree connect gives its user.
pub(crate) struct ForcedIdentity {
    /// The user of `force_user`, with the SIDs of its account.
    user: Option<(Actor, Vec<wire::security::Sid>)>,
    /// The id of the group of `force_group`; the second value is true if it is for its members only.
    group: Option<(u32, bool)>,
    /// The last user of the session, and the user as the files see it: the former changes seldom.
    last: Mutex<Option<(Arc<User>, Arc<User>)>>,
}

impl ForcedIdentity {
    /// Looks up the identity that the settings of a share name; `None` if they name none. The error is the reason for
    /// the log.
    pub(crate) fn of(server: &Server, settings: &FileSettings) -> Result<Option<Self>, String> {
        if !settings.forces_identity() {
            return Ok(None);
        }
        let user = settings.force_user.as_deref().map(|name| forced_user(server, name)).transpose()?;
        let group = match &settings.force_group {
            Some(group) => {
                let gid = identity::gid_of(&group.name);
                let gid = gid.ok_or_else(|| format!("force_group: there is no Unix group {}", group.name))?;
                Some((gid, group.members_only))
            }
            None => None,
        };
        Ok(Some(Self { user, group, last: Mutex::default() }))
    }

    /// The session's user as the files of the share see it.
    pub(crate) fn of_user(&self, server: &Server, user: Arc<User>) -> Arc<User> {
        let mut last = self.last.lock();
        if let Some((before, forced)) = &*last
            && Arc::ptr_eq(before, &user)
        {
            return Arc::clone(forced);
        }
        let forced = Arc::new(self.forced(server, &user));
        *last = Some((user, Arc::clone(&forced)));
        forced
    }

    fn forced(&self, server: &Server, user: &User) -> User {
        let mut forced = user.clone();
        if let Some((actor, of_account)) = &self.user {
            forced.actor = actor.clone();
            // Privileges of the session's user would reach files that the other user cannot.
            let ids = server.domain().map(|it| it.ids.clone()).unwrap_or_default();
            forced.token = Token::new(user.kind, actor, of_account, false).with_ids(ids);
        }
        if let Some((gid, members_only)) = self.group
            && let Actor::User(before) = &forced.actor
            && (!members_only || before.gid == gid || before.groups.contains(&gid))
        {
            let mut groups = before.groups.clone();
            groups.extend([before.gid, gid].into_iter().filter(|it| !before.groups.contains(it)));
            forced.actor = Actor::user(before.uid, gid, groups);
            forced.token = forced.token.with_unix_group(gid);
        }
        forced
    }
}

/// The Unix user with this name. Only the name `root` itself means root.
fn forced_user(server: &Server, name: &str) -> Result<(Actor, Vec<wire::security::Sid>), String> {
    let found = identity::actor_for_sure(name).map_err(|error| format!("force_user {name}: {error}"))?;
    let actor = found.ok_or_else(|| format!("force_user: there is no Unix user {name}"))?;
    if matches!(&actor, Actor::User(identity) if identity.uid == 0) && name != ROOT {
        return Err(format!("force_user: {name} has the uid of root; if that is meant, write \"root\""));
    }
    let accounts = server.accounts();
    let of_account = accounts.user(name).map(|account| server.sids_of(account)).unwrap_or_default();
    Ok((actor, of_account))
}

const ROOT: &str = "root";
