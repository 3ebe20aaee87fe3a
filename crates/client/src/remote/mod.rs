//! A server on another machine, reached over SMB: one connection for as long as it lasts, and the pipes through it.

mod error;
mod named;
mod server_address;
mod stream;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use control::number;
use rpc::{Call, Endpoint};
use tokio::net::lookup_host;
use tokio::sync::{Mutex, MutexGuard};
use wire::NtStatus;

pub(crate) use error::of_fault as fault_error;
pub use named::{NamedServer, ServerWord, servers_of_file, servers_of_list};
pub use server_address::{NotAServerAddress, ServerAddress};
pub use stream::PipeStream;

use crate::control_client::Transport;
use crate::limits::{ADDRESSES_TRIED, CONNECTION_IDLE_MAX};
use crate::smb::{
    self, ClientConnection, ClientSession, ClientTree, ConnectOptions, LogonCredentials, Pipe, Signing,
};
use crate::srvs::{CallError, Rpc};
use crate::{Error, remote};

/// A server on another machine, with credentials. It connects on the first call.
#[derive(Debug)]
pub struct Remote {
    place: ServerAddress,
    credentials: LogonCredentials,
    live: Mutex<Option<Live>>,
}

/// A connection that is logged on.
#[derive(Debug)]
struct Live {
    session: ClientSession,
    ipc: ClientTree,
    pipes: HashMap<&'static str, Pipe>,
    used: Instant,
}

impl Remote {
    /// The server at `place`, with these credentials.
    pub fn new(place: ServerAddress, credentials: impl Into<LogonCredentials>) -> Self {
        Self { place, credentials: credentials.into(), live: Mutex::default() }
    }

    /// The server's place.
    pub fn place(&self) -> &ServerAddress {
        &self.place
    }

    /// Opens the pipe of that name; `None` if the server does not have it.
    pub async fn open_stream(&self, pipe: &str) -> Result<Option<PipeStream>, Error> {
        match self.open_stream_once(pipe).await? {
            Opened::Stream(stream) => Ok(stream),
            Opened::SessionEnded(_) => match self.open_stream_once(pipe).await? {
                Opened::Stream(stream) => Ok(stream),
                Opened::SessionEnded(error) => Err(self.failure(error)),
            },
        }
    }

    async fn open_stream_once(&self, pipe: &str) -> Result<Opened, Error> {
        let mut live = self.live().await?;
        let ipc = live.as_ref().map(|live| live.ipc.clone()).ok_or_else(broken)?;
        match ipc.open_pipe(pipe).await {
            Ok(file) => Ok(Opened::Stream(Some(PipeStream::new(file)))),
            Err(error) if error::session_has_ended(&error) => {
                *live = None;
                Ok(Opened::SessionEnded(error))
            }
            Err(smb::Error::Status(..)) => Ok(Opened::Stream(None)),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Logs off, if a session exists.
    pub async fn log_off(&self) {
        if let Some(live) = self.live.lock().await.take() {
            // A server that does not answer has ended the session, too.
            let _ = live.session.logoff().await;
        }
    }

    /// The existing connection, or a new one if it has ended or was idle for so long that the server may have dropped
    /// it silently.
    async fn live(&self) -> Result<MutexGuard<'_, Option<Live>>, Error> {
        let mut live = self.live.lock().await;
        let stale = live.as_ref().is_none_or(|live| {
            live.session.connection().has_ended() || live.used.elapsed() > CONNECTION_IDLE_MAX
        });
        if stale {
            *live = None;
            *live = Some(self.log_on().await?);
        }
        if let Some(live) = live.as_mut() {
            live.used = Instant::now();
        }
        Ok(live)
    }

    async fn log_on(&self) -> Result<Live, Error> {
        let connection = self.connect().await?;
        let session = connection.logon(self.credentials.clone()).await;
        let session = session.map_err(|error| self.failure(error))?;
        let ipc = session.tree_connect(&format!(r"\\{}\IPC$", self.place.unc_host())).await;
        let ipc = ipc.map_err(|error| self.failure(error))?;
        Ok(Live { session, ipc, pipes: HashMap::new(), used: Instant::now() })
    }

    async fn connect(&self) -> Result<ClientConnection, Error> {
        let unreachable = |why: String| {
            let error = control::Error::new(number::BAD_NETPATH, "The network path was not found.");
            Error::Refused(error.with_hint(format!("{}: {why}", self.place)))
        };
        let found = lookup_host((self.place.host(), self.place.port())).await;
        let found: Vec<SocketAddr> =
            found.map_err(|error| unreachable(error.to_string()))?.take(ADDRESSES_TRIED).collect();
        let mut last = String::from("the name stands for no address");
        for address in found {
            let options = ConnectOptions {
                signing: Signing::Required,
                seal_if_possible: true,
                server_name: self.place.unc_host(),
                ..ConnectOptions::new().map_err(|error| self.failure(error))?
            };
            match ClientConnection::connect(address, None, options).await {
                Ok(connection) => return Ok(connection),
                Err(smb::Error::Io(error)) => last = format!("{error}{}", self.at(address)),
                Err(smb::Error::TimedOut(_)) => last = format!("no answer in time{}", self.at(address)),
                Err(error) => return Err(self.failure(error)),
            }
        }
        Err(unreachable(last))
    }

    /// The address of the name that was used.
    fn at(&self, address: SocketAddr) -> String {
        if address.ip().to_string() == self.place.host() { String::new() } else { format!(" ({address})") }
    }

    fn failure(&self, error: smb::Error) -> Error {
        error::of_smb(error, &self.place)
    }
}

impl Rpc for Remote {
    fn server_name(&self) -> String {
        format!(r"\\{}", self.place.unc_host())
    }

