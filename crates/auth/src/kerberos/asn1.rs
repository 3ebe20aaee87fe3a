//! The DER of Kerberos (RFC 4120 5.1), read strictly: one encoding for each value, each field once and in its place, and
//! nothing behind the last one. A bit that changes nothing cannot be told from a bit that was changed on the way.
//!
//! `picky-krb` 0.13 was measured for this and for the cryptography. It has neither the encryption types of RFC 8009 nor
//! RC4, takes its confounders from a generator that tests cannot replace, and brings 40 packages more into a crate that
//! reads what strangers send. The ASN.1 of an AP-REQ is four types.

use crate::der::{self, NotDer, Reader, context, element};

use super::time::KerberosTime;

/// The bytes are not the DER of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<NotDer> for Malformed {
    fn from(_: NotDer) -> Self {
        Self
    }
}

pub(super) type Result<T> = core::result::Result<T, Malformed>;

/// The contents of an element with this tag, which is all of `data`.
pub(super) fn only(data: &[u8], tag: u8) -> Result<&[u8]> {
    let mut reader = Reader::new(data);
    let contents = next(&mut reader, tag)?;
    if reader.is_empty() { Ok(contents) } else { Err(Malformed) }
}

/// The contents of the next element, which has this tag.
fn next<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<&'a [u8]> {
    let found = reader.element()?;
    let header = found.whole.len().saturating_sub(found.contents.len());
    if found.tag != tag || header != header_len(found.contents.len()) {
        return Err(Malformed);
    }
    Ok(found.contents)
}

/// Bytes of the shortest header of `len` bytes of contents.
const fn header_len(len: usize) -> usize {
    match len {
        0..0x80 => 2,
        0x80..0x100 => 3,
        0x100..0x1_0000 => 4,
        0x1_0000..0x100_0000 => 5,
        _ => 6,
    }
}

/// The fields of a SEQUENCE, each in an element `[number]`, in ascending order.
pub(super) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    /// The fields of a SEQUENCE that is all of `data`.
    pub(super) fn of(data: &'a [u8]) -> Result<Self> {
        Ok(Self(Reader::new(only(data, der::SEQUENCE)?)))
    }

    /// The element in the next field, which has this number.
    pub(super) fn field(&mut self, number: u8) -> Result<&'a [u8]> {
        next(&mut self.0, context(number))
    }

    /// The element in the field with this number, if it is the next one.
    pub(super) fn optional(&mut self, number: u8) -> Result<Option<&'a [u8]>> {
        if self.0.peek() == Some(context(number)) { self.field(number).map(Some) } else { Ok(None) }
    }

    /// Checks that there are no more fields.
    pub(super) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// The elements of a SEQUENCE OF that is all of `data`, as they are.
pub(super) fn sequence_of(data: &[u8]) -> Result<Vec<&[u8]>> {
    let mut reader = Reader::new(only(data, der::SEQUENCE)?);
    let mut elements = Vec::new();
    while !reader.is_empty() {
        elements.push(reader.element()?.whole);
    }
    Ok(elements)
}

/// An INTEGER of at most 64 bits.
fn integer(data: &[u8]) -> Result<i64> {
    let digits = only(data, INTEGER)?;
    let is_negative = *digits.first().ok_or(Malformed)? >= 0x80;
    let is_padded = match digits {
        [0, second, ..] => *second < 0x80,
        [0xff, second, ..] => *second >= 0x80,
        _ => false,
    };
    if digits.len() > 8 || is_padded {
        return Err(Malformed);
    }
    let start = if is_negative { -1_i64 } else { 0 };
    Ok(digits.iter().fold(start, |number, digit| number << 8 | i64::from(*digit)))
}

/// `Int32`.
pub(super) fn int32(data: &[u8]) -> Result<i32> {
    i32::try_from(integer(data)?).map_err(|_| Malformed)
}

/// `UInt32`. Negative numbers are taken modulo 2^32: some clients send sequence numbers and key versions so (RFC 4120
/// 5.5.1).
pub(super) fn uint32(data: &[u8]) -> Result<u32> {
    let number = integer(data)?;
    u32::try_from(number).or_else(|_| i32::try_from(number).map(|it| it as u32)).map_err(|_| Malformed)
}

