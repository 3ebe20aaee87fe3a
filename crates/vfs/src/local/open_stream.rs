//! Named streams that are open.

use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::stream::full_name;
use super::xattr;
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::{DirectoryCursor, Handle, PosixPermissions, SetTimes, StreamInfo, Xattr};
use crate::limits::XATTR_VALUE_BYTES_MAX;
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use rustix::fs::Access;
use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use wire::{AccessMask, FileAttributes};

/// The streams that are open, through whatever share, so that a rename reaches all that have one open.
pub(super) static OPEN: OpenStreams = OpenStreams(Mutex::new(BTreeMap::new()));

pub(super) struct OpenStreams(Mutex<BTreeMap<StreamKey, Weak<SharedPlace>>>);

/// The file, and the stream's name as it compares.
type StreamKey = (InodeKey, String);

/// Where an open stream is, for all that have it open. It changes under the lock of the file's attributes.
type SharedPlace = Mutex<Place>;

/// Where a stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// In an extended attribute, under the stream's name.
    Attribute(String),
    /// It has become its file's data.
    Data,
    /// It was removed, or another was put in its place.
    #[default]
    Gone,
}

impl OpenStreams {
    fn opened(&self, inode: InodeKey, name: &str) -> Arc<SharedPlace> {
        let mut open = locked(&self.0);
        let known = open.entry(stream_key(inode, name)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let shared = Arc::new(Mutex::new(Place::Attribute(name.to_owned())));
            *known = Arc::downgrade(&shared);
            shared
        })
    }

    pub(super) fn moved(&self, inode: InodeKey, from: &str, to: Place) {
        let mut open = locked(&self.0);
        let Some(known) = open.remove(&stream_key(inode, from)) else { return };
        let Some(shared) = known.upgrade() else { return };
        if let Place::Attribute(to) = &to {
            open.insert(stream_key(inode, to), known);
        }
        *locked(&shared) = to;
    }

    /// Lets go of a stream, and forgets it with its last opener.
    fn closed(&self, inode: InodeKey, place: Arc<SharedPlace>) {
        let mut open = locked(&self.0);
        if Arc::strong_count(&place) == 1 {
            let pointer = Arc::downgrade(&place);
            let own = (inode, String::new())..(inode, String::from(char::MAX));
            let found = open.range(own).find(|(_, known)| known.ptr_eq(&pointer)).map(|(key, _)| key.clone());
            if let Some(key) = found {
                open.remove(&key);
            }
        }
        // Before the next opener is counted.
        drop(place);
    }
}

fn stream_key(inode: InodeKey, name: &str) -> StreamKey {
    (inode, crate::fold::fold(name))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open stream.
pub(super) struct LocalStream {
    base: LocalHandle,
    place: Arc<SharedPlace>,
    wanted: Wanted,
}

impl LocalStream {
    /// Opens a stream of `base` that exists; the file's permissions are the stream's. To be called under the lock of
    /// the file's attributes, by who has looked the name up.
    pub(super) fn new(base: LocalHandle, name: &str, wanted: Wanted) -> Result<Self> {
        let mut access = Access::empty();
        access.set(Access::READ_OK, wanted.read);
        access.set(Access::WRITE_OK, wanted.write);
        if !access.is_empty() && !base.permits(&base.actor, access) {
            return Err(Error::AccessDenied);
        }
        let place = OPEN.opened(base.inode(), name);
        Ok(Self { base, place, wanted })
    }

    /// The file that the stream is of.
    pub(super) fn base(&self) -> &LocalHandle {
        &self.base
    }

    /// The attribute that holds the stream; none once the stream has become its file's data.
    fn attribute(&self) -> Result<Option<Vec<u8>>> {
        match &*locked(&self.place) {
            Place::Attribute(name) => Ok(Some(full_name(name))),
            Place::Data => Ok(None),
            Place::Gone => Err(Error::NotFound),
        }
    }

    /// The file whose data the stream has become.
    fn file(&self) -> Result<LocalHandle> {
        self.base.reopened(self.wanted)
    }

    /// The stream's bytes; none once it has become its file's data.
    fn data(&self) -> Result<Option<Vec<u8>>> {
        let Some(attribute) = self.attribute()? else { return Ok(None) };
        match read(&self.base, &attribute) {
            Err(Error::NotFound) => {}
            result => return result.map(Some),
        }
        // A rename came in between, or is under way.
        let _lock = self.base.lock_attributes();
        let Some(attribute) = self.attribute()? else { return Ok(None) };
        read(&self.base, &attribute).map(Some)
    }

    /// Changes the stream's bytes; none, and nothing is changed, once it has become its file's data.
    fn update<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> Result<T>) -> Result<Option<T>> {
        if !self.wanted.write {
            return Err(Error::AccessDenied);
        }
        let _lock = self.base.lock_attributes();
        let Some(attribute) = self.attribute()? else { return Ok(None) };
        let mut data = read(&self.base, &attribute)?;
        let done = change(&mut data)?;
        data.push(0);
        xattr::set(self.base.fd(), &attribute, &data)?;
        // The times of a file are those of all its streams (MS-FSA 2.1.1.3).
        self.base.touch()?;
        Ok(Some(done))
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        OPEN.closed(self.base.inode(), std::mem::take(&mut self.place));
    }
}

