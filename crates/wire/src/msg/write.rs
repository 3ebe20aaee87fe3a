//! SMB2 WRITE (MS-SMB2 2.2.21, 2.2.22).

use super::read::Channel;
use super::{behind, fixed, put_variable, size, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u32};
use crate::ids::FileId;
use crate::limits::WRITE_DATA_OFFSET_MAX;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.21).
    WriteFlags(u32) {
        /// SMB2_WRITEFLAG_WRITE_THROUGH.
        WRITE_THROUGH = 1,
        /// SMB2_WRITEFLAG_WRITE_UNBUFFERED.
        WRITE_UNBUFFERED = 2,
    }
}

/// SMB2 WRITE Request (MS-SMB2 2.2.21). Channel information is checked for its bounds and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteRequest<'a> {
    /// `Offset`.
    pub offset: u64,
    /// `FileId`.
    pub file_id: FileId,
    /// `Channel`.
    pub channel: Channel,
    /// `RemainingBytes`.
    pub remaining_bytes: u32,
    /// `Flags`.
    pub flags: WriteFlags,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> WriteRequest<'a> {
    /// The offset of the data from the header in the output of [`Self::encode`].
    pub const DATA_OFFSET: usize = 112;

    /// Reads the message.
    #[inline]
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let (write, data_offset, length) = Self::decode_fixed(message)?;
        let data = variable(message, REQUEST_FIXED, data_offset.into(), length)?;
        Ok(Self { data, ..write })
    }

    /// Reads the first [`Self::DATA_OFFSET`] bytes of a message that ends with its data, which are not in memory. The
    /// result has none. `length` bytes of data must follow, no more and no less.
    #[inline]
    pub fn decode_without_data(message: &'a [u8], length: usize) -> Result<Self, DecodeError> {
        let (write, data_offset, announced) = Self::decode_fixed(message)?;
        let is_at_end = message.len() == Self::DATA_OFFSET && usize::from(data_offset) == Self::DATA_OFFSET;
        if is_at_end && size(announced)? == length { Ok(write) } else { Err(DecodeError::OffsetOutOfRange) }
    }

    /// The request without its data, their offset and their length.
    #[inline]
    fn decode_fixed(message: &'a [u8]) -> Result<(Self, u16, u32), DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let data_offset = cursor.u16()?;
        let length = cursor.u32()?;
        let offset = cursor.u64()?;
        let file_id = cursor.file_id()?;
        let channel = Channel(cursor.u32()?);
        let remaining_bytes = cursor.u32()?;
        let info_offset = cursor.u16()?;
        let info_length = cursor.u16()?;
        let flags = WriteFlags(cursor.u32()?);
        if usize::from(data_offset) > WRITE_DATA_OFFSET_MAX {
            return Err(DecodeError::OffsetOutOfRange);
        }
        if channel != Channel::NONE {
            variable(message, REQUEST_FIXED, info_offset.into(), info_length.into())?;
        }
        Ok((Self { offset, file_id, channel, remaining_bytes, flags, data: &[] }, data_offset, length))
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(behind(48));
        out.put_u32(wire_u32(self.data.len()));
        out.put_u64(self.offset);
        out.put_file_id(self.file_id);
        out.put_u32(self.channel.0);
        out.put_u32(self.remaining_bytes);
        out.put_u32(0);
        out.put_u32(self.flags.0);
        put_variable(out, self.data);
    }
}

/// SMB2 WRITE Response (MS-SMB2 2.2.22).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteResponse {
    /// `Count`: the bytes written.
    pub count: u32,
}

impl WriteResponse {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<16>(message, RESPONSE_SIZE)?;
        cursor.skip(2)?;
        Ok(Self { count: cursor.u32()? })
    }

    /// Appends the body.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u16(0);
        out.put_u32(self.count);
        out.put_u64(0);
    }
}

const REQUEST_SIZE: u16 = 49;
const REQUEST_FIXED: usize = 48;
const RESPONSE_SIZE: u16 = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Header;

    #[test]
    fn a_request_is_read_without_its_data_only_if_they_are_all_that_follows() {
        let file_id = FileId { persistent: 3, volatile: 4 };
        let write = WriteRequest { offset: 5, file_id, data: &[7; 100], ..WriteRequest::default() };
        let mut message = Header::default().to_bytes().to_vec();
        write.encode(&mut message, 0);
        let (head, data) = message.split_at(WriteRequest::DATA_OFFSET);
        assert_eq!(data.len(), 100);
        let read = WriteRequest::decode_without_data(head, 100);
        assert_eq!(read, Ok(WriteRequest { data: &[], ..write }));
        for length in [0, 99, 101] {
            assert!(WriteRequest::decode_without_data(head, length).is_err(), "{length}");
        }
        assert!(WriteRequest::decode_without_data(&message, 100).is_err(), "the data are in memory");
        assert!(WriteRequest::decode_without_data(&head[..100], 100).is_err(), "a part of the fixed part");
        let mut padded = head.to_vec();
        padded[66..68].copy_from_slice(&120_u16.to_le_bytes());
        assert!(WriteRequest::decode_without_data(&padded, 100).is_err(), "padding before the data");
    }
}
