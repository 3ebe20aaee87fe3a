//! Information classes, names and patterns of MS-FSCC and MS-FSA.

pub mod directory;
pub mod ea;
pub mod file_info;
pub mod fs_info;
pub mod limits;
pub mod name;
pub mod named_info;
pub mod notify;
pub mod pattern;
pub mod quota;
pub mod stream_info;

use crate::cursor::{DecodeError, Put, ReadCursor};
use crate::layout::FixedLayout;

pub use directory::{Appended, DirectoryEntries, DirectoryEntry, DirectoryItem, DirectoryWriter};
pub use file_info::FileInfoClass;
pub use fs_info::FsInfoClass;
pub use name::{PathError, SmbPath, StreamName};
pub use pattern::{Pattern, PatternTooLong, Symbol};

/// The result of fitting an answer into the length that the client allows (MS-SMB2 3.3.5.20.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// The whole answer: STATUS_SUCCESS.
    Whole,
    /// The fixed part and some of the rest: STATUS_BUFFER_OVERFLOW with this part.
    Truncated,
    /// Not even the fixed part fits, and nothing was appended: STATUS_INFO_LENGTH_MISMATCH.
    TooSmall,
}

/// Appends a structure of fixed size, if `max` bytes can hold it.
pub fn encode_fixed<T: FixedLayout>(info: &T, out: &mut Vec<u8>, max: usize) -> Fit {
    if max < T::SIZE {
        return Fit::TooSmall;
    }
    info.encode(out);
    Fit::Whole
}

/// Appends the output of `write`, cut at `max`, if `max` bytes can hold the fixed part of `min` bytes.
fn encode_truncated(out: &mut Vec<u8>, min: usize, max: usize, write: impl FnOnce(&mut Vec<u8>)) -> Fit {
    if max < min {
        return Fit::TooSmall;
    }
    let start = out.len();
    write(out);
    let end = start.saturating_add(max);
    if out.len() > end {
        out.truncate(end);
        return Fit::Truncated;
    }
    Fit::Whole
}

/// The elements of a buffer that chains them by `NextEntryOffset`: each from its start (with that
/// field) to the start of the next one or to the end of the buffer.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a> {
    rest: Option<&'a [u8]>,
    left: usize,
}

impl<'a> Chain<'a> {
    /// The elements in `data`, at most `max`; an empty buffer has none.
    pub(crate) fn new(data: &'a [u8], max: usize) -> Self {
        Self { rest: if data.is_empty() { None } else { Some(data) }, left: max }
    }

    fn step(&mut self, data: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        self.left = self.left.checked_sub(1).ok_or(DecodeError::TooMany)?;
        let next = ReadCursor::new(data).u32()?;
        if next == 0 {
            return Ok(data);
        }
        let next = usize::try_from(next).map_err(|_| DecodeError::BrokenChain)?;
        if next < 4 || next >= data.len() {
            return Err(DecodeError::BrokenChain);
        }
        let (element, rest) = data.split_at_checked(next).ok_or(DecodeError::BrokenChain)?;
        self.rest = Some(rest);
        Ok(element)
    }
}

impl<'a> Iterator for Chain<'a> {
    type Item = Result<&'a [u8], DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let data = self.rest.take()?;
        Some(self.step(data))
    }
}

/// Writes elements that `NextEntryOffset` chains, each aligned, until one does not fit.
#[derive(Debug)]
pub(crate) struct ChainWriter<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    max: usize,
    alignment: usize,
    last: Option<usize>,
}

impl<'b> ChainWriter<'b> {
    /// Appends to the content of `out`, at most `max` bytes.
    pub(crate) fn new(out: &'b mut Vec<u8>, max: usize, alignment: usize) -> Self {
        let start = out.len();
        Self { out, start, max, alignment, last: None }
    }

    /// Links an element of `length` bytes into the chain and returns the buffer for it; `None` if it does not fit.
    pub(crate) fn begin(&mut self, length: usize) -> Option<&mut Vec<u8>> {
        let used = self.used();
        let offset = if self.last.is_some() { used.next_multiple_of(self.alignment.max(1)) } else { used };
        if offset.checked_add(length)? > self.max {
            return None;
        }
        if let Some(last) = self.last {
            self.out.put_zeros(offset.saturating_sub(used));
            let next = self.out.len().saturating_sub(last);
            self.out.patch_u32(last, crate::cursor::wire_u32(next));
        }
        self.last = Some(self.out.len());
        Some(self.out)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    pub(crate) fn used(&self) -> usize {
        self.out.len().saturating_sub(self.start)
    }
}

/// Appends `text` as UTF-16LE and returns how many bytes that took; ASCII goes the fast way.
pub(crate) fn put_name(out: &mut Vec<u8>, text: &str) -> usize {
    let start = out.len();
    if text.is_ascii() {
        out.put_zeros(text.len().saturating_mul(2));
        let units = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>().0;
        for (unit, byte) in units.iter_mut().zip(text.bytes()) {
            *unit = [byte, 0];
        }
    } else {
        crate::utf16::encode_utf16le(text, out);
    }
    out.len().saturating_sub(start)
}

/// Bytes of `text` as UTF-16LE.
pub(crate) fn name_bytes(text: &str) -> usize {
    name::utf16_length(text).saturating_mul(2)
}

/// A length from the wire as an index.
pub(crate) fn index(length: u32) -> Result<usize, DecodeError> {
    usize::try_from(length).map_err(|_| DecodeError::TooLong)
}

#[cfg(test)]
mod tests;
