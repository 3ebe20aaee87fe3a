//! NDR20, little endian (C706 chapter 14): the encoding of parameters in a stub.
//!
//! A structure is written in two passes: its fixed part, then the data that its pointers refer to
//! ([`Ndr::write_deferred`]). For an array, all fixed parts precede. Reading uses the same order, so that neither
//! direction needs a table of pending pointers.

#[macro_use]
mod define;
mod arrays;
mod strings;
mod types;

pub use arrays::{Octets, VaryingArray};
pub use strings::UnicodeString;
pub use types::{
    BufferSized, Container, ContextHandle, CountedArray, Enum16, OldLargeInteger, SizedBuffer, read_array,
    read_container, write_array, write_container,
};

/// A part of a structure, or a structure: something that may stand in an array or behind a pointer.
pub trait Ndr: Sized {
    /// The fewest octets the fixed part takes. An array's count is held against it before anything
    /// is allocated.
    const MIN: usize;

    /// Writes the fixed part.
    fn write(&self, to: &mut Writer);

    /// Writes the referents of the pointers in the fixed part, in order.
    fn write_deferred(&self, _to: &mut Writer) {}

    /// Reads the fixed part. Pointers are left empty; [`Ndr::read_deferred`] fills them.
    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError>;

    /// Reads the referents of the pointers in the fixed part, in order.
    fn read_deferred(&mut self, _from: &mut Reader<'_>) -> Result<(), NdrError> {
        Ok(())
    }
}

/// A parameter of a call: its fixed part and all it refers to stand together.
pub trait Parameter: Sized {
    /// Writes the parameter and its referents.
    fn write_whole(&self, to: &mut Writer);

    /// Reads the parameter and its referents.
    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError>;
}

impl<T: Ndr> Parameter for T {
    fn write_whole(&self, to: &mut Writer) {
        self.write(to);
        self.write_deferred(to);
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        let mut whole = Self::read(from)?;
        whole.read_deferred(from)?;
        Ok(whole)
    }
}

/// The reason that a stub cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NdrError {
    /// The stub ends within a value.
    #[error("the stub ends early")]
    Truncated,
    /// An array or string claims more than the stub holds, or than the interface allows.
    #[error("a count of {0} exceeds the data")]
    Count(u32),
    /// The data is not a SID.
    #[error("a malformed SID")]
    Sid,
    /// A varying array that does not begin at its beginning, or is longer than its maximum.
    #[error("a varying array outside its bounds")]
    Varying,
    /// The discriminant of a union differs from the level next to it (C706 14.3.8).
    #[error("level {level} with a union of level {discriminant}")]
    Discriminant {
        /// The level next to the union.
        level: u32,
        /// The discriminant in the union.
        discriminant: u32,
    },
}

/// Writes a stub.
#[derive(Debug)]
pub struct Writer {
    stub: Vec<u8>,
    referent: u32,
}

impl Default for Writer {
    fn default() -> Self {
        // The first referent of Windows; any distinct non-zero numbers are valid.
        Self { stub: Vec::new(), referent: 0x0002_0000 }
    }
}

impl Writer {
    /// The stub written.
    pub fn finish(self) -> Vec<u8> {
        self.stub
    }

