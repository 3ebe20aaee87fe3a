//! Reparse points (MS-FSCC 2.1.2): REPARSE_DATA_BUFFER, and the symbolic link in it.

use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};
use crate::ids::Guid;
use crate::utf16::{Utf16, encode_utf16le};
use crate::wire_enum;

wire_enum! {
    /// A reparse tag (MS-FSCC 2.1.2.1).
    ReparseTag(u32) {
        /// IO_REPARSE_TAG_MOUNT_POINT.
        MOUNT_POINT = 0xa000_0003,
        /// IO_REPARSE_TAG_SYMLINK.
        SYMLINK = 0xa000_000c,
        /// IO_REPARSE_TAG_NFS: special files as Windows' NFS server, Samba and Linux keep them.
        NFS = 0x8000_0014,
        /// IO_REPARSE_TAG_DFS.
        DFS = 0x8000_000a,
        /// IO_REPARSE_TAG_AF_UNIX.
        AF_UNIX = 0x8000_0023,
        /// IO_REPARSE_TAG_LX_SYMLINK.
        LX_SYMLINK = 0xa000_001d,
        /// IO_REPARSE_TAG_LX_FIFO.
        LX_FIFO = 0x8000_0024,
        /// IO_REPARSE_TAG_LX_CHR.
        LX_CHR = 0x8000_0025,
        /// IO_REPARSE_TAG_LX_BLK.
        LX_BLK = 0x8000_0026,
    }
}

impl ReparseTag {
    /// True if it is one of Microsoft's tags.
    pub const fn is_microsofts(self) -> bool {
        self.0 & 0x8000_0000 != 0
    }
}

/// The longest `ReparseDataLength`: MAXIMUM_REPARSE_DATA_BUFFER_SIZE of 16 KiB without the header.
const REPARSE_DATA_MAX: usize = 16_384 - 8;

/// REPARSE_DATA_BUFFER and REPARSE_GUID_DATA_BUFFER (MS-FSCC 2.1.2.2, 2.1.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReparseData<'a> {
    /// ReparseTag.
    pub tag: ReparseTag,
    /// ReparseGuid, which tags that are not Microsoft's have (MS-FSCC 2.1.2.3).
    pub guid: Option<Guid>,
    /// DataBuffer.
    pub data: &'a [u8],
}

impl<'a> ReparseData<'a> {
    /// Reads the buffer; an error is STATUS_IO_REPARSE_DATA_INVALID.
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let tag = ReparseTag(cursor.u32()?);
        let length = usize::from(cursor.u16()?);
        cursor.skip(2)?;
        let guid = if tag.is_microsofts() { None } else { Some(cursor.guid()?) };
        if length > REPARSE_DATA_MAX {
            return Err(DecodeError::TooLong);
        }
        if length != cursor.remaining() {
            return Err(DecodeError::InvalidValue);
        }
        Ok(Self { tag, guid, data: cursor.rest() })
    }

    /// Appends the buffer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.tag.0);
        out.put_u16(wire_u16(self.data.len()));
        out.put_u16(0);
        if let Some(guid) = self.guid {
            out.put_guid(guid);
        }
        out.put_bytes(self.data);
    }
}

/// The data of a symbolic link (MS-FSCC 2.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymlinkData<N> {
    /// SubstituteName: the target of the link.
    pub substitute_name: N,
    /// PrintName: the target in the form for display.
    pub print_name: N,
    /// SYMLINK_FLAG_RELATIVE: the target is relative to the link's directory.
    pub relative: bool,
}

impl<'a> SymlinkData<Utf16<'a>> {
    /// Reads the data behind a [`ReparseTag::SYMLINK`].
    pub fn decode(data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        let (substitute_offset, substitute_length) = (cursor.u16()?, cursor.u16()?);
        let (print_offset, print_length) = (cursor.u16()?, cursor.u16()?);
        let relative = cursor.u32()? & SYMLINK_FLAG_RELATIVE != 0;
        let paths = ReadCursor::new(cursor.rest());
        Ok(Self {
            substitute_name: Utf16::new(paths.at(substitute_offset.into(), substitute_length.into())?)?,
            print_name: Utf16::new(paths.at(print_offset.into(), print_length.into())?)?,
            relative,
        })
    }
}

impl SymlinkData<&str> {
    /// Appends the data behind a [`ReparseTag::SYMLINK`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_zeros(8);
        out.put_u32(if self.relative { SYMLINK_FLAG_RELATIVE } else { 0 });
        let paths = out.len();
        encode_utf16le(self.substitute_name, out);
        let substitute_length = wire_u16(out.len().saturating_sub(paths));
        encode_utf16le(self.print_name, out);
        let print_length = wire_u16(out.len().saturating_sub(paths)).saturating_sub(substitute_length);
        for (field, value) in [(2, substitute_length), (4, substitute_length), (6, print_length)] {
            out.patch_u16(start.saturating_add(field), value);
        }
    }
}

/// The target of a symbolic link stored as [`ReparseTag::NFS`] (MS-FSCC 2.1.2.6); `None` for other special files.
pub fn decode_nfs_symlink(data: &[u8]) -> Result<Option<Utf16<'_>>, DecodeError> {
    let mut cursor = ReadCursor::new(data);
    if cursor.u64()? != NFS_SPECFILE_LNK {
        return Ok(None);
    }
    Utf16::new(cursor.rest()).map(Some)
}

const SYMLINK_FLAG_RELATIVE: u32 = 1;

/// "LNK" as a number.
const NFS_SPECFILE_LNK: u64 = 0x0000_0000_014b_4e4c;
