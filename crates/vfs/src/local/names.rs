//! Lossless conversion between names on disk (any bytes) and names on the wire (those that Windows allows).
//!
//! Characters that Windows forbids become the private use characters of "Services for Macintosh", which the
//! Linux and macOS clients and Samba's `vfs_fruit`/`vfs_catia` also use: controls 0x01..0x1f are
//! U+F001..F01F, `" * : < > ? \ |` are U+F020..F027, a space or dot at the end is U+F028 or U+F029. A byte
//! that is not UTF-8 becomes U+EF00 plus the byte (U+EF80..EFFF). A character on disk that is already in one
//! of these ranges is shown as its bytes, so that different names on disk look different.

use std::borrow::Cow;

use wire::private_use::{end_from_private, from_private, to_private, with_private_end};

use crate::error::{Error, Result};
use crate::fold::Forms;

const BAD_BYTE: u32 = 0xef00;

/// The name on the wire for a name on disk.
pub(super) fn decode(disk: &[u8]) -> String {
    shown(disk).into_owned()
}

/// The name on the wire for a name on disk, without a copy of it if both are the same.
pub(super) fn shown(disk: &[u8]) -> Cow<'_, str> {
    if is_plain(disk)
        && let Ok(text) = std::str::from_utf8(disk)
    {
        return Cow::Borrowed(text);
    }
    let mut name = String::with_capacity(disk.len() + 8);
    for chunk in disk.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_decoded(&mut name, c);
        }
        for byte in chunk.invalid() {
            push_bad_byte(&mut name, *byte);
        }
    }
    Cow::Owned(with_private_end(name))
}

/// True for a name of printable ASCII that is the same on the wire.
pub(super) fn is_plain(disk: &[u8]) -> bool {
    let is_allowed = |byte: u8| to_private(byte.into()) == char::from(byte);
    let plain = |byte: &u8| (b' '..0x7f).contains(byte) && is_allowed(*byte);
    disk.iter().all(plain) && !matches!(disk.last(), Some(b' ' | b'.'))
}

/// The name on disk for a name on the wire. A name that is not the decoded form of any name on disk is
/// refused, but a plain space or dot at the end is accepted.
pub(super) fn encode(name: &str) -> Result<Vec<u8>> {
    if name.is_ascii() && !name.bytes().any(|byte| byte < b' ') {
        return checked(name.as_bytes().to_vec());
    }
    let mut disk = Vec::with_capacity(name.len());
    let mut private = false;
    let mut buffer = [0; 4];
    for c in name.chars() {
        let byte = match u32::from(c) {
            code @ 0xef80..=0xefff => Some(code - BAD_BYTE),
            0xf001..=0xf029 => Some(end_from_private(from_private(c)).into()),
            _ => None,
        };
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                private = true;
                disk.push(byte);
            }
            None => disk.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    if private && decode(&disk) != with_private_end(name.to_owned()) {
        return Err(Error::InvalidName);
    }
    checked(disk)
}

/// The disk path for components separated by `/`.
pub(super) fn encode_path(path: &str) -> Result<Vec<u8>> {
    let mut disk = Vec::with_capacity(path.len());
    for component in path.split('/').filter(|component| !component.is_empty()) {
        push_component(&mut disk, &encode(component)?);
    }
    Ok(disk)
}

/// The path on the wire for a disk path.
pub(super) fn decode_path(disk: &[u8]) -> String {
    let mut path = String::with_capacity(disk.len());
    for component in disk.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&decode(component));
    }
    path
}

