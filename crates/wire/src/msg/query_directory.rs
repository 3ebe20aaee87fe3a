//! SMB2 QUERY_DIRECTORY (MS-SMB2 2.2.33).

use super::{behind, fixed, put_variable, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u16};
use crate::ids::FileId;
use crate::utf16::Utf16;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.33).
    QueryDirectoryFlags(u8) {
        /// SMB2_RESTART_SCANS.
        RESTART_SCANS = 0x01,
        /// SMB2_RETURN_SINGLE_ENTRY.
        RETURN_SINGLE_ENTRY = 0x02,
        /// SMB2_INDEX_SPECIFIED.
        INDEX_SPECIFIED = 0x04,
        /// SMB2_REOPEN.
        REOPEN = 0x10,
    }
}

/// SMB2 QUERY_DIRECTORY Request (MS-SMB2 2.2.33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryDirectoryRequest<'a> {
    /// `FileInformationClass` (MS-FSCC 2.4).
    pub file_information_class: u8,
    /// `Flags`.
    pub flags: QueryDirectoryFlags,
    /// `FileIndex`.
    pub file_index: u32,
    /// `FileId`.
    pub file_id: FileId,
    /// `OutputBufferLength`.
    pub output_buffer_length: u32,
    /// The search pattern.
    pub file_name: Utf16<'a>,
}

impl<'a> QueryDirectoryRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        let file_information_class = cursor.u8()?;
        let flags = QueryDirectoryFlags(cursor.u8()?);
        let file_index = cursor.u32()?;
        let file_id = cursor.file_id()?;
        let name_offset = cursor.u16()?;
        let name_length = cursor.u16()?;
        let output_buffer_length = cursor.u32()?;
        let file_name =
            Utf16::new(variable(message, REQUEST_FIXED, name_offset.into(), name_length.into())?)?;
        Ok(Self { file_information_class, flags, file_index, file_id, output_buffer_length, file_name })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u8(self.file_information_class);
        out.put_u8(self.flags.0);
        out.put_u32(self.file_index);
        out.put_file_id(self.file_id);
        out.put_u16(behind(32));
        out.put_u16(wire_u16(self.file_name.as_bytes().len()));
        out.put_u32(self.output_buffer_length);
        put_variable(out, self.file_name.as_bytes());
    }
}

const REQUEST_SIZE: u16 = 33;
const REQUEST_FIXED: usize = 32;
