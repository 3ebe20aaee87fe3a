//! Who is at the other end of a connection, and what they may: decided anew for each request, because a
//! connection outlives changes of the settings.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nix::unistd::Uid;
use tokio::net::UnixStream;

use super::answer::Refused;
use crate::admin::{Caller, Error, Roles, Seat};
use crate::core::server::Server;
use crate::core::session::Session;

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(crate) enum Peer {
    /// A process of this machine, by its user.
    Process(Uid),
    /// The user of an SMB session.
    Session {
        /// The session that opened the pipe.
        session: Arc<Session>,
        /// Where its client is.
        address: SocketAddr,
        /// The account that the conversation began with.
        user: String,
    },
}

impl Peer {
    /// The process at the other end; none if the system does not tell.
    pub(super) fn of_socket(stream: &UnixStream) -> Option<Self> {
        Some(Self::Process(Uid::from_raw(stream.peer_cred().ok()?.uid())))
    }

    /// Whether it is an administrator whatever it is called.
    ///
    /// Root and the user the server runs as could do to the server whatever they like.
    pub(super) fn owns_server(&self) -> bool {
        match self {
            Self::Process(uid) => uid.is_root() || *uid == Uid::effective(),
            Self::Session { .. } => false,
        }
    }

    /// The peer as a caller with the rights that the settings in force give; none if the session is somebody else's
    /// by now.
    ///
    /// Who owns the server is an administrator; others are where the settings say so. What is an account's own on
    /// the server is the Unix user's of the same name.
    pub(super) async fn caller(&self, server: &Arc<Server>) -> Result<Caller, Error> {
        // Names and groups come from a name service, which may hang; root's name does not.
        if let Self::Process(uid) = self
            && uid.is_root()
        {
            return Ok(caller_of(*uid, Some(String::from("root")), server, Vec::new));
        }
        let (peer, server) = (self.clone(), Arc::clone(server));
        let caller = crate::core::blocking::run(move || match &peer {
            Self::Process(uid) => {
                let name = crate::core::identity::user_name(uid.as_raw());
                let groups = || name.as_deref().map(crate::core::identity::group_names).unwrap_or_default();
                Some(caller_of(*uid, name.clone(), &server, groups))
            }
            Self::Session { session, address, user } => {
                Some(Caller::of_session(&server, session, *address)).filter(|caller| caller.user == *user)
            }
        });
        caller.await.map_err(|_| Error::Internal)?.ok_or(Error::AccessDenied)
    }
}

/// Puts the caller into each request's extensions.
pub(super) async fn identify(
    State((server, peer)): State<(Arc<Server>, Peer)>,
    mut request: Request,
    next: Next,
) -> Response {
    match peer.caller(&server).await {
        Ok(caller) => {
            request.extensions_mut().insert(Arc::new(caller));
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        Err(error) => Refused::from(error).into_response(),
    }
}

/// Lets requests that wait leave their connection's place to others. A connection that has none when it is answered ends
/// with that answer.
pub(super) async fn seated(State(seat): State<Seat>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(seat.clone());
    let mut response = next.run(request).await;
    if !seat.is_held() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn caller_of(
    uid: Uid,
    name: Option<String>,
    server: &Server,
    groups: impl FnOnce() -> Vec<String>,
) -> Caller {
    let settings = server.settings();
    let listed = |name: &String| settings.is_administrator(name);
    let roles = name.as_deref().map_or_else(Roles::default, |name| Roles::of(&settings.roles, name, groups));
    let owns_server = uid.is_root() || uid == Uid::effective();
    Caller {
        administrator: owns_server || roles.administer || name.as_ref().is_some_and(listed),
        user: name.unwrap_or_else(|| format!("uid {uid}")),
        roles,
        lists_shares: false,
        from: String::from("the control socket"),
        session_user: None,
    }
}
