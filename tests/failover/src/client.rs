//! A client with one persistent open, which follows the owner of its share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use auth::Credentials;
use client::smb::{
    ClientConnection, ClientTree, ConnectOptions, CreateParameters, Error, File, LogonOptions,
};
use wire::create_context::{CreateContextsRequest, DurableFlags, DurableReconnectV2, DurableRequestV2};
use wire::msg::GlobalCapabilities;
use wire::{FileId, Guid, NtStatus, OplockLevel, SessionId};

use crate::history::Entry;
use crate::limits::{AGAIN, ANSWER_MAX, CONNECT_MAX, HANDLE_MS};
use crate::world::{NODES, World};

/// The open of a client, with what the client saw.
pub(crate) struct Open {
    pub(crate) world: Arc<World>,
    pub(crate) who: String,
    pub(crate) number: u64,
    share: &'static str,
    name: String,
    /// The number of opens that the client lost.
    lost: u8,
    /// `ChannelSequence`.
    sequence: u16,
    node: usize,
    /// The last session on each node, which is replaced there.
    sessions: [SessionId; NODES.len()],
    file: Option<File>,
    id: Option<FileId>,
    pub(crate) history: Vec<Entry>,
    /// The milliseconds since the start at which the client has last done something, for others to see.
    pub(crate) progress: Arc<AtomicU64>,
}

/// The answer to a request.
pub(crate) enum Answer<T> {
    Done(T),
    /// The request was refused, and the open stays.
    Refused(NtStatus),
    /// The connection, or the share on this node, is gone.
    Lost,
}

impl Open {
    pub(crate) fn new(world: &Arc<World>, number: u64, share: &'static str, name: &str) -> Self {
        Self {
            world: Arc::clone(world),
            who: format!("client {number} of {share}"),
            number,
            share,
            name: name.to_owned(),
            lost: 0,
            sequence: 0,
            node: usize::try_from(number).unwrap_or(0) % NODES.len(),
            sessions: [SessionId(0); NODES.len()],
            file: None,
            id: None,
            history: Vec::new(),
            progress: Arc::default(),
        }
    }

    /// The open, which is reclaimed if the connection was lost, however long that takes.
    pub(crate) async fn file(&mut self) -> File {
        loop {
            if let Some(file) = &self.file {
                return file.clone();
            }
            let attempt = tokio::time::timeout(ANSWER_MAX + CONNECT_MAX, self.come_back(self.node)).await;
            match attempt {
                Ok(Ok(file)) => self.file = Some(file),
                Ok(Err(Error::Status(status, command))) => {
                    self.world.count(format!("coming back: {command:?} {status:?}"));
                    self.go_on().await;
                }
                Ok(Err(_)) | Err(_) => {
                    self.world.count(String::from("coming back: no connection"));
                    self.go_on().await;
                }
            }
        }
    }

    /// Takes note of an answer.
    pub(crate) fn judge<T>(&mut self, what: &str, answer: Result<T, Error>) -> Answer<T> {
        let status = match answer {
            Ok(value) => return Answer::Done(value),
            Err(error) => error.status(),
        };
        match status {
            Some(
                status @ (NtStatus::LOCK_NOT_GRANTED
                | NtStatus::DISK_FULL
                | NtStatus::FILE_NOT_AVAILABLE
                | NtStatus::RANGE_NOT_LOCKED
                | NtStatus::END_OF_FILE),
            ) => {
                if status != NtStatus::LOCK_NOT_GRANTED {
                    self.world.count(format!("{what}: {status:?}"));
                }
                Answer::Refused(status)
            }
            Some(status) => {
                self.world.count(format!("{what}: {status:?}"));
                if status == NtStatus::FILE_LOCK_CONFLICT {
                    self.world.finding(format!("{}: {what} is refused by another's lock", self.who));
                }
                self.drop_connection();
                Answer::Lost
            }
            None => {
                self.world.count(format!("{what}: the connection is lost"));
                self.drop_connection();
                Answer::Lost
            }
        }
    }

    /// Notes that something was done.
    pub(crate) fn has_done(&self) {
        let now = u64::try_from(self.world.now().as_millis()).unwrap_or(u64::MAX);
        self.progress.store(now, Ordering::Relaxed);
    }

    pub(crate) fn drop_connection(&mut self) {
        if let Some(file) = self.file.take() {
            file.tree().connection().disconnect();
            self.sequence = self.sequence.wrapping_add(1);
        }
    }

    /// Closes the open.
    pub(crate) async fn close(&mut self) {
        loop {
            let file = self.file().await;
            match self.judge("CLOSE", file.close().await) {
                Answer::Done(()) => return,
                // The file was closed, and the answer was lost.
                Answer::Lost => return,
                Answer::Refused(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    async fn go_on(&mut self) {
        self.node = (self.node + 1) % NODES.len();
        tokio::time::sleep(AGAIN).await;
    }

    async fn come_back(&mut self, node: usize) -> Result<File, Error> {
        let tree = self.connect(node).await?;
        let Some(id) = self.id else {
            let file = tree.create(&self.parameters(None)).await?;
            if file.created.contexts.durable_v2.is_none() {
                self.world.finding(format!("{} gets no persistent open", self.who));
            }
            self.id = Some(file.id());
            return Ok(file);
        };
        let back = tree.create(&self.parameters(Some(id))).await;
        if let Err(error) = &back
            && error.is(NtStatus::OBJECT_NAME_NOT_FOUND)
        {
            self.world.finding(format!("{} has lost its open: {} has none", self.who, NODES[node]));
            // With the open, its locks are gone.
            self.history.push(Entry::Unlocking { at: Duration::ZERO });
            (self.id, self.lost) = (None, self.lost.wrapping_add(1));
        }
        let file = back?;
        self.id = Some(file.id());
        Ok(file)
    }

    async fn connect(&mut self, node: usize) -> Result<ClientTree, Error> {
        let mut options = ConnectOptions::with_guid(self.guid(0));
        options.capabilities |= GlobalCapabilities::PERSISTENT_HANDLES;
        options.channel_sequence = self.sequence;
        options.connect_timeout = CONNECT_MAX;
        options.request_timeout = ANSWER_MAX;
        let connection = ClientConnection::connect(self.world.address(node), None, options).await?;
        let credentials = Credentials::password(&self.world.user.name, "", &self.world.user.password);
        let options = LogonOptions { previous_session_id: self.sessions[node], ..LogonOptions::default() };
        let session = connection.logon_with(credentials, options).await?;
        self.sessions[node] = session.id();
        session.tree_connect(&format!(r"\\tested\{}", self.share)).await
    }

    fn parameters(&self, reclaimed: Option<FileId>) -> CreateParameters<'_> {
        let (flags, create_guid) = (DurableFlags::PERSISTENT.0, self.guid(self.lost + 1));
        let contexts = match reclaimed {
            None => CreateContextsRequest {
                durable_request_v2: Some(DurableRequestV2 { timeout_ms: HANDLE_MS, flags, create_guid }),
                ..CreateContextsRequest::default()
            },
            Some(file_id) => CreateContextsRequest {
                durable_reconnect_v2: Some(DurableReconnectV2 { file_id, create_guid, flags }),
                ..CreateContextsRequest::default()
            },
        };
        CreateParameters { contexts, oplock: OplockLevel::NONE, ..CreateParameters::read_write(&self.name) }
    }

    fn guid(&self, kind: u8) -> Guid {
        let mut guid = Guid([kind; 16]);
        guid.0[..8].copy_from_slice(&self.number.to_be_bytes());
        guid
    }
}
