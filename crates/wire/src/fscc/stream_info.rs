//! FileStreamInformation (MS-FSCC 2.4).

use super::limits::CHAIN_ENTRIES_MAX;
use super::{Chain, ChainWriter, Fit, index, name_bytes, put_name};
use crate::cursor::{DecodeError, Put, ReadCursor, wire_u32};
use crate::utf16::Utf16;

/// The smallest buffer Windows accepts: FILE_STREAM_INFORMATION with its padding.
pub const STREAM_INFO_SIZE_MIN: usize = 32;

/// Bytes of an entry before its name.
const FIXED_SIZE: usize = 24;

/// One stream of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEntry<N> {
    /// StreamName: `::$DATA` or `:name:$DATA`.
    pub name: N,
    /// StreamSize.
    pub size: u64,
    /// StreamAllocationSize.
    pub allocation_size: u64,
}

/// Appends streams until one does not fit. A first one that does not fit is cut.
pub fn encode_streams<'a>(
    streams: impl IntoIterator<Item = StreamEntry<&'a str>>,
    out: &mut Vec<u8>,
    max: usize,
) -> Fit {
    if max < STREAM_INFO_SIZE_MIN {
        return Fit::TooSmall;
    }
    let end = out.len().saturating_add(max);
    let mut chain = ChainWriter::new(out, max, 8);
    for stream in streams {
        let length = FIXED_SIZE.saturating_add(name_bytes(stream.name));
        if let Some(out) = chain.begin(length) {
            put_entry(&stream, out);
            continue;
        }
        if chain.is_empty() {
            put_entry(&stream, out);
            out.truncate(end);
        }
        return Fit::Truncated;
    }
    Fit::Whole
}

/// The streams in a FileStreamInformation.
pub fn decode_streams(
    data: &[u8],
) -> impl Iterator<Item = Result<StreamEntry<Utf16<'_>>, DecodeError>> + use<'_> {
    Chain::new(data, CHAIN_ENTRIES_MAX).map(|element| read_entry(element?))
}

fn put_entry(stream: &StreamEntry<&str>, out: &mut Vec<u8>) {
    out.put_u32(0);
    out.put_u32(wire_u32(name_bytes(stream.name)));
    out.put_u64(stream.size);
    out.put_u64(stream.allocation_size);
    put_name(out, stream.name);
}

fn read_entry(element: &[u8]) -> Result<StreamEntry<Utf16<'_>>, DecodeError> {
    let mut cursor = ReadCursor::new(element);
    cursor.skip(4)?;
    let length = index(cursor.u32()?)?;
    let (size, allocation_size) = (cursor.u64()?, cursor.u64()?);
    Ok(StreamEntry { name: Utf16::new(cursor.bytes(length)?)?, size, allocation_size })
}