/// Appends a component to a disk path.
pub(super) fn push_component(path: &mut Vec<u8>, component: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

/// True if a name on disk equals `wanted` in all but case and the normalization `forms`.
pub(super) fn matches(forms: Forms, disk: &[u8], wanted: &str) -> bool {
    if wanted.is_ascii() {
        return disk.eq_ignore_ascii_case(wanted.as_bytes());
    }
    !is_alphanumeric(disk)
        && crate::fold::equal_in(forms, &decode(disk), &with_private_end(wanted.to_owned()))
}

/// True for ASCII that decodes to itself and therefore cannot match a name with other characters.
fn is_alphanumeric(disk: &[u8]) -> bool {
    disk.iter().all(u8::is_ascii_alphanumeric)
}

fn push_decoded(name: &mut String, c: char) {
    match u32::from(c) {
        0xef80..=0xefff | 0xf001..=0xf029 => {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                push_bad_byte(name, byte);
            }
        }
        _ => name.push(to_private(c)),
    }
}

fn push_bad_byte(name: &mut String, byte: u8) {
    name.push(char::from_u32(BAD_BYTE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// The final check of a component before it is passed to the kernel: mapped characters can spell `.` and
/// `..`.
fn checked(disk: Vec<u8>) -> Result<Vec<u8>> {
    let fatal = |byte: &u8| matches!(byte, b'/' | 0);
    if disk.is_empty() || disk == b"." || disk == b".." || disk.iter().any(fatal) {
        return Err(Error::InvalidName);
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_that_windows_forbids_are_mapped() {
        for (disk, wire) in [
            (&b"plain.txt"[..], "plain.txt"),
            (b"a:b*?\"<>|\\", "a\u{f022}b\u{f021}\u{f025}\u{f020}\u{f023}\u{f024}\u{f027}\u{f026}"),
            (b"tab\there", "tab\u{f009}here"),
            (b"end.", "end\u{f029}"),
            (b"end. ", "end.\u{f028}"),
            (b"caf\xe9", "caf\u{efe9}"),
            ("é\u{f021}".as_bytes(), "é\u{efef}\u{ef80}\u{efa1}"),
            ("日本".as_bytes(), "日本"),
        ] {
            assert_eq!(decode(disk), wire);
            assert_eq!(encode(wire).unwrap(), disk, "{wire:?}");
        }
        assert_eq!(encode("end.").unwrap(), b"end.");
        assert_eq!(encode("é ").unwrap(), "é ".as_bytes());
    }

    #[test]
    fn mapped_characters_cannot_spell_a_parent_directory() {
        for evil in [
            "\u{f029}",
            ".\u{f029}",
            "\u{f029}\u{f029}",
            "\u{ef2e}\u{f029}",
            "a\u{f029}b",
            "\u{efc3}\u{efa9}",
        ] {
            assert!(
                matches!(encode(evil), Err(Error::InvalidName)) || !encode(evil).unwrap().starts_with(b".")
            );
        }
        assert!(encode("\u{f029}").is_err());
        assert!(encode(".\u{f029}").is_err());
        assert!(encode("\u{efc3}\u{efa9}").is_err(), "would be é, which is shown as é");
        assert!(encode("a\u{f029}b").is_err());
    }

    proptest! {
        #[test]
        fn every_name_on_disk_round_trips(disk in proptest::collection::vec(prop_oneof![1..=255u8, Just(0xef), Just(0xbe), 0x80..=0xbfu8], 1..40)) {
            let disk: Vec<u8> = disk.into_iter().filter(|byte| *byte != b'/').collect();
            prop_assume!(!disk.is_empty() && disk != b"." && disk != b"..");
            let wire = decode(&disk);
            prop_assert!(crate::RelativePath::new(wire.clone()).is_ok(), "{:?}", wire);
            prop_assert_eq!(encode(&wire).unwrap(), disk.clone());
            prop_assert!(matches(Forms::Exact, &disk, &wire));
            prop_assert!(matches(Forms::Any, &disk, &wire));
        }

        #[test]
        fn no_name_on_the_wire_leaves_its_directory(name in "\\PC{1,20}") {
            if let Ok(path) = crate::RelativePath::new(name.clone())
                && path.components().count() == 1
                && let Ok(disk) = encode(&name)
            {
                prop_assert!(disk != b"." && disk != b".." && !disk.contains(&b'/') && !disk.contains(&0));
            }
        }
    }
}
