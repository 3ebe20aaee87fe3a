//! SMB2 LOCK (MS-SMB2 2.2.26).

use super::fixed;
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::header::Header;
use crate::ids::FileId;
use crate::limits::LOCKS_MAX;

bit_mask! {
    /// `Flags` of a lock element (MS-SMB2 2.2.26.1).
    LockFlags(u32) {
        /// SMB2_LOCKFLAG_SHARED_LOCK.
        SHARED_LOCK = 0x01,
        /// SMB2_LOCKFLAG_EXCLUSIVE_LOCK.
        EXCLUSIVE_LOCK = 0x02,
        /// SMB2_LOCKFLAG_UNLOCK.
        UNLOCK = 0x04,
        /// SMB2_LOCKFLAG_FAIL_IMMEDIATELY.
        FAIL_IMMEDIATELY = 0x10,
    }
}

/// SMB2 LOCK Request (MS-SMB2 2.2.26).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockRequest<'a> {
    /// `LockSequenceNumber` in the low four bits, `LockSequenceIndex` above them (2.1 and later).
    pub lock_sequence: u32,
    /// `FileId`.
    pub file_id: FileId,
    /// `Locks`: at least one.
    pub locks: Locks<'a>,
}

impl<'a> LockRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let count = usize::from(cursor.u16()?);
        let lock_sequence = cursor.u32()?;
        let file_id = cursor.file_id()?;
        if count == 0 {
            return Err(DecodeError::Empty);
        }
        if count > LOCKS_MAX {
            return Err(DecodeError::TooMany);
        }
        let elements = message
            .get(Header::SIZE.saturating_add(REQUEST_FIXED)..)
            .and_then(|rest| rest.as_chunks().0.get(..count))
            .ok_or(DecodeError::Truncated)?;
        Ok(Self { lock_sequence, file_id, locks: Locks(elements) })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(wire_u16(self.locks.len()));
        out.put_u32(self.lock_sequence);
        out.put_file_id(self.file_id);
        out.put_bytes(self.locks.0.as_flattened());
    }

    /// `LockSequenceNumber`.
    pub const fn lock_sequence_number(&self) -> u32 {
        self.lock_sequence & 0xf
    }

    /// `LockSequenceIndex`; 0 if the client does not use lock sequences.
    pub const fn lock_sequence_index(&self) -> u32 {
        self.lock_sequence >> 4
    }
}

/// The lock elements of a request as bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks<'a>(&'a [[u8; ELEMENT_SIZE]]);

impl<'a> Locks<'a> {
    /// Fills `buffer` with the elements and gives the list of them.
    pub fn build(elements: &[LockElement], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for element in elements {
            buffer.put_u64(element.offset);
            buffer.put_u64(element.length);
            buffer.put_u32(element.flags.0);
            buffer.put_u32(0);
        }
        Self(buffer.as_chunks().0)
    }

    /// The number of elements.
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// True if there are no elements.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The elements in their order.
    pub fn iter(self) -> impl Iterator<Item = LockElement> + Clone + use<'a> {
        self.0.iter().map(|bytes| LockElement::read(bytes).unwrap_or_default())
    }
}

/// `SMB2_LOCK_ELEMENT` (MS-SMB2 2.2.26.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockElement {
    /// `Offset`.
    pub offset: u64,
    /// `Length`.
    pub length: u64,
    /// `Flags`.
    pub flags: LockFlags,
}

impl LockElement {
    #[inline]
    fn read(bytes: &[u8; ELEMENT_SIZE]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(bytes);
        Ok(Self { offset: cursor.u64()?, length: cursor.u64()?, flags: LockFlags(cursor.u32()?) })
    }
}

const REQUEST_SIZE: u16 = 48;
const REQUEST_FIXED: usize = 24;
const ELEMENT_SIZE: usize = 24;
