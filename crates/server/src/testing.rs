//! A complete server without sockets, with any backend, using the clock of its runtime: for fuzzing, and for
//! tests with failing files. With tokio's clock paused, time advances when all tasks are idle.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use auth::users::UserDb;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use wire::Guid;

pub use crate::core::cluster::hostile_values;
use crate::core::config::{Settings, ShareSettings};
use crate::core::security::Machine;
use crate::core::server::{Server, Surroundings};
use crate::smb::connection;
use crate::{admin, service};

/// A server whose clients are connected by streams in memory.
pub struct TestServer {
    server: Arc<Server>,
    served: Arc<AtomicUsize>,
    ports: AtomicU16,
    tasks: Vec<JoinHandle<()>>,
}

/// The numbers of objects in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub connections: usize,
    /// Sessions, including logons in progress.
    pub sessions: usize,
    /// Tree connects.
    pub trees: usize,
    /// Opens, including those that wait for their client.
    pub opens: usize,
}

impl TestServer {
    /// Starts a server whose shares have the files that `open_share` opens. Its random choices follow from
    /// `seed`, except for the challenges and keys of logons.
    pub fn start(
        settings: Settings,
        accounts: UserDb,
        seed: u64,
        open_share: impl Fn(&ShareSettings) -> vfs::Result<Arc<dyn vfs::Backend>> + Send + Sync + 'static,
    ) -> Self {
        let surroundings = Surroundings {
            seed,
            guid: Guid([0x5e; 16]),
            open_share: Arc::new(open_share),
            sandbox: sandbox::Report::off(),
        };
        let server = Server::within(settings, accounts, surroundings);
        // Neither reads from nor writes to the disk.
        let _ = server.identity.machine.set(Machine([1, 2, 3]));
        let tasks = vec![
            tokio::spawn(service::watch_timeouts(Arc::clone(&server))),
            tokio::spawn(admin::idle_sessions::watch(Arc::clone(&server))),
        ];
        Self { server, served: Arc::default(), ports: AtomicU16::new(FIRST_PORT), tasks }
    }

    /// Connects a client and returns the client's end of the stream.
    pub fn connect(&self) -> DuplexStream {
        let (client, end) = tokio::io::duplex(STREAM_BYTES);
        let port = self.ports.fetch_add(1, Ordering::Relaxed);
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let served = Served::one_more(&self.served);
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            connection::over_stream::serve(server, end, peer).await;
            drop(served);
        });
        client
    }

    /// Replaces settings and accounts, as for SIGHUP.
    pub fn reload(&self, settings: Settings, accounts: UserDb) {
        let Ok(()) = self.server.reload(|| Ok::<_, std::convert::Infallible>((settings, accounts)));
    }

    /// The numbers of objects in the registry.
    pub fn counts(&self) -> Counts {
        let (connections, sessions, trees, opens) = self.server.registry.lock("counts").counts();
        Counts { connections, sessions, trees, opens }
    }

    /// The number of connections with a task, and the number of requests that wait for the registry.
    pub fn busy(&self) -> (usize, usize) {
        (self.served.load(Ordering::Relaxed), self.server.waiters.count())
    }

    /// Checks the invariants of the registry's tables.
    pub fn check(&self) -> Result<(), String> {
        self.server.registry.lock("invariants").check_invariants()
    }

    /// Ends every session and closes every file.
    pub async fn shut_down(&self) {
        self.server.shut_down().await;
    }

    /// Ends all sessions of a user as an administrator does; returns their number.
    pub fn end_sessions_of(&self, user: &str) -> usize {
        let filter =
            registry::Filter { account: Some(wire::Account::new(user)), ..registry::Filter::default() };
        let (count, effects) =
            self.server.registry.lock("end_sessions").close_sessions(&filter, self.server.now());
        self.server.apply(effects);
        count
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Counts one served connection while it exists.
struct Served(Arc<AtomicUsize>);

impl Served {
    fn one_more(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The port of the first client.
const FIRST_PORT: u16 = 50_000;

/// Buffered bytes in each direction: more than a client requests at once.
const STREAM_BYTES: usize = 4 << 20;

#[cfg(test)]
mod exchanged_roots;
#[cfg(test)]
mod failing_files;
#[cfg(test)]
mod host_locks;
#[cfg(test)]
mod late_locks;
#[cfg(test)]
mod late_renames;
#[cfg(test)]
mod late_writes;
#[cfg(test)]
mod standings;
#[cfg(test)]
mod tickets;
