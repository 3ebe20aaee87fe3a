//! An open file, directory or stream.

use crate::backend::{Actor, Permits, Wanted};
use crate::error::Result;
use crate::path::RelativePath;
use crate::stat::Stat;
use std::any::Any;
use std::ops::Range;
use wire::{AccessMask, FileAttributes, FileTime};

/// An open file, directory or stream. It refers to the same file even after a rename or removal.
///
/// Data calls need the access that the handle was opened with ([`crate::Wanted`]) and return
/// [`crate::Error::AccessDenied`] without it. Metadata calls act as the server's process: the permissions of
/// the client were checked at the open, with [`Self::maximal_access`].
pub trait Handle: Send + Sync {
    /// The current metadata.
    fn stat(&self) -> Result<Stat>;

    /// The time at which the file was made, in seconds since 1970 and nanoseconds, by the clock of the file system.
    /// Clients cannot change it, so together with the inode number it tells the file from all others, removed ones
    /// included. `None` if the file system has no such time.
    fn birth(&self) -> Result<Option<(i64, u32)>> {
        Ok(None)
    }

    /// The device and inode number, as in [`Self::stat`].
    fn inode(&self) -> Result<(u64, u64)> {
        self.stat().map(|stat| (stat.device, stat.inode))
    }

    /// The current metadata and `EaSize` (MS-FSCC 2.4.12).
    fn stat_and_ea_size(&self) -> Result<(Stat, u32)> {
        Ok((self.stat()?, self.ea_size()?))
    }

    /// The current size in bytes, as in [`Self::stat`].
    fn size(&self) -> Result<u64> {
        Ok(self.stat()?.size)
    }

    /// Fills `buffer` from `offset`; returns less only at the end of the file. May block.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Reads as [`Self::read_at`] does, but from memory only; `None` if the call would wait for a disk, or
    /// cannot know.
    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>>;

    /// Writes all of `data` at `offset` and extends the file if needed; writes less only if an error such as
    /// a full disk occurs after a part. May block.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize>;

    /// Writes the next `length` bytes of a stream socket as [`Self::write_at`] writes bytes of memory, without copying them
    /// to the memory of this process. They must have arrived. Bytes that were taken from the socket are added to
    /// `taken`, also before an error. If none were, [`crate::Error::NotSupported`] means that the caller can read and write
    /// them itself.
    #[cfg(unix)]
    fn write_from(
        &self,
        _socket: std::os::fd::BorrowedFd<'_>,
        _length: usize,
        _offset: u64,
        _taken: &mut usize,
    ) -> Result<usize> {
        Err(crate::Error::NotSupported)
    }

    /// Appends all of `data` atomically: no other change of the file's end, through any share, happens
    /// between the determination of the end and the write. `may_write_at` receives the end before anything is
    /// written; if it returns false, nothing is written and the result is `None`. Less than all of `data` is
    /// written only as in [`Self::write_at`]. May block.
    fn append(&self, _data: &[u8], _may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        Err(crate::Error::NotSupported)
    }

    /// Sets this handle's lock of a range of the file, in place of any lock that the handle has there; `None`
    /// releases the range. All programs of the machine see such locks. Never waits: returns false, without a
    /// change, if another owner's lock conflicts. Apart from errors of the file system, there is no other
    /// refusal: a lock that the operating system cannot represent is weakened or omitted ([`RangeLock`]).
    /// Dropping the handle releases all its locks.
    fn set_range_lock(&self, _range: Range<u64>, _lock: Option<RangeLock>) -> Result<bool> {
        Err(crate::Error::NotSupported)
    }

    /// True if another owner's lock currently prevents this handle from taking such a lock.
    fn is_range_locked(&self, _range: Range<u64>, _lock: RangeLock) -> Result<bool> {
        Err(crate::Error::NotSupported)
    }

    /// Writes data, metadata, streams and the file's name to the disk, with any access of the handle. May
    /// block.
    fn flush(&self) -> Result<()>;

    /// Returns the error that the file system would report when a written descriptor is closed: at that point
    /// network file systems write what they have cached, and may find that there is no space. The handle
    /// stays open. May block.
    fn ask_closing(&self) -> Result<()> {
        Ok(())
    }

    /// Sets the end of the file: truncates it, or extends it with zeros.
    fn set_size(&self, size: u64) -> Result<()>;

    /// Reserves space for the first `bytes` bytes; the size stays the same. Never shrinks.
    fn allocate(&self, bytes: u64) -> Result<()>;

