//! SMB2 WRITE (MS-SMB2 2.2.21, 2.2.22).

use super::read::Channel;
use super::{behind, fixed, put_variable, variable};
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
        let data = variable(message, REQUEST_FIXED, data_offset.into(), length)?;
        Ok(Self { offset, file_id, channel, remaining_bytes, flags, data })
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
