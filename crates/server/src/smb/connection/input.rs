//! Reads frames from the byte stream (MS-SMB2 2.1: direct TCP).

use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, BufMut as _, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use wire::frame;
use wire::header::Header;

use super::frame::Frame;
use super::large_frame::{Arrival, LargeFrame, LowWater};
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
    /// The large frame that arrives. Its bytes are not in the buffer.
    large: Option<LargeFrame>,
    /// True if the last frame was large. Probably the next one is large, too, so no more than its head is read into the
    /// buffer.
    expects_large: bool,
    low_water: LowWater,
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
    pub(crate) fn next_frame(&mut self, limit: usize) -> Result<Option<Frame>, InputEnd> {
        if self.large.is_some() {
            let whole = self.large.take_if(|large| large.is_whole());
            self.expects_large = whole.is_some();
            return Ok(whole.map(|large| large.into_frame()));
        }
        let Some(length) = self.announced(limit)? else { return Ok(None) };
        if self.buffer.len() < length + frame::PREFIX_SIZE {
            return Ok(None);
        }
        self.buffer.advance(frame::PREFIX_SIZE);
        self.shared = true;
        self.expects_large = false;
        Ok(Some(self.buffer.split_to(length).into()))
    }

    /// Reads from the socket without waiting; returns the number of bytes. Must be called when the socket is readable
    /// and no complete frame is left.
    pub(crate) async fn fill(
        &mut self,
        socket: &mut ReadHalf<'_>,
        limit: usize,
        room: Room,
    ) -> Result<usize, InputEnd> {
        if let Some(large) = &mut self.large {
            return large.fill(socket, &mut self.low_water).await;
        }
        let announced = self.announced(limit)?;
        let missing = match announced {
            Some(length) if room == Room::Whole && length >= limits::LARGE_FRAME => {
                self.buffer.advance(frame::PREFIX_SIZE);
                let large = self.large.insert(LargeFrame::new(length, &self.buffer));
                self.buffer.clear();
                return large.fill(socket, &mut self.low_water).await;
            }
            Some(length) => (length + frame::PREFIX_SIZE).saturating_sub(self.buffer.len()),
            None => 0,
        };
        let most = match room {
            Room::Whole if self.expects_large && announced.is_none() => {
                self.buffer.reserve(HEAD_SIZE);
                HEAD_SIZE.saturating_sub(self.buffer.len())
            }
            Room::Whole => {
                self.buffer.reserve(missing.max(READ_SIZE));
                usize::MAX
            }
            Room::AsItArrives => {
                let least = limits::STRANGER_READ.max(self.buffer.len());
                self.own();
                self.buffer.reserve(missing.max(limits::STRANGER_READ).min(least));
                usize::MAX
            }
        };
        // This way of reading takes a read that does not fill the buffer as the end of what has arrived, and waits for
        // the kernel's next report; `try_read_buf` would need one more call to find that nothing is left.
        let bytes = match poll_once(pin!(socket.read_buf(&mut (&mut self.buffer).limit(most)))).await {
            Poll::Ready(Ok(0)) => return Err(InputEnd::Closed),
            Poll::Ready(Ok(bytes)) => bytes,
            Poll::Ready(Err(error)) => return Err(InputEnd::Io(error)),
            Poll::Pending => 0,
        };
        if bytes < most {
            self.low_water.reset(socket.as_ref());
        }
        Ok(bytes)
    }

    /// Completes when the rest of a large frame has taken too long to wait for all of it.
    pub(crate) async fn overdue(&self) {
        match &self.large {
            Some(large) => large.overdue().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the present large frame as it arrives from now on.
    pub(crate) fn read_as_it_arrives(&mut self, socket: &TcpStream) {
        if let Some(large) = &mut self.large {
            large.arrival = Arrival::InParts;
        }
        self.low_water.reset(socket);
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

/// Bytes of a frame's length and of the header and the fixed part of a WRITE, behind which its data usually begin.
const HEAD_SIZE: usize = frame::PREFIX_SIZE + Header::SIZE + 48;

/// Bytes reserved for each read: several small requests arrive in one system call.
const READ_SIZE: usize = 64 * 1024;

const _: () = assert!(limits::MAX_FRAME <= frame::LENGTH_MAX);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use wire::header::{Command, HeaderFlags};
    use wire::msg::WriteRequest;

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

    /// Reads until a frame is complete.
    async fn next(reader: &mut FrameReader, socket: &mut ReadHalf<'_>) -> Frame {
        loop {
            if let Some(frame) = reader.next_frame(limits::MAX_FRAME).unwrap() {
                return frame;
            }
            socket.readable().await.unwrap();
            reader.fill(socket, limits::MAX_FRAME, Room::Whole).await.unwrap();
        }
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        [&frame::encode_prefix(content.len()).unwrap(), content].concat()
    }

    #[tokio::test]
    async fn large_and_small_frames_arrive_in_order_and_whole() {
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let sizes =
            [10, limits::LARGE_FRAME, limits::MAX_FRAME, 0, 40, limits::LARGE_FRAME - 1, HEAD_SIZE, 1 << 20];
        let sizes = [sizes, sizes].concat();
        let content =
            |number: usize, size: usize| (0..size).map(|at| (at / 7 + number) as u8).collect::<Vec<_>>();
        let sending = async {
            for (number, size) in sizes.iter().enumerate() {
                client.write_all(&framed(&content(number, *size))).await.unwrap();
            }
            client
        };
        let reading = async {
            let mut reader = FrameReader::default();
            for (number, size) in sizes.iter().enumerate() {
                let frame = next(&mut reader, &mut server).await;
                assert!(*frame == *content(number, *size), "frame {number} of {size} bytes");
            }
        };
        let ((), _client) = tokio::join!(reading, sending);
    }

    /// A frame of a WRITE with these data.
    fn write_of(data: &[u8], flags: HeaderFlags) -> Vec<u8> {
        let header = Header { command: Command::WRITE, flags, ..Header::default() };
        let mut message = header.to_bytes().to_vec();
        WriteRequest { data, ..WriteRequest::default() }.encode(&mut message, 0);
        framed(&message)
    }

    #[tokio::test]
    async fn data_of_unsigned_large_writes_stay_in_the_socket_until_they_are_taken() {
        const COUNT: usize = 6;
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let data = |number: usize| {
            (0..limits::SPLICE_FROM + number).map(|at| (at / 5 + number) as u8).collect::<Vec<_>>()
        };
        let sending = async {
            client.write_all(&write_of(&data(0), HeaderFlags::SIGNED)).await.unwrap();
            for number in 1..=COUNT {
                client.write_all(&write_of(&data(number), HeaderFlags::NONE)).await.unwrap();
                client.write_all(&framed(b"small")).await.unwrap();
                client.write_all(&write_of(&data(0), HeaderFlags::SIGNED)).await.unwrap();
            }
            client
        };
        let reading = async {
            let directory = tempfile::tempdir().unwrap();
            let backend = vfs::local::LocalBackend::open(directory.path(), Default::default()).unwrap();
            let path = vfs::RelativePath::new("f").unwrap();
            let (actor, normal) = (vfs::Actor::Process, wire::FileAttributes::NORMAL);
            let handle = vfs::Backend::create_file(&backend, &actor, &path, normal, vfs::Wanted::BOTH);
            let handle = handle.unwrap().handle;
            let mut reader = FrameReader::default();
            let signed = next(&mut reader, &mut server).await;
            assert!(signed.unread().is_none() && signed.ends_with(&data(0)));
            for number in 1..=COUNT {
                let frame = next(&mut reader, &mut server).await;
                let data = data(number);
                let unread = frame.unread().expect("the data are in the socket").clone();
                assert_eq!((frame.len(), unread.len()), (WriteRequest::DATA_OFFSET, data.len()));
                assert_eq!(frame.size(), WriteRequest::DATA_OFFSET + data.len());
                match number % 3 {
                    0 => {
                        assert_eq!(unread.write_to(&*handle, 0), Ok(data.len()));
                        assert_eq!(
                            std::fs::read(directory.path().join("f")).unwrap().get(..data.len()),
                            Some(&data[..])
                        );
                        unread.settle(true).unwrap();
                    }
                    1 => {
                        // The request waits, and needs them later.
                        unread.settle(true).unwrap();
                        assert!(unread.to_vec().unwrap() == data);
                        assert_eq!(unread.write_to(&*handle, 7), Ok(data.len()));
                        let stored = std::fs::read(directory.path().join("f")).unwrap();
                        assert_eq!(stored.get(7..7 + data.len()), Some(&data[..]));
                    }
                    _ => unread.settle(false).unwrap(),
                }
                assert_eq!(*next(&mut reader, &mut server).await, *b"small", "behind frame {number}");
                assert!(next(&mut reader, &mut server).await.unread().is_none());
            }
        };
        let ((), _client) = tokio::join!(reading, sending);
    }

    #[tokio::test]
    async fn large_writes_whose_data_are_not_all_that_follows_are_read() {
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let length = u32::try_from(limits::SPLICE_FROM).unwrap();
        let whole = write_of(&vec![7; limits::SPLICE_FROM], HeaderFlags::NONE);
        let message = &whole[frame::PREFIX_SIZE..];
        let announcing = |offset: u16, length: u32| {
            let mut message = message.to_vec();
            message[66..68].copy_from_slice(&offset.to_le_bytes());
            message[68..72].copy_from_slice(&length.to_le_bytes());
            message
        };
        let contents = [
            [message, &[0; 8]].concat(),
            announcing(112, length - 1),
            announcing(112, length + 1),
            announcing(120, length - 8),
        ];
        let sending = async {
            client.write_all(&write_of(&vec![7; limits::SPLICE_FROM], HeaderFlags::SIGNED)).await.unwrap();
            for content in &contents {
                client.write_all(&framed(content)).await.unwrap();
            }
            client
        };
        let reading = async {
            let mut reader = FrameReader::default();
            assert!(next(&mut reader, &mut server).await.unread().is_none());
            for (number, content) in contents.iter().enumerate() {
                let frame = next(&mut reader, &mut server).await;
                assert!(frame.unread().is_none() && *frame == **content, "frame {number}");
            }
        };
        let ((), _client) = tokio::join!(reading, sending);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_large_frame_is_read_as_it_arrives() {
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let whole = framed(&vec![7; limits::LARGE_FRAME]);
        let (half, rest) = whole.split_at(whole.len() / 2);
        client.write_all(half).await.unwrap();
        let mut reader = FrameReader::default();
        let mut arrived = 0;
        while arrived < half.len() {
            tokio::select! {
                ready = server.readable() => {
                    ready.unwrap();
                    arrived += reader.fill(&mut server, limits::MAX_FRAME, Room::Whole).await.unwrap();
                }
                () = reader.overdue() => reader.read_as_it_arrives(server.as_ref()),
            }
            assert!(reader.next_frame(limits::MAX_FRAME).unwrap().is_none());
        }
        client.write_all(rest).await.unwrap();
        assert_eq!(next(&mut reader, &mut server).await.len(), limits::LARGE_FRAME);
        client.write_all(&framed(b"small")).await.unwrap();
        assert_eq!(*next(&mut reader, &mut server).await, *b"small");
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_a_large_frame_is_closed() {
        let (mut client, mut server) = pair().await;
        let (mut server, _) = server.split();
        let whole = framed(&vec![7; limits::LARGE_FRAME]);
        client.write_all(whole.get(..whole.len() - 1).unwrap()).await.unwrap();
        drop(client);
        let mut reader = FrameReader::default();
        let end = loop {
            server.readable().await.unwrap();
            if let Err(end) = reader.fill(&mut server, limits::MAX_FRAME, Room::Whole).await {
                break end;
            }
            assert!(reader.next_frame(limits::MAX_FRAME).unwrap().is_none());
        };
        assert!(matches!(end, InputEnd::Closed), "{end:?}");
    }
}
