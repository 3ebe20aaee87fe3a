//! The output queue of a connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use wire::NtStatus;
use wire::header::Header;
use wire::msg::error::ErrorResponse;

use crate::core::limits;
use crate::core::open::Open;

/// One frame in the queue.
pub(crate) struct Answer {
    /// The frame with its four bytes of length; the length includes the tail, which is not in here.
    pub(crate) bytes: Vec<u8>,
    /// File content at the end of the frame, sent from the page cache.
    pub(crate) tail: Option<Tail>,
    /// True if the frame must not be sent because it could not be signed or encrypted.
    pub(crate) unsendable: bool,
}

impl Answer {
    /// An answer that could not be signed or encrypted.
    pub(crate) fn unsendable() -> Self {
        Self { bytes: Vec::new(), tail: None, unsendable: true }
    }

    /// The size in bytes, including the tail.
    fn size(&self) -> usize {
        self.bytes.len().saturating_add(self.tail.as_ref().map_or(0, |tail| tail.length))
    }

    /// Replaces the only message of a frame with a tail by an error; false if the frame has no such message.
    /// Such frames are never signed or encrypted.
    fn refuse(&mut self, status: NtStatus) -> bool {
        let message = FRAME_PREFIX..FRAME_PREFIX.saturating_add(Header::SIZE);
        let header = self.bytes.get(message.clone()).and_then(|header| Header::decode(header).ok());
        let Some(header) = header else { return false };
        self.tail = None;
        self.bytes.truncate(message.end);
        let header = Header { status, ..header }.to_bytes();
        if let Some(place) = self.bytes.get_mut(message.clone()) {
            place.copy_from_slice(&header);
        }
        ErrorResponse::default().encode(&mut self.bytes, message.start);
        let length = u32::try_from(self.bytes.len().saturating_sub(FRAME_PREFIX)).unwrap_or(u32::MAX);
        if let Some(prefix) = self.bytes.first_chunk_mut::<FRAME_PREFIX>() {
            *prefix = length.to_be_bytes();
        }
        true
    }
}

/// The bytes of the length before each frame (MS-SMB2 2.1).
pub(super) const FRAME_PREFIX: usize = 4;

/// File content that ends a frame.
pub(crate) struct Tail {
    pub(crate) handle: Arc<dyn vfs::Handle>,
    /// The offset of the content in the file.
    pub(crate) offset: u64,
    /// The number of bytes.
    pub(crate) length: usize,
    /// The open that it is read through; dropping the last reference closes the file.
    pub(crate) open: Option<Arc<Open>>,
    /// The check right before the first byte is sent, which may be long after the READ was accepted.
    pub(crate) may_be_read: Check,
}

/// A check whether an operation is allowed now; the error is the status of the refusal.
pub(crate) type Check = Box<dyn Fn() -> Result<(), NtStatus> + Send + Sync>;

/// The queued frames in their order, and spare buffers for new ones.
#[derive(Default)]
pub(crate) struct Output {
    pub(super) queue: VecDeque<Answer>,
    /// The number of bytes of the first frame that are written.
    written: usize,
    /// The number of queued bytes, including tails.
    waiting: usize,
    /// The number of bytes written since the last query.
    sent: u64,
    /// Empty buffers.
    spare: Vec<Vec<u8>>,
    /// Buffers with the bytes of earlier frames, over which a READ writes. Its data are not filled with zeros first.
    filled: Vec<Vec<u8>>,
    /// True if an answer could not be protected as required.
    failed: bool,
}

impl Output {
    /// Queues a frame.
    pub(crate) fn push(&mut self, answer: Answer) {
        if answer.unsendable {
            self.failed = true;
            return;
        }
        self.waiting += answer.size();
        self.queue.push_back(answer);
    }

    /// Replaces the first frame by an error if nothing of it is sent and its content must not be read any
    /// more.
    fn check_first(&mut self) {
        let Some(first) = self.queue.front_mut().filter(|_| self.written == 0) else { return };
        let Some(Err(status)) = first.tail.as_ref().map(|tail| (tail.may_be_read)()) else { return };
        self.waiting = self.waiting.saturating_sub(first.size());
        self.failed |= !first.refuse(status);
        self.waiting = self.waiting.saturating_add(first.size());
    }

    /// The number of queued bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The number of bytes written since the last call.
    pub(crate) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// An empty buffer.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().or_else(|| self.filled.pop()).unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// A buffer that may have bytes of an earlier frame, so that its length tells how much of its memory can be written over.
    pub(crate) fn filled_buffer(&mut self) -> Vec<u8> {
        self.filled.pop().or_else(|| self.spare.pop()).unwrap_or_default()
    }

