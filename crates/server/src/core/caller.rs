//! The user who requests an administrative operation, over a named pipe or the control API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nix::unistd::Uid;
use wire::FileGlobalId;

use wire::security::Sid;

use crate::core::config::Settings;
use crate::core::domain::{self, Member, UnixUser};
use crate::core::identity;
use crate::core::roles::Roles;
use crate::core::server::Server;
use crate::core::session::{Session, User};

/// The user who requests an administrative operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The user's account; empty for a user without an account.
    pub(crate) user: String,
    /// The SID of a user of a domain, if it is known.
    pub(crate) sid: Option<Sid>,
    /// True if the user may administer the server.
    pub(crate) administrator: bool,
    /// The roles of the user.
    pub(crate) roles: Roles,
    /// True if a user without an account may see the shares that it may use.
    pub(crate) lists_shares: bool,
    /// The origin of the request: an address, or the control socket.
    pub(crate) from: String,
    /// The address of the client; `None` for users of the machine itself.
    pub(crate) address: Option<IpAddr>,
    /// The session's user, whom the owners of files are compared with; `None` for users of the machine itself.
    pub(crate) session_user: Option<Arc<User>>,
    /// True if all messages of the session are encrypted, or the caller is on the machine itself.
    pub(crate) is_sealed: bool,
    /// The open of the pipe that carries the requests of the control API, which lists of opens leave out: it is a part
    /// of the list, and ends with it.
    pub(crate) own_open: Option<FileGlobalId>,
}

impl Caller {
    /// The user of an SMB session, with the rights of the settings in force. A guest has no account, so it has no name
    /// and no rights here.
    pub(crate) fn of_session(server: &Server, session: &Session, peer: SocketAddr) -> Self {
        Self { is_sealed: session.seals(), ..Self::of_user(server, session.user(), peer) }
    }

    /// A user who has logged on from this address, with the rights of the settings in force; `None` for a session
    /// without a logon.
    pub(crate) fn of_user(server: &Server, user: Option<Arc<User>>, peer: SocketAddr) -> Self {
        let account = user.as_ref().filter(|user| user.kind == auth::IdentityKind::User);
        let settings = server.settings();
        let member = account.map_or_else(Member::nobody, |user| server.member(&settings, user));
        let roles = Roles::of(&settings.roles, &member);
        Self {
            lists_shares: user.as_ref().is_some_and(|user| settings.lists_shares(user.kind)),
            administrator: settings.is_administrator(&member) || roles.administer,
            user: account.map(|user| user.name.clone()).unwrap_or_default(),
            sid: account.and_then(|user| user.sid()),
            roles,
            from: peer.ip().to_canonical().to_string(),
            address: Some(peer.ip()),
            session_user: user.clone(),
            is_sealed: false,
            own_open: None,
        }
    }

    /// The user root on the machine itself.
    pub(crate) fn of_root(server: &Server) -> Self {
        let settings = server.settings();
        let root = String::from("root");
        let member = Member::local(&settings, &root, Vec::new);
        Self::on_machine(&settings, Uid::from_raw(0), Some(root.clone()), &member)
    }

    /// The user of a process on this machine, with the rights of the settings in force. A Unix user has the files and
    /// sessions of the account with the same name, or of the user of the domain that the name service knows by it.
    /// Names and groups come from a name service, which may hang.
    pub(crate) fn of_process(server: &Server, uid: Uid) -> Self {
        let settings = server.settings();
        let Some(unix_name) = identity::user_name(uid.as_raw()) else {
            return Self::on_machine(&settings, uid, None, &Member::nobody());
        };
        match server.unix_user(uid.as_raw(), &unix_name) {
            UnixUser::Local => {
                let member = Member::local(&settings, &unix_name, || identity::group_names(&unix_name));
                Self::on_machine(&settings, uid, Some(unix_name.clone()), &member)
            }
            UnixUser::OfDomain(of, user) => {
                let groups = || domain::group_names(&identity::group_ids(&unix_name));
                let member = server.member_of_process(&of, &user, groups);
                let sid = Some(user.sid).filter(|sid| *sid != Sid::default());
                Self { sid, ..Self::on_machine(&settings, uid, Some(user.qualified_name()), &member) }
            }
            UnixUser::Unknown => Self::on_machine(&settings, uid, None, &Member::nobody()),
        }
    }

    fn on_machine(settings: &Settings, uid: Uid, name: Option<String>, member: &Member<'_>) -> Self {
        let roles = Roles::of(&settings.roles, member);
        Self {
            administrator: owns_server(uid) || roles.administer || settings.is_administrator(member),
            user: name.unwrap_or_else(|| format!("uid {uid}")),
            sid: None,
            roles,
            lists_shares: false,
            from: String::from("the control socket"),
            address: None,
            session_user: None,
            is_sealed: true,
            own_open: None,
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
