//! The control API (`control::route`) over the administrator's verbs, on a Unix socket and on a named pipe.

mod answer;
mod events;
mod page;
mod peer;
mod routes;
mod settings;
mod shares;
mod socket;
mod who;

use std::io;
use std::path::Path;
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

pub(crate) use self::peer::Peer;
use self::socket::Socket;
use crate::admin::{Caller, Seat};
use crate::core::bulkhead;
use crate::core::server::Server;

/// Serves the control API on a socket at `path` until the task is aborted, which takes the socket away.
pub(crate) fn serve(server: Arc<Server>, path: &Path) -> io::Result<JoinHandle<()>> {
    let socket = socket::listen(path)?;
    Ok(bulkhead::spawn(accept(server, socket, Peer::of_socket)))
}

/// Takes connections, whose peers `peer_of` knows by number. Their names are looked up in the connections' own tasks,
/// so that a name service that hangs keeps nobody else waiting.
async fn accept(server: Arc<Server>, socket: Socket, peer_of: impl Fn(&UnixStream) -> Option<Peer>) {
    let mut connections = JoinSet::new();
    let unknown = Arc::new(Semaphore::new(UNKNOWN_CALLERS));
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(peer) = peer_of(&stream) else {
            tracing::warn!("the system does not tell who connects to the control socket");
            continue;
        };
        // Who owns the server waits for nobody; others have a place once it is known what they are called.
        let unknown = if peer.owns_server() { None } else { Some(Arc::clone(&unknown).try_acquire_owned()) };
        let Ok(unknown) = unknown.transpose() else {
            tracing::warn!("too many connections to the control socket");
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(bulkhead::tracked(async move {
            let Ok(caller) = peer.caller(&server).await else { return };
            drop(unknown);
            let user = caller.user.clone();
            match Seat::take(&server.admin_places.socket, caller) {
                Some(seat) => converse(server, stream, peer, seat).await,
                None => tracing::warn!(user, "too many connections to the control socket"),
            }
        }));
    }
}

/// Serves the control API to the user of a session on a named pipe, whose bytes are in `stream`; none where too many
/// are served already, for the caller.
pub(crate) fn serve_pipe(
    server: Arc<Server>,
    stream: DuplexStream,
    peer: Peer,
    caller: &Caller,
) -> Option<AbortHandle> {
    let seat = Seat::take(&server.admin_places.pipes, caller.clone())?;
    let task = bulkhead::spawn(converse(server, stream, peer, seat));
    Some(task.abort_handle())
}

async fn converse<S>(server: Arc<Server>, stream: S, peer: Peer, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let identify = from_fn_with_state((Arc::clone(&server), peer), peer::identify);
    // Files that a request has closed are closed when it is answered, where their file systems let them.
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
        tracing::debug!(%error, "a connection to the control API ended");
    }
}

/// Header fields of a request: what a browser or a library sends, several times over. Beyond: 431.
const HEADERS_MAX: usize = 64;

/// Bytes of a request's head, the filters of a list among them. Beyond: 431.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// How long a connection may wait for its next request. Then it is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections to the control socket whose callers' names are not known yet, because the name service takes its time.
/// One more is closed; those of the user who owns the server need no name.
const UNKNOWN_CALLERS: usize = 64;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
