//! Extended attributes: FileFullEaInformation (MS-FSCC 2.4), FILE_GET_EA_INFORMATION, and
//! with them the `ExtA` create context.

use super::limits::EA_COUNT_MAX;
use super::{Chain, ChainWriter, Fit};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u16};

/// Bytes of an entry before its name.
const FIXED_SIZE: usize = 8;

/// One extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EaEntry<'a> {
    /// Flags: 0x80 (FILE_NEED_EA) if a client must understand the attribute to interpret the file.
    pub flags: u8,
    /// EaName without its terminating zero: 1 to 255 bytes, ASCII by custom.
    pub name: &'a [u8],
    /// EaValue; empty in a set request deletes the attribute.
    pub value: &'a [u8],
}

/// Appends attributes until one does not fit.
///
/// Names above 255 bytes and values above 65,535 bytes cannot be represented and are omitted.
pub fn encode_eas<'a>(entries: impl IntoIterator<Item = EaEntry<'a>>, out: &mut Vec<u8>, max: usize) -> Fit {
    if max < FIXED_SIZE {
        return Fit::TooSmall;
    }
    let mut chain = ChainWriter::new(out, max, 4);
    for entry in entries {
        let (Ok(name_length), true) = (u8::try_from(entry.name.len()), entry.value.len() <= 0xffff) else {
            continue;
        };
        let length =
            FIXED_SIZE.saturating_add(entry.name.len()).saturating_add(1).saturating_add(entry.value.len());
        let Some(out) = chain.begin(length) else { return Fit::Truncated };
        out.put_u32(0);
        out.put_u8(entry.flags);
        out.put_u8(name_length);
        out.put_u16(wire_u16(entry.value.len()));
        out.put_bytes(entry.name);
        out.put_u8(0);
        out.put_bytes(entry.value);
    }
    Fit::Whole
}

/// The attributes in a FileFullEaInformation; an error is STATUS_EA_LIST_INCONSISTENT.
pub fn decode_eas(data: &[u8]) -> impl Iterator<Item = Result<EaEntry<'_>, DecodeError>> + use<'_> {
    Chain::new(data, EA_COUNT_MAX).map(|element| {
        let mut cursor = ReadCursor::new(element?);
        cursor.skip(4)?;
        let flags = cursor.u8()?;
        let name_length = usize::from(cursor.u8()?);
        let value_length = usize::from(cursor.u16()?);
        let name = read_name(&mut cursor, name_length)?;
        Ok(EaEntry { flags, name, value: cursor.bytes(value_length)? })
    })
}

/// The names in a FILE_GET_EA_INFORMATION list, the input of a query for some attributes.
pub fn decode_ea_names(data: &[u8]) -> impl Iterator<Item = Result<&[u8], DecodeError>> + use<'_> {
    Chain::new(data, EA_COUNT_MAX).map(|element| {
        let mut cursor = ReadCursor::new(element?);
        cursor.skip(4)?;
        let name_length = usize::from(cursor.u8()?);
        read_name(&mut cursor, name_length)
    })
}

fn read_name<'a>(cursor: &mut ReadCursor<'a>, length: usize) -> Result<&'a [u8], DecodeError> {
    let name = cursor.bytes(length)?;
    if name.is_empty() || name.contains(&0) || cursor.u8()? != 0 {
        return Err(DecodeError::InvalidValue);
    }
    Ok(name)
}
