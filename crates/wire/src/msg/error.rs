//! SMB2 ERROR Response (MS-SMB2 2.2.2).

use super::{fixed, size};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16, wire_u32};
use crate::header::Header;
use crate::limits::ERROR_CONTEXTS_MAX;
use crate::utf16::Utf16;
use crate::{bit_mask, wire_enum};

/// SMB2 ERROR Response (MS-SMB2 2.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    /// `ErrorContextCount`: 0 before 3.1.1.
    pub error_context_count: u8,
    /// `ErrorData`: error contexts in 3.1.1, otherwise the data that the status requires.
    pub error_data: &'a [u8],
}

impl<'a> ErrorResponse<'a> {
    /// Reads the message.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = fixed::<FIXED>(message, SIZE)?;
        let error_context_count = cursor.u8()?;
        cursor.skip(1)?;
        let byte_count = size(cursor.u32()?)?;
        let mut behind =
            ReadCursor::new(message.get(Header::SIZE.saturating_add(FIXED)..).ok_or(DecodeError::Truncated)?);
        Ok(Self { error_context_count, error_data: behind.bytes(byte_count)? })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _base: usize) {
        out.put_u16(SIZE);
        out.put_u8(self.error_context_count);
        out.put_u8(0);
        out.put_u32(wire_u32(self.error_data.len()));
        out.put_bytes(self.error_data);
        if self.error_data.is_empty() {
            // MS-SMB2 2.2.2: "If the ByteCount field is zero then the server MUST supply an ErrorData
            // field that is one byte in length."
            out.put_u8(0);
        }
    }

    /// The error contexts of a 3.1.1 response.
    pub const fn contexts(&self) -> ErrorContexts<'a> {
        ErrorContexts { data: self.error_data, count: self.error_context_count }
    }
}

wire_enum! {
    /// `ErrorId` (MS-SMB2 2.2.2.1).
    ErrorId(u32) {
        /// SMB2_ERROR_ID_DEFAULT: the data that the status requires.
        DEFAULT = 0,
        /// SMB2_ERROR_ID_SHARE_REDIRECT: a Share Redirect Error Context (MS-SMB2 2.2.2.2.2).
        SHARE_REDIRECT = 0x7264_5253,
    }
}

/// `SMB2 ERROR Context` (MS-SMB2 2.2.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorContext<'a> {
    /// `ErrorId`.
    pub error_id: ErrorId,
    /// `ErrorContextData`.
    pub data: &'a [u8],
}

impl ErrorContext<'_> {
    /// Appends the context to the `ErrorData` that starts at `start` in `out` and reaches to its end.
    pub fn append(&self, out: &mut Vec<u8>, start: usize) {
        out.pad_to(start, 8);
        out.put_u32(wire_u32(self.data.len()));
        out.put_u32(self.error_id.0);
        out.put_bytes(self.data);
    }
}

/// The error contexts of a response as bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorContexts<'a> {
    data: &'a [u8],
    count: u8,
}

impl<'a> ErrorContexts<'a> {
    /// The contexts in their order; the first error is the last item.
    pub fn iter(self) -> impl Iterator<Item = Result<ErrorContext<'a>, DecodeError>> + use<'a> {
        let mut cursor = ReadCursor::new(self.data);
        let mut left = usize::from(self.count);
        let too_many = left > ERROR_CONTEXTS_MAX;
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let context = if too_many { Err(DecodeError::TooMany) } else { read_context(&mut cursor) };
            if context.is_err() {
                left = 0;
            }
            Some(context)
        })
    }
}

bit_mask! {
    /// `Flags` of a symbolic link (MS-SMB2 2.2.2.2.1).
    SymlinkFlags(u32) {
        /// SYMLINK_FLAG_RELATIVE; without it the target is absolute.
        RELATIVE = 1,
    }
}

/// `Symbolic Link Error Response` (MS-SMB2 2.2.2.2.1), the data of STOPPED_ON_SYMLINK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SymlinkErrorResponse<'a> {
    /// `UnparsedPathLength`: the bytes of the name behind the link.
    pub unparsed_path_length: u16,
    /// `Flags`.
    pub flags: SymlinkFlags,
    /// The substitute name: the target of the link.
    pub substitute_name: Utf16<'a>,
    /// The print name: the target in the form for display.
    pub print_name: Utf16<'a>,
}

impl<'a> SymlinkErrorResponse<'a> {
    /// Reads the error data, or the data of the error context.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let length = size(cursor.u32()?)?;
        let mut cursor = cursor.sub(length)?;
        if cursor.u32()? != SYMLINK_ERROR_TAG || cursor.u32()? != REPARSE_TAG_SYMLINK {
            return Err(DecodeError::InvalidValue);
        }
        cursor.skip(2)?;
        let unparsed_path_length = cursor.u16()?;
        let substitute_offset = usize::from(cursor.u16()?);
        let substitute_length = usize::from(cursor.u16()?);
        let print_offset = usize::from(cursor.u16()?);
        let print_length = usize::from(cursor.u16()?);
        let flags = SymlinkFlags(cursor.u32()?);
        let names = ReadCursor::new(cursor.rest());
        Ok(Self {
            unparsed_path_length,
            flags,
            substitute_name: Utf16::new(names.at(substitute_offset, substitute_length)?)?,
            print_name: Utf16::new(names.at(print_offset, print_length)?)?,
        })
    }

    /// Appends the error data, or the data of the error context.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let substitute_length = self.substitute_name.as_bytes().len();
        let print_length = self.print_name.as_bytes().len();
        let names_length = substitute_length.saturating_add(print_length);
        out.put_u32(wire_u32(names_length.saturating_add(SYMLINK_FIXED)));
        out.put_u32(SYMLINK_ERROR_TAG);
        out.put_u32(REPARSE_TAG_SYMLINK);
        out.put_u16(wire_u16(names_length.saturating_add(SYMLINK_REPARSE_FIXED)));
        out.put_u16(self.unparsed_path_length);
        out.put_u16(0);
        out.put_u16(wire_u16(substitute_length));
        out.put_u16(wire_u16(substitute_length));
        out.put_u16(wire_u16(print_length));
        out.put_u32(self.flags.0);
        out.put_bytes(self.substitute_name.as_bytes());
        out.put_bytes(self.print_name.as_bytes());
    }
}

const SIZE: u16 = 9;
const FIXED: usize = 8;
const SYMLINK_ERROR_TAG: u32 = 0x4c4d_5953;
const REPARSE_TAG_SYMLINK: u32 = 0xa000_000c;
/// The bytes that `SymLinkLength` counts in addition to the names: all fields after it.
const SYMLINK_FIXED: usize = 24;
/// The bytes that `ReparseDataLength` counts in addition to the names: the fields from `SubstituteNameOffset` on.
const SYMLINK_REPARSE_FIXED: usize = 12;

fn read_context<'a>(cursor: &mut ReadCursor<'a>) -> Result<ErrorContext<'a>, DecodeError> {
    cursor.align(8);
    let length = size(cursor.u32()?)?;
    let error_id = ErrorId(cursor.u32()?);
    Ok(ErrorContext { error_id, data: cursor.bytes(length)? })
}
