//! A reader of TDB files, Samba's databases, as bytes.
//!
//! The format, in the byte order of the machine that made the file: a header of 168 bytes (the text "TDB file\n", the
//! version, the number of hash chains), the head of the list of free space, and the head of each chain. A record has 24
//! bytes before its key and data: the offset of the next record of its chain, the room for key and data, their lengths,
//! the hash, and a magic number.

use thiserror::Error;

/// The reasons that a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TdbError {
    /// The file does not begin as a TDB file.
    #[error("not a TDB file")]
    NotTdb,
    /// Another version of the format.
    #[error("a TDB file of an unknown version")]
    Version,
    /// An ability of newer files that changes the layout.
    #[error("a TDB file with unknown features ({0:#x})")]
    Features(u32),
    /// A record is not within the file.
    #[error("the TDB file is cut or damaged at offset {0}")]
    Damaged(u32),
}

/// A TDB file.
#[derive(Clone, Copy)]
pub struct Tdb<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    chains: u32,
}

/// A key and its data.
pub type Record<'a> = (&'a [u8], &'a [u8]);

impl core::fmt::Debug for Tdb<'_> {
    /// Without the content: it has hashes of passwords.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tdb").field("bytes", &self.bytes.len()).field("chains", &self.chains).finish()
    }
}

