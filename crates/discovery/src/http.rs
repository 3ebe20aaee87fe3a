//! The metadata over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Announced;
use crate::limits::{MESSAGE_MAX, METADATA_CONNECTIONS, METADATA_TIME};
use crate::links;
use crate::soap::Question;

/// Answers requests for the metadata.
pub(crate) async fn serve(listeners: Vec<TcpListener>, announced: &Announced) {
    let places = Arc::new(Semaphore::new(METADATA_CONNECTIONS));
    let all = listeners.into_iter().map(|listener| accept(listener, Arc::clone(&places), announced));
    futures_util::future::join_all(all).await;
}

async fn accept(listener: TcpListener, places: Arc<Semaphore>, announced: &Announced) {
    let announced = Arc::new(announced.clone());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for metadata");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if !is_near(from, &stream, &announced) {
            continue;
        }
        let announced = Arc::clone(&announced);
        tasks.spawn(async move {
            let _ = tokio::time::timeout(METADATA_TIME, converse(stream, announced)).await;
            drop(place);
        });
    }
}

/// True if the client is on the link whose address it connected to.
fn is_near(from: SocketAddr, stream: &TcpStream, announced: &Announced) -> bool {
    let Ok(to) = stream.local_addr() else { return false };
    links::current(announced).iter().any(|link| link.address == to.ip() && link.has(from.ip()))
}

async fn converse(stream: TcpStream, announced: Arc<Announced>) {
    let service = service_fn(|request| respond(request, &announced));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).keep_alive(false).max_headers(32).max_buf_size(MESSAGE_MAX * 2);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a request for metadata failed");
    }
}

async fn respond(
    request: Request<Incoming>,
    announced: &Announced,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    };
    if request.method() != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.uri().path().trim_start_matches('/') != announced.uuid {
        return refused(StatusCode::NOT_FOUND);
    }
    let Ok(body) = Limited::new(request.into_body(), MESSAGE_MAX).collect().await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let metadata = Question::parse(&body.to_bytes()).and_then(|question| announced.metadata(&question));
    let Some(metadata) = metadata else { return refused(StatusCode::BAD_REQUEST) };
    let mut response = Response::new(Full::new(Bytes::from(metadata)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/soap+xml"));
    Ok(response)
}
