//! The arrival of a large frame.
//!
//! The kernel reports new data with every few segments. A task that reads each time wakes up often, and the bytes have left
//! the caches of the processor when the frame is complete. So while a large frame arrives, the kernel reports no data
//! until the whole frame is there (SO_RCVLOWAT, socket(7)); it also does so when the socket can hold no more, or ends. A
//! frame that takes long is read as it arrives.
//!
//! The data of a WRITE that is neither signed nor encrypted stay in the socket, from where they go to the file
//! ([`UnreadData`]).

use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::BufMut as _;
use nix::libc;
use nix::sys::socket::setsockopt;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use super::frame::{Frame, Pooled};
use super::input::InputEnd;
use super::poll_once;
use super::unread::UnreadData;
use crate::core::limits;

/// A large frame that arrives.
#[derive(Debug)]
pub(super) struct LargeFrame {
    memory: Pooled,
    /// The number of bytes of the frame.
    length: usize,
    arrived: usize,
    pub(super) arrival: Arrival,
    /// The rest of a WRITE, which has arrived and stays in the socket until it is written.
    unread: Option<UnreadData>,
}

/// The way in which the bytes of a frame are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing was read yet.
    New,
    /// As soon as all are there, or until this time.
    AtOnce(Instant),
    /// As they arrive.
    InParts,
}

impl LargeFrame {
    /// A frame of `length` bytes, of which the first have arrived.
    pub(super) fn new(length: usize, first: &[u8]) -> Self {
        let mut memory = Pooled::with_room(length);
        memory.bytes().extend_from_slice(first);
        Self { memory, length, arrived: first.len(), arrival: Arrival::New, unread: None }
    }

    /// True if all bytes have arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.arrived >= self.length || self.unread.is_some()
    }

    /// The complete frame.
    pub(super) fn into_frame(self) -> Frame {
        match self.unread {
            Some(unread) => Frame::with_unread(self.memory, unread),
            None => self.memory.into(),
        }
    }

    /// Reads as [`super::FrameReader::fill`] does.
    pub(super) async fn fill(
        &mut self,
        socket: &mut ReadHalf<'_>,
        low_water: &mut LowWater,
    ) -> Result<usize, InputEnd> {
        if self.arrival == Arrival::New && !self.has_arrived(socket.as_ref(), low_water) {
            self.arrival = Arrival::AtOnce(Instant::now() + limits::LARGE_FRAME_PATIENCE);
            return Ok(0);
        }
        let missing = self.length.saturating_sub(self.arrived);
        if let Some(unread) = self.unread_data(socket.as_ref(), missing) {
            self.unread = Some(unread);
            return Ok(missing);
        }
        match poll_once(pin!(socket.read_buf(&mut self.memory.bytes().limit(missing)))).await {
            Poll::Ready(Ok(0)) => Err(InputEnd::Closed),
            Poll::Ready(Ok(bytes)) => {
                self.arrived = self.arrived.saturating_add(bytes);
                if !self.is_whole() {
                    self.await_rest(socket.as_ref(), low_water);
                }
                Ok(bytes)
            }
            Poll::Ready(Err(error)) => Err(InputEnd::Io(error)),
            Poll::Pending => Ok(0),
        }
    }

    /// The rest of the frame, if it is the data of a WRITE that can go from the socket to the file.
    fn unread_data(&mut self, socket: &TcpStream, missing: usize) -> Option<UnreadData> {
        let head = self.memory.bytes();
        if missing < limits::SPLICE_FROM
            || self.arrival == Arrival::InParts
            || !UnreadData::may_follow(head, missing)
            || !rustix::io::ioctl_fionread(socket).is_ok_and(|arrived| arrived >= missing as u64)
        {
            return None;
        }
        // Without another descriptor, the data are read.
        UnreadData::new(socket, missing).ok()
    }

    /// Returns true if the rest of the frame can be read; otherwise, the kernel reports when it can.
    fn has_arrived(&self, socket: &TcpStream, low_water: &mut LowWater) -> bool {
        let wanted = self.wanted();
        // The end of the wait is part of the attempt to read, so that a report that comes in between is not lost.
        let arrived = socket.try_io(Interest::READABLE, || {
            let arrived = rustix::io::ioctl_fionread(socket)?;
            if arrived < wanted as u64 && low_water.raise(socket, wanted) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        // An error is found again by the read.
        !arrived.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes the kernel report the arrival of the rest of a frame of which a part was read.
    fn await_rest(&mut self, socket: &TcpStream, low_water: &mut LowWater) {
        match self.arrival {
            Arrival::AtOnce(_) => {
                low_water.raise(socket, self.wanted());
            }
            Arrival::New | Arrival::InParts => low_water.reset(socket),
        }
    }

    fn wanted(&self) -> usize {
        self.length.saturating_sub(self.arrived).min(limits::LOW_WATER_MAX)
    }

    /// Completes when the frame should be read as it arrives.
    pub(super) async fn overdue(&self) {
        match self.arrival {
            Arrival::AtOnce(until) => tokio::time::sleep_until(until).await,
            Arrival::New | Arrival::InParts => std::future::pending().await,
        }
    }
}

/// The number of bytes that must have arrived at a socket before the kernel reports it as readable.
#[derive(Debug, Default)]
pub(super) enum LowWater {
    /// One.
    #[default]
    Lowest,
    /// More.
    Raised(usize),
    /// One, because the kernel refuses to change it.
    Fixed,
}

impl LowWater {
    /// Sets the number; returns false if it cannot be changed. The kernel reports at once what is there already.
    fn raise(&mut self, socket: &TcpStream, bytes: usize) -> bool {
        match self {
            Self::Fixed => return false,
            Self::Raised(now) if *now == bytes => return true,
            Self::Raised(_) | Self::Lowest => {}
        }
        let is_set = set(socket, bytes);
        *self = if is_set { Self::Raised(bytes) } else { Self::Fixed };
        is_set
    }

    /// Sets the number to one.
    pub(super) fn reset(&mut self, socket: &TcpStream) {
        if let Self::Raised(_) = self {
            *self = if set(socket, 1) { Self::Lowest } else { Self::Fixed };
        }
    }
}

fn set(socket: &TcpStream, bytes: usize) -> bool {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    match setsockopt(socket, ReceiveLowWater, &bytes) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, bytes, "cannot set SO_RCVLOWAT; large requests are read in small parts");
            false
        }
    }
}

/// SO_RCVLOWAT (socket(7)).
#[derive(Clone, Copy, Debug)]
struct ReceiveLowWater;

nix::setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    libc::c_int,
    nix::sys::socket::sockopt::SetStruct<libc::c_int>
);
