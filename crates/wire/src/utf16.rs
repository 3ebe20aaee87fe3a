//! Text as SMB2 carries it: UTF-16LE without a terminator (MS-SMB2 2.2.13, 2.2.9 and elsewhere).

use core::fmt;

use crate::cursor::DecodeError;

/// UTF-16LE text as bytes of a message.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Utf16<'a>(&'a [u8]);

impl<'a> Utf16<'a> {
    /// The text in `bytes`, which must be whole code units.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len().is_multiple_of(2) { Ok(Self(bytes)) } else { Err(DecodeError::OddUtf16Length) }
    }

    /// The bytes as they are on the wire.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is no text.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The code units.
    pub fn units(self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.0.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit))
    }

    /// The characters, an error for each half of a surrogate pair.
    pub fn chars(self) -> impl Iterator<Item = Result<char, DecodeError>> + Clone + use<'a> {
        char::decode_utf16(self.units()).map(|c| c.map_err(|_| DecodeError::UnpairedSurrogate))
    }

    /// The text as UTF-8; an unpaired surrogate has no such form.
    pub fn to_string(self) -> Result<String, DecodeError> {
        let mut text = String::with_capacity(self.0.len());
        for c in self.chars() {
            text.push(c?);
        }
        Ok(text)
    }

    /// The text as UTF-8 with U+FFFD for unpaired surrogates: for logs only, never for names.
    pub fn to_string_lossy(self) -> String {
        self.chars().map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}

impl fmt::Debug for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

/// Appends `text` as UTF-16LE without a terminator.
pub fn encode_utf16le(text: &str, out: &mut Vec<u8>) {
    out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
}

/// `text` as UTF-16LE without a terminator.
pub fn utf16le(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_mul(2));
    encode_utf16le(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        for text in ["", "a", "Grüße\\ファイル.txt", "💾"] {
            let bytes = utf16le(text);
            assert_eq!(Utf16::new(&bytes).unwrap().to_string().unwrap(), text);
        }
    }

    #[test]
    fn halves_are_refused() {
        assert_eq!(Utf16::new(&[0x41]), Err(DecodeError::OddUtf16Length));
        let lone = Utf16::new(&[0x41, 0, 0x00, 0xd8]).unwrap();
        assert_eq!(lone.to_string(), Err(DecodeError::UnpairedSurrogate));
        assert_eq!(lone.to_string_lossy(), "A\u{fffd}");
    }
}
