//! Frames out of the byte stream (MS-SMB2 2.1: direct TCP).

use std::io;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use wire::frame;

use crate::limits;

/// The unread part of a connection's byte stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    pub(super) buffer: BytesMut,
}

/// Why a connection's input ends.
#[derive(Debug)]
pub(crate) enum InputEnd {
    /// The peer closed, between frames or within one.
    Closed,
    /// The peer announced a frame beyond the limit, or no direct-TCP frame at all.
    BadFrame,
    /// The socket failed.
    #[expect(dead_code, reason = "the value is for the log")]
    Io(io::Error),
}

impl FrameReader {
    /// The next whole frame without its four bytes of length, if it has arrived.
    pub(crate) fn next_frame(&mut self, limit: usize) -> Result<Option<BytesMut>, InputEnd> {
        let Some(length) = self.announced(limit)? else { return Ok(None) };
        if self.buffer.len() < length + frame::PREFIX_SIZE {
            return Ok(None);
        }
        self.buffer.advance(frame::PREFIX_SIZE);
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Reads what the socket has, and says how many bytes that was. To be called when it is readable and
    /// no whole frame is left.
    pub(crate) fn fill(&mut self, socket: &TcpStream, limit: usize) -> Result<usize, InputEnd> {
        let missing = match self.announced(limit)? {
            Some(length) => (length + frame::PREFIX_SIZE).saturating_sub(self.buffer.len()),
            None => 0,
        };
        self.buffer.reserve(missing.max(READ_SIZE));
        match socket.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(InputEnd::Closed),
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(InputEnd::Io(error)),
        }
    }

    /// The length the next frame announces, once its first four bytes are here.
    fn announced(&self, limit: usize) -> Result<Option<usize>, InputEnd> {
        let Some(prefix) = self.buffer.first_chunk() else { return Ok(None) };
        frame::decode_prefix(*prefix, limit).map(Some).map_err(|_| InputEnd::BadFrame)
    }
}

/// Room made for each read, bytes: several small requests arrive in one system call.
const READ_SIZE: usize = 64 * 1024;

const _: () = assert!(limits::MAX_FRAME <= frame::LENGTH_MAX);