    /// Fills the range with zeros; the size stays the same (FSCTL_SET_ZERO_DATA). The space is freed only if
    /// the file is sparse and the file system supports it.
    fn zero(&self, range: Range<u64>) -> Result<()>;

    /// The parts of the range that contain data, in ascending order, limited to the range and the file; at
    /// most [`crate::limits::ALLOCATED_RANGES_MAX`].
    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>>;

    /// Clones `range` of `source` to offset `at`: the files share the blocks on the disk until one of them is
    /// written to (FSCTL_DUPLICATE_EXTENTS_TO_FILE).
    fn duplicate_extents(&self, _source: &dyn Handle, _range: Range<u64>, _at: u64) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Sets the given times.
    fn set_times(&self, times: SetTimes) -> Result<()>;

    /// Replaces the settable attributes ([`crate::stat::SETTABLE_ATTRIBUTES`]); NORMAL or NONE clears them
    /// all.
    fn set_attributes(&self, attributes: FileAttributes) -> Result<()>;

    /// Sets or clears SPARSE_FILE (FSCTL_SET_SPARSE).
    fn set_sparse(&self, sparse: bool) -> Result<()>;

    /// Starts a listing; [`crate::Error::NotADirectory`] for files.
    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>>;

    /// The access that the owner, the permission bits and the ACL of the file grant to `actor`. It includes
    /// DELETE only for actors who pass every check: for others, the directory decides
    /// ([`crate::Backend::directory_of`]). DOS attributes are not considered.
    fn maximal_access(&self, actor: &Actor) -> AccessMask;

    /// The access as in [`Self::maximal_access`], which is exact for the rights in `asked` and may lack others. With
    /// MAXIMUM_ALLOWED in `asked`, all rights are exact. `stat` describes this handle, and `permits` are answers
    /// for this file and actor that are as recent as the caller needs.
    fn granted_access(
        &self,
        actor: &Actor,
        _stat: &Stat,
        _asked: AccessMask,
        _permits: Permits,
    ) -> AccessMask {
        self.maximal_access(actor)
    }

    /// The value of an extended attribute, or `None`; case of ASCII letters in the name is ignored.
    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Creates or replaces an extended attribute.
    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()>;

    /// Removes an extended attribute, if it exists.
    fn remove_xattr(&self, name: &str) -> Result<()>;

    /// All extended attributes that clients may see, sorted by name.
    fn xattrs(&self) -> Result<Vec<Xattr>>;

    /// `EaSize` of the attributes of [`Self::xattrs`]; 0 if the file system has none.
    fn ea_size(&self) -> Result<u32> {
        match self.xattrs() {
            Err(crate::Error::NotSupported) => Ok(0),
            xattrs => Ok(ea_size(xattrs?.iter().map(|it| (it.name.len(), it.value.len())))),
        }
    }

    /// The stored security descriptor record (Samba's `security.NTACL`), uninterpreted.
    fn security_record(&self) -> Result<Option<Vec<u8>>>;

    /// Locks the security descriptor record against other callers of this function, through any share, until
    /// the returned value is dropped. Callers that read, change and write the record hold it meanwhile. A
    /// thread must not call it twice.
    fn lock_security_record(&self) -> Box<dyn Send> {
        Box::new(())
    }

    /// Stores the security descriptor record.
    fn set_security_record(&self, record: &[u8]) -> Result<()>;

    /// Changes the Unix owner of the file. [`crate::Error::AccessDenied`] if the server has no right to.
    fn set_owner(&self, _uid: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Sets the lowest nine permission bits.
    fn set_permissions(&self, _mode: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Sets the lowest twelve permission bits.
    fn set_mode(&self, _mode: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Gives the file to another Unix group. [`crate::Error::AccessDenied`] where the server may not.
    fn set_group(&self, _gid: u32) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// The complete POSIX permissions, by which the operating system decides; `None` if it does not use any.
    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        Ok(None)
    }

    /// The reparse point (MS-FSCC 2.1.2), or `None` for an ordinary file.
    fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        Ok(None)
    }

    /// Makes the file a reparse point with this REPARSE_DATA_BUFFER; `None` makes it an ordinary file again.
    fn set_reparse_data(&self, _data: Option<&[u8]>) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// The named streams, sorted by name; the unnamed stream is not included.
    fn streams(&self) -> Result<Vec<StreamInfo>>;

    /// The descriptor for `sendfile`, if the handle has one that can read data.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>>;

    /// Updates the path from which relative symlinks in this directory are resolved, after a rename of the
    /// directory or of one above it.
    fn moved(&self, _path: &RelativePath) {}

    /// Lets the backend downcast a handle to its own type.
    fn as_any(&self) -> &dyn Any;
}

/// A lock of a range of a file, visible to other programs of the machine: see [`Handle::set_range_lock`].
///
/// Linux can lock offsets below 2^63, so only the part of a range below that is locked. An exclusive lock
/// needs a descriptor that can write; with another one, a shared lock is taken instead. A shared lock needs a
/// descriptor that can read; without one, the range stays unlocked. Even then the request is refused if the
/// intended lock would conflict with another owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeLock {
    /// Compatible with shared locks of other owners.
    Shared,
    /// Compatible with no lock of other owners.
    Exclusive,
}

