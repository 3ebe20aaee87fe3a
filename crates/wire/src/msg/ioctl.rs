//! SMB2 IOCTL (MS-SMB2 2.2.31, 2.2.32); `crate::ioctl` decodes the content of the control codes.

use super::{behind, end32, fixed, put_variable, variable};
use crate::bit_mask;
use crate::cursor::{DecodeError, Put, wire_u32};
use crate::ids::FileId;

bit_mask! {
    /// `Flags` (MS-SMB2 2.2.31).
    IoctlFlags(u32) {
        /// SMB2_0_IOCTL_IS_FSCTL; without it the request is an IOCTL, which servers refuse.
        IS_FSCTL = 1,
    }
}

/// SMB2 IOCTL Request (MS-SMB2 2.2.31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoctlRequest<'a> {
    /// `CtlCode`.
    pub ctl_code: u32,
    /// `FileId`.
    pub file_id: FileId,
    /// `MaxInputResponse`.
    pub max_input_response: u32,
    /// `MaxOutputResponse`.
    pub max_output_response: u32,
    /// `Flags`.
    pub flags: IoctlFlags,
    /// The input buffer.
    pub input: &'a [u8],
    /// The output buffer, empty in practice.
    pub output: &'a [u8],
}

impl<'a> IoctlRequest<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<REQUEST_FIXED>(message, REQUEST_SIZE)?;
        cursor.skip(2)?;
        let ctl_code = cursor.u32()?;
        let file_id = cursor.file_id()?;
        let input_offset = cursor.u32()?;
        let input_count = cursor.u32()?;
        let max_input_response = cursor.u32()?;
        let output_offset = cursor.u32()?;
        let output_count = cursor.u32()?;
        let max_output_response = cursor.u32()?;
        let flags = IoctlFlags(cursor.u32()?);
        let input = variable(message, REQUEST_FIXED, input_offset, input_count)?;
        let output = variable(message, REQUEST_FIXED, output_offset, output_count)?;
        Ok(Self { ctl_code, file_id, max_input_response, max_output_response, flags, input, output })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        out.put_u16(REQUEST_SIZE);
        out.put_u16(0);
        out.put_u32(self.ctl_code);
        out.put_file_id(self.file_id);
        out.put_u32(behind(56).into());
        out.put_u32(wire_u32(self.input.len()));
        out.put_u32(self.max_input_response);
        let output_offset_at = out.len();
        out.put_u32(behind(56).into());
        out.put_u32(wire_u32(self.output.len()));
        out.put_u32(self.max_output_response);
        out.put_u32(self.flags.0);
        out.put_u32(0);
        put_variable(out, self.input);
        encode_output(self.output, out, base, output_offset_at);
    }
}

/// SMB2 IOCTL Response (MS-SMB2 2.2.32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoctlResponse<'a> {
    /// `CtlCode`.
    pub ctl_code: u32,
    /// `FileId`.
    pub file_id: FileId,
    /// `Flags`.
    pub flags: IoctlFlags,
    /// The input buffer, empty in practice.
    pub input: &'a [u8],
    /// The output buffer.
    pub output: &'a [u8],
}

impl<'a> IoctlResponse<'a> {
    /// The offset of the output from the header, if there is no input.
    pub const OUTPUT_OFFSET: usize = 112;

    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<RESPONSE_FIXED>(message, RESPONSE_SIZE)?;
        cursor.skip(2)?;
        let ctl_code = cursor.u32()?;
        let file_id = cursor.file_id()?;
        let input_offset = cursor.u32()?;
        let input_count = cursor.u32()?;
        let output_offset = cursor.u32()?;
        let output_count = cursor.u32()?;
        let flags = IoctlFlags(cursor.u32()?);
        let input = variable(message, RESPONSE_FIXED, input_offset, input_count)?;
        let output = variable(message, RESPONSE_FIXED, output_offset, output_count)?;
        Ok(Self { ctl_code, file_id, flags, input, output })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, base: usize) {
        let output_offset_at = Self::encode_fixed(self, wire_u32(self.output.len()), out);
        out.put_bytes(self.input);
        encode_output(self.output, out, base, output_offset_at);
    }

    /// Appends the body without its buffers: the caller places `output_length` bytes right behind it.
    pub fn encode_prefix(ctl_code: u32, file_id: FileId, output_length: u32, out: &mut Vec<u8>) {
        let response = IoctlResponse { ctl_code, file_id, ..IoctlResponse::default() };
        response.encode_fixed(output_length, out);
    }

    fn encode_fixed(&self, output_length: u32, out: &mut Vec<u8>) -> usize {
        out.put_u16(RESPONSE_SIZE);
        out.put_u16(0);
        out.put_u32(self.ctl_code);
        out.put_file_id(self.file_id);
        out.put_u32(behind(48).into());
        out.put_u32(wire_u32(self.input.len()));
        let output_offset_at = out.len();
        out.put_u32(behind(48).into());
        out.put_u32(output_length);
        out.put_u32(self.flags.0);
        out.put_u32(0);
        output_offset_at
    }
}

const REQUEST_SIZE: u16 = 57;
const REQUEST_FIXED: usize = 56;
const RESPONSE_SIZE: u16 = 49;
const RESPONSE_FIXED: usize = 48;

fn encode_output(output: &[u8], out: &mut Vec<u8>, base: usize, offset_at: usize) {
    if !output.is_empty() {
        out.pad_to(base, 8);
        let offset = end32(out, base);
        out.patch_u32(offset_at, offset);
        out.put_bytes(output);
    }
}
