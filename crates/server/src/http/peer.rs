//! Who is at the other end of the socket.

use std::sync::Arc;

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

use crate::admin::{Caller, Roles};
use crate::server::Server;

/// The process at the other end, by its user; none if the system does not tell.
///
/// Root and the user the server runs as could do to the server whatever they like: they are
/// administrators. Others are where the settings say so. What is an account's own on the server is the
/// Unix user's of the same name.
pub(super) async fn caller(stream: &UnixStream, server: &Arc<Server>) -> Option<Caller> {
    let uid = Uid::from_raw(stream.peer_cred().ok()?.uid());
    let server = Arc::clone(server);
    crate::blocking::run(move || caller_of(uid, &server)).await.ok()
}

fn caller_of(uid: Uid, server: &Server) -> Caller {
    let name = User::from_uid(uid).ok().flatten().map(|account| account.name);
    let settings = server.settings();
    let listed = |name: &String| settings.administrators.iter().any(|it| it.eq_ignore_ascii_case(name));
    let roles = name.as_deref().map_or_else(Roles::default, |name| {
        Roles::of(&settings.roles, name, || crate::identity::group_names(name))
    });
    let owns_server = uid.is_root() || uid == Uid::effective();
    Caller {
        administrator: owns_server || roles.administer || name.as_ref().is_some_and(listed),
        user: name.unwrap_or_else(|| format!("uid {uid}")),
        roles,
        from: String::from("the control socket"),
        session_user: None,
    }
}
