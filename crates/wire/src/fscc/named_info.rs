//! File information classes that carry a name (MS-FSCC 2.4).

use super::file_info::{
    AccessInfo, AlignmentInfo, BasicInfo, EaInfo, InternalInfo, ModeInfo, PositionInfo, StandardInfo,
};
use super::{Fit, encode_truncated, index, name_bytes, put_name};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::layout::{FixedLayout, fixed_layout};
use crate::utf16::Utf16;

/// The smallest buffer Windows accepts for a name class: FILE_NAME_INFORMATION with its padding.
pub const NAME_INFO_SIZE_MIN: usize = 8;

/// The smallest buffer Windows accepts for FileAllInformation: its fixed part with its padding.
pub const ALL_INFO_SIZE_MIN: usize = 104;

/// Appends FileNameInformation, FileNormalizedNameInformation or FileAlternateNameInformation
/// (MS-FSCC 2.1.7).
pub fn encode_name_info(name: &str, out: &mut Vec<u8>, max: usize) -> Fit {
    encode_truncated(out, NAME_INFO_SIZE_MIN, max, |out| put_counted_name(name, out))
}

/// The name in FileNameInformation, FileNormalizedNameInformation or FileAlternateNameInformation.
pub fn decode_name_info(data: &[u8]) -> Result<Utf16<'_>, DecodeError> {
    read_counted_name(&mut ReadCursor::new(data))
}

fixed_layout! {
    /// FileAllInformation (MS-FSCC 2.4) before its name.
    AllInfo {
        /// BasicInformation.
        basic: BasicInfo;
        /// StandardInformation.
        standard: StandardInfo;
        /// InternalInformation.
        internal: InternalInfo;
        /// EaInformation.
        ea: EaInfo;
        /// AccessInformation.
        access: AccessInfo;
        /// PositionInformation.
        position: PositionInfo;
        /// ModeInformation.
        mode: ModeInfo;
        /// AlignmentInformation.
        alignment: AlignmentInfo;
    }
}

impl AllInfo {
    /// Appends the class with its name.
    pub fn encode_with_name(&self, name: &str, out: &mut Vec<u8>, max: usize) -> Fit {
        encode_truncated(out, ALL_INFO_SIZE_MIN, max, |out| {
            self.encode(out);
            put_counted_name(name, out);
        })
    }

    /// The class with its name.
    pub fn decode_with_name(data: &[u8]) -> Result<(Self, Utf16<'_>), DecodeError> {
        let mut cursor = ReadCursor::new(data);
        Ok((Self::read(&mut cursor)?, read_counted_name(&mut cursor)?))
    }
}

/// FileRenameInformation and FileLinkInformation as SMB2 carries them (MS-FSCC 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenameInfo<'a> {
    /// ReplaceIfExists: true to replace an existing file of that name.
    pub replace_if_exists: bool,
    /// RootDirectory; anything but 0 is refused with STATUS_INVALID_PARAMETER.
    pub root_directory: u64,
    /// FileName: the new path from the share's root, or `:stream` for a stream.
    pub name: Utf16<'a>,
}

impl<'a> RenameInfo<'a> {
    /// Bytes before the name.
    pub const SIZE: usize = 20;

    /// Reads the class; clients pad short names, so that more bytes may follow.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let replace_if_exists = cursor.u8()? != 0;
        cursor.skip(7)?;
        Ok(Self { replace_if_exists, root_directory: cursor.u64()?, name: read_counted_name(&mut cursor)? })
    }

    /// Appends the class.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.replace_if_exists));
        out.put_zeros(7);
        out.put_u64(self.root_directory);
        out.put_u32(wire_u32(self.name.as_bytes().len()));
        out.put_bytes(self.name.as_bytes());
    }
}

fn put_counted_name(name: &str, out: &mut Vec<u8>) {
    out.put_u32(wire_u32(name_bytes(name)));
    put_name(out, name);
}

fn read_counted_name<'a>(cursor: &mut ReadCursor<'a>) -> Result<Utf16<'a>, DecodeError> {
    let length = index(cursor.u32()?)?;
    Utf16::new(cursor.bytes(length)?)
}
