//! The readers of servers of this machine, and the parts of entries that several of them fill in.

use control::{CloseFile, Connection, Ended, LockRange, OpenFile, Session};

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