/// `Microseconds`.
pub(super) fn microseconds(data: &[u8]) -> Result<u32> {
    let number = integer(data)?;
    u32::try_from(number).ok().filter(|it| *it < 1_000_000).ok_or(Malformed)
}

/// An OCTET STRING.
pub(super) fn octets(data: &[u8]) -> Result<&[u8]> {
    only(data, der::OCTET_STRING)
}

/// A `KerberosString`. Windows puts UTF-8 into it, which for the characters of RFC 4120 5.2.1 is the same.
pub(super) fn string(data: &[u8]) -> Result<&str> {
    let text = core::str::from_utf8(only(data, der::GENERAL_STRING)?).map_err(|_| Malformed)?;
    if text.contains('\0') { Err(Malformed) } else { Ok(text) }
}

/// `KerberosTime`.
pub(super) fn time(data: &[u8]) -> Result<KerberosTime> {
    KerberosTime::parse(only(data, GENERALIZED_TIME)?).ok_or(Malformed)
}

/// `KerberosFlags` of 32 bits, bit 0 as the most significant. More than that are not in use.
pub(super) fn flags(data: &[u8]) -> Result<u32> {
    match only(data, BIT_STRING)? {
        [0, a, b, c, d] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(Malformed),
    }
}

/// A SEQUENCE of fields.
pub(super) fn put_sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    element(der::SEQUENCE, &parts)
}

/// The field `[number]` around an element.
pub(super) fn put(number: u8, value: &[u8]) -> Vec<u8> {
    element(context(number), &[value])
}

/// An INTEGER.
pub(super) fn put_integer(value: i64) -> Vec<u8> {
    let digits = value.to_be_bytes();
    let mut rest = digits.as_slice();
    while let [first, tail @ ..] = rest
        && let [second, ..] = tail
        && matches!((first, second), (0, 0..=0x7f) | (0xff, 0x80..))
    {
        rest = tail;
    }
    element(INTEGER, &[rest])
}

/// An OCTET STRING.
pub(super) fn put_octets(value: &[u8]) -> Vec<u8> {
    element(der::OCTET_STRING, &[value])
}

/// A `KerberosString`.
pub(super) fn put_string(value: &str) -> Vec<u8> {
    element(der::GENERAL_STRING, &[value.as_bytes()])
}

/// `KerberosTime`.
pub(super) fn put_time(value: KerberosTime) -> Vec<u8> {
    element(GENERALIZED_TIME, &[&value.encode()])
}

/// The element `[APPLICATION number]` around another one.
pub(super) fn put_application(number: u8, value: &[u8]) -> Vec<u8> {
    element(application(number), &[value])
}

/// The tag of the constructed element `[APPLICATION number]`.
pub(super) const fn application(number: u8) -> u8 {
    der::APPLICATION_0 | number
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const GENERALIZED_TIME: u8 = 0x18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_have_one_encoding() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 0x7f]),
            (128, &[2, 2, 0, 0x80]),
            (-1, &[2, 1, 0xff]),
            (-138, &[2, 2, 0xff, 0x76]),
            (0xffff_ffff, &[2, 5, 0, 0xff, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(put_integer(value), bytes);
            assert_eq!(integer(bytes), Ok(value));
        }
        for bad in
            [&[2, 0][..], &[2, 2, 0, 0x7f], &[2, 2, 0xff, 0x80], &[2, 1, 5, 0], &[2, 0x81, 1, 5], &[3, 1, 5]]
        {
            assert_eq!(integer(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(uint32(&[2, 1, 0xff]), Ok(u32::MAX));
        assert_eq!(uint32(&put_integer(1 << 32)), Err(Malformed));
        assert_eq!(microseconds(&put_integer(1_000_000)), Err(Malformed));
    }

    #[test]
    fn long_lengths_are_the_shortest() {
        for len in [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let bytes = put_octets(&vec![7; len]);
            assert_eq!(octets(&bytes).map(<[u8]>::len), Ok(len));
            assert_eq!(bytes.len(), len + header_len(len));
        }
    }

    proptest! {
        #[test]
        fn integers_are_read_back(value: i64) {
            prop_assert_eq!(integer(&put_integer(value)), Ok(value));
        }
    }
}
