//! An open file, directory or stream in memory.

use super::locks::{Locks, Owner};
use super::node::{Inner, Node, OpenStream, bytes, index, now};
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::{
    DirectoryCursor, Entry, EntryWanted, Handle, RangeLock, SetTimes, StreamInfo, Xattr, lockable,
};
use crate::stat::{Kind, SETTABLE_ATTRIBUTES, Stat, normalized};
use std::any::Any;
use std::ops::{Bound, Range};
use std::sync::Arc;
use wire::{AccessMask, FileAttributes, FoldedName};

use parking_lot::MutexGuard;

/// An open file, directory or stream in memory.
pub(super) struct MemHandle {
    pub(super) node: Arc<Node>,
    /// The directory in which it was opened, for `..`; the root itself for the root.
    pub(super) parent: Arc<Node>,
    /// The path in its real spelling, without the stream.
    pub(super) path: String,
    /// The stream.
    pub(super) stream: Option<Arc<OpenStream>>,
    pub(super) wanted: Wanted,
    /// The owner of this handle's range locks.
    pub(super) owner: Owner,
}

impl MemHandle {
    /// A handle of the same file or stream with another access.
    pub(super) fn again(&self, wanted: Wanted) -> Self {
        Self {
            node: Arc::clone(&self.node),
            parent: Arc::clone(&self.parent),
            path: self.path.clone(),
            stream: self.stream.clone(),
            wanted,
            owner: Owner::default(),
        }
    }

    /// The folded name of the open stream; `None` for the file's data.
    fn stream(&self) -> Option<FoldedName> {
        let open = self.stream.as_ref()?;
        open.lock().clone()
    }

    fn locks(&self) -> Result<MutexGuard<'_, Locks>> {
        let has_data = self.wanted.read || self.wanted.write;
        if self.stream.is_some() || self.node.kind == Kind::Directory || !has_data {
            return Err(Error::NotSupported);
        }
        Ok(self.node.locks())
    }

    fn with_data<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        if self.stream().is_none() && self.node.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        if !self.wanted.read {
            return Err(Error::AccessDenied);
        }
        let inner = self.node.read();
        match self.stream() {
            None => Ok(read(&inner.data)),
            Some(stream) => inner.streams.get(&stream).map(|(_, data)| read(data)).ok_or(Error::NotFound),
        }
    }

    fn update<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T> {
        if self.stream().is_none() && self.node.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        if !self.wanted.write {
            return Err(Error::AccessDenied);
        }
        let mut inner = self.node.write();
        let done = match self.stream() {
            None => change(&mut inner.data),
            Some(stream) => change(&mut inner.streams.get_mut(&stream).ok_or(Error::NotFound)?.1),
        };
        inner.touch();
        Ok(done)
    }

    fn update_metadata(&self, change: impl FnOnce(&mut Inner)) -> Result<()> {
        let mut inner = self.node.write();
        inner.changed = now();
        change(&mut inner);
        Ok(())
    }
}

impl Drop for MemHandle {
    fn drop(&mut self) {
        self.node.locks().forget(&self.owner);
    }
}

