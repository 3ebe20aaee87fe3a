//! What waits to be written to a connection's socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::core::limits;
use crate::core::open::Open;

/// One frame to be written.
pub(crate) struct Answer {
    /// The frame, its four bytes of length included; without the tail's bytes, which the length counts.
    pub(crate) bytes: Vec<u8>,
    /// File content that follows, sent from the page cache.
    pub(crate) tail: Option<Tail>,
    /// Whether it must not be sent: it could not be signed or sealed.
    pub(crate) unsendable: bool,
}

impl Answer {
    /// An answer that could not be signed or sealed.
    pub(crate) fn unsendable() -> Self {
        Self { bytes: Vec::new(), tail: None, unsendable: true }
    }
}

/// File content that ends a frame.
pub(crate) struct Tail {
    pub(crate) handle: Arc<dyn vfs::Handle>,
    /// Where in the file the content begins, bytes.
    pub(crate) offset: u64,
    /// How much of it there is, bytes.
    pub(crate) length: usize,
    /// The open that it is read through; it closes the file, should it be the last to have it.
    pub(crate) open: Option<Arc<Open>>,
}

/// The frames that wait, in order, and spare buffers for new ones.
#[derive(Default)]
pub(crate) struct Output {
    pub(super) queue: VecDeque<Answer>,
    /// How much of the first frame's bytes is written.
    written: usize,
    /// Bytes that wait, tails included.
    waiting: usize,
    /// Bytes written since somebody asked.
    sent: u64,
    spare: Vec<Vec<u8>>,
    /// Whether an answer could not be protected as it had to be.
    failed: bool,
}

impl Output {
    /// Queues a frame.
    pub(crate) fn push(&mut self, answer: Answer) {
        if answer.unsendable {
            self.failed = true;
            return;
        }
        self.waiting += answer.bytes.len() + answer.tail.as_ref().map_or(0, |tail| tail.length);
        self.queue.push_back(answer);
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes written since the last time.
    pub(crate) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// An empty buffer.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Writes until nothing waits (true) or the socket takes no more (false).
    pub(crate) fn write(&mut self, socket: &TcpStream) -> io::Result<bool> {
        if self.failed {
            return Err(io::Error::other("an answer could not be signed or sealed"));
        }
        while let Some(first) = self.queue.front_mut() {
            let done = if first.bytes.len() > self.written {
                if first.tail.is_some() {
                    // MSG_MORE: the header travels with the file content that follows it.
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
        Ok(true)
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

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < limits::POOLED_BUFFERS && buffer.capacity() <= limits::POOLED_BUFFER_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Sends more of the first frame's tail. The frame's length is on the wire already: where the file has been cut short
/// since, zeros stand for what is gone, as if it had been cut and made longer again before it was read. Otherwise the
/// client would take the next frame's bytes for this one's.
fn send_tail(socket: &TcpStream, first: &Answer) -> io::Result<usize> {
    let Some(tail) = first.tail.as_ref().filter(|tail| tail.length > 0) else { return Ok(0) };
    let Some(file) = tail.handle.as_fd() else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut offset = tail.offset;
    let mut send =
        || try_send(socket, |socket| rustix::fs::sendfile(socket, file, Some(&mut offset), tail.length));
    // What is no longer in memory is waited for.
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

/// Frames written by one system call.
const MAX_SLICES: usize = 64;

static ZEROS: [u8; 4096] = [0; 4096];

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use vfs::local::{LocalBackend, LocalOptions};
    use vfs::{Actor, Backend as _, RelativePath, Wanted};

    use super::*;

    #[tokio::test]
    async fn a_file_that_was_cut_short_ends_in_zeros_and_the_next_frame_follows() {
        const LENGTH: usize = 100_000;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), [b'x'; 5_000]).unwrap();
        let backend = LocalBackend::open(directory.path(), LocalOptions::default()).unwrap();
        let path = RelativePath::new("f").unwrap();
        let handle = backend.open(&Actor::Process, &path, Wanted::READ).unwrap().handle;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (mut client, (server, _)) = (client.unwrap(), server.unwrap());
        let mut output = Output::default();
        let tail = Tail { handle, offset: 1_000, length: LENGTH, open: None };
        output.push(Answer { bytes: b"read".to_vec(), tail: Some(tail), unsendable: false });
        output.push(Answer { bytes: b"next".to_vec(), tail: None, unsendable: false });
        let write = async {
            while !output.write(&server).unwrap() {
                server.writable().await.unwrap();
            }
        };
        let mut told = vec![0; 4 + LENGTH + 4];
        let (_, read) = tokio::join!(write, client.read_exact(&mut told));
        read.unwrap();
        let expected = [&b"read"[..], &[b'x'; 4_000], &[0; LENGTH - 4_000], b"next"].concat();
        assert!(told == expected);
        assert_eq!((output.waiting(), output.take_sent()), (0, expected.len() as u64));
    }
}
