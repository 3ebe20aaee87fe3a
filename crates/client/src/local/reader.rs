//! The readers of servers of this machine, and the parts of entries that several of them fill in.

use control::{Access, Word};
use control::{AccessBits, CloseFile, Connection, Ended, LockRange, OpenFile, Session, permission};
use wire::AccessMask;

use super::Make;
use crate::Error;
use crate::srvs::unsupported;

/// An open, and what is known of its file beyond the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The open.
    pub(crate) file: OpenFile,
    /// The file's device and inode.
    pub(crate) inode: Option<(u64, u64)>,
    /// The path on the disk without symbolic links, if it differs from the one that the server reports.
    pub(crate) real_path: Option<String>,
}

/// A server of this machine: the lists that it shows, and the ways to end their entries.
pub(crate) trait Reader {
    /// The make.
    const MAKE: Make;

    /// True if entries have paths that can be compared with one of this machine. Otherwise only names or inodes are
    /// known.
    const HAS_PATHS: bool;

    /// The version of the server's software.
    async fn version(&self) -> Result<String, Error>;

    /// All sessions.
    async fn sessions(&self) -> Result<Vec<Session>, Error>;

    /// All opens.
    async fn files(&self) -> Result<Vec<Found>, Error>;

    /// The connections to shares.
    async fn connections(&self) -> Result<Vec<Connection>, Error> {
        Err(unsupported(format!("{} does not report connections to shares", Self::MAKE)))
    }

    /// The warning before these sessions of the last list end, if others end with them.
    fn ending_warning(&self, _sessions: &[Session]) -> Option<&'static str> {
        None
    }

    /// Ends a session of the list. Fails with 2312 if it has ended.
    async fn end(&self, session: &Session) -> Result<Ended, Error>;

    /// Closes an open of the list.
    async fn close(&self, file: &OpenFile, how: &CloseFile) -> Result<Ended, Error>;
}

/// The access of a mask, with the names of its bits (MS-SMB2 2.2.13.1.1).
pub(crate) fn access(mask: u32) -> Access {
    let names = NAMES.iter().filter(|(bit, _)| mask & bit.0 != 0).map(|(_, name)| Word::known(name));
    Access { mask: AccessBits(mask), names: names.collect() }
}

/// The permissions that an access mask stands for (MS-SRVS 2.2.4.7).
pub(crate) fn permissions(mask: u32) -> u32 {
    let mask = AccessMask(mask);
    let has = |bits: AccessMask| mask.intersects(bits);
    [
        (permission::READ, has(AccessMask::READ_DATA)),
        (permission::WRITE, has(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA)),
        (permission::EXECUTE, has(AccessMask::EXECUTE)),
        (permission::DELETE, has(AccessMask::DELETE | AccessMask::DELETE_CHILD)),
        (permission::ATTRIBUTES, has(AccessMask::WRITE_ATTRIBUTES)),
        (permission::PERMISSIONS, has(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER)),
    ]
    .into_iter()
    .filter_map(|(bit, has)| has.then_some(bit))
    .fold(0, |all, bit| all | bit)
}

/// The access that other opens may have, from `ShareAccess` (MS-SMB2 2.2.13).
pub(crate) fn share_access(bits: u32) -> Vec<Word> {
    let words = [(1, "read"), (2, "write"), (4, "delete")];
    words.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| Word::known(word)).collect()
}

/// The name of an SMB dialect: of its revision (MS-SMB2 2.2.3).
pub(crate) fn dialect(revision: u32) -> String {
    match revision {
        0x0202 => String::from("2.0.2"),
        0x0210 => String::from("2.1"),
        0x0300 => String::from("3.0"),
        0x0302 => String::from("3.0.2"),
        0x0311 => String::from("3.1.1"),
        other => format!("{other:#06x}"),
    }
}

/// The first ranges of an open's locks, as many as an entry has.
pub(crate) fn first_ranges(ranges: impl Iterator<Item = LockRange>) -> Vec<LockRange> {
    ranges.take(control::limits::LOCK_RANGES_MAX).collect()
}

/// A number for an open whose server has none of 32 bits: FNV-1a over what identifies it, so that it is the same in
/// every list.
pub(crate) fn hashed_id(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter().chain(std::iter::once(&0xff)));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

const NAMES: [(AccessMask, &str); 15] = [
    (AccessMask::READ_DATA, "FILE_READ_DATA"),
    (AccessMask::WRITE_DATA, "FILE_WRITE_DATA"),
    (AccessMask::APPEND_DATA, "FILE_APPEND_DATA"),
    (AccessMask::READ_EA, "FILE_READ_EA"),
    (AccessMask::WRITE_EA, "FILE_WRITE_EA"),
    (AccessMask::EXECUTE, "FILE_EXECUTE"),
    (AccessMask::DELETE_CHILD, "FILE_DELETE_CHILD"),
    (AccessMask::READ_ATTRIBUTES, "FILE_READ_ATTRIBUTES"),
    (AccessMask::WRITE_ATTRIBUTES, "FILE_WRITE_ATTRIBUTES"),
    (AccessMask::DELETE, "DELETE"),
    (AccessMask::READ_CONTROL, "READ_CONTROL"),
    (AccessMask::WRITE_DAC, "WRITE_DAC"),
    (AccessMask::WRITE_OWNER, "WRITE_OWNER"),
    (AccessMask::SYNCHRONIZE, "SYNCHRONIZE"),
    (AccessMask::ACCESS_SYSTEM_SECURITY, "ACCESS_SYSTEM_SECURITY"),
];
