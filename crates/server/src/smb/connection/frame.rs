//! The memory of a frame, and the pool of memory for large frames.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;

use super::unread::UnreadData;
use crate::core::limits;

/// A received frame without its four bytes of length.
#[derive(Debug)]
pub(crate) struct Frame {
    memory: Memory,
    /// The first byte that was not removed.
    start: usize,
    /// The data at the end of the frame that are not in its memory.
    unread: Option<Arc<UnreadData>>,
}

#[derive(Debug)]
enum Memory {
    /// Memory that may be shared with other frames of the connection.
    Shared(BytesMut),
    /// Memory of the pool.
    Pooled(Pooled),
}

impl Frame {
    /// A frame of which the memory has only the first part.
    pub(super) fn with_unread(first: Pooled, unread: UnreadData) -> Self {
        Self { unread: Some(Arc::new(unread)), ..Self::from(first) }
    }

    /// The data that are not in its memory.
    pub(super) fn unread(&self) -> Option<&Arc<UnreadData>> {
        self.unread.as_ref()
    }

    /// The number of bytes, in memory or not.
    pub(super) fn size(&self) -> usize {
        self.len().saturating_add(self.unread.as_ref().map_or(0, |unread| unread.len()))
    }

    /// Removes bytes from the front.
    pub(crate) fn advance(&mut self, count: usize) {
        match &mut self.memory {
            Memory::Shared(bytes) => bytes.advance(count.min(bytes.len())),
            Memory::Pooled(_) => self.start = self.start.saturating_add(count),
        }
    }
}

impl From<BytesMut> for Frame {
    fn from(bytes: BytesMut) -> Self {
        Self { memory: Memory::Shared(bytes), start: 0, unread: None }
    }
}

impl From<Pooled> for Frame {
    fn from(bytes: Pooled) -> Self {
        Self { memory: Memory::Pooled(bytes), start: 0, unread: None }
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Shared(bytes) => bytes,
            Memory::Pooled(bytes) => bytes.0.get(self.start..).unwrap_or_default(),
        }
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Shared(bytes) => bytes,
            Memory::Pooled(bytes) => bytes.0.get_mut(self.start..).unwrap_or_default(),
        }
    }
}

/// Memory for a large frame, which returns to the pool when it is dropped.
///
/// The connections of a server that is busy with large WRITEs use the same few buffers, the last one first, because its
/// bytes are most likely still in a cache of the processor.
#[derive(Debug)]
pub(crate) struct Pooled(Vec<u8>);

impl Pooled {
    /// Memory with room for this number of bytes. It is empty.
    pub(crate) fn with_room(bytes: usize) -> Self {
        let pooled = POOL.lock().take();
        match pooled {
            Some(memory) if memory.capacity() >= bytes => Self(memory),
            _ => Self(Vec::with_capacity(bytes.next_multiple_of(PAGE))),
        }
    }

    /// The bytes, to which more can be appended without an allocation.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        POOL.lock().put(memory);
    }
}

/// Buffers that nobody uses.
#[derive(Debug)]
struct Pool {
    unused: Vec<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { unused: Vec::new(), bytes: 0 });

impl Pool {
    fn take(&mut self) -> Option<Vec<u8>> {
        let memory = self.unused.pop()?;
        self.bytes = self.bytes.saturating_sub(memory.capacity());
        Some(memory)
    }

    fn put(&mut self, mut memory: Vec<u8>) {
        let bytes = self.bytes.saturating_add(memory.capacity());
        if memory.capacity() != 0 && bytes <= limits::POOLED_INPUT {
            memory.clear();
            self.unused.push(memory);
            self.bytes = bytes;
        }
    }
}

/// The unit in which memory is allocated, in bytes.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_buffer_is_used_first_and_the_rest_is_bounded() {
        let mut pool = Pool { unused: Vec::new(), bytes: 0 };
        assert_eq!(pool.take(), None);
        for capacity in [100, 200, limits::POOLED_INPUT, 300] {
            pool.put(Vec::with_capacity(capacity));
        }
        let capacities = std::iter::from_fn(|| pool.take()).map(|it| it.capacity()).collect::<Vec<_>>();
        assert_eq!(capacities, [300, 200, 100], "the one that exceeds the limit was freed");
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn a_returned_buffer_shows_no_bytes_of_an_earlier_frame() {
        let mut memory = Pooled::with_room(64);
        memory.bytes().extend_from_slice(&[7; 64]);
        let mut frame = Frame::from(memory);
        frame.advance(60);
        assert_eq!(*frame, [7; 4]);
        frame.advance(60);
        assert!(frame.is_empty());
        drop(frame);
        assert!(Pooled::with_room(64).bytes().is_empty());
    }
}
