//! An open file, directory or stream.

use crate::backend::{Actor, Wanted};
use crate::error::Result;
use crate::path::RelativePath;
use crate::stat::Stat;
use std::any::Any;
use std::ops::Range;
use wire::{AccessMask, FileAttributes, FileTime};

/// An open file, directory or stream. It stays the same file whatever happens to its name.
///
/// Data calls need the access the handle was opened with ([`crate::Wanted`]) and are
/// [`crate::Error::AccessDenied`] without it. Metadata calls act as the server's process: whether the client
/// may was decided when it opened, by [`Self::maximal_access`].
pub trait Handle: Send + Sync {
    /// The metadata now.
    fn stat(&self) -> Result<Stat>;

    /// The size in bytes now, as [`Self::stat`] tells it.
    fn size(&self) -> Result<u64> {
        Ok(self.stat()?.size)
    }

    /// Fills `buffer` from `offset`; less than all of it only at the end of the file. May block.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// As [`Self::read_at`] from memory alone; `None` where that would wait for a disk, or cannot be known.
    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>>;

    /// Writes all of `data` at `offset`, growing the file where needed; less only where an error (space)
    /// struck after some of it was written. May block.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize>;

    /// Writes all of `data` at the end of the file in one step: nothing that moves the end, through whatever share,
    /// comes between the look for the end and the write. `may_write_at` is told the end before anything is
    /// written; where it says no, nothing is, and the answer is `None`. Less than all of `data` only as in
    /// [`Self::write_at`]. May block.
    fn append(&self, _data: &[u8], _may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        Err(crate::Error::NotSupported)
    }

    /// Takes a lock of a range of the file that all programs of the machine see and that is this handle's alone, or with
    /// `None` gives up what the handle has there. What it has had in the range until now, this takes the place of. At
    /// once: false where somebody else's lock is in the way, and then nothing has changed. Never refused for another
    /// reason than that or an error of the file system, but kept weaker, or not at all, where the operating system
    /// cannot have it so ([`RangeLock`]). Dropping the handle gives up everything.
    fn set_range_lock(&self, _range: Range<u64>, _lock: Option<RangeLock>) -> Result<bool> {
        Err(crate::Error::NotSupported)
    }

    /// Looks for a lock that is not this handle's and keeps it from taking one of a range now.
    fn is_range_locked(&self, _range: Range<u64>, _lock: RangeLock) -> Result<bool> {
        Err(crate::Error::NotSupported)
    }

    /// Brings data, metadata, streams and the file's name to the disk, whatever the handle was opened for. May block.
    fn flush(&self) -> Result<()>;

    /// What the file system says where a descriptor that was written through is closed: network file systems write
    /// with that what they hold back, and say then that there is no room for it. The handle stays open. May block.
    fn ask_closing(&self) -> Result<()> {
        Ok(())
    }

    /// Sets the end of the file: cuts off, or grows by zeros.
    fn set_size(&self, size: u64) -> Result<()>;

    /// Reserves room for the first `bytes` bytes; the size stays. Never shrinks.
    fn allocate(&self, bytes: u64) -> Result<()>;

    /// Makes the range zeros; the size stays (FSCTL_SET_ZERO_DATA). A sparse file gives the space back where
    /// possible, any other keeps it.
    fn zero(&self, range: Range<u64>) -> Result<()>;

    /// The parts of the range that hold data, rising, cut to the range and the file; at most
    /// [`crate::limits::ALLOCATED_RANGES_MAX`] of them.
    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>>;

    /// Lets the bytes from `at` be those of `range` in `source`, on the disk too, until one of the files is written
    /// to (FSCTL_DUPLICATE_EXTENTS_TO_FILE).
    fn duplicate_extents(&self, _source: &dyn Handle, _range: Range<u64>, _at: u64) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Sets the times that are given.
    fn set_times(&self, times: SetTimes) -> Result<()>;

    /// Sets the settable attributes ([`crate::stat::SETTABLE_ATTRIBUTES`]) to exactly these; NORMAL or NONE
    /// clears them all.
    fn set_attributes(&self, attributes: FileAttributes) -> Result<()>;

    /// Sets or clears SPARSE_FILE (FSCTL_SET_SPARSE).
    fn set_sparse(&self, sparse: bool) -> Result<()>;

    /// Starts a listing; [`crate::Error::NotADirectory`] for files.
    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>>;

    /// What `actor` may do with the file by its owner and permission bits (and its ACL, where there is one).
    /// DELETE is only there for those who pass every check: it is a matter of the directory
    /// ([`crate::Backend::directory_of`]). DOS attributes do not count here.
    fn maximal_access(&self, actor: &Actor) -> AccessMask;

    /// An extended attribute's value, the name compared without regard to ASCII case; `None` if there is none.
    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Creates or replaces an extended attribute.
    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Removes an extended attribute; fine if there is none.
    fn remove_xattr(&self, name: &str) -> Result<()>;

    /// All extended attributes that clients may see, sorted by name.
    fn xattrs(&self) -> Result<Vec<Xattr>>;

    /// The stored security descriptor record (Samba's `security.NTACL`), uninterpreted.
    fn security_record(&self) -> Result<Option<Vec<u8>>>;

    /// Keeps others who ask for the same, through whatever share, waiting until what it returns is dropped: for who
    /// reads the security descriptor record and writes it back changed. Not to be asked twice by one thread.
    fn lock_security_record(&self) -> Box<dyn Send> {
        Box::new(())
    }

