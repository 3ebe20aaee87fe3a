//! The control API (`control::route`) over the administrator's verbs, on a Unix socket and on a named pipe.

mod answer;
mod events;
mod page;
mod peer;
mod routes;
mod settings;
mod shares;
mod socket;
mod view;
mod who;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use self::socket::Socket;
use crate::admin::Caller;
use crate::server::Server;

/// Serves the control API on a socket at `path` until the task is aborted, which takes the socket away.
pub(crate) fn serve(server: Arc<Server>, path: &Path) -> io::Result<JoinHandle<()>> {
    let socket = socket::listen(path)?;
    Ok(tokio::spawn(accept(server, socket)))
}

async fn accept(server: Arc<Server>, socket: Socket) {
    let mut connections = JoinSet::new();
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
        let Some(caller) = peer::caller(&stream, &server).await else { continue };
        let Some(place) = server.desk.socket.take(&caller) else {
            tracing::warn!(user = caller.user, "too many connections to the control socket");
            continue;
        };
        let conversation = converse(Arc::clone(&server), stream, caller);
        connections.spawn(async move {
            conversation.await;
            drop(place);
        });
    }
}

/// Serves the control API to one caller on a named pipe, whose bytes are in `stream`; none where too many are
/// served already.
pub(crate) fn serve_pipe(server: Arc<Server>, stream: DuplexStream, caller: Caller) -> Option<AbortHandle> {
    let place = server.desk.pipes.take(&caller)?;
    let conversation = converse(server, stream, caller);
    let task = tokio::spawn(async move {
        conversation.await;
        drop(place);
    });
    Some(task.abort_handle())
}

async fn converse<S>(server: Arc<Server>, stream: S, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = routes::router(server).layer(Extension(Arc::new(caller)));
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

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
