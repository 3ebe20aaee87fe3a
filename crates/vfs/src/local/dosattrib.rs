//! `user.DOSATTRIB`: DOS attributes and the creation time, in Samba's record format.
//!
//! The record is NDR, little-endian, with fields aligned to at most four bytes from its start: a
//! NUL-terminated string (`0x%x` of the attributes up to version 3, empty from version 4), the version (u16),
//! the version again as the union's discriminant, then depending on the version (T: FILETIME as two u32)
//!
//! | version | fields |
//! |---|---|
//! | 1 | attributes, EA size, size (u64), allocation (u64), created T, changed T |
//! | 2 | flags, then as 1, then written T, name |
//! | 3 | valid flags, then as 1 |
//! | 4 | valid flags, attributes, invented time T, created T |
//! | 5 | valid flags, attributes, created T |
//!
//! This server writes version 5. If a client has set the change time, which no file system can store, it
//! writes version 3: `changed` is the time that was set, and the size, whose valid flag is not set, is the
//! time of the setting (see [`SetChange`]). Samba accepts the rest of such a record.

use wire::{FileAttributes, FileTime};

/// The name of the extended attribute.
pub(super) const NAME: &str = "user.DOSATTRIB";

/// A size larger than any record that Samba writes.
pub(super) const RECORD_BYTES_MAX: usize = 512;

const VALID_ATTRIBUTES: u32 = 0x01;
const VALID_CREATED: u32 = 0x10;
const VALID_CHANGED: u32 = 0x20;

/// The tolerance, in units of 100 ns, for the difference between the kernel's change time and the recorded
/// time of the setting: the kernel's clock ticks every 10 ms or faster, and the call takes some time.
const CHANGE_TICKS_MAX: u64 = 250_000;

/// The contents of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DosAttrib {
    /// The attributes, if they are valid.
    pub(super) attributes: Option<FileAttributes>,
    /// The creation time, if it is valid.
    pub(super) created: Option<FileTime>,
    /// The change time, if it was set.
    pub(super) changed: Option<SetChange>,
}

/// A change time that was set by a client. The kernel's change time cannot be set, so this one is valid until
/// the kernel's moves on from the time of the setting: every later change of the file does that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetChange {
    /// The time that was set.
    pub(super) time: FileTime,
    /// The time of the setting.
    pub(super) at: FileTime,
}

impl SetChange {
    /// True if a file whose kernel change time is `kernel` has not changed since the setting.
    pub(super) fn counts(self, kernel: FileTime) -> bool {
        kernel.0.abs_diff(self.at.0) <= CHANGE_TICKS_MAX
    }
}

impl DosAttrib {
    /// Parses a record of any version; `None` if it is malformed, and then the file counts as without stored
    /// attributes.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let text_end = record.iter().position(|byte| *byte == 0);
        let text = record.get(..text_end.unwrap_or(record.len()))?;
        let mut reader = Reader { record, position: text.len().checked_add(1)? };
        let Some(version) = reader.u16() else {
            // Before there were versions, the record was only the string.
            let digits = std::str::from_utf8(text).ok()?.trim().strip_prefix("0x")?;
            let attributes = FileAttributes(u32::from_str_radix(digits, 16).ok()?);
            return Some(Self { attributes: Some(attributes), ..Self::default() });
        };
        if reader.u16()? != version {
            return None;
        }
        let mut valid = VALID_ATTRIBUTES | VALID_CREATED;
        match version {
            1 => {}
            2 => _ = reader.u32()?,
            3..=5 => valid = reader.u32()?,
            _ => return None,
        }
        let attributes = FileAttributes(reader.u32()?);
        let mut size = 0;
        match version {
            1..=3 => {
                reader.skip(4)?;
                size = reader.u64()?;
                reader.skip(8)?;
            }
            4 => reader.skip(8)?,
            _ => {}
        }
        let created = FileTime(reader.u64()?);
        let changed = match version {
            3 if valid & VALID_CHANGED != 0 => {
                Some(SetChange { time: FileTime(reader.u64()?), at: FileTime(size) })
            }
            _ => None,
        };
        Some(Self {
            attributes: (valid & VALID_ATTRIBUTES != 0).then_some(attributes),
            created: (valid & VALID_CREATED != 0 && created != FileTime::NONE).then_some(created),
            changed,
        })
    }

    /// The encoded record, version 5 or 3.
    pub(super) fn to_record(self) -> Vec<u8> {
        let mut valid = 0;
        if self.attributes.is_some() {
            valid |= VALID_ATTRIBUTES;
        }
        if self.created.is_some() {
            valid |= VALID_CREATED;
        }
        let attributes = self.attributes.unwrap_or_default().0;
        if let Some(SetChange { time, at }) = self.changed {
            let mut record = format!("{attributes:#x}\0").into_bytes();
            record.resize(record.len().next_multiple_of(2), 0);
            record.extend_from_slice(&[3, 0, 3, 0]);
            record.resize(record.len().next_multiple_of(4), 0);
            for number in [valid | VALID_CHANGED, attributes, 0] {
                record.extend_from_slice(&number.to_le_bytes());
            }
            for number in [at.0, 0, self.created.unwrap_or_default().0, time.0] {
                record.extend_from_slice(&number.to_le_bytes());
            }
            return record;
        }
        let mut record = vec![0, 0, 5, 0, 5, 0, 0, 0];
        record.extend_from_slice(&u32::to_le_bytes(valid));
        record.extend_from_slice(&attributes.to_le_bytes());
        record.extend_from_slice(&self.created.unwrap_or_default().0.to_le_bytes());
        record
    }
}