impl Handle for MemHandle {
    fn stat(&self) -> Result<Stat> {
        let mut stat = self.node.stat();
        if let Some(stream) = self.stream() {
            let inner = self.node.read();
            stat.size = bytes(&inner.streams.get(&stream).ok_or(Error::NotFound)?.1);
            stat.allocation = stat.size;
            stat.kind = Kind::File;
            stat.attributes = normalized(stat.attributes, Kind::File);
        }
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.with_data(|data| {
            let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
                to.copy_from_slice(from);
            }
            length
        })
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.read_at(buffer, offset).map(Some)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let end = index(offset.checked_add(bytes(data)).ok_or(Error::InvalidArgument)?)?;
        let start = index(offset)?;
        self.update(|stored| {
            if stored.len() < end && !data.is_empty() {
                stored.resize(end, 0);
            }
            if let Some(to) = stored.get_mut(start..end) {
                to.copy_from_slice(data);
            }
        })?;
        Ok(data.len())
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        self.update(|stored| {
            let end = bytes(stored);
            index(end.checked_add(bytes(data)).ok_or(Error::InvalidArgument)?)?;
            if !may_write_at(end) {
                return Ok(None);
            }
            stored.extend_from_slice(data);
            Ok(Some(data.len()))
        })?
    }

    fn set_range_lock(&self, range: Range<u64>, lock: Option<RangeLock>) -> Result<bool> {
        let mut locks = self.locks()?;
        let Some(range) = lockable(&range) else { return Ok(true) };
        if lock.is_some_and(|lock| locks.is_locked(&self.owner, &range, lock)) {
            return Ok(false);
        }
        locks.set(&self.owner, &range, lock.and_then(|lock| lock.held_by(self.wanted)));
        Ok(true)
    }

    fn is_range_locked(&self, range: Range<u64>, lock: RangeLock) -> Result<bool> {
        let locks = self.locks()?;
        Ok(lockable(&range).is_some_and(|range| locks.is_locked(&self.owner, &range, lock)))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let size = index(size)?;
        self.update(|stored| stored.resize(size, 0))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        index(bytes)?;
        self.update(|_| {})?;
        self.update_metadata(|inner| inner.allocated = inner.allocated.max(bytes))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.update(|stored| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(stored.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            stored.get_mut(start..end).unwrap_or_default().fill(0);
        })
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let end = range.end.min(self.with_data(bytes)?);
        Ok((range.start < end).then_some(range.start..end).into_iter().collect())
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        self.update_metadata(|inner| {
            inner.created = times.created.unwrap_or(inner.created);
            inner.accessed = times.accessed.unwrap_or(inner.accessed);
            inner.modified = times.modified.unwrap_or(inner.modified);
            inner.changed = times.changed.unwrap_or(inner.changed);
        })
    }

    fn set_attributes(&self, attributes: FileAttributes) -> Result<()> {
        self.update_metadata(|inner| {
            let kept = inner.attributes & FileAttributes::SPARSE_FILE;
            inner.attributes = kept | (attributes & SETTABLE_ATTRIBUTES);
        })
    }

    fn set_sparse(&self, sparse: bool) -> Result<()> {
        if self.node.kind == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        self.update_metadata(|inner| {
            let others = inner.attributes.without(FileAttributes::SPARSE_FILE);
            inner.attributes = if sparse { others | FileAttributes::SPARSE_FILE } else { others };
        })
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        if self.stream().is_some() || self.node.kind != Kind::Directory {
            return Err(Error::NotADirectory);
        }
        Ok(Box::new(MemCursor {
            node: Arc::clone(&self.node),
            parent: Arc::clone(&self.parent),
            at: At::Dot,
        }))
    }

    fn maximal_access(&self, _actor: &Actor) -> AccessMask {
        AccessMask::FILE_ALL
    }

    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.node.read().xattrs.get(&FoldedName::new(name)).map(|(_, value)| value.clone()))
    }

    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::InvalidName);
        }
        self.update_metadata(|inner| {
            let entry =
                inner.xattrs.entry(FoldedName::new(name)).or_insert_with(|| (name.to_owned(), Vec::new()));
            entry.1 = value.to_vec();
        })
    }

    fn remove_xattr(&self, name: &str) -> Result<()> {
        self.update_metadata(|inner| drop(inner.xattrs.remove(&FoldedName::new(name))))
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        let inner = self.node.read();
        let mut xattrs: Vec<_> = inner
            .xattrs
            .values()
            .map(|(name, value)| Xattr { name: name.clone(), value: value.clone() })
            .collect();
        xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(xattrs)
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.node.read().security.clone())
    }

    fn set_security_record(&self, record: &[u8]) -> Result<()> {
        self.update_metadata(|inner| inner.security = Some(record.to_vec()))
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        let inner = self.node.read();
        let mut streams: Vec<_> = inner
            .streams
            .values()
            .map(|(name, data)| StreamInfo { name: name.clone(), size: bytes(data), allocation: bytes(data) })
            .collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(streams)
    }

    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct MemCursor {
    node: Arc<Node>,
    parent: Arc<Node>,
    at: At,
}

enum At {
    Dot,
    DotDot,
    /// The position after the entry with this folded name.
    After(FoldedName),
}

impl DirectoryCursor for MemCursor {
    fn next(&mut self, wanted: &mut dyn FnMut(&str) -> EntryWanted) -> Result<Option<Entry>> {
        loop {
            let (name, node, then) = match &self.at {
                At::Dot => (".".to_owned(), Arc::clone(&self.node), At::DotDot),
                At::DotDot => ("..".to_owned(), Arc::clone(&self.parent), At::After(FoldedName::default())),
                At::After(last) => {
                    let inner = self.node.read();
                    let mut rest = inner.children.range((Bound::Excluded(last.clone()), Bound::Unbounded));
                    let Some((key, (name, node))) = rest.next() else { return Ok(None) };
                    (name.clone(), Arc::clone(node), At::After(key.clone()))
                }
            };
            self.at = then;
            let (stat, ea_size) = match wanted(&name) {
                EntryWanted::Skip => continue,
                EntryWanted::SkipAndPause => return Ok(None),
                EntryWanted::Name => (None, 0),
                EntryWanted::Stat => (Some(node.stat()), 0),
                EntryWanted::Full => (Some(node.stat()), node.ea_size()),
            };
            return Ok(Some(Entry { name, stat, ea_size }));
        }
    }

    fn restart(&mut self) -> Result<()> {
        self.at = At::Dot;
        Ok(())
    }
}