impl Handle for LocalStream {
    fn moved(&self, path: &RelativePath) {
        self.base.moved(path);
    }

    fn stat(&self) -> Result<Stat> {
        let mut stat = self.base.stat()?;
        let Some(data) = self.data()? else { return Ok(stat) };
        stat.size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        stat.allocation = stat.size;
        stat.kind = Kind::File;
        stat.attributes = crate::stat::normalized(stat.attributes, Kind::File);
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if !self.wanted.read {
            return Err(Error::AccessDenied);
        }
        let Some(data) = self.data()? else { return self.file()?.read_at(buffer, offset) };
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
        let written = self.update(|stored| put(stored, data, offset))?;
        written.map_or_else(|| self.file()?.write_at(data, offset), Ok)
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        let refused = Cell::new(false);
        let written = self.update(|stored| {
            let end = u64::try_from(stored.len()).unwrap_or(u64::MAX);
            refused.set(!may_write_at(end));
            if refused.get() { Err(Error::AccessDenied) } else { put(stored, data, end) }
        });
        match written {
            Err(_) if refused.get() => Ok(None),
            Ok(None) => self.file()?.append(data, may_write_at),
            written => written,
        }
    }

    fn flush(&self) -> Result<()> {
        self.base.flush()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let resized = self.update(|stored| {
            let (_, end) = bounds(size, 0)?;
            stored.resize(end, 0);
            Ok(())
        })?;
        resized.map_or_else(|| self.file()?.set_size(size), Ok)
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        match self.attribute()? {
            Some(_) if !self.wanted.write => Err(Error::AccessDenied),
            Some(_) => bounds(bytes, 0).map(drop),
            None => self.file()?.allocate(bytes),
        }
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let zeroed = self.update(|stored| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(stored.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            stored.get_mut(start..end).unwrap_or_default().fill(0);
            Ok(())
        })?;
        zeroed.map_or_else(|| self.file()?.zero(range), Ok)
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let Some(data) = self.data()? else { return self.file()?.allocated_ranges(range) };
        let end = range.end.min(u64::try_from(data.len()).unwrap_or(u64::MAX));
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

    fn lock_security_record(&self) -> Box<dyn Send> {
        self.base.lock_security_record()
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

/// The bytes of the attribute that holds a stream.
fn read(base: &LocalHandle, attribute: &[u8]) -> Result<Vec<u8>> {
    let mut data = xattr::get(base.fd(), attribute)?.ok_or(Error::NotFound)?;
    data.pop();
    Ok(data)
}

/// Writes into the bytes of a stream.
fn put(stored: &mut Vec<u8>, data: &[u8], offset: u64) -> Result<usize> {
    let (start, end) = bounds(offset, data.len())?;
    if stored.len() < end && !data.is_empty() {
        stored.resize(end, 0);
    }
    if !data.is_empty() {
        stored.get_mut(start..end).ok_or(Error::InvalidArgument)?.copy_from_slice(data);
    }
    Ok(data.len())
}

/// The range of a write as indices, refused where no attribute can hold it.
fn bounds(offset: u64, length: usize) -> Result<(usize, usize)> {
    let start = usize::try_from(offset).map_err(|_| Error::Limitation)?;
    let end = start.checked_add(length).filter(|end| *end < XATTR_VALUE_BYTES_MAX);
    let end = end.ok_or(Error::Limitation)?;
    Ok((start, end))
}