    /// Writes until the queue is empty (true) or the socket accepts no more (false).
    pub(crate) fn write(&mut self, socket: &TcpStream) -> io::Result<bool> {
        loop {
            self.check_first();
            self.check_protected()?;
            let Some(first) = self.queue.front_mut() else { return Ok(true) };
            let done = if first.bytes.len() > self.written {
                if first.tail.is_some() {
                    // MSG_MORE: the header is sent in one segment with the file content.
                    let rest = first.bytes.get(self.written..).unwrap_or_default();
                    try_send(socket, |socket| rustix::net::send(socket, rest, SendFlags::MORE))
                } else {
                    self.write_plain(socket)
                }
            } else {
                send_tail(socket, first)
            };
            match done {
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn check_protected(&self) -> io::Result<()> {
        match self.failed {
            true => Err(io::Error::other("an answer could not be signed or sealed")),
            false => Ok(()),
        }
    }

    /// Writes from the start of the queue up to the first frame with a tail.
    fn write_plain(&self, socket: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, answer) in
            slices.iter_mut().zip(self.queue.iter().take_while(|answer| answer.tail.is_none()))
        {
            let from = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(answer.bytes.get(from..).unwrap_or_default());
            count += 1;
        }
        socket.try_write_vectored(slices.get(..count).unwrap_or_default())
    }

    pub(super) fn advance(&mut self, mut sent: usize) {
        self.waiting = self.waiting.saturating_sub(sent);
        self.sent += sent as u64;
        while let Some(first) = self.queue.front_mut() {
            let rest = first.bytes.len().saturating_sub(self.written);
            let step = sent.min(rest);
            self.written += step;
            sent -= step;
            if let Some(tail) = &mut first.tail {
                let step = sent.min(tail.length);
                tail.length -= step;
                tail.offset += step as u64;
                sent -= step;
                if tail.length > 0 {
                    return;
                }
            }
            if self.written < first.bytes.len() {
                return;
            }
            self.written = 0;
            if let Some(done) = self.queue.pop_front() {
                self.keep(done.bytes);
            }
        }
    }

    /// Keeps a buffer for reuse.
    pub(crate) fn keep(&mut self, mut buffer: Vec<u8>) {
        let kept = self.spare.len().saturating_add(self.filled.len());
        if kept >= limits::POOLED_BUFFERS || buffer.capacity() > limits::POOLED_BUFFER_BYTES {
            return;
        }
        if buffer.len() >= limits::FILLED_FROM {
            self.filled.push(buffer);
        } else {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Sends more of the first frame's tail. The frame's length is already on the wire, so if the file was
/// truncated since, zeros replace the missing content, as if the file had been extended again before the
/// read. Otherwise the client would take bytes of the next frame for content.
fn send_tail(socket: &TcpStream, first: &Answer) -> io::Result<usize> {
    let Some(tail) = first.tail.as_ref().filter(|tail| tail.length > 0) else { return Ok(0) };
    let Some(file) = tail.handle.as_fd() else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut offset = tail.offset;
    let mut send =
        || try_send(socket, |socket| rustix::fs::sendfile(socket, file, Some(&mut offset), tail.length));
    // The call may wait for content that is no longer in memory.
    let sent = match &tail.open {
        Some(open) => open.tree().share.bulkhead.call(send),
        None => send(),
    };
    match sent? {
        0 => {
            let zeros = ZEROS.get(..tail.length).unwrap_or(&ZEROS);
            try_send(socket, |socket| rustix::net::send(socket, zeros, SendFlags::empty()))
        }
        sent => Ok(sent),
    }
}

fn try_send(
    socket: &TcpStream,
    send: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> Result<usize, Errno>,
) -> io::Result<usize> {
    socket.try_io(Interest::WRITABLE, || Ok(send(socket.as_fd())?))
}

/// Frames written with one system call.
const MAX_SLICES: usize = 64;

static ZEROS: [u8; 4096] = [0; 4096];

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use vfs::local::{LocalBackend, LocalOptions};
    use vfs::{Actor, Backend as _, RelativePath, Wanted};

    use super::*;

    /// A file of this size, and the two ends of a connection.
    async fn file_and_sockets(size: usize) -> (Arc<dyn vfs::Handle>, TcpStream, TcpStream) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), vec![b'x'; size]).unwrap();
        let backend = LocalBackend::open(directory.path(), LocalOptions::default()).unwrap();
        let path = RelativePath::new("f").unwrap();
        let handle = backend.open(&Actor::Process, &path, Wanted::READ).unwrap().handle;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (handle, client.unwrap(), server.unwrap().0)
    }

    async fn write_all(output: &mut Output, socket: &TcpStream) {
        while !output.write(socket).unwrap() {
            socket.writable().await.unwrap();
        }
    }

    #[test]
    fn buffers_are_reused_with_their_bytes_only_for_data() {
        let mut output = Output::default();
        let large = vec![7; limits::FILLED_FROM];
        output.keep(large.clone());
        output.keep(b"small".to_vec());
        let small = output.buffer();
        assert!(small.is_empty() && small.capacity() != 0);
        output.keep(small);
        assert_eq!(output.filled_buffer(), large);
        let small = output.filled_buffer();
        assert!(small.is_empty() && small.capacity() != 0, "it is better than none");
        output.keep(large);
        let emptied = output.buffer();
        assert!(emptied.is_empty() && emptied.capacity() >= limits::FILLED_FROM, "better than none");
        for _ in 0..=limits::POOLED_BUFFERS {
            output.keep(b"small".to_vec());
            output.keep(vec![7; limits::FILLED_FROM]);
        }
        assert_eq!(output.spare.len() + output.filled.len(), limits::POOLED_BUFFERS);
    }

    #[tokio::test]
    async fn a_file_truncated_during_a_read_is_padded_with_zeros() {
        const LENGTH: usize = 100_000;
        let (handle, mut client, server) = file_and_sockets(5_000).await;
        let mut output = Output::default();
        let may_be_read: Check = Box::new(|| Ok(()));
        let tail = Tail { handle, offset: 1_000, length: LENGTH, open: None, may_be_read };
        output.push(Answer { bytes: b"read".to_vec(), tail: Some(tail), unsendable: false });
        output.push(Answer { bytes: b"next".to_vec(), tail: None, unsendable: false });
        let mut told = vec![0; 4 + LENGTH + 4];
        let (_, read) = tokio::join!(write_all(&mut output, &server), client.read_exact(&mut told));
        read.unwrap();
        let expected = [&b"read"[..], &[b'x'; 4_000], &[0; LENGTH - 4_000], b"next"].concat();
        assert!(told == expected);
        assert_eq!((output.waiting(), output.take_sent()), (0, expected.len() as u64));
    }

    #[tokio::test]
    async fn content_locked_after_its_read_was_accepted_is_not_sent() {
        const LENGTH: usize = 16 << 20;
        let (handle, mut client, server) = file_and_sockets(LENGTH).await;
        let is_locked = Arc::new(AtomicBool::new(false));
        let mut output = Output::default();
        for number in 0..3 {
            let asked = Arc::clone(&is_locked);
            let may_be_read: Check = Box::new(move || match asked.load(Ordering::Relaxed) {
                true => Err(NtStatus::FILE_LOCK_CONFLICT),
                false => Ok(()),
            });
            let header = Header { message_id: wire::MessageId(number), ..Header::default() };
            let mut bytes = u32::try_from(Header::SIZE + 4 + LENGTH).unwrap().to_be_bytes().to_vec();
            bytes.extend(header.to_bytes());
            bytes.extend(b"body");
            let tail =
                Tail { handle: Arc::clone(&handle), offset: 0, length: LENGTH, open: None, may_be_read };
            output.push(Answer { bytes, tail: Some(tail), unsendable: false });
        }
        assert!(!output.write(&server).unwrap(), "the socket takes no such amount");
        is_locked.store(true, Ordering::Relaxed);
        let frames = async {
            let mut told = Vec::new();
            for _ in 0..3 {
                let length = client.read_u32().await.unwrap();
                let mut frame = vec![0; usize::try_from(length).unwrap()];
                client.read_exact(&mut frame).await.unwrap();
                told.push(frame);
            }
            told
        };
        let (_, frames) = tokio::join!(write_all(&mut output, &server), frames);
        assert_eq!(frames[0].len(), Header::SIZE + 4 + LENGTH, "what has begun goes on");
        for (number, frame) in (1..).zip(&frames[1..]) {
            let header = Header::decode(frame).unwrap();
            assert_eq!((header.message_id.0, header.status), (number, NtStatus::FILE_LOCK_CONFLICT));
            assert_eq!(frame.len(), Header::SIZE + 9, "an error without data");
        }
        assert_eq!(output.waiting(), 0);
    }
}
