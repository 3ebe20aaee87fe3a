//! The clients of the demonstration: real SMB connections, each from its own address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use auth::{Random, SystemRandom};
use client::smb::{
    ClientConnection, ClientSession, ClientTree, ConnectOptions, CreateParameters, Error, File,
};
use wire::create_context::{CreateContextsRequest, LeaseContext, LeaseFlags, LeaseV2};
use wire::msg::{LockElement, LockFlags};
use wire::{AccessMask, Guid, LeaseState, NtStatus, ShareAccess};

use super::failed;
use super::stage::{FILE_SIZE, SHARE, Stage};
use crate::failure::Failure;

/// The byte ranges that the first client locks: offset, length, and true for an exclusive lock.
const RANGES: [(u64, u64, bool); 2] = [(0, 4096, true), (8192, 1024, false)];

/// The caching of a full lease.
const RWH: LeaseState = LeaseState::READ.union(LeaseState::WRITE).union(LeaseState::HANDLE);

/// The connected clients and their open files.
pub(super) struct Clients {
    /// The client that holds byte-range locks.
    pub(super) locking: Client,
    pub(super) locked: File,
    /// The client that has a file open for writing with a lease.
    pub(super) caching: Client,
    pub(super) cached: File,
    /// The client that reads.
    pub(super) reading: Client,
    pub(super) notes: File,
    pub(super) watched: File,
}

/// A connected client.
pub(super) struct Client {
    pub(super) user: &'static str,
    pub(super) from: IpAddr,
    session: ClientSession,
    tree: ClientTree,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.user, self.from)
    }
}

impl Client {
    /// Connects, logs on, and connects to the share.
    pub(super) async fn connect(stage: &Stage, user: &'static str, from: IpAddr) -> Result<Self, Failure> {
        let server = stage.listening(from)?;
        let credentials = stage.credentials(user)?;
        let connect = async {
            let options = ConnectOptions::new()?;
            let connection =
                ClientConnection::connect(server, Some(SocketAddr::new(from, 0)), options).await?;
            let session = connection.logon(credentials).await?;
            let tree = session.tree_connect(&format!(r"\\localhost\{SHARE}")).await?;
            Ok::<_, Error>(Self { user, from, session, tree })
        };
        connect.await.map_err(failed(format_args!("{user} cannot connect from {from}")))
    }

    /// Opens a file for reading.
    pub(super) async fn open(&self, name: &str) -> Result<File, Failure> {
        self.create(&CreateParameters::open(name)).await
    }

    /// Opens a file for reading and writing, and locks [`RANGES`] of it. Returns the number of ranges.
    pub(super) async fn open_and_lock(&self, name: &str) -> Result<(File, usize), Failure> {
        let file = self.create(&CreateParameters::read_write(name)).await?;
        let elements = RANGES.map(|(offset, length, exclusive)| {
            let kind = if exclusive { LockFlags::EXCLUSIVE_LOCK } else { LockFlags::SHARED_LOCK };
            LockElement { offset, length, flags: kind | LockFlags::FAIL_IMMEDIATELY }
        });
        file.lock(&elements).await.map_err(failed(format_args!("{self} cannot lock ranges of {name}")))?;
        Ok((file, elements.len()))
    }

    /// Opens a file for writing with a full lease; others may only read.
    pub(super) async fn open_with_lease(&self, name: &str) -> Result<File, Failure> {
        let mut key = Guid::default();
        SystemRandom.fill(&mut key.0).map_err(failed("cannot generate a lease key"))?;
        let v2 = Some(LeaseV2 { parent_key: Guid::default(), epoch: 0 });
        let lease = LeaseContext { key, state: RWH, flags: LeaseFlags::NONE, v2 };
        let parameters = CreateParameters {
            access: AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            share: ShareAccess::READ,
            contexts: CreateContextsRequest { lease: Some(lease), ..CreateContextsRequest::default() },
            ..CreateParameters::read_write(name)
        };
        let file = self.create(&parameters).await?;
        match file.created.contexts.lease {
            Some(lease) if lease.state == RWH => Ok(file),
            other => {
                Err(Failure::Plain(format!("{self} asked for an RWH lease on {name} and got {other:?}")))
            }
        }
    }

    /// Writes a line.
    pub(super) async fn write(&self, file: &File) -> Result<(), Failure> {
        let text = format!("written by {self}\n");
        let length = text.len();
        match file.write(0, text).await {
            Ok(count) if usize::try_from(count) == Ok(length) => Ok(()),
            Ok(count) => {
                Err(Failure::Plain(format!("{self} wrote {length} bytes, of which {count} arrived")))
            }
            Err(error) => Err(failed(format_args!("{self} cannot write"))(error)),
        }
    }

    /// Reads the start of a file and returns the number of bytes. A failure is an error.
    pub(super) async fn read(&self, file: &File) -> Result<usize, Failure> {
        let read = file.read(0, wanted()).await.map_err(failed(format_args!("{self} cannot read")))?;
        if read.len() == READ_SIZE {
            Ok(read.len())
        } else {
            Err(Failure::Plain(format!("{self} requested {READ_SIZE} bytes and got {}", read.len())))
        }
    }

    /// Reads the start of a file and returns the error. Success, or another status, is an error.
    pub(super) async fn read_refused(&self, file: &File, status: NtStatus) -> Result<Error, Failure> {
        match file.read(0, wanted()).await {
            Err(error) if error.is(status) => Ok(error),
            Err(error) => Err(Failure::Plain(format!("{self} got {error} instead of {status}"))),
            Ok(_) => Err(Failure::Plain(format!("{self} could read, but {status} was expected"))),
        }
    }

    async fn create(&self, parameters: &CreateParameters<'_>) -> Result<File, Failure> {
        let name = parameters.name;
        self.tree.create(parameters).await.map_err(failed(format_args!("{self} cannot open {name}")))
    }

    async fn leave(&self) -> Result<(), Failure> {
        self.session.logoff().await.map_err(failed(format_args!("{self} cannot log off")))
    }
}

impl Clients {
    /// Logs off the clients that still have a session.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        self.locking.leave().await?;
        self.reading.leave().await
    }
}

/// The bytes of one read.
const READ_SIZE: usize = 1024;
const _: () = assert!(READ_SIZE <= FILE_SIZE);

fn wanted() -> u32 {
    u32::try_from(READ_SIZE).unwrap_or(u32::MAX)
}
