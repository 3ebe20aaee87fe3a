//! SMB2 READ (MS-SMB2 2.2.19, 2.2.20).

use super::{behind, fixed, variable};
use crate::cursor::{DecodeError, Put, wire_u32};
use crate::header::Header;
use crate::ids::FileId;
use crate::{bit_mask, wire_enum};

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.19).
    ReadFlags(u8) {
        /// SMB2_READFLAG_READ_UNBUFFERED.
        READ_UNBUFFERED = 1,
        /// SMB2_READFLAG_REQUEST_COMPRESSED.
        REQUEST_COMPRESSED = 2,
    }
}

wire_enum! {
    /// `Channel` of READ and WRITE (MS-SMB2 2.2.19, 2.2.21).
    Channel(u32) {
        /// SMB2_CHANNEL_NONE.
        NONE = 0,
        /// SMB2_CHANNEL_RDMA_V1.
        RDMA_V1 = 1,
        /// SMB2_CHANNEL_RDMA_V1_INVALIDATE.
        RDMA_V1_INVALIDATE = 2,
        /// SMB2_CHANNEL_RDMA_TRANSFORM.
        RDMA_TRANSFORM = 3,
    }
}

/// SMB2 READ Request (MS-SMB2 2.2.19). Channel information is checked for its bounds and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// `Padding`: the offset that the client prefers for the data of the response.
    pub padding: u8,
    /// `Flags`.
    pub flags: ReadFlags,
    /// `Length`.
    pub length: u32,
    /// `Offset`.
    pub offset: u64,
    /// `FileId`.
    pub file_id: FileId,
    /// `MinimumCount`: fewer bytes than these are an END_OF_FILE.
    pub minimum_count: u32,
    /// `Channel`.
    pub channel: Channel,
    /// `RemainingBytes`.
    pub remaining_bytes: u32,
}

impl ReadRequest {
    /// Reads the message.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let padding = cursor.u8()?;
        let flags = ReadFlags(cursor.u8()?);
        let length = cursor.u32()?;
        let offset = cursor.u64()?;
        let file_id = cursor.file_id()?;
        let minimum_count = cursor.u32()?;
        let channel = Channel(cursor.u32()?);
        let remaining_bytes = cursor.u32()?;
        if channel != Channel::NONE {
            let info_offset = cursor.u16()?;
            let info_length = cursor.u16()?;
            variable(message, REQUEST_FIXED, info_offset.into(), info_length.into())?;
        }
        Ok(Self { padding, flags, length, offset, file_id, minimum_count, channel, remaining_bytes })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u8(self.padding);
        out.put_u8(self.flags.0);
        out.put_u32(self.length);
        out.put_u64(self.offset);
        out.put_file_id(self.file_id);
        out.put_u32(self.minimum_count);
        out.put_u32(self.channel.0);
        out.put_u32(self.remaining_bytes);
        out.put_u32(0);
        // MS-SMB2 2.2.19: Buffer is at least one byte.
        out.put_u8(0);
    }
}

/// SMB2 READ Response (MS-SMB2 2.2.20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadResponse<'a> {
    /// `DataRemaining`.
    pub data_remaining: u32,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> ReadResponse<'a> {
    /// The length of the output of [`Self::encode_prefix`].
    pub const PREFIX_SIZE: usize = RESPONSE_FIXED;

    /// The offset of the data from the header.
    pub const DATA_OFFSET: usize = Header::SIZE + Self::PREFIX_SIZE;

    /// The body without its data: the caller places `data_length` bytes right behind it.
    #[inline]
    pub fn prefix(data_length: u32) -> [u8; RESPONSE_FIXED] {
        let [size_low, size_high] = RESPONSE_SIZE.to_le_bytes();
        let [data_offset, _] = behind(16).to_le_bytes();
        let [l0, l1, l2, l3] = data_length.to_le_bytes();
        [size_low, size_high, data_offset, 0, l0, l1, l2, l3, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// Appends [`Self::prefix`].
    #[inline]
    pub fn encode_prefix(data_length: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&Self::prefix(data_length));
    }

    /// Reads the message.
    #[inline]
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<RESPONSE_FIXED>(message, RESPONSE_SIZE)?;
        let data_offset = cursor.u8()?;
        cursor.skip(1)?;
        let data_length = cursor.u32()?;
        let data_remaining = cursor.u32()?;
        let data = variable(message, Self::PREFIX_SIZE, data_offset.into(), data_length)?;
        Ok(Self { data_remaining, data })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        let start = out.len();
        Self::encode_prefix(wire_u32(self.data.len()), out);
        out.patch_u32(start.saturating_add(8), self.data_remaining);
        out.put_bytes(self.data);
    }
}

const REQUEST_SIZE: u16 = 49;
const REQUEST_FIXED: usize = 48;
const RESPONSE_SIZE: u16 = 17;
const RESPONSE_FIXED: usize = 16;
