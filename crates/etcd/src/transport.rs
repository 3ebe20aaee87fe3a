//! Connections to etcd: one endpoint is used until it fails, then the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::limits::{IDLE_CONNECTIONS_MAX, IDLE_MAX};
use crate::settings::{Endpoint, Settings};

/// The endpoints, and the idle connections to the one in use.
pub(crate) struct Transport {
    endpoints: Vec<Endpoint>,
    /// The configuration by the files as they were read last. `None` without TLS.
    tls: Option<Mutex<Arc<ClientConfig>>>,
    settings: Settings,
    /// The number of changes of the endpoint; the endpoint in use is this number modulo the count.
    turn: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    turn: usize,
    since: Instant,
    sender: SendRequest<Full<Bytes>>,
}

/// A connection for one request.
pub(crate) struct Connection {
    turn: usize,
    sender: SendRequest<Full<Bytes>>,
}

impl Transport {
    pub(crate) fn new(settings: Settings, tls: Option<Arc<ClientConfig>>) -> Self {
        let endpoints = settings.endpoints.clone();
        Self {
            endpoints,
            tls: tls.map(Mutex::new),
            settings,
            turn: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// The number of changes of the endpoint.
    pub(crate) fn turn(&self) -> usize {
        self.turn.load(Ordering::Relaxed)
    }

    /// The endpoint of a turn.
    pub(crate) fn endpoint(&self, turn: usize) -> Option<&Endpoint> {
        self.endpoints.get(turn.checked_rem(self.endpoints.len())?)
    }

    /// Goes on to the next endpoint, unless another request has done so since `turn`.
    pub(crate) fn give_up(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        let _ = self.turn.compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
        self.idle.lock().retain(|it| it.turn != turn);
    }

    /// Sends a request, whose `Host` this adds, and returns the head of the answer. A connection that etcd has closed
    /// meanwhile is replaced, and endpoints that accept no connection are passed over; a request that may have been
    /// received is not sent again.
    pub(crate) async fn send(
        &self,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<(Connection, Response<Incoming>), Error> {
        while let Some(mut connection) = self.take_idle() {
            let request = self.request(connection.turn, path, token, body.clone())?;
            match connection.sender.try_send_request(request).await {
                Ok(answer) => return Ok((connection, answer)),
                Err(mut error) => {
                    // With the message, the error gives back a request that was not sent.
                    if error.take_message().is_none() {
                        return Err(self.lost(connection.turn, &error.into_error()));
                    }
                }
            }
        }
        let mut reasons = Vec::new();
        for _ in &self.endpoints {
            let turn = self.turn();
            match self.connect(turn).await {
                Ok(mut connection) => {
                    let request = self.request(turn, path, token, body)?;
                    return match connection.sender.send_request(request).await {
                        Ok(answer) => Ok((connection, answer)),
                        Err(error) => Err(self.lost(turn, &error)),
                    };
                }
                Err(reason) => {
                    self.give_up(turn);
                    reasons.push(reason);
                }
            }
        }
        Err(Error::Unreachable(reasons.join("; ")))
    }

    /// Keeps the connection of an answer that was read to its end.
    pub(crate) fn keep(&self, connection: Connection) {
        let Connection { turn, sender } = connection;
        let mut idle = self.idle.lock();
        if turn == self.turn() && idle.len() < IDLE_CONNECTIONS_MAX && !sender.is_closed() {
            idle.push(Idle { turn, since: Instant::now(), sender });
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let turn = self.turn();
        while let Some(it) = idle.pop() {
            if it.turn == turn && it.since.elapsed() < IDLE_MAX && it.sender.is_ready() {
                return Some(Connection { turn, sender: it.sender });
            }
        }
        None
    }

    async fn connect(&self, turn: usize) -> Result<Connection, String> {
        let Some(endpoint) = self.endpoint(turn) else { return Err(String::from("no endpoint")) };
        let named = |reason: String| format!("{endpoint}: {reason}");
        let sender = tokio::time::timeout(CONNECT_MAX, self.open(endpoint)).await;
        let sender = sender.map_err(|_| named(String::from("no answer in time")))?.map_err(named)?;
        Ok(Connection { turn, sender })
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<SendRequest<Full<Bytes>>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        let stream = stream.await.map_err(|error| text(&error))?;
        let _ = stream.set_nodelay(true);
        // A watch only receives: without probes it would wait for ever for a machine that is gone.
        let probes =
            socket2::TcpKeepalive::new().with_time(PROBE).with_interval(PROBE).with_retries(PROBES_MAX);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&probes);
        match self.tls_now() {
            None => handshake(stream).await,
            Some(config) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| text(&error))?;
                let stream = TlsConnector::from(config).connect(name, stream);
                handshake(stream.await.map_err(|error| text(&error))?).await
            }
        }
    }

    /// The configuration of TLS for a new connection. The files are read for each, because certificates expire and are
    /// replaced; while they cannot be read, those that were read last are used.
    fn tls_now(&self) -> Option<Arc<ClientConfig>> {
        let known = self.tls.as_ref()?;
        if let Ok(Some(config)) = self.settings.tls() {
            *known.lock() = config;
        }
        Some(Arc::clone(&known.lock()))
    }

    fn request(
        &self,
        turn: usize,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let host = self.endpoint(turn).map(Endpoint::authority).unwrap_or_default();
        let mut request = Request::post(path)
            .header(hyper::header::HOST, host)
            .header(hyper::header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(hyper::header::AUTHORIZATION, token);
        }
        request.body(Full::new(body)).map_err(|_| Error::Malformed("the token is no value of a header"))
    }

    fn lost(&self, turn: usize, error: &dyn std::fmt::Display) -> Error {
        let endpoint = self.endpoint(turn).map(ToString::to_string).unwrap_or_default();
        self.give_up(turn);
        Error::Lost(format!("{endpoint}: {error}"))
    }
}

impl Connection {
    /// The turn in which it was made.
    pub(crate) fn turn(&self) -> usize {
        self.turn
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends when the sender and the answer are dropped. An error is that of the request.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// Another endpoint is tried while there is still time for the call.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// The time after which a silent connection is probed, and the time between probes.
const PROBE: Duration = Duration::from_secs(1);

const PROBES_MAX: u32 = 3;