struct Reader<'a> {
    record: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self, align: usize) -> Option<[u8; N]> {
        let start = self.position.checked_next_multiple_of(align)?;
        let bytes = self.record.get(start..)?.first_chunk::<N>()?;
        self.position = start.checked_add(N)?;
        Some(*bytes)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.position = self.position.checked_add(bytes)?;
        (self.position <= self.record.len()).then_some(())
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(4).map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records from Samba 4.17's own encoder (`samba.dcerpc.xattr.DOSATTRIB`), and from files its server made.
    const SAMBA: [(&str, u32, Option<u64>); 9] = [
        (
            "3078323100000100010000002100000001000000020000000000000003000000000000004e6116f74cf5d401b1ff59a0cb82d801",
            0x21,
            Some(132_000_000_012_345_678),
        ),
        (
            "307832320000020002000000010000002200000001000000020000000000000003000000000000004e6116f74cf5d401\
             b1ff59a0cb82d801c7716fadd9e7d8016e61c3af766500",
            0x22,
            Some(132_000_000_012_345_678),
        ),
        (
            "307832330000030003000000110000002300000000000000000000000000000000000000000000004e6116f74cf5d401\
             0000000000000000",
            0x23,
            Some(132_000_000_012_345_678),
        ),
        (
            "3078313000000300030000000100000010000000000000000000000000000000000000000000000000000000000000000000\
             000000000000",
            0x10,
            None,
        ),
        (
            "00000400040000005100000020000000b1ff59a0cb82d8014e6116f74cf5d401",
            0x20,
            Some(132_000_000_012_345_678),
        ),
        ("000005000500000011000000260000004e6116f74cf5d401", 0x26, Some(132_000_000_012_345_678)),
        ("00000500050000001100000012000000b1ff59a0cb82d801", 0x12, Some(133_000_000_087_654_321)),
        ("00000500050000001100000020000000ea3a2bb5747add01", 0x20, Some(0x01dd_7a74_b52b_3aea)),
        ("0000050005000000110000001000000037802bb5747add01", 0x10, Some(0x01dd_7a74_b52b_8037)),
    ];

    #[test]
    fn records_of_samba_are_parsed() {
        for (hex, attributes, created) in SAMBA {
            let expected = DosAttrib {
                attributes: Some(FileAttributes(attributes)),
                created: created.map(FileTime),
                changed: None,
            };
            assert_eq!(DosAttrib::parse(&bytes(hex)), Some(expected), "{hex}");
        }
    }

    #[test]
    fn records_are_encoded_as_by_samba() {
        let mut compared = 0;
        for (hex, ..) in SAMBA.iter().filter(|(hex, ..)| hex.starts_with("00000500")) {
            let parsed = DosAttrib::parse(&bytes(hex)).unwrap();
            assert_eq!(parsed.to_record(), bytes(hex));
            compared += 1;
        }
        assert_eq!(compared, 4);
    }

    #[test]
    fn a_record_of_the_string_only_is_parsed_and_others_are_refused() {
        let hidden = DosAttrib { attributes: Some(FileAttributes::HIDDEN), ..DosAttrib::default() };
        assert_eq!(DosAttrib::parse(b"0x2"), Some(hidden));
        assert_eq!(DosAttrib::parse(b"0x2\0"), Some(hidden));
        for bad in [
            &b""[..],
            b"\0",
            b"hello",
            b"\0\0\x06\0\x06\0\0\0",
            b"\0\0\x05\0\x04\0\0\0",
            b"\0\0\x05\0\x05\0\0\0\x11\0",
        ] {
            assert_eq!(DosAttrib::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_records_round_trip(record in proptest::collection::vec(any::<u8>(), 0..80), created in 1..u64::MAX, bits: u32) {
            _ = DosAttrib::parse(&record);
            let created = FileTime(created);
            let ours = DosAttrib { attributes: Some(FileAttributes(bits)), created: Some(created), changed: None };
            prop_assert_eq!(DosAttrib::parse(&ours.to_record()), Some(ours));
            let changed = SetChange { time: FileTime(7), at: created };
            let ours = DosAttrib { changed: Some(changed), ..ours };
            prop_assert_eq!(DosAttrib::parse(&ours.to_record()), Some(ours));
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