    /// Stores the security descriptor record.
    fn set_security_record(&self, record: &[u8]) -> Result<()>;

    /// Gives the file to another Unix user. [`crate::Error::AccessDenied`] where the server may not.
    fn set_owner(&self, _uid: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Sets the lowest nine permission bits.
    fn set_permissions(&self, _mode: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// What the operating system itself decides by, in full; `None` where it decides by nothing of the kind.
    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        Ok(None)
    }

    /// What the file is where it is a reparse point (MS-FSCC 2.1.2); none where it is an ordinary one.
    fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        Ok(None)
    }

    /// Makes the file a reparse point with this REPARSE_DATA_BUFFER, or with `None` an ordinary file again.
    fn set_reparse_data(&self, _data: Option<&[u8]>) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// The named streams, sorted by name; without the unnamed one.
    fn streams(&self) -> Result<Vec<StreamInfo>>;

    /// The descriptor for `sendfile`, where there is one that can read data.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>>;

    /// Tells it that its file has been renamed, or a directory above: symlinks that it lists lead from there.
    fn moved(&self, _path: &RelativePath) {}

    /// For the backend that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A lock of a range of a file, as other programs of the machine see it: see [`Handle::set_range_lock`].
///
/// Linux has locks of the offsets below 2^63, and of a range what is below. An exclusive one needs a descriptor that can
/// write: through another one it is a shared lock. A shared one needs a descriptor that can read: through another one
/// there is none. Both are refused all the same while somebody has a lock that the true one would conflict with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeLock {
    /// Others may have shared locks beside it.
    Shared,
    /// Nobody else has a lock beside it.
    Exclusive,
}

impl RangeLock {
    /// The lock that a handle opened for `wanted` can have where this one is asked for.
    pub(crate) fn held_by(self, wanted: Wanted) -> Option<Self> {
        match self {
            Self::Exclusive if wanted.write => Some(self),
            _ if wanted.read => Some(Self::Shared),
            _ => None,
        }
    }
}

/// Where the offsets end that the operating system can lock.
pub const LOCKABLE_END: u64 = 1 << 63;

/// The part of a range that the operating system can lock; none where there is nothing of it.
pub fn lockable(range: &Range<u64>) -> Option<Range<u64>> {
    let end = range.end.min(LOCKABLE_END);
    (range.start < end).then_some(range.start..end)
}

/// A listing in progress. It streams: entries that exist from start to end appear exactly once, those that
/// come or go meanwhile may or may not.
pub trait DirectoryCursor: Send {
    /// The next entry that `wanted` does not skip; `None` at the end. `.` and `..` come first.
    ///
    /// `wanted` sees the name and says what the entry is worth; the metadata is only fetched for
    /// [`EntryWanted::Stat`] and [`EntryWanted::Full`]. Where the share follows symlinks they show what they point
    /// to, and those that lead nowhere or out of the share are left out wherever the metadata is asked for.
    fn next(&mut self, wanted: &mut dyn FnMut(&str) -> EntryWanted) -> Result<Option<Entry>>;

    /// Starts again from the beginning, with what is there now.
    fn restart(&mut self) -> Result<()>;
}

/// What a caller wants of a listed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryWanted {
    /// Nothing: go on.
    Skip,
    /// The name alone.
    Name,
    /// The name and the metadata.
    Stat,
    /// The name, the metadata and how large the extended attributes are.
    Full,
}

/// A listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as the wire shows it.
    pub name: String,
    /// The metadata, where it was asked for.
    pub stat: Option<Stat>,
    /// `EaSize`, where it was asked for.
    pub ea_size: u32,
}

/// `EaSize` (MS-FSCC 2.4.12) of attributes given by the lengths of their names and values: as OS/2's list of
/// them had it.
pub fn ea_size(attributes: impl Iterator<Item = (usize, usize)>) -> u32 {
    let sizes = attributes.map(|(name, value)| EA_HEADER_BYTES.saturating_add(name).saturating_add(value));
    let size = sizes.fold(0, usize::saturating_add);
    let list = if size == 0 { 0 } else { size.saturating_add(EA_LIST_BYTES) };
    u32::try_from(list).unwrap_or(u32::MAX)
}

/// What the list itself, and each attribute in it, took besides.
const EA_LIST_BYTES: usize = 4;
const EA_HEADER_BYTES: usize = 5;

/// Times to set; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTimes {
    /// `CreationTime`.
    pub created: Option<FileTime>,
    /// `LastAccessTime`.
    pub accessed: Option<FileTime>,
    /// `LastWriteTime`.
    pub modified: Option<FileTime>,
    /// `ChangeTime`. A local backend keeps the time that is set beside the operating system's, which cannot
    /// be set, and tells it until the file changes; where it cannot, the operating system's remains.
    pub changed: Option<FileTime>,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// The name, without the name space.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
}

/// The owner, the permission bits and the POSIX ACLs of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PosixPermissions {
    /// `st_mode`, the bits of the file's type included.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The access ACL in the form of the attribute `system.posix_acl_access`, where there is more than the
    /// permission bits.
    pub access_acl: Option<Vec<u8>>,
    /// A directory's default ACL in the same form.
    pub default_acl: Option<Vec<u8>>,
}

/// What a reparse point is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReparsePoint {
    /// A symlink, by its relative target with `/` between the components.
    Symlink(String),
    /// What a client has set, with the header.
    Data(Vec<u8>),
}

/// A named stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The name alone: no colons, no `$DATA`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its allocation in bytes.
    pub allocation: u64,
}
