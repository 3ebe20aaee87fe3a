//! The user at the other end of a connection. The user's rights are determined anew for each request, because a
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
use wire::FileGlobalId;

use super::answer::Refused;
use crate::admin::{self, Caller, Error, Seat};
use crate::core::password_logon::Visitor;
use crate::core::server::Server;
use crate::core::session::Session;

/// The user at the other end of a connection.
#[derive(Clone)]
pub(crate) enum Peer {
    /// A process on this machine, by its user.
    Process(Uid),
    /// The user of an SMB session.
    Session {
        /// The session that opened the pipe.
        session: Arc<Session>,
        /// The open of the pipe.
        open: FileGlobalId,
        /// The client's address.
        address: SocketAddr,
        /// The account with which the conversation began.
        user: String,
    },
    /// A user of the web console.
    Visitor {
        /// The user.
        visitor: Arc<Visitor>,
        /// The client's address.
        address: SocketAddr,
    },
}

impl Peer {
    /// The process at the other end; `None` if the system does not report it.
    pub(super) fn of_socket(stream: &UnixStream) -> Option<Self> {
        Some(Self::Process(Uid::from_raw(stream.peer_cred().ok()?.uid())))
    }

    /// True if the user is an administrator regardless of its name.
    pub(super) fn owns_server(&self) -> bool {
        match self {
            Self::Process(uid) => admin::owns_server(*uid),
            Self::Session { .. } | Self::Visitor { .. } => false,
        }
    }

    /// The peer as a caller, with the rights of the settings in force. Fails if the session belongs to another user by
    /// now.
    pub(in crate::fronts) async fn caller(&self, server: &Arc<Server>) -> Result<Caller, Error> {
        // Root's name is known without the name service, which may hang.
        if let Self::Process(uid) = self
            && uid.is_root()
        {
            return Ok(Caller::of_root(server));
        }
        let (peer, server) = (self.clone(), Arc::clone(server));
        let bulkhead = Some(Arc::clone(&server.capacity.callers));
        let caller = crate::core::blocking::run_behind(bulkhead, move || match &peer {
            Self::Process(uid) => Some(Caller::of_process(&server, *uid)),
            Self::Session { session, open, address, user } => {
                let caller =
                    Caller { own_open: Some(*open), ..Caller::of_session(&server, session, *address) };
                Some(caller).filter(|caller| caller.user == *user)
            }
            Self::Visitor { visitor, address } => visitor
                .may_continue(&server)
                .then(|| Caller::of_user(&server, Some(Arc::clone(&visitor.user)), *address)),
        });
        caller.await.map_err(|_| Error::Internal)?.ok_or(Error::AccessDenied)
    }
}

/// Adds the caller to the extensions of each request.
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

/// Adds the connection's place to each request, so that requests that wait can release it. A connection without a place
/// at the end of a request is closed after the answer.
pub(super) async fn seated(State(seat): State<Seat>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(seat.clone());
    let mut response = next.run(request).await;
    if !seat.is_held() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
