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
use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// Renames a stream of a file; what has it open follows.
pub(super) fn rename(base: &LocalHandle, stat: &Stat, from: &str, to: &str) -> Result<()> {
    let _lock = base.root.lock_inode(stat.inode);
    let data = xattr::get(base.fd(), &full_name(from))?.ok_or(Error::NotFound)?;
    xattr::set(base.fd(), &full_name(to), &data)?;
    xattr::remove(base.fd(), &full_name(from))?;
    base.root.streams.renamed(stat, from, Some(to));
    Ok(())
}

/// Makes a stream the data of its file, which has none; what has the stream open has the file open then.
pub(super) fn become_data(base: &LocalHandle, stat: &Stat, from: &str) -> Result<()> {
    let _lock = base.root.lock_inode(stat.inode);
    if stat.kind != Kind::File {
        return Err(Error::IsADirectory);
    }
    if stat.size > 0 {
        return Err(Error::Exists);
    }
    let mut data = xattr::get(base.fd(), &full_name(from))?.ok_or(Error::NotFound)?;
    data.pop();
    let file = base.reopened(Wanted::BOTH)?;
    if file.write_at(&data, 0)? != data.len() {
        file.set_size(0)?;
        return Err(Error::NoSpace);
    }
    xattr::remove(base.fd(), &full_name(from))?;
    base.root.streams.renamed(stat, from, None);
    Ok(())
}

/// The streams that are open in a share, so that a rename reaches all that have one open.
#[derive(Default)]
pub(super) struct OpenStreams(Mutex<HashMap<StreamKey, Weak<StreamName>>>);

/// Device, inode, and the name as it compares.
type StreamKey = (u64, u64, String);

/// The name of an open stream as an extended attribute; none once it has become its file's data.
type StreamName = Mutex<Option<Vec<u8>>>;

impl OpenStreams {
    fn opened(&self, stat: &Stat, name: &str) -> Arc<StreamName> {
        let mut open = locked(&self.0);
        let known = open.entry(stream_key(stat, name)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let shared = Arc::new(Mutex::new(Some(full_name(name))));
            *known = Arc::downgrade(&shared);
            shared
        })
    }

    fn renamed(&self, stat: &Stat, from: &str, to: Option<&str>) {
        let mut open = locked(&self.0);
        let Some(known) = open.remove(&stream_key(stat, from)) else { return };
        let Some(shared) = known.upgrade() else { return };
        *locked(&shared) = to.map(full_name);
        if let Some(to) = to {
            open.insert(stream_key(stat, to), known);
        }
    }

    /// Forgets a stream whose last opener is about to let go of `name`.
    fn closing(&self, name: &Arc<StreamName>) {
        let mut open = locked(&self.0);
        if Arc::strong_count(name) == 1 {
            let pointer = Arc::downgrade(name);
            open.retain(|_, known| !known.ptr_eq(&pointer));
        }
    }
}

fn stream_key(stat: &Stat, name: &str) -> StreamKey {
    (stat.device, stat.inode, crate::fold::fold(name))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open stream.
pub(super) struct LocalStream {
    base: LocalHandle,
    name: Arc<StreamName>,
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
        let name = base.root.streams.opened(&base.stat()?, name);
        Ok(Self { base, name, wanted })
    }

    /// The file that the stream is of.
    pub(super) fn base(&self) -> &LocalHandle {
        &self.base
    }

    /// The attribute that holds the stream; or the file whose data the stream has become.
    fn place(&self) -> Result<Place> {
        let name = locked(&self.name).clone();
        match name {
            Some(name) => Ok(Place::Attribute(name)),
            None => self.base.reopened(self.wanted).map(Place::File),
        }
    }

    fn data(&self, attribute: &[u8]) -> Result<Vec<u8>> {
        let mut data = xattr::get(self.base.fd(), attribute)?.ok_or(Error::NotFound)?;
        data.pop();
        Ok(data)
    }

    fn update(&self, attribute: &[u8], change: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        if !self.wanted.write {
            return Err(Error::AccessDenied);
        }
        let _lock = self.base.root.lock_inode(self.base.stat()?.inode);
        let mut data = self.data(attribute)?;
        change(&mut data)?;
        data.push(0);
        xattr::set(self.base.fd(), attribute, &data)?;
        // The times of a file are those of all its streams (MS-FSA 2.1.1.3).
        self.base.touch()
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        self.base.root.streams.closing(&self.name);
    }
}

enum Place {
    Attribute(Vec<u8>),
    File(LocalHandle),
}

impl Handle for LocalStream {
    fn stat(&self) -> Result<Stat> {
        let mut stat = self.base.stat()?;
        let Some(name) = locked(&self.name).clone() else { return Ok(stat) };
        stat.size = u64::try_from(self.data(&name)?.len()).unwrap_or(u64::MAX);
        stat.allocation = stat.size;
        stat.kind = Kind::File;
        stat.attributes = crate::stat::normalized(stat.attributes, Kind::File);
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if !self.wanted.read {
            return Err(Error::AccessDenied);
        }
        let data = match self.place()? {
            Place::Attribute(name) => self.data(&name)?,
            Place::File(file) => return file.read_at(buffer, offset),
        };
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
        let name = match self.place()? {
            Place::Attribute(name) => name,
            Place::File(file) => return file.write_at(data, offset),
        };
        let (start, end) = bounds(offset, data.len())?;
        self.update(&name, |stored| {
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
        let name = match self.place()? {
            Place::Attribute(name) => name,
            Place::File(file) => return file.set_size(size),
        };
        let (_, end) = bounds(size, 0)?;
        self.update(&name, |stored| {
            stored.resize(end, 0);
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        match self.place()? {
            Place::Attribute(_) => bounds(bytes, 0).map(drop),
            Place::File(file) => file.allocate(bytes),
        }
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let name = match self.place()? {
            Place::Attribute(name) => name,
            Place::File(file) => return file.zero(range),
        };
        self.update(&name, |stored| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(stored.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            stored.get_mut(start..end).unwrap_or_default().fill(0);
            Ok(())
        })
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        if let Place::File(file) = self.place()? {
            return file.allocated_ranges(range);
        }
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

    fn set_owner(&self, uid: u32) -> Result<()> {
        self.base.set_owner(uid)
    }

    fn set_permissions(&self, mode: u32) -> Result<()> {
        self.base.set_permissions(mode)
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
