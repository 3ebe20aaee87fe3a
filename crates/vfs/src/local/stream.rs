//! Named streams, kept as Samba's `vfs_streams_xattr` keeps them: the extended attribute
//! `user.DosStream.NAME:$DATA` holds the data and one NUL byte.
//!
//! A stream is read and written as a whole, under the inode's lock, and can be no larger than the file system
//! lets an attribute be ([`Error::NoSpace`]).

use super::handle::LocalHandle;
use super::xattr;
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::{DirectoryCursor, Handle, PosixPermissions, SetTimes, StreamInfo, Xattr};
use crate::limits::XATTR_VALUE_BYTES_MAX;
use crate::stat::{Kind, Stat};
use rustix::fs::Access;
use std::any::Any;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use wire::{AccessMask, FileAttributes};

const SUFFIX: &[u8] = b":$DATA";

/// The streams of an open file.
pub(super) fn list(fd: BorrowedFd<'_>) -> Result<Vec<StreamInfo>> {
    let mut streams = Vec::new();
    for full in xattr::list(fd)? {
        let Some(name) = stream_name(&full) else { continue };
        let Some(stored) = xattr::get(fd, &full)? else { continue };
        let size = u64::try_from(stored.len().saturating_sub(1)).unwrap_or(u64::MAX);
        streams.push(StreamInfo { name, size, allocation: size });
    }
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(streams)
}

/// The real spelling of a stream, where it exists.
pub(super) fn find(fd: BorrowedFd<'_>, wanted: &str) -> Result<Option<String>> {
    if xattr::get(fd, &full_name(wanted))?.is_some() {
        return Ok(Some(wanted.to_owned()));
    }
    let names = xattr::list(fd)?.into_iter().filter_map(|full| stream_name(&full));
    Ok(names.filter(|name| crate::fold::equal(name, wanted)).min())
}

/// Creates an empty stream.
pub(super) fn create(base: &LocalHandle, name: &str) -> Result<()> {
    xattr::set(base.fd(), &full_name(name), b"\0")
}

/// Removes a stream.
pub(super) fn remove(base: &LocalHandle, name: &str) -> Result<()> {
    xattr::remove(base.fd(), &full_name(name))
}

/// Renames a stream of a file.
pub(super) fn rename(base: &LocalHandle, from: &str, to: &str) -> Result<()> {
    let _lock = base.root.lock_inode(base.stat()?.inode);
    let data = xattr::get(base.fd(), &full_name(from))?.ok_or(Error::NotFound)?;
    xattr::set(base.fd(), &full_name(to), &data)?;
    xattr::remove(base.fd(), &full_name(from))
}

/// An open stream.
pub(super) struct LocalStream {
    base: LocalHandle,
    full_name: Vec<u8>,
    wanted: Wanted,
}

impl LocalStream {
    /// Opens a stream of `base` that exists; the file's permissions are the stream's.
    pub(super) fn new(base: LocalHandle, name: &str, wanted: Wanted) -> Result<Self> {
        let mut access = Access::empty();
        access.set(Access::READ_OK, wanted.read);
        access.set(Access::WRITE_OK, wanted.write);
        if !access.is_empty() && !base.permits(&base.actor, access) {
            return Err(Error::AccessDenied);
        }
        Ok(Self { base, full_name: full_name(name), wanted })
    }

    /// The file, and the stream's name on it as it is now.
    pub(super) fn base(&self) -> &LocalHandle {
        &self.base
    }

    fn data(&self) -> Result<Vec<u8>> {
        let mut data = xattr::get(self.base.fd(), &self.full_name)?.ok_or(Error::NotFound)?;
        data.pop();
        Ok(data)
    }

    fn update(&self, change: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        if !self.wanted.write {
            return Err(Error::AccessDenied);
        }
        let _lock = self.base.root.lock_inode(self.base.stat()?.inode);
        let mut data = self.data()?;
        change(&mut data)?;
        data.push(0);
        xattr::set(self.base.fd(), &self.full_name, &data)
    }
}

impl Handle for LocalStream {
    fn stat(&self) -> Result<Stat> {
        let mut stat = self.base.stat()?;
        stat.size = u64::try_from(self.data()?.len()).unwrap_or(u64::MAX);
        stat.allocation = stat.size;
        stat.kind = Kind::File;
        stat.attributes = crate::stat::normalized(stat.attributes, Kind::File);
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if !self.wanted.read {
            return Err(Error::AccessDenied);
        }
        let data = self.data()?;
        let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(length)
    }

    fn try_read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<Option<usize>> {
        Ok(None)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let (start, end) = bounds(offset, data.len())?;
        self.update(|stored| {
            if stored.len() < end {
                stored.resize(end, 0);
            }
            stored.get_mut(start..end).ok_or(Error::InvalidArgument)?.copy_from_slice(data);
            Ok(())
        })?;
        Ok(data.len())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let (_, end) = bounds(size, 0)?;
        self.update(|stored| {
            stored.resize(end, 0);
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        bounds(bytes, 0).map(drop)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.update(|stored| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(stored.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            stored.get_mut(start..end).unwrap_or_default().fill(0);
            Ok(())
        })
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let end = range.end.min(self.stat()?.size);
        Ok((range.start < end).then_some(range.start..end).into_iter().collect())
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        self.base.set_times(times)
    }

    fn set_attributes(&self, attributes: FileAttributes) -> Result<()> {
        self.base.set_attributes(attributes)
    }

    fn set_sparse(&self, _sparse: bool) -> Result<()> {
        Err(Error::NotSupported)
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        Err(Error::NotADirectory)
    }

    fn maximal_access(&self, actor: &Actor) -> AccessMask {
        self.base.maximal_access(actor)
    }

    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.base.xattr(name)
    }

    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        self.base.set_xattr(name, value)
    }

    fn remove_xattr(&self, name: &str) -> Result<()> {
        self.base.remove_xattr(name)
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        self.base.xattrs()
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        self.base.security_record()
    }

    fn set_security_record(&self, record: &[u8]) -> Result<()> {
        self.base.set_security_record(record)
    }

    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        self.base.posix_permissions()
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.base.streams()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The range of a write as indices, refused where no attribute can hold it.
fn bounds(offset: u64, length: usize) -> Result<(usize, usize)> {
    let start = usize::try_from(offset).map_err(|_| Error::NoSpace)?;
    let end = start.checked_add(length).filter(|end| *end < XATTR_VALUE_BYTES_MAX).ok_or(Error::NoSpace)?;
    Ok((start, end))
}

fn full_name(name: &str) -> Vec<u8> {
    [xattr::STREAM_PREFIX, name.as_bytes(), SUFFIX].concat()
}

fn stream_name(full: &[u8]) -> Option<String> {
    let name = full.strip_prefix(xattr::STREAM_PREFIX)?.strip_suffix(SUFFIX)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())
}
