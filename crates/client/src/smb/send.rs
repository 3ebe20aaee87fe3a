//! Turns requests into frames, and writes them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use wire::cursor::Put;
use wire::header::{Header, TransformHeader};
use wire::{HeaderFlags, MessageId, NtStatus, TreeOrAsync, frame};

use super::connection::Shared;
use super::error::Error;
use super::limits::SEND_BATCH;
use super::request::{Part, Scope};

/// The room before a message for the frame's prefix and a transform header, so that the message is encrypted in
/// place.
pub(crate) const HEAD_ROOM: usize = frame::PREFIX_SIZE + TransformHeader::SIZE;

/// A message to write: its beginning, and the data after it, which was not copied.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) head: Bytes,
    pub(crate) data: Bytes,
}

impl Frame {
    /// The frame of bytes that are a whole message already.
    pub(crate) fn raw(message: &[u8]) -> Result<Self, Error> {
        let mut head = Vec::with_capacity(frame::PREFIX_SIZE.saturating_add(message.len()));
        head.extend_from_slice(&frame::encode_prefix(message.len())?);
        head.extend_from_slice(message);
        Ok(Self { head: head.into(), data: Bytes::new() })
    }
}

/// The values of one message's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) message_id: MessageId,
    pub(crate) charge: u16,
    pub(crate) credits: u16,
    pub(crate) flags: HeaderFlags,
    pub(crate) next_command: u32,
}

/// Writes the header of `part`, whose message follows the head room, and signs it if `scope` says so.
pub(crate) fn finish_message(part: &mut Part, scope: &Scope, numbers: Numbers) -> Result<(), Error> {
    let replay = if scope.is_replay { HeaderFlags::REPLAY_OPERATION } else { HeaderFlags::NONE };
    let header = Header {
        credit_charge: numbers.charge,
        status: NtStatus(scope.channel_sequence.into()),
        command: part.command,
        credits: numbers.credits,
        flags: numbers.flags | replay,
        next_command: numbers.next_command,
        message_id: numbers.message_id,
        tree: part
            .asynchronous
            .map_or(TreeOrAsync::Tree { process_id: 0, tree_id: scope.tree_id }, TreeOrAsync::Async),
        session_id: scope.session_id,
        ..Header::default()
    };
    part.buffer.patch_bytes(HEAD_ROOM, &header.to_bytes());
    if scope.signed
        && !scope.sealed
        && let Some(key) = scope.state.as_ref().and_then(|state| state.signing.as_ref())
    {
        let message = part.buffer.get_mut(HEAD_ROOM..).unwrap_or_default();
        key.sign_parts(message, &[&part.data])?;
    }
    Ok(())
}

/// The frame of messages that are signed already: `buffer` holds the head room and then all of them but for
/// `data`, which follows.
pub(crate) fn finish_frame(mut buffer: Vec<u8>, mut data: Bytes, scope: &Scope) -> Result<Frame, Error> {
    let mut start = TransformHeader::SIZE;
    if scope.sealed {
        let state = scope.state.as_ref().ok_or(Error::Unable("only messages of a session can be sealed"))?;
        buffer.extend_from_slice(&data);
        data = Bytes::new();
        let header = state.seal(buffer.get_mut(HEAD_ROOM..).unwrap_or_default())?;
        buffer.patch_bytes(frame::PREFIX_SIZE, &header);
        start = 0;
    }
    let behind = start.saturating_add(frame::PREFIX_SIZE);
    let length = buffer.len().saturating_sub(behind).saturating_add(data.len());
    buffer.patch_bytes(start, &frame::encode_prefix(length)?);
    let mut head = Bytes::from(buffer);
    head.advance(start);
    Ok(Frame { head, data })
}

/// Writes frames until there are no more senders or the connection breaks.
pub(crate) async fn write_frames<W: AsyncWrite + Unpin>(
    mut to: W,
    mut frames: mpsc::Receiver<Frame>,
    shared: Arc<Shared>,
) {
    let mut batch = Vec::with_capacity(SEND_BATCH);
    let mut queue = Queue::default();
    while frames.recv_many(&mut batch, SEND_BATCH).await > 0 {
        for frame in batch.drain(..) {
            queue.push(frame.head);
            queue.push(frame.data);
        }
        if let Err(error) = to.write_all_buf(&mut queue).await {
            shared.end(error.into());
            return;
        }
    }
    // It does not matter if the peer notices the end by a FIN or by a reset.
    to.shutdown().await.ok();
}

/// Bytes in several pieces, written with one system call if possible.
#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Queue {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining = self.remaining.saturating_add(piece.len());
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Queue {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.pieces);
        filled.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.remaining = self.remaining.saturating_sub(count);
        while let Some(piece) = self.pieces.front_mut().filter(|_| count > 0) {
            let step = count.min(piece.len());
            piece.advance(step);
            count -= step;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_written_completely_by_partial_writes() {
        let mut queue = Queue::default();
        for piece in ["one", "", "two", "three"] {
            queue.push(Bytes::from_static(piece.as_bytes()));
        }
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(queue.chunks_vectored(&mut slices), 3);
        queue.advance(4);
        assert_eq!(queue.chunk(), b"wo");
        queue.advance(7);
        assert_eq!(queue.remaining(), 0);
        assert!(queue.chunk().is_empty());
    }
}
