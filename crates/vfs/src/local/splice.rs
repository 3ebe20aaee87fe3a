//! Writes the bytes of a socket to a file without copying them to the memory of this process (splice(2)).
//!
//! The kernel moves bytes between a socket and a file by a pipe only. Each thread keeps one. It is empty between two
//! writes, because a pipe that could not be emptied is closed.

use crate::error::{Error, Result};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The size of a pipe: the default limit for users (`/proc/sys/fs/pipe-max-size`). With a smaller pipe, a write of this
/// size takes several steps, which cost more than the copy that they avoid.
const PIPE_BYTES: usize = 1024 * 1024;

/// The result of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The number of bytes that were written: less than all only as with [`crate::Handle::write_at`].
    Count(usize),
    /// The file system takes no data from a pipe; here they are.
    Refused(Vec<u8>),
}

thread_local! {
    static PIPE: RefCell<Own> = const { RefCell::new(Own::Missing) };
}

/// The pipe of a thread.
enum Own {
    /// No pipe yet, or none any more.
    Missing,
    Present(Pipe),
    /// The kernel gives this user no pipes of this size. A later request is not made by this thread.
    Denied,
}

struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
}

impl Pipe {
    fn open() -> rustix::io::Result<Self> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&input, PIPE_BYTES)?;
        Ok(Self { output, input })
    }
}

/// Writes the next `length` bytes of a socket, which have arrived, at `offset`. Bytes that were taken from the socket are
/// added to `taken`, also before an error.
pub(super) fn write(
    socket: BorrowedFd<'_>,
    length: usize,
    file: BorrowedFd<'_>,
    offset: u64,
    taken: &mut usize,
) -> Result<Written> {
    PIPE.with_borrow_mut(|own| {
        // Until the write has succeeded, an early return closes the pipe with the bytes in it.
        let pipe = match std::mem::replace(own, Own::Missing) {
            Own::Present(pipe) => pipe,
            Own::Missing => match Pipe::open() {
                Ok(pipe) => pipe,
                Err(error) => {
                    tracing::debug!(%error, "no pipe for large writes; their data are copied");
                    *own = Own::Denied;
                    return Err(Error::NotSupported);
                }
            },
            Own::Denied => {
                *own = Own::Denied;
                return Err(Error::NotSupported);
            }
        };
        let mut write = Write { pipe: &pipe, socket, file, offset, length, taken, done: 0 };
        let written = write.all()?;
        if written == Written::Count(length) {
            *own = Own::Present(pipe);
        }
        Ok(written)
    })
}

/// A write under way.
struct Write<'a> {
    pipe: &'a Pipe,
    socket: BorrowedFd<'a>,
    file: BorrowedFd<'a>,
    /// The place in the file for the next byte.
    offset: u64,
    length: usize,
    taken: &'a mut usize,
    /// The bytes that are in the file.
    done: usize,
}

