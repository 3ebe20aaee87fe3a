//! Strings that have a length instead of a terminator.

use super::{Ndr, NdrError, Parameter, Reader, Writer};

/// RPC_UNICODE_STRING (MS-DTYP 2.3.10); a missing string is empty.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UnicodeString {
    /// The text.
    pub text: String,
    absent: bool,
}

impl From<&str> for UnicodeString {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), absent: false }
    }
}

impl From<String> for UnicodeString {
    fn from(text: String) -> Self {
        Self { text, absent: false }
    }
}

impl UnicodeString {
    /// A string that is not there, not even as an empty one.
    pub fn absent() -> Self {
        Self { text: String::new(), absent: true }
    }

    fn units(&self) -> u16 {
        u16::try_from(self.text.encode_utf16().count().saturating_mul(2)).unwrap_or(u16::MAX)
    }
}

impl Ndr for UnicodeString {
    const MIN: usize = 8;

    fn write(&self, to: &mut Writer) {
        let octets = self.units();
        to.align();
        to.u16(octets);
        to.u16(octets);
        to.pointer(!self.absent);
    }

    fn write_deferred(&self, to: &mut Writer) {
        if self.absent {
            return;
        }
        let units: Vec<u16> = self.text.encode_utf16().collect();
        to.count(units.len());
        to.u32(0);
        to.count(units.len());
        for unit in units {
            to.u16(unit);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        from.align();
        let _length = from.u16()?;
        let _maximum = from.u16()?;
        Ok(Self { text: String::new(), absent: !from.pointer()? })
    }

    fn read_deferred(&mut self, from: &mut Reader<'_>) -> Result<(), NdrError> {
        if !self.absent {
            self.text = from.string()?;
        }
        Ok(())
    }
}

ndr_unique_parameter!(UnicodeString);

/// A unique pointer to a unique pointer.
impl Parameter for Option<Option<UnicodeString>> {
    fn write_whole(&self, to: &mut Writer) {
        to.pointer(self.is_some());
        if let Some(inner) = self {
            inner.write_whole(to);
        }
    }

    fn read_whole(from: &mut Reader<'_>) -> Result<Self, NdrError> {
        if from.pointer()? { Parameter::read_whole(from).map(Some) } else { Ok(None) }
    }
}
