//! Who is at the other end of the socket.

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

use crate::admin::Caller;
use crate::server::Server;

/// The process at the other end, by its user; none if the system does not tell.
///
/// Root and the user the server runs as could do to the server whatever they like: they are
/// administrators. Others are where the settings say so.
pub(super) async fn caller(stream: &UnixStream, server: &Server) -> Option<Caller> {
    let uid = Uid::from_raw(stream.peer_cred().ok()?.uid());
    let name = crate::blocking::run(move || User::from_uid(uid).ok().flatten()).await.ok()?;
    let name = name.map(|account| account.name);
    let settings = server.settings();
    let listed = |name: &String| settings.administrators.iter().any(|it| it.eq_ignore_ascii_case(name));
    Some(Caller {
        administrator: uid.is_root() || uid == Uid::effective() || name.as_ref().is_some_and(listed),
        user: name.unwrap_or_else(|| format!("uid {uid}")),
        from: String::from("the control socket"),
    })
}
