//! The response that QUERY_DIRECTORY, CHANGE_NOTIFY and QUERY_INFO have in common.

use super::{behind, fixed, put_variable, variable};
use crate::cursor::{DecodeError, Put, wire_u32};

/// SMB2 QUERY_DIRECTORY, CHANGE_NOTIFY and QUERY_INFO Response (MS-SMB2 2.2.34, 2.2.36, 2.2.38).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputResponse<'a> {
    /// The entries, changes or information.
    pub output_buffer: &'a [u8],
}

impl<'a> OutputResponse<'a> {
    /// The offset of the output buffer from the header.
    pub const OUTPUT_OFFSET: usize = 72;

    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<FIXED>(message, SIZE)?;
        let offset = cursor.u16()?;
        let length = cursor.u32()?;
        let output_buffer = variable(message, FIXED, offset.into(), length)?;
        Ok(Self { output_buffer })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        Self::encode_prefix(wire_u32(self.output_buffer.len()), out);
        put_variable(out, self.output_buffer);
    }

    /// Appends the body without its buffer: the caller places `length` bytes right behind it.
    pub fn encode_prefix(length: u32, out: &mut Vec<u8>) {
        out.put_u16(SIZE);
        out.put_u16(behind(8));
        out.put_u32(length);
    }
}

const SIZE: u16 = 9;
const FIXED: usize = 8;
