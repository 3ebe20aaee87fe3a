//! What waits to be written to a connection's socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limits;

/// One frame to be written.
pub(crate) struct Answer {
    /// The frame, its four bytes of length included; without the tail's bytes, which the length counts.
    pub(crate) bytes: Vec<u8>,
    /// File content that follows, sent from the page cache.
    pub(crate) tail: Option<Tail>,
}

/// File content that ends a frame.
pub(crate) struct Tail {
    pub(crate) handle: Arc<dyn vfs::Handle>,
    /// Where in the file the content begins, bytes.
    pub(crate) offset: u64,
    /// How much of it there is, bytes.
    pub(crate) length: usize,
}

/// The frames that wait, in order, and spare buffers for new ones.
#[derive(Default)]
pub(crate) struct Output {
    queue: VecDeque<Answer>,
    /// How much of the first frame's bytes is written.
    written: usize,
    /// Bytes that wait, tails included.
    waiting: usize,
    /// Bytes written since somebody asked.
    sent: u64,
    spare: Vec<Vec<u8>>,
}

impl Output {
    /// Queues a frame.
    pub(crate) fn push(&mut self, answer: Answer) {
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

    fn advance(&mut self, mut sent: usize) {
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

/// Sends more of the first frame's tail. The frame's length is already on the wire: a file that
/// has become too short ends the connection, which alone keeps the client from reading one
/// frame's bytes as another's.
fn send_tail(socket: &TcpStream, first: &Answer) -> io::Result<usize> {
    let Some(tail) = first.tail.as_ref().filter(|tail| tail.length > 0) else { return Ok(0) };
    let Some(file) = tail.handle.as_fd() else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut offset = tail.offset;
    let sent = try_send(socket, |socket| rustix::fs::sendfile(socket, file, Some(&mut offset), tail.length))?;
    if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
}

fn try_send(
    socket: &TcpStream,
    send: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> Result<usize, Errno>,
) -> io::Result<usize> {
    socket.try_io(Interest::WRITABLE, || Ok(send(socket.as_fd())?))
}

/// Frames written by one system call.
const MAX_SLICES: usize = 64;
