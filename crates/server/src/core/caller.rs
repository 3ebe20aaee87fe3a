//! The user who requests an administrative operation, over a named pipe or the control API.

use std::net::SocketAddr;
use std::sync::Arc;

use nix::unistd::Uid;

use crate::core::identity;
use crate::core::roles::Roles;
use crate::core::server::Server;
use crate::core::session::{Session, User};

/// The user who requests an administrative operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The user's account; empty for a user without an account.
    pub(crate) user: String,
    /// True if the user may administer the server.
    pub(crate) administrator: bool,
    /// The roles of the user.
    pub(crate) roles: Roles,
    /// True if a user without an account may see the shares that it may use.
    pub(crate) lists_shares: bool,
    /// The origin of the request: an address, or the control socket.
    pub(crate) from: String,
    /// The session's user, whom the owners of files are compared with; `None` for users of the machine itself.
    pub(crate) session_user: Option<Arc<User>>,
}

impl Caller {
    /// The user of an SMB session, with the rights of the settings in force. A guest has no account, so it has no name
    /// and no rights here.
    pub(crate) fn of_session(server: &Server, session: &Session, peer: SocketAddr) -> Self {
        let user = session.user();
        let account = user.as_ref().filter(|user| user.kind == auth::IdentityKind::User);
        let name = account.map(|user| user.name.clone()).unwrap_or_default();
        let settings = server.settings();
        let roles = Roles::of(&settings.roles, &name, || identity::group_names(&name));
        Self {
            lists_shares: user.as_ref().is_some_and(|user| settings.lists_shares(user.kind)),
            administrator: settings.is_administrator(&name) || roles.administer,
            user: name,
            roles,
            from: peer.ip().to_canonical().to_string(),
            session_user: user,
        }
    }

    /// The user root on the machine itself.
    pub(crate) fn of_root(server: &Server) -> Self {
        Self::on_machine(server, Uid::from_raw(0), Some(String::from("root")), Vec::new)
    }

    /// The user of a process on this machine, with the rights of the settings in force. A Unix user has the files and
    /// sessions of the account with the same name. Names and groups come from a name service, which may hang.
    pub(crate) fn of_process(server: &Server, uid: Uid) -> Self {
        let name = identity::user_name(uid.as_raw());
        let groups = || name.as_deref().map(identity::group_names).unwrap_or_default();
        Self::on_machine(server, uid, name.clone(), groups)
    }

    fn on_machine(
        server: &Server,
        uid: Uid,
        name: Option<String>,
        groups: impl FnOnce() -> Vec<String>,
    ) -> Self {
        let settings = server.settings();
        let is_listed = |name: &String| settings.is_administrator(name);
        let roles =
            name.as_deref().map_or_else(Roles::default, |name| Roles::of(&settings.roles, name, groups));
        Self {
            administrator: owns_server(uid) || roles.administer || name.as_ref().is_some_and(is_listed),
            user: name.unwrap_or_else(|| format!("uid {uid}")),
            roles,
            lists_shares: false,
            from: String::from("the control socket"),
            session_user: None,
        }
    }

    /// True if the caller has this account name, in any case.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        !self.user.is_empty() && wire::eq_ignore_case(&self.user, name)
    }
}

/// True for users of the machine that may administer the server regardless of the settings: root and the user that the
/// server runs as, who have full control over the process anyway.
pub(crate) fn owns_server(uid: Uid) -> bool {
    uid.is_root() || uid == Uid::effective()
}
