//! The control API (`control::route`) over the operations of administrators, on a Unix socket and on a named pipe.

mod answer;
mod asked;
mod cluster;
mod events;
mod history;
mod maintenance;
mod page;
mod peer;
mod routes;
mod settings;
mod shares;
mod socket;
mod who;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

pub(in crate::fronts) use self::answer::Refused;
pub(crate) use self::peer::Peer;
pub(in crate::fronts) use self::routes::router;
use self::socket::Socket;
pub(crate) use self::socket::{BoundSocket, listen};
use crate::admin::{Caller, Seat};
use crate::core::bulkhead;
use crate::core::server::Server;

/// Serves the control API on a socket until the task is aborted, which removes the socket.
pub(crate) fn serve(server: Arc<Server>, socket: BoundSocket) -> io::Result<JoinHandle<()>> {
    Ok(bulkhead::spawn(accept(server, socket.start()?, Peer::of_socket)))
}

/// Accepts connections, whose users `peer_of` finds by number. Their names are looked up in the tasks of the
/// connections, so that a name service that hangs does not delay others.
async fn accept(server: Arc<Server>, socket: Socket, peer_of: impl Fn(&UnixStream) -> Option<Peer>) {
    let mut connections = JoinSet::new();
    let unknown = Arc::new(Semaphore::new(UNKNOWN_CALLERS));
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the control socket");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(peer) = peer_of(&stream) else {
            tracing::warn!("closed a connection to the control socket: its user is unknown");
            continue;
        };
        // The user of the server needs no place; others get one when their name is known.
        let unknown = if peer.owns_server() { None } else { Some(Arc::clone(&unknown).try_acquire_owned()) };
        let Ok(unknown) = unknown.transpose() else {
            tracing::warn!("closed a connection to the control socket: too many users are being looked up");
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(bulkhead::tracked(async move {
            let Ok(caller) = peer.caller(&server).await else { return };
            drop(unknown);
            let user = caller.user.clone();
            match Seat::take(&server.capacity.admin.socket, caller) {
                Some(seat) => converse(server, stream, peer, seat).await,
                None => {
                    tracing::warn!(user, "closed a connection to the control socket: too many connections")
                }
            }
        }));
    }
}

/// Serves the control API to the user of a session on a named pipe, whose bytes are in `stream`. Returns `None` if
/// there are too many connections for the caller.
pub(crate) fn serve_pipe(
    server: Arc<Server>,
    stream: DuplexStream,
    peer: Peer,
    caller: &Caller,
) -> Option<AbortHandle> {
    let seat = Seat::take(&server.capacity.admin.pipes, caller.clone())?;
    let task = bulkhead::spawn(converse(server, stream, peer, seat));
    Some(task.abort_handle())
}

async fn converse<S>(server: Arc<Server>, stream: S, peer: Peer, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let identify = from_fn_with_state((Arc::clone(&server), peer), peer::identify);
    // The answer to a request waits for the files that it has closed, unless their file systems hang.
    let settled = from_fn(async |request: Request, next: Next| bulkhead::settling(next.run(request)).await);
    let seated = from_fn_with_state(seat, peer::seated);
    let router = routes::router(server).layer(identify).layer(seated).layer(settled);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the control API failed");
    }
}

/// The number of header fields of a request: more than a browser or a library sends. Beyond it: 431.
pub(in crate::fronts) const HEADERS_MAX: usize = 64;

/// The size of a request's head in bytes, including the filters of a list. Beyond it: 431.
pub(in crate::fronts) const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The time for which a connection may wait for its next request. After it, the connection is closed.
pub(in crate::fronts) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of connections to the control socket whose users' names are being looked up. One more is closed;
/// connections of root and the server's user need no name.
const UNKNOWN_CALLERS: usize = 64;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
