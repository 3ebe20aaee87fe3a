//! Requests before they are sent, and their answers.

use std::sync::Arc;

use bytes::Bytes;
use wire::header::Header;
use wire::{AsyncId, Command, NtStatus, SessionId, TreeId};

use super::error::Error;
use super::protection::SessionState;
use super::send::HEAD_ROOM;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The header.
    pub header: Header,
    /// The whole message from its header on, for the `decode` of a body.
    pub message: Bytes,
    /// True if it was encrypted.
    pub sealed: bool,
}

/// The session and tree connect of a request, and its protection.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `SessionId`.
    pub session_id: SessionId,
    /// `TreeId`.
    pub tree_id: TreeId,
    /// True if the request is signed and its answer must be.
    pub signed: bool,
    /// True if the request is encrypted and its answer must be.
    pub sealed: bool,
    /// `ChannelSequence`.
    pub channel_sequence: u16,
    /// True if the request is sent again, because it was not answered before the connection was lost.
    pub is_replay: bool,
    pub(crate) state: Option<Arc<SessionState>>,
}

/// One request before it is sent.
#[derive(Clone, Debug)]
pub struct Part {
    pub(crate) command: Command,
    pub(crate) buffer: Vec<u8>,
    pub(crate) data: Bytes,
    pub(crate) asynchronous: Option<AsyncId>,
    pub(super) carries: u32,
}

impl Response {
    /// `Status`.
    pub const fn status(&self) -> NtStatus {
        self.header.status
    }

    /// The response if the status is a success, else [`Error::Status`].
    pub fn success(self) -> Result<Self, Error> {
        self.success_or(&[])
    }

    /// As [`success`](Self::success), with additional statuses that count as success.
    pub fn success_or(self, also: &[NtStatus]) -> Result<Self, Error> {
        let status = self.status();
        if status.is_success() || also.contains(&status) {
            Ok(self)
        } else {
            Err(Error::Status(status, self.header.command))
        }
    }
}

impl Scope {
    /// Sets the signing.
    #[must_use]
    pub const fn signed(mut self, signed: bool) -> Self {
        self.signed = signed;
        self
    }

    /// Sets the encryption.
    #[must_use]
    pub const fn sealed(mut self, sealed: bool) -> Self {
        self.sealed = sealed;
        self
    }

    /// Marks requests as sent again.
    #[must_use]
    pub const fn replay(mut self) -> Self {
        self.is_replay = true;
        self
    }

    /// Sets the tree connect.
    #[must_use]
    pub const fn tree(mut self, tree_id: TreeId) -> Self {
        self.tree_id = tree_id;
        self
    }
}

impl Part {
    /// A request with the body that `encode` appends, as the `encode` of [`wire::msg`] does.
    pub fn new(command: Command, encode: impl FnOnce(&mut Vec<u8>, usize)) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_ROOM + 192);
        buffer.resize(HEAD_ROOM + Header::SIZE, 0);
        encode(&mut buffer, HEAD_ROOM);
        Self { command, buffer, data: Bytes::new(), asynchronous: None, carries: 0 }
    }

    /// Sets the number of bytes in either direction, from which the credits are computed.
    #[must_use]
    pub const fn carrying(mut self, bytes: u32) -> Self {
        self.carries = bytes;
        self
    }

    /// Adds data after the body, which is not copied.
    #[must_use]
    pub fn with_data(mut self, data: Bytes) -> Self {
        self.carries = self.carries.max(u32::try_from(data.len()).unwrap_or(u32::MAX));
        self.data = data;
        self
    }
}
