//! Starting and stopping the Server service.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::users::UserDb;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::core::bulkhead;
use crate::core::config::Settings;
use crate::core::guesses;
use crate::core::limits::LEAVING_CONNECTIONS;
use crate::core::server::Server;
use crate::core::start_error::StartError;
use crate::smb::connection;

/// A server that is running. It runs on the tokio runtime that [`Service::start`] was called on;
/// on a [`crate::Runtime`] it goes on when a share's file system hangs.
pub struct Service {
    server: Arc<Server>,
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
    state_directory: PathBuf,
}

impl Service {
    /// Starts a server: when this returns, clients can connect.
    pub fn start(settings: Settings, accounts: UserDb) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &settings.listen {
            let listener =
                listen(*address).map_err(|error| StartError::Listen { address: *address, error })?;
            listeners.push(listener);
        }
        let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        if addresses.is_empty() {
            return Err(StartError::NoAddress);
        }
        let control_socket = settings.control_socket.clone();
        let state_directory = settings.state_directory.clone();
        let server = Server::new(settings, accounts)?;
        server.load_guesses(&state_directory);
        server.listens_on(addresses.clone());
        let mut tasks = Vec::new();
        if let Some(path) = control_socket {
            let task = crate::fronts::http::serve(Arc::clone(&server), &path)
                .map_err(|error| StartError::ControlSocket { path, error })?;
            tasks.push(task);
        }
        let most = server.registry.lock("limits").limits().connections.saturating_add(LEAVING_CONNECTIONS);
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        for listener in listeners {
            tasks.push(bulkhead::spawn(accept(Arc::clone(&server), listener, Arc::clone(&places))));
        }
        tasks.push(bulkhead::spawn(watch_timeouts(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::files::notify::observe(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::admin::idle_sessions::watch(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::logon_log::sum_up(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(guesses::keep(Arc::clone(&server), state_directory.clone())));
        Ok(Self { server, addresses, tasks, state_directory })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes over shares and users from the settings that `read` reads; sessions go on, tree connects to shares that
    /// are gone end. What else has changed takes a restart.
    pub fn reload<E>(&self, read: impl FnOnce() -> Result<(Settings, UserDb), E>) -> Result<(), E> {
        self.server.reload(read)
    }

    /// Returns when an administrator asks for a stop.
    pub async fn stop_asked(&self) {
        self.server.running.stop_asked().await;
    }

    /// Stops: no new connections, every session ended, every file flushed and closed.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        // An aborted task is gone, and its socket with it, only once it has been waited for.
        for task in self.tasks {
            let _ = task.await;
        }
        self.server.logon_log.sum_up();
        self.server.shut_down().await;
        // The connections' tasks write what they have to say and end.
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        while self.server.has_connections() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        guesses::keep_last(&self.server, &self.state_directory).await;
    }
}

/// Accepts connections as long as there are places for their sockets: those in the registry, and some that are
/// about to be closed.
async fn accept(server: Arc<Server>, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                bulkhead::spawn(connection::serve(Arc::clone(&server), socket, peer, place));
            }
            Err(error) => {
                // Out of descriptors, most likely: the listener stays good, and waiting may help.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Lets time pass in the registry: breaks that were never acknowledged, durable handles nobody came
/// back for.
pub(crate) async fn watch_timeouts(server: Arc<Server>) {
    loop {
        let next = server.registry.lock("poll_timeout").poll_timeout();
        let wait = next.map(|at| Duration::from_millis(at.since_ms(server.now())));
        tokio::select! {
            () = server.timeouts_changed.notified() => {}
            () = tokio::time::sleep(wait.unwrap_or(IDLE_WAIT)) => {
                let effects = server.registry.lock("handle_timeout").handle_timeout(server.now());
                server.apply(effects);
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Dead peers are found by the kernel: their sessions would look alive for ever.
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// After how long a silent connection is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// How far apart the probes are.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long to wait where the registry waits for nothing.
const IDLE_WAIT: Duration = Duration::from_secs(3600);

/// How long connections get to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const STOP_POLL: Duration = Duration::from_millis(5);
