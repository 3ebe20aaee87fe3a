//! The start and the stop of the Server service.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::users::UserDb;
use discovery::{Announced, Mdns, WsdSockets, run_wsd};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::core::bulkhead;
use crate::core::certificate::Certificate;
use crate::core::cluster::StartedKeeper;
use crate::core::config::Settings;
use crate::core::discovery::{announced, follow};
use crate::core::guesses;
use crate::core::handle_logs;
use crate::core::limits::LEAVING_CONNECTIONS;
use crate::core::notices::StartedHelper;
use crate::core::server::Server;
use crate::core::start_error::StartError;
use crate::fronts::http::{self, BoundSocket};
use crate::fronts::web::{self, Door, Web};
use crate::fronts::witness;
use crate::smb::connection;

/// The sockets of a server that has not started yet. They are opened before the process gives up the right to open them.
pub struct Sockets {
    /// With the addresses of the settings.
    listeners: Vec<(SocketAddr, std::net::TcpListener)>,
    control: Option<(PathBuf, BoundSocket)>,
    /// The listeners of the web console and of the metrics.
    web: Vec<(SocketAddr, std::net::TcpListener, Door)>,
    wsd: Option<WsdSockets>,
    /// The process that runs the commands of notices, which is started before the server restricts itself.
    helper: Option<StartedHelper>,
    keeper: Option<StartedKeeper>,
    witness: Vec<(SocketAddr, std::net::TcpListener)>,
}

impl Sockets {
    /// Opens the sockets. Clients that connect wait until the server starts. The control socket comes first: whoever can
    /// connect to the port can also ask the server about it.
    pub fn open(settings: &Settings) -> Result<Self, StartError> {
        if settings.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        let control = settings.control_socket.clone().map(|path| match http::listen(&path) {
            Ok(socket) => Ok((path, socket)),
            Err(error) => Err(StartError::ControlSocket { path, error }),
        });
        let control = control.transpose()?;
        let listeners: Vec<_> = settings
            .listen
            .iter()
            .map(|address| {
                let listener =
                    listen(*address).map_err(|error| StartError::Listen { address: *address, error })?;
                Ok((*address, listener))
            })
            .collect::<Result<_, _>>()?;
        let doors = [(Door::Console, &settings.console.listen), (Door::Metrics, &settings.metrics.listen)];
        let mut web = Vec::new();
        for (door, addresses) in doors {
            for address in addresses {
                let listener =
                    listen(*address).map_err(|error| StartError::Listen { address: *address, error })?;
                web.push((*address, listener, door));
            }
        }
        let mut witness = Vec::new();
        for address in settings.cluster.iter().flat_map(|it| &it.witness) {
            let listener =
                listen(*address).map_err(|error| StartError::Listen { address: *address, error })?;
            witness.push((*address, listener));
        }
        let helper = StartedHelper::start(settings).map_err(StartError::Notices)?;
        let keeper =
            StartedKeeper::start(settings).map_err(|error| StartError::Cluster(error.to_string()))?;
        Ok(Self { listeners, control, web, wsd: open_wsd(settings), helper, keeper, witness })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|(_, listener)| listener.local_addr().ok()).collect()
    }
}

/// A running server. It runs on the tokio runtime on which [`Service::start`] was called; on a [`crate::Runtime`] it
/// continues to work when a share's file system hangs.
pub struct Service {
    server: Arc<Server>,
    addresses: Vec<SocketAddr>,
    metrics_addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
    mdns: Option<Arc<Mdns>>,
    state_directory: PathBuf,
}

impl Service {
    /// Starts a server without restrictions on its process. When this returns, clients can connect.
    pub fn start(settings: Settings, accounts: UserDb) -> Result<Self, StartError> {
        let sockets = Sockets::open(&settings)?;
        Self::start_on(sockets, settings, accounts, sandbox::Report::off())
    }

