//! Apple's extensions other than the create context: attributes in listings, and the stream that they are read from.

use crate::cursor::{DecodeError, Put, ReadCursor};
use crate::masks::AccessMask;
use crate::time::FileTime;

/// The stream that has a file's Finder information.
pub const AFP_INFO_STREAM: &str = "AFP_AfpInfo";

/// The stream that is a file's resource fork.
pub const RESOURCE_STREAM: &str = "AFP_Resource";

/// The attributes in a listing for an Apple client, in place of EaSize, ShortName and Reserved2 of
/// FileIdBothDirectoryInformation (kAAPL_SUPPORTS_READ_DIR_ATTR).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppleAttributes {
    /// The access that the user may have to the file.
    pub maximal_access: AccessMask,
    /// The bytes of the resource fork.
    pub resource_fork_size: u64,
    /// The parts of the Finder information that listings have.
    pub finder_info: [u8; 16],
    /// `st_mode`.
    pub unix_mode: u16,
}

impl AppleAttributes {
    /// Appends the fields in place of the short name, including its length.
    pub(crate) fn encode_short_name(&self, out: &mut Vec<u8>) {
        out.put_u16(24);
        out.put_u64(self.resource_fork_size);
        out.put_bytes(&self.finder_info);
    }
}

/// The content of [`AFP_INFO_STREAM`], whose numbers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfpInfo {
    /// BackupTime: seconds since 2000.
    pub backup_time: u32,
    /// FinderInfo: FileInfo or FolderInfo, then their extensions.
    pub finder_info: [u8; 32],
    /// ProDOSInfo.
    pub prodos_info: [u8; 6],
}

impl AfpInfo {
    /// Bytes of the stream.
    pub const SIZE: usize = 60;

    /// Reads the stream.
    pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = ReadCursor::new(data);
        // The version field varies; the content does not.
        if cursor.array::<4>()? != SIGNATURE {
            return Err(DecodeError::InvalidValue);
        }
        cursor.skip(8)?;
        let backup_time = u32::from_be_bytes(cursor.array()?);
        let (finder_info, prodos_info) = (cursor.array()?, cursor.array()?);
        cursor.skip(6)?;
        Ok(Self { backup_time, finder_info, prodos_info })
    }

    /// Appends the stream.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&SIGNATURE);
        out.put_bytes(&VERSION);
        out.put_zeros(4);
        out.put_bytes(&self.backup_time.to_be_bytes());
        out.put_bytes(&self.finder_info);
        out.put_bytes(&self.prodos_info);
        out.put_zeros(6);
    }
}

/// The parts of the Finder information that listings have: of files the type and the creator, the flags and the
/// extended flags, and when the file was added to its directory, for which there is no better time than its
/// creation.
pub fn listed_finder_info(info: Option<&AfpInfo>, is_file: bool, created: FileTime) -> [u8; 16] {
    let mut listed = [0; 16];
    let full = info.map_or([0; 32], |info| info.finder_info);
    let copies: [(core::ops::Range<usize>, usize, bool); 3] =
        [(0..8, 0, is_file), (8..10, 8, true), (24..26, 10, true)];
    for (from, to, counts) in copies {
        for (place, byte) in listed.iter_mut().skip(to).zip(full.get(from).unwrap_or_default()) {
            if counts {
                *place = *byte;
            }
        }
    }
    let (seconds, _) = created.to_unix();
    let added = u32::try_from(seconds.saturating_sub(YEAR_2000)).unwrap_or_default().to_be_bytes();
    for (place, byte) in listed.iter_mut().skip(12).zip(added) {
        *place = byte;
    }
    listed
}

const SIGNATURE: [u8; 4] = *b"AFP\0";
const VERSION: [u8; 4] = [0, 1, 0, 0];

/// The epoch of Apple's file times, as Unix time.
const YEAR_2000: i64 = 946_684_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_contain_the_finder_information() {
        let mut finder_info = [0; 32];
        finder_info[..10].copy_from_slice(b"TEXTttxt\x40\x01");
        finder_info[24..26].copy_from_slice(b"\x80\x02");
        let info = AfpInfo { backup_time: 0x8000_0000, finder_info, prodos_info: [0; 6] };
        let mut stream = Vec::new();
        info.encode(&mut stream);
        assert_eq!((stream.len(), AfpInfo::decode(&stream)), (AfpInfo::SIZE, Ok(info)));
        assert!(AfpInfo::decode(&stream[..59]).is_err() && AfpInfo::decode(&[0; 60]).is_err());

        let created = FileTime::from_unix(YEAR_2000 + 0x0102_0304, 0);
        let listed = listed_finder_info(Some(&info), true, created);
        assert_eq!(listed, *b"TEXTttxt\x40\x01\x80\x02\x01\x02\x03\x04");
        let folder = listed_finder_info(Some(&info), false, FileTime::UNIX_EPOCH);
        assert_eq!(folder, *b"\0\0\0\0\0\0\0\0\x40\x01\x80\x02\0\0\0\0");
    }
}
