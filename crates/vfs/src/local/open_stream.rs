//! Open named streams.

use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::statx_fd;
use super::stream::{self, Found, Store, full_name};
use super::{Streams, xattr};
use crate::backend::{Actor, Permits, Wanted};
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
use std::sync::{Arc, Weak};
use wire::{AccessMask, FileAttributes, FoldedName};

use parking_lot::{Mutex, MutexGuard};

/// The open streams of all shares, so that a rename reaches all handles.
pub(super) static OPEN: OpenStreams = OpenStreams(Mutex::new(BTreeMap::new()));

pub(super) struct OpenStreams(Mutex<BTreeMap<StreamKey, Weak<SharedPlace>>>);

/// The file, the share's root, and the folded name of the stream. The root is set only for streams in Samba's
/// depot, which belong to one share; attributes and the server's own store are common to all shares.
type StreamKey = (InodeKey, Option<InodeKey>, FoldedName);

/// The place of an open stream, shared by all its handles. It changes under the lock of the file's
/// attributes.
type SharedPlace = Mutex<Place>;

/// The place of a stream.
#[derive(Clone, Debug, Default)]
pub(super) enum Place {
    /// An extended attribute, with the stream's name.
    Attribute(String),
    /// A separate file, with the stream's name.
    Depot(String, Arc<LocalHandle>),
    /// The stream has become its file's data.
    Data,
    /// The stream was removed or replaced.
    #[default]
    Gone,
}

impl Place {
    /// The store of the place; the result is meaningless for places in neither.
    pub(super) fn store(&self) -> Store {
        if matches!(self, Self::Depot(..)) { Store::Depot } else { Store::Attribute }
    }
}

impl OpenStreams {
    fn opened(&self, base: &LocalHandle, found: &Found, place: Place) -> Arc<SharedPlace> {
        let mut open = locked(&self.0);
        let known = open.entry(stream_key(base, found)).or_default();
        let Some(shared) = known.upgrade() else {
            let shared = Arc::new(Mutex::new(place));
            *known = Arc::downgrade(&shared);
            return shared;
        };
        // The first handle may have been opened with fewer rights.
        let mut unneeded = place;
        if let (Place::Depot(_, before), Place::Depot(_, now)) = (&mut *locked(&shared), &mut unneeded)
            && now.wanted() == Wanted::BOTH
        {
            std::mem::swap(before, now);
        }
        // Closing the file may take long.
        drop(open);
        drop(unneeded);
        shared
    }

    /// Passes the new place of a stream on to all its handles.
    pub(super) fn moved(&self, base: &LocalHandle, from: &Found, to: impl FnOnce(&Place) -> Place) {
        let mut open = locked(&self.0);
        let Some(known) = open.remove(&stream_key(base, from)) else { return };
        let Some(shared) = known.upgrade() else { return };
        let mut place = locked(&shared);
        let now = to(&place);
        if let Place::Attribute(name) | Place::Depot(name, _) = &now {
            let found = Found { name: name.clone(), store: now.store() };
            open.insert(stream_key(base, &found), known);
        }
        let before = std::mem::replace(&mut *place, now);
        drop(place);
        drop(open);
        drop(before);
    }

    /// Releases a stream, and removes it from the table with its last handle.
    fn closed(&self, inode: InodeKey, place: Arc<SharedPlace>) {
        let mut open = locked(&self.0);
        let mut last = Place::Gone;
        if Arc::strong_count(&place) == 1 {
            let pointer = Arc::downgrade(&place);
            let of_inode = |key: &StreamKey| key.0 == inode;
            let own = open.range((inode, None, FoldedName::default())..).take_while(|(key, _)| of_inode(key));
            let found = own.into_iter().find(|(_, known)| known.ptr_eq(&pointer)).map(|(key, _)| key.clone());
            if let Some(key) = found {
                open.remove(&key);
            }
            last = std::mem::take(&mut *locked(&place));
        }
        // Drop it before the next handle is counted.
        drop(place);
        drop(open);
        drop(last);
    }
}