impl<'a> Tdb<'a> {
    /// Checks the header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, TdbError> {
        if !bytes.starts_with(MAGIC) {
            return Err(TdbError::NotTdb);
        }
        let little = Self { bytes, is_big_endian: false, chains: 0 };
        let big = Self { is_big_endian: true, ..little };
        let of_version = |it: &Self| it.number(VERSION_AT) == Ok(VERSION);
        let mut tdb = [little, big].into_iter().find(of_version).ok_or(TdbError::Version)?;
        // Without the hash that marks it, the field is a part of the reserved space.
        let features = tdb.number(FEATURES_AT)?;
        if features != 0 {
            return Err(TdbError::Features(features));
        }
        tdb.chains = tdb.number(CHAINS_AT)?;
        let heads = u64::from(FIRST_HEAD) + 4 * u64::from(tdb.chains);
        if heads > bytes.len() as u64 {
            return Err(TdbError::Damaged(CHAINS_AT));
        }
        Ok(tdb)
    }

    /// All records, in no particular order. The error is the first that was found; a damaged file gives no records.
    pub fn records(&self) -> Result<Vec<Record<'a>>, TdbError> {
        // Each record takes its own header, so a file with more of them has a chain that is a circle.
        let most = self.bytes.len() / HEADER as usize;
        let mut records = Vec::new();
        for chain in 0..self.chains {
            let mut at = self.number(FIRST_HEAD + 4 * chain)?;
            let mut dead = 0;
            while at != 0 {
                let (next, record) = self.record(at)?;
                match record {
                    Some(record) => records.push(record),
                    None => dead += 1,
                }
                if records.len() + dead > most {
                    return Err(TdbError::Damaged(at));
                }
                at = next;
            }
        }
        Ok(records)
    }

    /// The data of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<&'a [u8]>, TdbError> {
        Ok(self.records()?.into_iter().find(|(it, _)| *it == key).map(|(_, data)| data))
    }

    /// The next record's offset, and the record; `None` for one that is marked as deleted.
    fn record(&self, at: u32) -> Result<(u32, Option<Record<'a>>), TdbError> {
        let damaged = TdbError::Damaged(at);
        let field =
            |number: u32| self.number(at.checked_add(4 * number).ok_or(damaged)?).map_err(|_| damaged);
        let (next, room, key, data, magic) = (field(0)?, field(1)?, field(2)?, field(3)?, field(5)?);
        if magic == DEAD {
            return Ok((next, None));
        }
        let used = key.checked_add(data).filter(|used| *used <= room && magic == LIVE).ok_or(damaged)?;
        let start = at.checked_add(HEADER).ok_or(damaged)?;
        let end = start.checked_add(used).ok_or(damaged)?;
        let both = self.bytes.get(start as usize..end as usize).ok_or(damaged)?;
        let parts = both.split_at_checked(key as usize).ok_or(damaged)?;
        Ok((next, Some(parts)))
    }

    fn number(&self, at: u32) -> Result<u32, TdbError> {
        let bytes = self.bytes.get(at as usize..).and_then(|rest| rest.first_chunk());
        let bytes = *bytes.ok_or(TdbError::Damaged(at))?;
        Ok(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

const MAGIC: &[u8] = b"TDB file\n\0";
const VERSION: u32 = 0x2601_196D;
const VERSION_AT: u32 = 32;
const CHAINS_AT: u32 = 36;
/// Flags of abilities. The only one so far moves all offsets behind a table of mutexes; Samba uses it for databases
/// that do not outlive a restart.
const FEATURES_AT: u32 = 60;
/// The head of the first chain, after the list of free space.
const FIRST_HEAD: u32 = 172;
/// The length of a record's header.
const HEADER: u32 = 24;
const LIVE: u32 = 0x2601_1999;
const DEAD: u32 = 0xFEE1_DEAD;

#[cfg(any(test, feature = "testing"))]
pub mod make {
    //! Makes TDB files, for tests.

    use super::{FIRST_HEAD, LIVE, MAGIC, VERSION};

    /// A file with these records in three chains.
    pub fn tdb(records: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(32, 0);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.resize(FIRST_HEAD as usize + 12, 0);
        for (index, (key, data)) in records.iter().enumerate() {
            let head = FIRST_HEAD as usize + 4 * (index % 3);
            let at = bytes.len();
            let next: [u8; 4] = bytes[head..head + 4].try_into().unwrap_or_default();
            bytes[head..head + 4].copy_from_slice(&(at as u32).to_le_bytes());
            bytes.extend(next);
            let lengths = [key.len() + data.len() + 4, key.len(), data.len(), 7];
            bytes.extend(lengths.iter().flat_map(|length| (*length as u32).to_le_bytes()));
            bytes.extend(LIVE.to_le_bytes());
            bytes.extend([*key, *data, &[0; 4]].concat());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_chains_are_read() {
        let records: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b""), (b"c", b"3"), (b"d\0", b"4")];
        let bytes = make::tdb(&records);
        let tdb = Tdb::open(&bytes).unwrap();
        let mut read = tdb.records().unwrap();
        read.sort_unstable();
        assert_eq!(read, records);
        assert_eq!(tdb.get(b"d\0"), Ok(Some(&b"4"[..])));
        assert_eq!(tdb.get(b"e"), Ok(None));
    }

    #[test]
    fn every_cut_file_is_refused_or_has_fewer_bytes_than_it_needs() {
        let bytes = make::tdb(&[(b"a", b"1"), (b"b", b"2")]);
        for length in 0..bytes.len() - 4 {
            let cut = Tdb::open(&bytes[..length]).and_then(|tdb| tdb.records());
            assert!(cut.is_err(), "{length}");
        }
    }

    #[test]
    fn circles_and_wrong_magic_numbers_are_damage() {
        let mut bytes = make::tdb(&[(b"a", b"1")]);
        let at = FIRST_HEAD as usize + 12;
        bytes[at..at + 4].copy_from_slice(&(at as u32).to_le_bytes());
        assert_eq!(Tdb::open(&bytes).unwrap().records(), Err(TdbError::Damaged(at as u32)));
        bytes[at + 20] ^= 1;
        assert_eq!(Tdb::open(&bytes).unwrap().records(), Err(TdbError::Damaged(at as u32)));
        bytes[60] = 1;
        assert_eq!(Tdb::open(&bytes).unwrap_err(), TdbError::Features(1));
        bytes[32] = 0;
        assert_eq!(Tdb::open(&bytes).unwrap_err(), TdbError::Version);
        assert_eq!(Tdb::open(b"SQLite").unwrap_err(), TdbError::NotTdb);
    }
}
