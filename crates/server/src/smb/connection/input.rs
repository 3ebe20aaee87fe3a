//! Reads frames from the byte stream (MS-SMB2 2.1: direct TCP).

use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;
use wire::frame;

use super::poll_once;
use crate::core::limits;

/// The unread part of a connection's byte stream.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    pub(super) buffer: BytesMut,
    /// True if the buffer shares its memory with a frame that was split off.
    shared: bool,
    /// True if the buffer's memory is counted in a budget.
    pub(crate) budgeted: bool,
}

/// The amount of space that is reserved for expected data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The whole frame, as soon as its length is known.
    Whole,
    /// As much again as has arrived, so that a client that announces much and sends nothing uses no memory.
    AsItArrives,
}

/// The reason why a connection's input ends.
#[derive(Debug)]
pub(crate) enum InputEnd {
    /// The peer closed the connection, between frames or within one.
    Closed,
    /// The peer announced a frame beyond the limit, or it does not speak direct TCP.
    BadFrame,
    /// The socket failed.
    #[expect(dead_code, reason = "the value is for the log")]
    Io(io::Error),
}

impl FrameReader {
    /// The next complete frame without its four bytes of length, if it has arrived.
    pub(crate) fn next_frame(&mut self, limit: usize) -> Result<Option<BytesMut>, InputEnd> {
        let Some(length) = self.announced(limit)? else { return Ok(None) };
        if self.buffer.len() < length + frame::PREFIX_SIZE {
            return Ok(None);
        }
        self.buffer.advance(frame::PREFIX_SIZE);
        self.shared = true;
        Ok(Some(self.buffer.split_to(length)))
    }

    /// Reads from the socket without waiting; returns the number of bytes. Must be called when the socket is readable
    /// and no complete frame is left.
    pub(crate) async fn fill(
        &mut self,
        socket: &mut ReadHalf<'_>,
        limit: usize,
        room: Room,
    ) -> Result<usize, InputEnd> {
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
        // This way of reading takes a read that does not fill the buffer as the end of what has arrived, and waits for
        // the kernel's next report; `try_read_buf` would need one more call to find that nothing is left.
        match poll_once(pin!(socket.read_buf(&mut self.buffer))).await {
            Poll::Ready(Ok(0)) => Err(InputEnd::Closed),
            Poll::Ready(Ok(bytes)) => Ok(bytes),
            Poll::Ready(Err(error)) => Err(InputEnd::Io(error)),
            Poll::Pending => Ok(0),
        }
    }

    /// Frees the memory if it contains no unread data.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.shared = false;
        }
    }

    /// The number of bytes allocated for the unread part.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Copies the unread part out of memory that it shares with a frame, which may be much larger.
    fn own(&mut self) {
        if std::mem::take(&mut self.shared) {
            self.buffer = BytesMut::from(&*self.buffer);
        }
    }

    /// The length of the next frame, once its first four bytes have arrived.
    fn announced(&self, limit: usize) -> Result<Option<usize>, InputEnd> {
        let Some(prefix) = self.buffer.first_chunk() else { return Ok(None) };
        frame::decode_prefix(*prefix, limit).map(Some).map_err(|_| InputEnd::BadFrame)
    }
}

/// Bytes reserved for each read: several small requests arrive in one system call.
const READ_SIZE: usize = 64 * 1024;

const _: () = assert!(limits::MAX_FRAME <= frame::LENGTH_MAX);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn an_announced_frame_allocates_only_for_arrived_data() {
        const LIMIT: usize = limits::MAX_FRAME_UNAUTHENTICATED;
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let mut reader = FrameReader::default();
        let announced = u32::try_from(LIMIT).unwrap();
        client.write_all(&announced.to_be_bytes()).await.unwrap();
        server.readable().await.unwrap();
        reader.fill(&mut server, LIMIT, Room::AsItArrives).await.unwrap();
        assert!(reader.held() <= limits::STRANGER_READ, "{}", reader.held());
        let mut arrived = 4;
        let sending = async { client.write_all(&vec![7; LIMIT]).await.unwrap() };
        let reading = async {
            loop {
                server.readable().await.unwrap();
                arrived += reader.fill(&mut server, LIMIT, Room::AsItArrives).await.unwrap();
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
