//! Who is at the other end of the socket.

use std::sync::Arc;

use nix::unistd::Uid;
use tokio::net::UnixStream;

use crate::admin::{Caller, Roles};
use crate::server::Server;

/// The process at the other end, by its user; none if the system does not tell.
///
/// Root and the user the server runs as could do to the server whatever they like: they are
/// administrators. Others are where the settings say so. What is an account's own on the server is the
/// Unix user's of the same name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    uid: Uid,
}

impl Peer {
    /// Who is there; none if the system does not tell.
    pub(super) fn of(stream: &UnixStream) -> Option<Self> {
        Some(Self { uid: Uid::from_raw(stream.peer_cred().ok()?.uid()) })
    }

    /// Whether it is an administrator whatever it is called.
    pub(super) fn owns_server(self) -> bool {
        self.uid.is_root() || self.uid == Uid::effective()
    }

    /// Who asks. The name takes a name service, which may hang; root's does not.
    pub(super) async fn caller(self, server: &Arc<Server>) -> Option<Caller> {
        if self.uid.is_root() {
            return Some(self.named(Some(String::from("root")), server, Vec::new));
        }
        let server = Arc::clone(server);
        let asks = move || {
            let name = crate::identity::user_name(self.uid.as_raw());
            let groups = || name.as_deref().map(crate::identity::group_names).unwrap_or_default();
            self.named(name.clone(), &server, groups)
        };
        crate::blocking::run(asks).await.ok()
    }

    fn named(self, name: Option<String>, server: &Server, groups: impl FnOnce() -> Vec<String>) -> Caller {
        let settings = server.settings();
        let listed = |name: &String| settings.administrators.iter().any(|it| it.eq_ignore_ascii_case(name));
        let roles =
            name.as_deref().map_or_else(Roles::default, |name| Roles::of(&settings.roles, name, groups));
        Caller {
            administrator: self.owns_server() || roles.administer || name.as_ref().is_some_and(listed),
            user: name.unwrap_or_else(|| format!("uid {}", self.uid)),
            roles,
            from: String::from("the control socket"),
            session_user: None,
        }
    }
}