    /// Starts a server on sockets that are open, in a process that has put restrictions on itself. When this returns,
    /// clients can connect.
    pub fn start_on(
        sockets: Sockets,
        settings: Settings,
        accounts: UserDb,
        sandbox: sandbox::Report,
    ) -> Result<Self, StartError> {
        let addresses = sockets.addresses();
        let state_directory = settings.state_directory.clone();
        let server = Server::confined(settings, accounts, sandbox)?;
        *server.logons.guesses() = guesses::Guesses::load(&state_directory, server.now());
        let helper = sockets.helper.map(StartedHelper::attach).transpose().map_err(StartError::Notices)?;
        server.notices.start(&server.settings(), helper);
        server.identity.listens_on(addresses.clone());
        // The keys are there before the first client asks what the server offers.
        server.kerberos();
        server
            .console
            .load(&server.settings(), server.file_time().to_unix().0)
            .map_err(StartError::Console)?;
        // The opens of the time before hold their files before the first client comes.
        handle_logs::restore_all(&server);
        crate::core::cluster::start(&server, sockets.keeper)?;
        let mut tasks = Vec::new();
        if let Some((path, socket)) = sockets.control {
            let task = http::serve(Arc::clone(&server), socket)
                .map_err(|error| StartError::ControlSocket { path, error })?;
            tasks.push(task);
        }
        let most = server.registry.lock("limits").limits().connections.saturating_add(LEAVING_CONNECTIONS);
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        for (address, listener) in sockets.listeners {
            let listener =
                TcpListener::from_std(listener).map_err(|error| StartError::Listen { address, error })?;
            tasks.push(bulkhead::spawn(accept(Arc::clone(&server), listener, Arc::clone(&places))));
        }
        for (address, listener) in sockets.witness {
            let listener =
                TcpListener::from_std(listener).map_err(|error| StartError::Listen { address, error })?;
            tasks.push(bulkhead::spawn(witness::serve(Arc::clone(&server), listener)));
        }
        let web = Web::new(Arc::clone(&server));
        let of_console = sockets.web.iter().filter(|(_, _, door)| *door == Door::Console);
        server
            .console
            .listens_on(of_console.filter_map(|(_, listener, _)| listener.local_addr().ok()).collect());
        let mut metrics_addresses = Vec::new();
        for (address, listener, door) in sockets.web {
            if door == Door::Metrics {
                metrics_addresses.extend(listener.local_addr());
            }
            let listener =
                TcpListener::from_std(listener).map_err(|error| StartError::Listen { address, error })?;
            tasks.push(bulkhead::spawn(web::serve(Arc::clone(&web), listener, door)));
        }
        tasks.push(bulkhead::spawn(watch_timeouts(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(handle_logs::keep(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::files::notify::observe(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::admin::idle_sessions::watch(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::admin::notices::watch(Arc::clone(&server))));
        crate::admin::maintenance::restore(&server);
        tasks.push(bulkhead::spawn(crate::admin::maintenance::watch(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::logon_log::sum_up(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::domain::answer_names(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::files::recycle::trim(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::files::space_limit::count(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(crate::core::history::keep(Arc::clone(&server))));
        tasks.push(bulkhead::spawn(guesses::keep(Arc::clone(&server), state_directory.clone())));
        let announced = announced(&server);
        if let Some(sockets) = sockets.wsd {
            tasks.push(bulkhead::spawn(run_wsd(sockets, announced.clone())));
        }
        let mdns = if server.settings().discovery.mdns { start_mdns(&announced) } else { None };
        if let Some(mdns) = &mdns {
            let task = follow(Arc::clone(&server), Arc::downgrade(mdns), announced.uuid.clone());
            tasks.push(bulkhead::spawn(task));
        }
        Ok(Self { server, addresses, metrics_addresses, tasks, mdns, state_directory })
    }

    /// The addresses that the server listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses of the web console.
    pub fn console_addresses(&self) -> &[SocketAddr] {
        self.server.console.listening()
    }

    /// The certificate of the web console; `None` without TLS, or without a console.
    pub fn console_certificate(&self) -> Option<Arc<Certificate>> {
        self.server.console.certificate()
    }

    /// The addresses on which everybody who can connect may read the metrics.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics_addresses
    }

    /// A sentence about what the sandbox keeps from the server that these settings would need; `None` if there is nothing.
    /// They are in force after a restart.
    pub fn out_of_reach(&self, settings: &Settings) -> Option<String> {
        self.server.out_of_reach(settings)
    }

    /// Replaces shares and users by those that `read` returns. Sessions continue; tree connects to shares that were
    /// removed end. Changes of other settings need a restart.
    pub fn reload<E>(&self, read: impl FnOnce() -> Result<(Settings, UserDb), E>) -> Result<(), E> {
        self.server.reload(read)
    }

    /// Returns when an administrator requests a stop.
    pub async fn stop_asked(&self) {
        self.server.running.stop_asked().await;
    }

    /// Stops the server: accepts no new connections, ends every session, and flushes and closes every file.
    pub async fn stop(self) {
        // Clients that this sends away find the next owners while the others are still served.
        self.server.cluster.leave().await;
        for task in &self.tasks {
            task.abort();
        }
        // The network learns that the server is going while it ends its sessions.
        let silenced = tokio::task::spawn_blocking(move || drop(self.mdns));
        // The socket of an aborted task is closed when the task has been waited for.
        for task in self.tasks {
            let _ = task.await;
        }
        self.server.logons.log.sum_up();
        self.server.logons.granted_log.sum_up();
        self.server.logons.share_log.sum_up();
        self.server.shut_down().await;
        // The tasks of the connections write their last answers and end.
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        while self.server.has_connections() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        crate::core::history::keep_last(&self.server).await;
        guesses::keep_last(&self.server, &self.state_directory).await;
        let _ = silenced.await;
    }
}

/// Opens the sockets of WS-Discovery, if the settings turn it on. Without them, the server works, but Windows does not list
/// it.
fn open_wsd(settings: &Settings) -> Option<WsdSockets> {
    if !settings.discovery.wsd {
        return None;
    }
    let sockets = WsdSockets::open();
    if let Err(error) = &sockets {
        tracing::warn!(%error, "cannot open TCP port 5357; the server is not announced with WS-Discovery");
    }
    sockets.ok()
}

fn start_mdns(announced: &Announced) -> Option<Arc<Mdns>> {
    let mdns = Mdns::start(announced);
    if let Err(error) = &mdns {
        tracing::warn!(%error, "cannot use UDP port 5353; the server is not announced by mDNS");
    }
    mdns.ok().map(Arc::new)
}

/// Accepts connections as long as there are places for their sockets: one for each connection in the registry, and some
/// for those that are about to be closed.
async fn accept(server: Arc<Server>, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, peer)) => {
                bulkhead::spawn(connection::serve(Arc::clone(&server), socket, peer, place));
            }
            Err(error) => {
                // Most likely the process has no more descriptors. The listener stays valid, and a later attempt may
                // succeed.
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Handles the timeouts of the registry: breaks that were not acknowledged, and orphans that were not reclaimed.
pub(crate) async fn watch_timeouts(server: Arc<Server>) {
    loop {
        let next = server.registry.lock("poll_timeout").poll_timeout();
        let wait = next.map(|at| Duration::from_millis(at.since_ms(server.now())));
        tokio::select! {
            () = server.signals.timeouts_changed.notified() => {}
            () = tokio::time::sleep(wait.unwrap_or(IDLE_WAIT)) => {
                let effects = server.registry.lock("handle_timeout").handle_timeout(server.now());
                server.apply(effects);
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel finds dead peers; otherwise their sessions would exist for ever.
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The number of connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// The time after which a silent connection is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// The interval between probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The wait if the registry has no deadline.
const IDLE_WAIT: Duration = Duration::from_secs(3600);

/// The time in which connections have to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const STOP_POLL: Duration = Duration::from_millis(5);
