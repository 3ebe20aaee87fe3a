//! The connection of a mount, which is created when needed, and again after a loss.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Instant;

use client::smb::{
    ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, LogonCredentials, SharePlace,
    Signing,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use wire::msg::ShareType;

use crate::errno::is_session_lost;
use crate::{limits, log};

/// A share: `\\host\share`, on its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShareAddress {
    /// The server's name or address.
    pub host: String,
    /// The port; 445 by default.
    pub port: u16,
    /// The share's name.
    pub share: String,
}

/// The reason why there is no connection to a share.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server's name cannot be resolved.
    #[error("the name {0} is not known")]
    UnknownHost(String),
    /// The connection failed or broke.
    #[error("no connection to {0}: {1}")]
    Unreachable(String, Error),
    /// The server refuses the logon.
    #[error("the logon is refused: {0}")]
    Logon(Error),
    /// The server refuses access to the share.
    #[error("the share is refused: {0}")]
    Share(Error),
    /// The share has no files: it is a pipe's or a printer's.
    #[error("the share is not a disk")]
    NotDisk,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The connection exists.
    Ok,
    /// A new connection is being made.
    Reconnecting,
    /// The connection is lost, and the last attempt to reconnect failed.
    Disconnected,
}

impl fmt::Display for ShareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, share } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match *port {
            Self::PORT => write!(f, "\\\\{host}\\{share}"),
            port => write!(f, "\\\\{host}@{port}\\{share}"),
        }
    }
}

impl ShareAddress {
    /// The port of SMB over TCP.
    pub const PORT: u16 = 445;

    /// The name of the share in the mount table.
    pub fn source(&self) -> String {
        self.to_string().replace('\\', "/")
    }

    /// The path of the share for a TREE_CONNECT.
    fn path(&self) -> String {
        format!("\\\\{}\\{}", self.host, self.share)
    }
}