impl Write<'_> {
    fn all(&mut self) -> Result<Written> {
        while self.done < self.length {
            let mut piped = match self.take() {
                Ok(piped) => piped,
                // The file has changed, and others must get to know that.
                Err(_) if self.done > 0 => return Ok(Written::Count(self.done)),
                Err(error) => return Err(error),
            };
            while piped > 0 {
                let sent = splice(
                    &self.pipe.output,
                    None,
                    self.file,
                    Some(&mut self.offset),
                    piped,
                    SpliceFlags::MOVE,
                );
                match sent {
                    Ok(0) => return Ok(Written::Count(self.done)),
                    Ok(sent) => {
                        piped = piped.saturating_sub(sent);
                        self.done = self.done.saturating_add(sent);
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.done == 0 => {
                        return self.read(piped).map(Written::Refused);
                    }
                    Err(_) if self.done > 0 => return Ok(Written::Count(self.done)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(Written::Count(self.done))
    }

    /// Moves bytes from the socket to the empty pipe, as many as fit, and returns their number.
    fn take(&mut self) -> Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            let rest = self.length.saturating_sub(self.done);
            match splice(self.socket, None, &self.pipe.input, None, rest, flags) {
                Ok(0) => return Err(missing()),
                Ok(taken) => {
                    *self.taken = self.taken.saturating_add(taken);
                    return Ok(taken);
                }
                Err(Errno::INTR) => {}
                // Not from such a socket, or not by this process (seccomp(2)). The caller can read the bytes.
                Err(_) if self.done == 0 => return Err(Error::NotSupported),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the bytes in the pipe, and the rest from the socket.
    fn read(&mut self, piped: usize) -> Result<Vec<u8>> {
        let mut data = vec![0; self.length];
        let (first, rest) = data.split_at_mut_checked(piped).ok_or(Error::InvalidArgument)?;
        fill(first, |buffer| rustix::io::read(&self.pipe.output, buffer))?;
        let taken = &mut *self.taken;
        fill(rest, |buffer| {
            let (_, read) = rustix::net::recv(self.socket, buffer, RecvFlags::DONTWAIT)?;
            *taken = taken.saturating_add(read);
            Ok(read)
        })?;
        Ok(data)
    }
}

/// Fills a buffer by calls of `read`.
fn fill(buffer: &mut [u8], mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match read(rest) {
            Ok(0) => return Err(missing()),
            Ok(read) => done = done.saturating_add(read),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The error for bytes that the caller expected in the socket.
fn missing() -> Error {
    Error::Io(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, SealFlags};
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileExt as _;

    /// The two ends of a connection, of which the second has received these bytes. They must fit into its first window.
    fn received(bytes: &[u8]) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        receiver.set_nonblocking(true).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.write_all(bytes).unwrap());
            while rustix::io::ioctl_fionread(&receiver).unwrap() < bytes.len() as u64 {
                std::thread::yield_now();
            }
        });
        (sender, receiver)
    }

    fn content(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 3 + at / 1000 + seed) as u8).collect()
    }

    fn write_at(socket: &TcpStream, length: usize, file: &File, offset: u64) -> (Result<Written>, usize) {
        let mut taken = 0;
        let written = write(socket.as_fd(), length, file.as_fd(), offset, &mut taken);
        (written, taken)
    }

    #[test]
    fn bytes_of_a_socket_go_to_their_place_and_later_ones_stay_in_the_socket() {
        let file = tempfile::tempfile().unwrap();
        for (round, length) in [1, 4096, 50_000, 40_000].into_iter().enumerate() {
            let sent = content(length + 5, round);
            let (_sender, mut socket) = received(&sent);
            let (written, taken) = write_at(&socket, length, &file, 1000);
            assert_eq!((written.unwrap(), taken), (Written::Count(length), length));
            let mut stored = vec![0; length];
            file.read_exact_at(&mut stored, 1000).unwrap();
            assert!(stored == sent[..length], "{length} bytes");
            let mut rest = [0; 5];
            socket.read_exact(&mut rest).unwrap();
            assert_eq!(rest, sent[length..]);
        }
    }

    #[test]
    fn a_file_that_cannot_grow_takes_a_part_and_no_later_write_gets_the_rest() {
        const ROOM: usize = 20_480;
        let full = rustix::fs::memfd_create("full", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        let full = File::from(full);
        full.set_len(ROOM as u64).unwrap();
        rustix::fs::fcntl_add_seals(&full, SealFlags::GROW).unwrap();
        let sent = content(50_000, 1);
        let (_sender, socket) = received(&sent);
        let (written, taken) = write_at(&socket, sent.len(), &full, 0);
        assert_eq!(written.unwrap(), Written::Count(ROOM));
        assert!(taken > ROOM);
        let mut stored = vec![0; ROOM];
        full.read_exact_at(&mut stored, 0).unwrap();
        assert!(stored == sent[..ROOM]);

        let (_sender, socket) = received(&sent);
        let (written, _) = write_at(&socket, sent.len(), &full, ROOM as u64);
        assert!(written.is_err(), "{written:?}");

        let file = tempfile::tempfile().unwrap();
        let sent = content(50_000, 2);
        let (_sender, socket) = received(&sent);
        assert_eq!(write_at(&socket, sent.len(), &file, 0).0.unwrap(), Written::Count(sent.len()));
        let mut stored = vec![0; sent.len()];
        file.read_exact_at(&mut stored, 0).unwrap();
        assert!(stored == sent);
    }

    #[test]
    fn data_that_the_file_takes_from_no_pipe_are_returned() {
        // The kernel refuses to splice to a file that appends.
        let directory = tempfile::tempdir().unwrap();
        let file = File::options().append(true).create(true).open(directory.path().join("f")).unwrap();
        let sent = content(50_000, 3);
        let (_sender, mut socket) = received(&[&sent[..], b"next"].concat());
        let (written, taken) = write_at(&socket, sent.len(), &file, 0);
        assert!(written.unwrap() == Written::Refused(sent.clone()));
        assert_eq!(taken, sent.len());
        let mut next = [0; 4];
        socket.read_exact(&mut next).unwrap();
        assert_eq!(next, *b"next");
    }

    #[test]
    fn a_socket_that_gives_the_pipe_nothing_is_left_to_the_caller() {
        let file = tempfile::tempfile().unwrap();
        let (_sender, socket) = received(&[]);
        let (written, taken) = write_at(&socket, 1000, &file, 0);
        assert!(matches!(written, Err(Error::NotSupported)), "{written:?}");
        assert_eq!(taken, 0);
    }

    #[test]
    fn of_a_socket_with_fewer_bytes_all_are_written() {
        let file = tempfile::tempfile().unwrap();
        let (_sender, socket) = received(&content(1000, 4));
        let (written, taken) = write_at(&socket, 2000, &file, 0);
        assert_eq!((written.unwrap(), taken), (Written::Count(1000), 1000));
    }
}
