//! SMB2 CLOSE (MS-SMB2 2.2.15, 2.2.16).

use super::fixed;
use crate::bit_mask;
use crate::cursor::{DecodeError, Put};
use crate::ids::FileId;
use crate::masks::FileAttributes;
use crate::time::FileTime;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.15, 2.2.16).
    CloseFlags(u16) {
        /// SMB2_CLOSE_FLAG_POSTQUERY_ATTRIB: the response contains the attributes.
        POSTQUERY_ATTRIB = 1,
    }
}

/// SMB2 CLOSE Request (MS-SMB2 2.2.15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseRequest {
    /// `Flags`.
    pub flags: CloseFlags,
    /// `FileId`.
    pub file_id: FileId,
}

impl CloseRequest {
    /// Reads the message.
    #[inline]
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<24>(message, REQUEST_SIZE)?;
        let flags = CloseFlags(cursor.u16()?);
        cursor.skip(4)?;
        let file_id = cursor.file_id()?;
        Ok(Self { flags, file_id })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(self.flags.0);
        out.put_u32(0);
        out.put_file_id(self.file_id);
    }
}

/// SMB2 CLOSE Response (MS-SMB2 2.2.16); all zero but for POSTQUERY_ATTRIB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseResponse {
    /// `Flags`.
    pub flags: CloseFlags,
    /// `CreationTime`.
    pub creation_time: FileTime,
    /// `LastAccessTime`.
    pub last_access_time: FileTime,
    /// `LastWriteTime`.
    pub last_write_time: FileTime,
    /// `ChangeTime`.
    pub change_time: FileTime,
    /// `AllocationSize`.
    pub allocation_size: u64,
    /// `EndofFile`.
    pub end_of_file: u64,
    /// `FileAttributes`.
    pub file_attributes: FileAttributes,
}

impl CloseResponse {
    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<60>(message, RESPONSE_SIZE)?;
        let flags = CloseFlags(cursor.u16()?);
        cursor.skip(4)?;
        Ok(Self {
            flags,
            creation_time: cursor.time()?,
            last_access_time: cursor.time()?,
            last_write_time: cursor.time()?,
            change_time: cursor.time()?,
            allocation_size: cursor.u64()?,
            end_of_file: cursor.u64()?,
            file_attributes: FileAttributes(cursor.u32()?),
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(RESPONSE_SIZE);
        out.put_u16(self.flags.0);
        out.put_u32(0);
        out.put_time(self.creation_time);
        out.put_time(self.last_access_time);
        out.put_time(self.last_write_time);
        out.put_time(self.change_time);
        out.put_u64(self.allocation_size);
        out.put_u64(self.end_of_file);
        out.put_u32(self.file_attributes.0);
    }
}

const REQUEST_SIZE: u16 = 24;
const RESPONSE_SIZE: u16 = 60;