/// Connects to the server, logs on, and connects to the share; a server of a cluster may lead to the one that has it.
pub async fn connect(
    target: &ShareAddress,
    credentials: &LogonCredentials,
) -> Result<ClientTree, ConnectError> {
    let unreachable = |error: Error| ConnectError::Unreachable(target.host.clone(), error);
    let mut options = ConnectOptions::new().map_err(unreachable)?;
    options.server_name.clone_from(&target.host);
    options.posix = true;
    // Signing prevents changes of the data on the network.
    options.signing = Signing::Required;
    options.connect_timeout = limits::CONNECT_TIME_MAX;
    options.request_timeout = limits::REQUEST_TIME_MAX;
    let mut addresses = resolve(target).await?;
    for _ in 0..=limits::REDIRECTS_MAX {
        let mut last = None;
        let mut place = None;
        for address in addresses {
            match ClientConnection::connect(address, None, options.clone()).await {
                Ok(connection) => {
                    place = Some(log_on(&connection, target, credentials).await?);
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        match place {
            Some(SharePlace::Here(tree)) if tree.share.share_type == ShareType::DISK => return Ok(tree),
            Some(SharePlace::Here(_)) => return Err(ConnectError::NotDisk),
            Some(SharePlace::At(owner)) => {
                addresses = owner.into_iter().map(|it| SocketAddr::new(it, target.port)).collect();
            }
            None => {
                return Err(last.map_or_else(|| ConnectError::UnknownHost(target.host.clone()), unreachable));
            }
        }
    }
    Err(ConnectError::Share(Error::Unable("each server leads to another one")))
}

async fn log_on(
    connection: &ClientConnection,
    target: &ShareAddress,
    credentials: &LogonCredentials,
) -> Result<SharePlace, ConnectError> {
    let session = connection.logon(credentials.clone()).await.map_err(|error| match error {
        Error::Io(_) | Error::TimedOut(_) => ConnectError::Unreachable(target.host.clone(), error),
        error => ConnectError::Logon(error),
    })?;
    session.find_share(&target.path()).await.map_err(ConnectError::Share)
}

async fn resolve(target: &ShareAddress) -> Result<Vec<SocketAddr>, ConnectError> {
    let name = (target.host.clone(), target.port);
    let found = tokio::task::spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await;
    match found {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        _ => Err(ConnectError::UnknownHost(target.host.clone())),
    }
}

/// The connection of a mount.
#[derive(Debug)]
pub(crate) struct Remote {
    target: ShareAddress,
    credentials: LogonCredentials,
    /// True if the share had the POSIX extensions when it was mounted.
    posix: bool,
    state: Mutex<State>,
    /// The problem with the logon that the system's log has last; `None` after a success.
    problem: parking_lot::Mutex<Option<String>>,
}

#[derive(Debug)]
struct State {
    live: Option<Live>,
    generations: u64,
    failed_at: Option<Instant>,
}

/// A connection in use.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) tree: ClientTree,
    /// The number of the connection; opens of earlier connections are gone.
    pub(crate) generation: u64,
    pub(crate) read_max: u32,
    pub(crate) write_max: u32,
    /// True if the share has the POSIX extensions.
    pub(crate) posix: bool,
}

impl Remote {
    /// Wraps an existing connection. `posix` is true if the share has the POSIX extensions.
    pub(crate) fn new(
        target: ShareAddress,
        credentials: LogonCredentials,
        tree: ClientTree,
        posix: bool,
    ) -> Result<Arc<Self>, Error> {
        let live = Live::new(tree, 1, posix)?;
        let state = State { live: Some(live), generations: 1, failed_at: None };
        Ok(Arc::new(Self {
            target,
            credentials,
            posix,
            state: Mutex::new(state),
            problem: Default::default(),
        }))
    }

    /// The current connection; reconnects if it is lost.
    pub(crate) async fn live(&self) -> Result<Live, Error> {
        let mut state = self.state.lock().await;
        if let Some(live) = state.live.as_ref().filter(|live| !live.tree.connection().has_ended()) {
            return Ok(live.clone());
        }
        state.live = None;
        if state.failed_at.is_some_and(|failed| failed.elapsed() < limits::RETRY_PAUSE) {
            return Err(LOST);
        }
        let made = connect(&self.target, &self.credentials).await;
        let made = made
            .map_err(|error| self.failed(error))
            .and_then(|tree| Live::new(tree, state.generations.saturating_add(1), self.posix));
        match made {
            Ok(live) => {
                state.generations = live.generation;
                state.failed_at = None;
                self.logged_on();
                state.live = Some(live.clone());
                Ok(live)
            }
            Err(error) => {
                state.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// The error of a failed attempt to connect: of a refused logon its own, else that of a lost connection.
    fn failed(&self, error: ConnectError) -> Error {
        match error {
            ConnectError::Logon(error) => {
                self.warn(&error);
                error
            }
            _ => LOST,
        }
    }

    /// Writes the reason for a failed logon to the system's log, unless it is there already.
    fn warn(&self, error: &Error) {
        let reason = error.advice();
        let mut problem = self.problem.lock();
        if problem.as_ref() != Some(&reason) {
            log::warn(&format!("{}: not logged on: {reason}", self.target));
            *problem = Some(reason);
        }
    }

    /// Forgets the problem with the logon.
    fn logged_on(&self) {
        if self.problem.lock().take().is_some() {
            log::warn(&format!("{}: logged on again", self.target));
        }
    }

    /// The reason why the user is not logged on at the moment.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// The number of the current connection; `None` if it is lost and has not been replaced.
    pub(crate) async fn generation(&self) -> Option<u64> {
        let state = self.state.lock().await;
        let live = state.live.as_ref().filter(|live| !live.tree.connection().has_ended());
        live.map(|live| live.generation)
    }

    /// Disconnects after an error that means that the session is gone or the server does not answer, so that
    /// the next call connects again.
    pub(crate) fn note(&self, live: &Live, error: &Error) {
        match error {
            Error::Ticket(_) | Error::TicketRefused(..) | Error::NoKerberos => self.warn(error),
            _ => {}
        }
        let lost = match error {
            Error::Status(status, _) => is_session_lost(*status),
            Error::TimedOut(_) | Error::Protocol(_) | Error::Signing(_) | Error::Sealing(_) => true,
            _ => false,
        };
        if lost {
            if error.status().is_none() && !live.tree.connection().has_ended() {
                log::warn(&format!("{}: disconnected: {error}", self.target));
            }
            live.tree.connection().disconnect();
        }
    }

    /// The state of the connection.
    pub(crate) fn status(&self) -> Status {
        // The lock is held for long only during a connection attempt.
        let Ok(state) = self.state.try_lock() else { return Status::Reconnecting };
        match &state.live {
            Some(live) if live.tree.session().trouble().is_some() => Status::Disconnected,
            Some(live) if !live.tree.connection().has_ended() => Status::Ok,
            _ => Status::Disconnected,
        }
    }

    /// Checks the connection regularly, so that requests over a dead one fail soon.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(limits::ECHO_PAUSE).await;
            let live = self.state.lock().await.live.clone();
            let Some(live) = live.filter(|live| !live.tree.connection().has_ended()) else { continue };
            if live.tree.session().trouble().is_none() {
                self.logged_on();
            }
            let connection = live.tree.connection();
            let answer = tokio::time::timeout(limits::ECHO_PAUSE, connection.echo()).await;
            if !matches!(answer, Ok(Ok(()))) {
                connection.disconnect();
            }
        }
    }

    /// Logs off, if there is a connection.
    pub(crate) async fn close(&self) {
        if let Some(live) = self.state.lock().await.live.take() {
            let farewell = live.tree.session().logoff();
            // A failure does not matter at this point.
            let _ = tokio::time::timeout(limits::CONNECT_TIME_MAX, farewell).await;
        }
    }
}

impl Live {
    fn new(tree: ClientTree, generation: u64, posix: bool) -> Result<Self, Error> {
        let negotiated = tree.connection().negotiated()?;
        // Without multi-credit requests, a request carries at most 64 KiB (MS-SMB2 3.1.5.2).
        let most = if negotiated.multi_credit { limits::TRANSFER_BYTES_MAX } else { 64 << 10 };
        let read_max = negotiated.max_read_size.clamp(512, most);
        let write_max = negotiated.max_write_size.clamp(512, most);
        let posix = posix && negotiated.posix;
        Ok(Self { tree, generation, read_max, write_max, posix })
    }

    /// The parameters for this server: those of a POSIX open, if the share has the POSIX extensions.
    pub(crate) fn asked<'a>(&self, open: &CreateParameters<'a>) -> CreateParameters<'a> {
        let mut open = open.clone();
        let mode = open.contexts.posix_mode.take();
        open.contexts.posix_mode = self.posix.then(|| mode.unwrap_or_default());
        open
    }
}

const LOST: Error = Error::Unable("the connection is lost");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_as_net_writes_it() {
        let target = |host: &str, port| ShareAddress { host: host.into(), port, share: "data".into() };
        assert_eq!(target("nas", 445).to_string(), r"\\nas\data");
        assert_eq!(target("nas", 4450).to_string(), r"\\nas@4450\data");
        assert_eq!(target("fe80::1", 445).source(), "//[fe80::1]/data");
    }
}
