//! The data of a large WRITE that are still in the connection's socket while the request is handled.
//!
//! Nothing else is read from the socket meanwhile, so they leave it in the first poll of the request, before anything can
//! wait: the handler writes them to the file, or [`UnreadData::settle`] reads or discards them.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use parking_lot::Mutex;
use rustix::net::RecvFlags;
use tokio::net::TcpStream;
use wire::NtStatus;
use wire::header::{Command, Header};
use wire::msg::WriteRequest;

use crate::core::status::OrStatus;

/// The data of a WRITE that have arrived and were not read yet.
#[derive(Debug)]
pub(crate) struct UnreadData {
    length: usize,
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// In the socket.
    Socket(OwnedFd),
    Memory(Vec<u8>),
    /// Nowhere: written or discarded.
    Gone,
    /// Partly in the socket, from which they cannot be read: the next frame cannot be found.
    Lost(io::Error),
}

impl UnreadData {
    /// The next `length` bytes of a socket.
    pub(super) fn new(socket: &TcpStream, length: usize) -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(socket, 0)?;
        Ok(Self { length, place: Mutex::new(Place::Socket(socket)) })
    }

    /// True for the first part of a frame that is a single WRITE without a signature, which is handled without looking at its
    /// data, if they are exactly the `length` bytes that follow. All other frames are decoded in memory.
    pub(super) fn may_follow(head: &[u8], length: usize) -> bool {
        let is_single = Header::decode(head).is_ok_and(|header| {
            header.command == Command::WRITE
                && header.next_command == 0
                && !header.is_signed()
                && !header.is_related()
                && !header.is_response()
        });
        is_single && WriteRequest::decode_without_data(head, length).is_ok()
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Writes the data as [`vfs::Handle::write_at`] does.
    pub(crate) fn write_to(&self, handle: &dyn vfs::Handle, offset: u64) -> Result<usize, NtStatus> {
        let mut place = self.place.lock();
        if let Place::Socket(socket) = &*place {
            let mut taken = 0;
            let written = handle.write_from(socket.as_fd(), self.length, offset, &mut taken);
            // The file system may refuse the data, too, after they were taken: then nothing of this WRITE is left to be read.
            if taken > 0 || !matches!(written, Err(vfs::Error::NotSupported)) {
                let rest = self.length.saturating_sub(taken);
                *place = match discard(socket, rest) {
                    Ok(()) => Place::Gone,
                    Err(error) => Place::Lost(error),
                };
                return written.or_status();
            }
        }
        handle.write_at(place.read(self.length)?, offset).or_status()
    }

    /// Calls `work` with the data in memory.
    pub(crate) fn with_bytes<T>(&self, work: impl FnOnce(&[u8]) -> T) -> Result<T, NtStatus> {
        Ok(work(self.place.lock().read(self.length)?))
    }

    /// A copy of the data.
    pub(crate) fn to_vec(&self) -> Result<Vec<u8>, NtStatus> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Takes the data out of the socket: into memory if the request may still need them. Must be called before the next frame
    /// is read. An error ends the connection.
    pub(super) fn settle(&self, are_needed: bool) -> io::Result<()> {
        let mut place = self.place.lock();
        match &mut *place {
            Place::Socket(_) if are_needed => place.load(self.length),
            Place::Socket(socket) => discard(socket, self.length)?,
            Place::Memory(_) | Place::Gone | Place::Lost(_) => {}
        }
        match std::mem::replace(&mut *place, Place::Gone) {
            Place::Lost(error) => Err(error),
            Place::Memory(data) if are_needed => {
                *place = Place::Memory(data);
                Ok(())
            }
            Place::Memory(_) | Place::Socket(_) | Place::Gone => Ok(()),
        }
    }
}

impl Place {
    /// The data in memory.
    fn read(&mut self, length: usize) -> Result<&[u8], NtStatus> {
        self.load(length);
        match self {
            Self::Memory(data) => Ok(data),
            Self::Socket(_) | Self::Gone | Self::Lost(_) => Err(NtStatus::INTERNAL_ERROR),
        }
    }

    fn load(&mut self, length: usize) {
        let Self::Socket(socket) = self else { return };
        let mut data = vec![0; length];
        *self = match receive(socket, &mut data) {
            Ok(()) => Self::Memory(data),
            Err(error) => Self::Lost(error),
        };
    }
}

fn discard(socket: &OwnedFd, mut length: usize) -> io::Result<()> {
    let mut buffer = vec![0; length.min(DISCARDED_AT_ONCE)];
    while length > 0 {
        let step = length.min(buffer.len());
        receive(socket, buffer.get_mut(..step).unwrap_or_default())?;
        length = length.saturating_sub(step);
    }
    Ok(())
}

/// Reads bytes that have arrived.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::net::recv(socket, rest, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, read)) => done = done.saturating_add(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The memory for data that nobody needs, in bytes.
const DISCARDED_AT_ONCE: usize = 64 * 1024;