    /// Writes an integer, aligned.
    pub fn u32(&mut self, value: u32) {
        self.align();
        self.stub.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes an integer of two octets, aligned.
    pub fn u16(&mut self, value: u16) {
        let aligned = self.stub.len().next_multiple_of(2);
        self.stub.resize(aligned, 0);
        self.stub.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes an integer of eight octets, aligned.
    pub fn u64(&mut self, value: u64) {
        self.align_wide();
        self.stub.extend_from_slice(&value.to_le_bytes());
    }

    /// Pads to the alignment of a structure with an integer of eight octets.
    pub fn align_wide(&mut self) {
        let aligned = self.stub.len().next_multiple_of(8);
        self.stub.resize(aligned, 0);
    }

    /// Writes a unique pointer; its referent, if `present`, is to follow in the deferred part.
    pub fn pointer(&mut self, present: bool) {
        if present {
            self.u32(self.referent);
            self.referent = self.referent.wrapping_add(4).max(4);
        } else {
            self.u32(0);
        }
    }

    /// Writes octets as they stand, without a count.
    pub fn octets(&mut self, octets: &[u8]) {
        self.stub.extend_from_slice(octets);
    }

    /// Writes a count. Counts above 32 bits cannot come about: memory for them is never there.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Writes a conformant and varying string with its terminator (C706 14.3.4.2).
    pub fn string(&mut self, text: &str) {
        self.align();
        let counts = self.stub.len();
        self.stub.extend_from_slice(&[0; 12]);
        let units = self.utf16(text).to_le_bytes();
        if let Some([maximum, _, actual]) =
            self.stub.get_mut(counts..).and_then(|tail| tail.as_chunks_mut::<4>().0.first_chunk_mut())
        {
            *maximum = units;
            *actual = units;
        }
    }

    /// Writes a varying string with its terminator: one in an array of fixed size.
    pub fn varying_string(&mut self, text: &str) {
        self.align();
        let counts = self.stub.len();
        self.stub.extend_from_slice(&[0; 8]);
        let units = self.utf16(text).to_le_bytes();
        if let Some([_, actual]) =
            self.stub.get_mut(counts..).and_then(|tail| tail.as_chunks_mut::<4>().0.first_chunk_mut())
        {
            *actual = units;
        }
    }

    /// Writes the code units and a terminator, and counts both.
    fn utf16(&mut self, text: &str) -> u32 {
        let before = self.stub.len();
        if text.is_ascii() {
            self.stub.extend(text.bytes().flat_map(|octet| [octet, 0]));
        } else {
            self.stub.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
        self.stub.extend_from_slice(&[0, 0]);
        u32::try_from(self.stub.len().saturating_sub(before) / 2).unwrap_or(u32::MAX)
    }

    /// Pads to the alignment of a structure with a pointer or an integer.
    pub fn align(&mut self) {
        let aligned = self.stub.len().next_multiple_of(4);
        self.stub.resize(aligned, 0);
    }
}

/// Reads a stub. Nothing is allocated that the octets still unread could not fill.
#[derive(Debug)]
pub struct Reader<'a> {
    stub: &'a [u8],
    at: usize,
    lost: bool,
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of `stub`.
    pub fn new(stub: &'a [u8]) -> Self {
        Self { stub, at: 0, lost: false }
    }

    /// The number of unread octets.
    pub fn remaining(&self) -> usize {
        self.stub.len().saturating_sub(self.at)
    }

    /// Declares that a union of an unknown level was read, so that the positions of the following parameters are
    /// unknown. From here on, missing integers are read as 0: the call will be refused for its level, which the
    /// client needs to learn, instead of with a fault.
    pub fn lose_way(&mut self) {
        self.lost = true;
    }

    /// Skips to the alignment of a structure with a pointer or an integer.
    pub fn align(&mut self) {
        self.at = self.at.next_multiple_of(4);
    }

    /// Reads an integer, aligned.
    pub fn u32(&mut self) -> Result<u32, NdrError> {
        self.align();
        match self.stub.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(octets) => {
                self.at = self.at.saturating_add(4);
                Ok(u32::from_le_bytes(*octets))
            }
            None if self.lost => Ok(0),
            None => Err(NdrError::Truncated),
        }
    }

    /// Reads an integer of two octets, aligned.
    pub fn u16(&mut self) -> Result<u16, NdrError> {
        self.at = self.at.next_multiple_of(2);
        match self.octets(2)?.first_chunk() {
            Some(octets) => Ok(u16::from_le_bytes(*octets)),
            None => Err(NdrError::Truncated),
        }
    }

    /// Reads an integer of eight octets, aligned.
    pub fn u64(&mut self) -> Result<u64, NdrError> {
        self.align_wide();
        match self.octets(8)?.first_chunk() {
            Some(octets) => Ok(u64::from_le_bytes(*octets)),
            None => Err(NdrError::Truncated),
        }
    }

    /// Skips to the alignment of a structure with an integer of eight octets.
    pub fn align_wide(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// Reads a unique pointer. Returns true if it has a referent.
    pub fn pointer(&mut self) -> Result<bool, NdrError> {
        Ok(self.u32()? != 0)
    }

    /// Reads octets as they stand.
    pub fn octets(&mut self, count: u32) -> Result<&'a [u8], NdrError> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let end = end.ok_or(NdrError::Count(count))?;
        let octets = self.stub.get(self.at..end).ok_or(NdrError::Count(count))?;
        self.at = end;
        Ok(octets)
    }

    /// Reads a count of elements that take at least `each` octets, limited by the unread data.
    pub fn count(&mut self, each: usize) -> Result<usize, NdrError> {
        let count = self.u32()?;
        let claimed = usize::try_from(count).ok().and_then(|count| count.checked_mul(each.max(1)));
        match claimed {
            Some(octets) if octets <= self.remaining() => {
                usize::try_from(count).map_err(|_| NdrError::Count(count))
            }
            _ => Err(NdrError::Count(count)),
        }
    }

    /// Reads a conformant and varying string, up to its terminator. Unpaired surrogates become U+FFFD.
    pub fn string(&mut self) -> Result<String, NdrError> {
        let maximum = self.u32()?;
        self.varying(maximum)
    }

    /// Reads a varying string out of an array of `maximum` units.
    pub fn varying_string(&mut self, maximum: u32) -> Result<String, NdrError> {
        self.varying(maximum)
    }

    fn varying(&mut self, maximum: u32) -> Result<String, NdrError> {
        let offset = self.u32()?;
        let actual = self.u32()?;
        if offset != 0 || actual > maximum {
            return Err(NdrError::Varying);
        }
        let octets = self.octets(actual.checked_mul(2).ok_or(NdrError::Count(actual))?)?;
        Ok(text_of(octets))
    }
}

/// The text of UTF-16 code units up to a terminator.
fn text_of(octets: &[u8]) -> String {
    let units = octets.as_chunks::<2>().0;
    let units =
        units.iter().position(|unit| *unit == [0, 0]).and_then(|end| units.get(..end)).unwrap_or(units);
    if units.iter().all(|[low, high]| *high == 0 && low.is_ascii()) {
        return units.iter().map(|[low, _]| char::from(*low)).collect();
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests;
