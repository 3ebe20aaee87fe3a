//! A named pipe as its open has it. The front that serves the pipe is not known here.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use wire::NtStatus;

use crate::core::server::Server;
use crate::core::session::Session;

/// An open named pipe.
pub(crate) trait Pipe: Send + Sync {
    /// The pipe's name.
    fn name(&self) -> &'static str;

    /// The unit in which the client reads.
    fn mode(&self) -> PipeMode;

    /// Takes what a client writes. `written` counts the bytes that the pipe has taken: what it has taken cannot be
    /// taken back where the caller does not wait for the rest.
    fn write<'a>(
        &'a self,
        data: &'a [u8],
        by: &'a Writer<'a>,
        written: &'a mut usize,
    ) -> BoxFuture<'a, Result<(), NtStatus>>;

    /// Takes the next message, or what bytes there are, at most `max` bytes, waiting where there is nothing; and
    /// says whether there is more of the message.
    fn read(&self, max: usize) -> BoxFuture<'_, Result<(Vec<u8>, bool), NtStatus>>;

    /// Whether a message waits to be read.
    fn has_unread(&self) -> bool;

    /// Wakes those who wait for an answer that will not come.
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
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Whether the request was sealed.
    pub(crate) sealed: bool,
}