fn stream_key(base: &LocalHandle, found: &Found) -> StreamKey {
    let is_roots = found.store == Store::Depot && base.root.options.streams == Streams::Depot;
    let root = is_roots.then_some((base.root.device, base.root.inode));
    (base.inode(), root, FoldedName::new(&found.name))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// An open stream.
pub(super) struct LocalStream {
    base: LocalHandle,
    place: Arc<SharedPlace>,
    wanted: Wanted,
}

impl LocalStream {
    /// Opens an existing stream of `base`, with the permissions of the file. The caller holds the lock of the
    /// file's attributes since it has looked up the name.
    pub(super) fn new(base: LocalHandle, found: &Found, wanted: Wanted) -> Result<Self> {
        check_permitted(&base, wanted)?;
        let place = match found.store {
            Store::Attribute => Place::Attribute(found.name.clone()),
            Store::Depot => {
                let file = stream::opened(&base, &found.name)?;
                if (wanted.read && !file.wanted().read) || (wanted.write && !file.wanted().write) {
                    return Err(Error::AccessDenied);
                }
                Place::Depot(found.name.clone(), Arc::new(file))
            }
        };
        let place = OPEN.opened(&base, found, place);
        Ok(Self { base, place, wanted })
    }

    /// Opens the same stream through `base`, another handle of its file.
    pub(super) fn again(&self, base: LocalHandle, wanted: Wanted) -> Result<Self> {
        check_permitted(&base, wanted)?;
        if let Place::Depot(name, file) = self.place() {
            let is_enough = (file.wanted().read || !wanted.read) && (file.wanted().write || !wanted.write);
            if !is_enough {
                let _lock = base.lock_attributes();
                return Self::new(base, &Found { name, store: Store::Depot }, wanted);
            }
        }
        Ok(Self { base, place: Arc::clone(&self.place), wanted })
    }

    /// The file of the stream.
    pub(super) fn base(&self) -> &LocalHandle {
        &self.base
    }

    fn place(&self) -> Place {
        locked(&self.place).clone()
    }

    /// The file that contains the stream's data; `None` for an attribute.
    fn file(&self) -> Result<Option<Arc<LocalHandle>>> {
        match self.place() {
            Place::Attribute(_) => Ok(None),
            Place::Depot(_, file) => Ok(Some(file)),
            Place::Data => self.base.reopened(self.wanted).map(Arc::new).map(Some),
            Place::Gone => Err(Error::NotFound),
        }
    }

    /// The bytes of a stream in an attribute, or the file that contains it.
    fn data(&self) -> Result<Data> {
        if let Some(file) = self.file()? {
            return Ok(Data::File(file));
        }
        if let Place::Attribute(name) = self.place() {
            match read(&self.base, &full_name(&name)) {
                Err(Error::NotFound) => {}
                result => return result.map(Data::Bytes),
            }
        }
        // The stream was renamed meanwhile, or is being renamed.
        let _lock = self.base.lock_attributes();
        match self.place() {
            Place::Attribute(name) => read(&self.base, &full_name(&name)).map(Data::Bytes),
            _ => self.file()?.map(Data::File).ok_or(Error::NotFound),
        }
    }

    /// Changes the stream: `bytes` changes it in an attribute, `file` in a separate file. If the changed
    /// bytes do not fit into the attribute, the stream is moved into a file first.
    fn change<T>(
        &self,
        bytes: impl FnOnce(&mut Vec<u8>) -> Result<T>,
        file: impl FnOnce(&LocalHandle) -> Result<T>,
    ) -> Result<T> {
        if !self.wanted.write {
            return Err(Error::AccessDenied);
        }
        let _lock = self.base.lock_attributes();
        if let Place::Attribute(name) = self.place() {
            let stored = read(&self.base, &full_name(&name))?;
            let mut changed = stored.clone();
            let done = bytes(&mut changed).and_then(|done| {
                changed.push(0);
                xattr::set(self.base.node(), &full_name(&name), &changed)?;
                Ok(done)
            });
            match done {
                Err(Error::Limitation) => stream::move_to_depot(&self.base, &name, &stored)?,
                done => {
                    let done = done?;
                    // Changes of streams count as changes of the file (MS-FSA 2.1.1.3).
                    self.base.touch()?;
                    return Ok(done);
                }
            }
        }
        let holder = self.file()?.ok_or(Error::NotFound)?;
        let done = file(&holder)?;
        if holder.inode() != self.base.inode() {
            self.base.touch()?;
        }
        Ok(done)
    }
}

/// The container of a stream's data.
enum Data {
    Bytes(Vec<u8>),
    File(Arc<LocalHandle>),
}

fn check_permitted(base: &LocalHandle, wanted: Wanted) -> Result<()> {
    let mut access = Access::empty();
    access.set(Access::READ_OK, wanted.read);
    access.set(Access::WRITE_OK, wanted.write);
    if access.is_empty() { Ok(()) } else { base.check_permitted(&base.actor, access) }
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
        match self.data()? {
            Data::File(file) if file.inode() == self.base.inode() => return Ok(stat),
            Data::File(file) => {
                let own = statx_fd(file.fd())?;
                (stat.size, stat.allocation) = (own.stx_size, own.stx_blocks.saturating_mul(512));
            }
            Data::Bytes(data) => {
                stat.size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                stat.allocation = stat.size;
            }
        }
        stat.kind = Kind::File;
        stat.attributes = crate::stat::normalized(stat.attributes, Kind::File);
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if !self.wanted.read {
            return Err(Error::AccessDenied);
        }
        let data = match self.data()? {
            Data::File(file) => return file.read_at(buffer, offset),
            Data::Bytes(data) => data,
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
        self.change(|stored| put(stored, data, offset), |file| file.write_at(data, offset))
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        let refused = Cell::new(false);
        let written = self.change(
            |stored| {
                let end = u64::try_from(stored.len()).unwrap_or(u64::MAX);
                refused.set(!may_write_at(end));
                if refused.get() { Err(Error::AccessDenied) } else { put(stored, data, end).map(Some) }
            },
            |file| file.append(data, may_write_at),
        );
        if refused.get() { Ok(None) } else { written }
    }

    fn flush(&self) -> Result<()> {
        self.base.flush()
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let resize = |stored: &mut Vec<u8>| {
            let (_, end) = bounds(size, 0)?;
            stored.resize(end, 0);
            Ok(())
        };
        self.change(resize, |file| file.set_size(size))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        self.change(|_| bounds(bytes, 0).map(drop), |file| file.allocate(bytes))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let zero = |stored: &mut Vec<u8>| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(stored.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            stored.get_mut(start..end).unwrap_or_default().fill(0);
            Ok(())
        };
        self.change(zero, |file| file.zero(range.clone()))
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let data = match self.data()? {
            Data::File(file) => return file.allocated_ranges(range),
            Data::Bytes(data) => data,
        };
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

    fn granted_access(&self, actor: &Actor, stat: &Stat, asked: AccessMask, permits: Permits) -> AccessMask {
        // The owner and the mode of a stream are those of its file.
        self.base.granted_access(actor, stat, asked, permits)
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

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.base.set_mode(mode)
    }

    fn set_group(&self, gid: u32) -> Result<()> {
        self.base.set_group(gid)
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

/// The data of a stream in an attribute.
fn read(base: &LocalHandle, attribute: &[u8]) -> Result<Vec<u8>> {
    let mut data = xattr::get(base.node(), attribute)?.ok_or(Error::NotFound)?;
    data.pop();
    Ok(data)
}

/// Writes into the data of a stream.
fn put(stored: &mut Vec<u8>, data: &[u8], offset: u64) -> Result<usize> {
    if data.is_empty() {
        return Ok(0);
    }
    let (start, end) = bounds(offset, data.len())?;
    if stored.len() < end {
        stored.resize(end, 0);
    }
    stored.get_mut(start..end).ok_or(Error::InvalidArgument)?.copy_from_slice(data);
    Ok(data.len())
}

/// The range of a write as indices; an error if no attribute or no file could contain it.
fn bounds(offset: u64, length: usize) -> Result<(usize, usize)> {
    let start = usize::try_from(offset).map_err(|_| Error::InvalidArgument)?;
    let end = start.checked_add(length).filter(|end| i64::try_from(*end).is_ok());
    let end = end.ok_or(Error::InvalidArgument)?;
    if end < XATTR_VALUE_BYTES_MAX { Ok((start, end)) } else { Err(Error::Limitation) }
}
