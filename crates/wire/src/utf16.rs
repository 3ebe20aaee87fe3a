//! Text in SMB2: UTF-16LE without a terminator (MS-SMB2 2.2.13, 2.2.9 and elsewhere).
//!
//! Windows stores names as code units, which may include unpaired surrogates. UTF-8 cannot represent these: an
//! unpaired surrogate, U+D800 to U+DFFF, is the private use character U+10D800 to U+10DFFF in text, and this
//! character is an unpaired surrogate on the wire. A client that sends the character itself means the same name.

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

    /// True if the text is empty.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The code units.
    pub fn units(self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.0.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit))
    }

    /// The characters.
    pub fn chars(self) -> impl Iterator<Item = char> + Clone + use<'a> {
        char::decode_utf16(self.units()).map(|c| c.unwrap_or_else(|lone| stand_in(lone.unpaired_surrogate())))
    }

    /// The text, with a substitute for each unpaired surrogate; it never fails.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(self.0.len());
        text.extend(self.chars());
        text
    }
}

impl fmt::Debug for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), f)
    }
}

/// The code units of `text`.
pub fn units(text: &str) -> impl Iterator<Item = u16> + Clone {
    let mut chars = text.chars().peekable();
    let each = std::iter::from_fn(move || {
        let c = chars.next()?;
        let half = half_of(c);
        // Two substitutes that would form a pair are another character: the first stays as it is in text.
        let pairs = half.is_some_and(is_high)
            && chars.peek().copied().and_then(half_of).is_some_and(|it| !is_high(it));
        let mut pair = [0; 2];
        match half.filter(|_| !pairs) {
            Some(half) => Some(([half, 0], 1)),
            None => {
                let length = c.encode_utf16(&mut pair).len();
                Some((pair, length))
            }
        }
    });
    each.flat_map(|(units, length)| units.into_iter().take(length))
}

/// Appends `text` as UTF-16LE without a terminator.
pub fn encode_utf16le(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        out.extend(text.bytes().flat_map(|byte| [byte, 0]));
    } else {
        out.extend(units(text).flat_map(u16::to_le_bytes));
    }
}

/// `text` as UTF-16LE without a terminator.
pub fn utf16le(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_mul(2));
    encode_utf16le(text, &mut out);
    out
}

/// The substitute for a surrogate in text.
fn stand_in(half: u16) -> char {
    char::from_u32(u32::from(half).saturating_add(STAND_INS)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The half that a character stands for.
fn half_of(c: char) -> Option<u16> {
    let half = u32::from(c).checked_sub(STAND_INS)?;
    u16::try_from(half).ok().filter(|half| (0xd800..=0xdfff).contains(half))
}

/// True if a surrogate is the first of a pair.
fn is_high(half: u16) -> bool {
    half < 0xdc00
}

/// The distance between a surrogate and its substitute, which is in plane 16 for private use.
const STAND_INS: u32 = 0x10_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_survives() {
        for text in ["", "a", "Grüße\\ファイル.txt", "💾"] {
            let bytes = utf16le(text);
            assert_eq!(Utf16::new(&bytes).unwrap().to_text(), text);
        }
    }

    #[test]
    fn halves_are_refused() {
        assert_eq!(Utf16::new(&[0x41]), Err(DecodeError::OddUtf16Length));
    }

    #[test]
    fn halves_of_pairs_stand_alone() {
        for (units, text) in [
            (&[0x41, 0xd800][..], "A\u{10d800}"),
            (&[0xdc00, 0xd83d, 0xdcbe, 0xd83d], "\u{10dc00}💾\u{10d83d}"),
            (&[0xdc00, 0xd800], "\u{10dc00}\u{10d800}"),
        ] {
            let bytes: Vec<u8> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
            assert_eq!(Utf16::new(&bytes).unwrap().to_text(), text);
            assert_eq!(utf16le(text), bytes);
        }
        // A name that contains substitutes of its own.
        let bytes = utf16le("\u{10d83d}\u{10dcbe}");
        assert_eq!(Utf16::new(&bytes).unwrap().to_text(), "\u{10d83d}\u{10dcbe}");
    }

    proptest! {
        #[test]
        fn all_names_survive(units: Vec<u16>, text in "[a\u{10d800}-\u{10d803}\u{10dffd}-\u{10dfff}💾]{0,8}") {
            let bytes: Vec<u8> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
            let name = Utf16::new(&bytes).unwrap().to_text();
            let again = utf16le(&name);
            prop_assert_eq!(Utf16::new(&again).unwrap().to_text(), name);
            let sent = utf16le(&text);
            prop_assert_eq!(Utf16::new(&sent).unwrap().to_text(), text);
        }
    }
}
