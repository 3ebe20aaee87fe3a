//! The file that clients open to query a volume's quotas (MS-SMB2 3.3.5.20.4, MS-FSCC 2.1.5.5). It reports that there
//! are no quotas.

use std::any::Any;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use vfs::{Actor, DirectoryCursor, Error, Handle, Kind, Result, SetTimes, Stat, StreamInfo, Xattr};
use wire::{AccessMask, FileAttributes, FileTime};

/// The name of the file, in any case.
pub(crate) const NAME: &str = r"$Extend\$Quota:$Q:$INDEX_ALLOCATION";

/// The access to the file that is allowed.
pub(crate) const ACCESS: AccessMask =
    AccessMask(AccessMask::FILE_GENERIC_READ.0 | AccessMask::FILE_GENERIC_EXECUTE.0);

/// The quota file, which has no data and exists on no disk.
pub(crate) struct QuotaFile;

impl Handle for QuotaFile {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat {
            device: 0,
            inode: 0,
            size: 0,
            allocation: 0,
            links: 1,
            kind: Kind::Other,
            created: FileTime::NONE,
            accessed: FileTime::NONE,
            modified: FileTime::NONE,
            changed: FileTime::NONE,
            attributes: FileAttributes::HIDDEN
                | FileAttributes::SYSTEM
                | FileAttributes::DIRECTORY
                | FileAttributes::ARCHIVE,
            reparse_tag: 0,
            mode: 0,
            uid: 0,
            gid: 0,
        })
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize> {
        Err(Error::AccessDenied)
    }

    fn try_read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<Option<usize>> {
        Err(Error::AccessDenied)
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<usize> {
        Err(Error::AccessDenied)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, _size: u64) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn allocate(&self, _bytes: u64) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn zero(&self, _range: Range<u64>) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn allocated_ranges(&self, _range: Range<u64>) -> Result<Vec<Range<u64>>> {
        Err(Error::AccessDenied)
    }

    fn set_times(&self, _times: SetTimes) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn set_attributes(&self, _attributes: FileAttributes) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn set_sparse(&self, _sparse: bool) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        Err(Error::NotADirectory)
    }

    fn maximal_access(&self, _actor: &Actor) -> AccessMask {
        ACCESS
    }

    fn xattr(&self, _name: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn set_xattr(&self, _name: &str, _value: &[u8]) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn remove_xattr(&self, _name: &str) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        Ok(Vec::new())
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn set_security_record(&self, _record: &[u8]) -> Result<()> {
        Err(Error::AccessDenied)
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        Ok(Vec::new())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