    fn user(&self) -> Option<String> {
        let user = self.credentials.user();
        let user = user.split('@').next().unwrap_or_default();
        Some(user.to_owned()).filter(|user| !user.is_empty())
    }

    async fn call<C: Call>(&self, endpoint: Endpoint, call: &C) -> Result<C::Response, CallError> {
        match self.call_once(endpoint, call).await {
            // The session had ended before, perhaps by the command itself, so nothing was done.
            Err(Failed::SessionGone) => match self.call_once(endpoint, call).await {
                Err(Failed::SessionGone) => {
                    Err(CallError::Ended(Error::Broken(std::io::ErrorKind::ConnectionAborted.into())))
                }
                Err(Failed::Call(error)) => Err(error),
                Ok(response) => Ok(response),
            },
            Err(Failed::Call(error)) => Err(error),
            Ok(response) => Ok(response),
        }
    }
}

/// The result of opening a pipe.
enum Opened {
    Stream(Option<PipeStream>),
    SessionEnded(smb::Error),
}

/// The reason that a call was not answered.
enum Failed {
    /// The server knows the session no longer.
    SessionGone,
    Call(CallError),
}

impl<E: Into<CallError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Call(error.into())
    }
}

impl Remote {
    async fn call_once<C: Call>(&self, endpoint: Endpoint, call: &C) -> Result<C::Response, Failed> {
        let mut guard = self.live().await?;
        let live = guard.as_mut().ok_or_else(broken)?;
        let answer = match live.pipes.entry(endpoint.pipe) {
            Entry::Occupied(mut pipe) => pipe.get_mut().call(call).await,
            Entry::Vacant(vacant) => {
                let interface = *endpoint.interfaces.first().ok_or_else(broken)?;
                match Pipe::open(&live.ipc, endpoint.pipe, interface).await {
                    Ok(pipe) => vacant.insert(pipe).call(call).await,
                    Err(error) if error::session_has_ended(&error) => Err(error),
                    Err(error) => return Err(error::of_pipe(error, endpoint, &self.place).into()),
                }
            }
        };
        let error = match answer {
            Ok(response) => return Ok(response),
            Err(smb::Error::Rpc(rpc::ClientError::Fault(fault))) => {
                return Err(CallError::Fault(fault).into());
            }
            Err(error) => error,
        };
        live.pipes.remove(endpoint.pipe);
        if !error::session_has_ended(&error) {
            return Err(self.failure(error).into());
        }
        *guard = None;
        match error.status() {
            Some(_) => Err(Failed::SessionGone),
            None => Err(CallError::Ended(self.failure(error)).into()),
        }
    }
}

/// The control API over the pipe of our own server.
impl Transport for Arc<Remote> {
    type Stream = PipeStream;

    async fn connect(&self) -> Result<PipeStream, Error> {
        let stream = self.open_stream(control::socket_paths::PIPE).await?;
        stream.ok_or_else(|| remote::error::no_pipe(control::socket_paths::PIPE, &self.place))
    }

    fn is_private(&self, stream: &PipeStream) -> bool {
        stream.is_sealed()
    }
}

fn broken() -> Error {
    Error::Broken(std::io::ErrorKind::NotConnected.into())
}

/// True if a status ends the session and not only the request.
fn ends_session(status: NtStatus) -> bool {
    [NtStatus::USER_SESSION_DELETED, NtStatus::NETWORK_SESSION_EXPIRED, NtStatus::NETWORK_NAME_DELETED]
        .contains(&status)
}
