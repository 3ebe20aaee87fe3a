//! SMB2 QUERY_DIRECTORY (MS-SMB2 2.2.33, 2.2.34).

use super::{behind, fixed, put_variable, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u16, wire_u32};
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

/// SMB2 QUERY_DIRECTORY Response (MS-SMB2 2.2.34).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryDirectoryResponse<'a> {
    /// The entries.
    pub output_buffer: &'a [u8],
}

impl<'a> QueryDirectoryResponse<'a> {
    /// The offset of the output buffer from the header.
    pub const OUTPUT_OFFSET: usize = OUTPUT_OFFSET;

    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        decode_output(message).map(|output_buffer| Self { output_buffer })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        Self::encode_prefix(wire_u32(self.output_buffer.len()), out);
        put_variable(out, self.output_buffer);
    }

    /// Appends the body without its buffer: the caller places `length` bytes right behind it.
    pub fn encode_prefix(length: u32, out: &mut Vec<u8>) {
        encode_output_prefix(length, out);
    }
}

const REQUEST_SIZE: u16 = 33;
const REQUEST_FIXED: usize = 32;
const OUTPUT_SIZE: u16 = 9;
const OUTPUT_FIXED: usize = 8;
pub(super) const OUTPUT_OFFSET: usize = 72;

/// Reads the answer that QUERY_DIRECTORY, CHANGE_NOTIFY and QUERY_INFO have in common.
pub(super) fn decode_output(message: &[u8]) -> Result<&[u8], DecodeError> {
    let mut cursor = fixed::<OUTPUT_FIXED>(message, OUTPUT_SIZE)?;
    let offset = cursor.u16()?;
    let length = cursor.u32()?;
    variable(message, OUTPUT_FIXED, offset.into(), length)
}

/// Appends the fixed part of that answer.
pub(super) fn encode_output_prefix(length: u32, out: &mut Vec<u8>) {
    out.put_u16(OUTPUT_SIZE);
    out.put_u16(behind(8));
    out.put_u32(length);
}
