//! A snapshot of a file's metadata, as the information classes of MS-FSCC need it.

use wire::{FileAttributes, FileTime};

/// A snapshot of a file's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The device number; two names with equal `device` and `inode` are one file.
    pub device: u64,
    /// The inode number, unique per device only; clients receive [`crate::Backend::file_id`] instead.
    pub inode: u64,
    /// `EndOfFile` in bytes; 0 for directories and special files.
    pub size: u64,
    /// `AllocationSize` in bytes; 0 for directories and special files.
    pub allocation: u64,
    /// Hard links; 1 for directories, as on NTFS.
    pub links: u32,
    /// The kind of the file; of a symlink's target if the share follows symlinks.
    pub kind: Kind,
    /// `CreationTime`.
    pub created: FileTime,
    /// `LastAccessTime`.
    pub accessed: FileTime,
    /// `LastWriteTime`.
    pub modified: FileTime,
    /// `ChangeTime`.
    pub changed: FileTime,
    /// The attributes in their form on the wire: DIRECTORY for directories, NORMAL if there are no others,
    /// never empty.
    pub attributes: FileAttributes,
    /// The tag of a reparse point (MS-FSCC 2.1.2.1), otherwise 0.
    pub reparse_tag: u32,
    /// The POSIX permission bits (lowest twelve).
    pub mode: u32,
    /// The POSIX owner.
    pub uid: u32,
    /// The POSIX group.
    pub gid: u32,
}

impl Stat {
    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// True if `other` describes the same file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file with data.
    File,
    /// A directory.
    Directory,
    /// A symlink that was not followed.
    Symlink,
    /// A FIFO, socket or device: it has metadata, but its data cannot be opened.
    Other,
}

/// The attributes that a client can set (MS-FSCC 2.6, MS-FSA 2.1.5.14.2); the others depend on the file.
pub const SETTABLE_ATTRIBUTES: FileAttributes = FileAttributes(
    FileAttributes::READONLY.0
        | FileAttributes::HIDDEN.0
        | FileAttributes::SYSTEM.0
        | FileAttributes::ARCHIVE.0
        | FileAttributes::TEMPORARY.0
        | FileAttributes::OFFLINE.0
        | FileAttributes::NOT_CONTENT_INDEXED.0,
);

/// The stored attributes that clients cannot set directly, but change with other operations.
pub(crate) const DERIVED_ATTRIBUTES: FileAttributes =
    FileAttributes(FileAttributes::SPARSE_FILE.0 | FileAttributes::REPARSE_POINT.0);

/// Converts `stored` to the form on the wire: DIRECTORY exactly for directories, NORMAL only alone.
pub(crate) fn normalized(stored: FileAttributes, kind: Kind) -> FileAttributes {
    let mut attributes = stored & (SETTABLE_ATTRIBUTES | DERIVED_ATTRIBUTES);
    if kind == Kind::Symlink {
        attributes |= FileAttributes::REPARSE_POINT;
    }
    if kind == Kind::Directory {
        attributes = attributes.without(FileAttributes::SPARSE_FILE | FileAttributes::TEMPORARY);
        attributes |= FileAttributes::DIRECTORY;
    }
    if attributes.is_none() { FileAttributes::NORMAL } else { attributes }
}
