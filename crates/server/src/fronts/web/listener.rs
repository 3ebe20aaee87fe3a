//! The connections to the console and to the metrics: their limits, TLS, and HTTP on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::{Door, Remote, Web, for_connection};
use crate::core::audit;
use crate::core::bulkhead;
use crate::fronts::http::{HEADER_BYTES_MAX, HEADERS_MAX, IDLE_TIMEOUT};

/// Accepts connections until the task is aborted, which ends them.
pub(crate) async fn serve(web: Arc<Web>, listener: TcpListener, door: Door) {
    let router = web.router(door);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the console; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        if !web.server.settings().hosts.admit(peer.ip()) {
            if web.server.logons.log.has_room(peer.ip(), web.server.now()) {
                audit::host_refused(&peer);
            }
            continue;
        }
        let Some(place) = web.places(door).take(peer.ip()) else {
            tracing::debug!(%peer, "closed a connection to the console: too many connections");
            continue;
        };
        // An answer is written in few parts; waiting to combine them only delays it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off the delay of small packets of a connection to the console");
        }
        let (web, router) = (Arc::clone(&web), router.clone());
        connections.spawn(bulkhead::tracked(async move {
            receive(&web, stream, peer, door, &router).await;
            drop(place);
        }));
    }
}

async fn receive(web: &Web, stream: TcpStream, address: SocketAddr, door: Door, router: &Router) {
    if door == Door::Metrics || !web.server.console.has_tls() {
        converse(stream, for_connection(router, Remote { address, is_secure: false, channel: None })).await;
        return;
    }
    let Some(certificate) = web.server.console.certificate() else { return };
    let acceptor = TlsAcceptor::from(Arc::clone(&certificate.tls));
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let remote = Remote { address, is_secure: true, channel: certificate.bindings };
            converse(stream, for_connection(router, remote)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the console failed"),
        Err(_) => tracing::debug!("a TLS handshake with the console took too long"),
    }
}

async fn converse<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the console failed");
    }
}

/// The time for a TLS handshake. After it, the connection is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time in which a client that reads nothing loses its connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

const ACCEPT_RETRY: Duration = Duration::from_millis(100);