impl RangeLock {
    /// The lock that a handle opened for `wanted` can take if this one is requested.
    pub(crate) fn held_by(self, wanted: Wanted) -> Option<Self> {
        match self {
            Self::Exclusive if wanted.write => Some(self),
            _ if wanted.read => Some(Self::Shared),
            _ => None,
        }
    }
}

/// The end of the offsets that the operating system can lock.
pub const LOCKABLE_END: u64 = 1 << 63;

/// The part of a range that the operating system can lock; `None` if there is no such part.
pub fn lockable(range: &Range<u64>) -> Option<Range<u64>> {
    let end = range.end.min(LOCKABLE_END);
    (range.start < end).then_some(range.start..end)
}

/// A listing in progress. Entries that exist from start to end appear exactly once; entries that are created
/// or removed meanwhile may be missing.
pub trait DirectoryCursor: Send {
    /// The next entry that `wanted` does not skip; `None` at the end, or if `wanted` pauses. `.` and `..` come first.
    ///
    /// `wanted` receives the name and returns how much of the entry the caller needs; only
    /// [`EntryWanted::Stat`] and [`EntryWanted::Full`] fetch metadata. If the share follows symlinks, the
    /// metadata are those of the target, and symlinks that are dangling or lead out of the share are omitted
    /// when metadata are requested.
    fn next(&mut self, wanted: &mut dyn FnMut(&str) -> EntryWanted) -> Result<Option<Entry>>;

    /// Restarts the listing with the current entries.
    fn restart(&mut self) -> Result<()>;
}

/// The information that a caller needs about a listed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryWanted {
    /// Nothing: the entry is skipped.
    Skip,
    /// Nothing: the entry is skipped, and `next` returns `None`. A later call continues behind the entry.
    SkipAndPause,
    /// The name alone.
    Name,
    /// The name and the metadata.
    Stat,
    /// The name, the metadata and the size of the extended attributes.
    Full,
}

/// A listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in its form on the wire.
    pub name: String,
    /// The metadata, if requested.
    pub stat: Option<Stat>,
    /// `EaSize`, if requested.
    pub ea_size: u32,
}

/// `EaSize` (MS-FSCC 2.4.12) of attributes, given the lengths of their names and values: the size of the list
/// of them in OS/2.
pub fn ea_size(attributes: impl Iterator<Item = (usize, usize)>) -> u32 {
    let sizes = attributes.map(|(name, value)| EA_HEADER_BYTES.saturating_add(name).saturating_add(value));
    let size = sizes.fold(0, usize::saturating_add);
    let list = if size == 0 { 0 } else { size.saturating_add(EA_LIST_BYTES) };
    u32::try_from(list).unwrap_or(u32::MAX)
}

/// The overhead of the list itself, and of each attribute in it.
const EA_LIST_BYTES: usize = 4;
const EA_HEADER_BYTES: usize = 5;

/// The times to set; `None` leaves a time unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTimes {
    /// `CreationTime`.
    pub created: Option<FileTime>,
    /// `LastAccessTime`.
    pub accessed: Option<FileTime>,
    /// `LastWriteTime`.
    pub modified: Option<FileTime>,
    /// `ChangeTime`. The operating system's own cannot be set. A local backend stores the given time and
    /// returns it until the file changes; if it cannot store it, the operating system's time remains.
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
    /// The access ACL in the format of the attribute `system.posix_acl_access`, if it contains more than the
    /// permission bits.
    pub access_acl: Option<Vec<u8>>,
    /// The default ACL of a directory in the same format.
    pub default_acl: Option<Vec<u8>>,
}

/// The contents of a reparse point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReparsePoint {
    /// The relative target of a symlink, with `/` between the components.
    Symlink(String),
    /// The data that a client has set, with the header.
    Data(Vec<u8>),
}

/// A named stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The name alone: no colons, no `$DATA`.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The allocated bytes.
    pub allocation: u64,
}
