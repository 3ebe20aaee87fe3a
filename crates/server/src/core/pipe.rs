//! The interface of an open named pipe, which the fronts implement.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use wire::{FileGlobalId, NtStatus};

use crate::core::server::Server;
use crate::core::session::Session;

/// An open named pipe.
pub(crate) trait Pipe: Send + Sync {
    /// The pipe's name.
    fn name(&self) -> &'static str;

    /// The unit in which the client reads.
    fn mode(&self) -> PipeMode;

    /// Processes the data that a client writes. `written` counts the bytes that the pipe has accepted, which stay
    /// accepted even if the caller does not wait for the rest.
    fn write<'a>(
        &'a self,
        data: &'a [u8],
        by: &'a Writer<'a>,
        written: &'a mut usize,
    ) -> BoxFuture<'a, Result<(), NtStatus>>;

    /// Returns the next message or the available bytes, at most `max` bytes, and waits if there are none; with true if
    /// there is more of the message.
    fn read(&self, max: usize) -> BoxFuture<'_, Result<(Vec<u8>, bool), NtStatus>>;

    /// True if a message waits to be read.
    fn has_unread(&self) -> bool;

    /// Wakes the readers that wait for an answer, because none will come.
    fn close(&self);
}

/// The unit in which a pipe is read (MS-FSCC 2.4.35, 2.4.36).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeMode {
    /// Messages.
    Message,
    /// Bytes.
    Byte,
}

/// The client that writes to a pipe.
pub(crate) struct Writer<'a> {
    pub(crate) server: &'a Arc<Server>,
    /// The session that opened the pipe.
    pub(crate) session: &'a Arc<Session>,
    /// The open of the pipe.
    pub(crate) open: FileGlobalId,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// True if the request was sealed.
    pub(crate) sealed: bool,
}
