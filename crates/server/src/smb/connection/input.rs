//! Frames out of the byte stream (MS-SMB2 2.1: direct TCP).

use std::io;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use wire::frame;

use crate::core::limits;

/// The unread part of a connection's byte stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    pub(super) buffer: BytesMut,
    /// Whether the buffer's memory is a frame's as well, which was taken off it.
    shared: bool,
    /// Whether what it holds is noted in a budget.
    pub(crate) budgeted: bool,
}

/// How much room is made for what is about to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// For the whole frame, as soon as it is announced.
    Whole,
    /// For as much again as has arrived: whoever announces much and sends nothing holds nothing.
    AsItArrives,
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
        self.shared = true;
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Reads what the socket has, and says how many bytes that was. To be called when it is readable and
    /// no whole frame is left.
    pub(crate) fn fill(&mut self, socket: &TcpStream, limit: usize, room: Room) -> Result<usize, InputEnd> {
        let missing = match self.announced(limit)? {
            Some(length) => (length + frame::PREFIX_SIZE).saturating_sub(self.buffer.len()),
            None => 0,
        };
        match room {
            Room::Whole => self.buffer.reserve(missing.max(READ_SIZE)),
            Room::AsItArrives => {
                let least = limits::STRANGER_READ.max(self.buffer.len());
                self.own();
                self.buffer.reserve(missing.max(limits::STRANGER_READ).min(least));
            }
        }
        match socket.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(InputEnd::Closed),
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(InputEnd::Io(error)),
        }
    }

    /// Gives back the memory that nothing unread is in.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.shared = false;
        }
    }

    /// How much memory the unread part holds, bytes.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Leaves memory that was a frame's to that frame, which may be much larger than the rest.
    fn own(&mut self) {
        if std::mem::take(&mut self.shared) {
            self.buffer = BytesMut::from(&*self.buffer);
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn a_frame_that_is_announced_holds_what_has_arrived_of_it() {
        const LIMIT: usize = limits::MAX_FRAME_UNAUTHENTICATED;
        let (mut client, server) = pair().await;
        let mut reader = FrameReader::default();
        let announced = u32::try_from(LIMIT).unwrap();
        client.write_all(&announced.to_be_bytes()).await.unwrap();
        server.readable().await.unwrap();
        reader.fill(&server, LIMIT, Room::AsItArrives).unwrap();
        assert!(reader.held() <= limits::STRANGER_READ, "{}", reader.held());
        let mut arrived = 4;
        let sending = async { client.write_all(&vec![7; LIMIT]).await.unwrap() };
        let reading = async {
            loop {
                server.readable().await.unwrap();
                arrived += reader.fill(&server, LIMIT, Room::AsItArrives).unwrap();
                assert!(reader.held() <= 2 * arrived.max(limits::STRANGER_READ), "{}", reader.held());
                if let Some(frame) = reader.next_frame(LIMIT).unwrap() {
                    break frame;
                }
            }
        };
        let (frame, ()) = tokio::join!(reading, sending);
        assert_eq!(frame.len(), LIMIT);
        reader.shrink();
        assert_eq!(reader.held(), 0);
    }
}
