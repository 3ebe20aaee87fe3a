//! Open files whose calls can fail.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use wire::{AccessMask, FileAttributes};

use super::{Faults, inner};
use crate::backend::{Actor, Permits};
use crate::error::Result;
use crate::handle::{
    DirectoryCursor, Entry, EntryWanted, Handle, PosixPermissions, RangeLock, ReparsePoint, SetTimes,
    StreamInfo, Xattr,
};
use crate::path::RelativePath;
use crate::stat::Stat;

/// An open file whose calls fail as [`Faults`] chooses.
pub(super) struct FaultyHandle {
    inner: Arc<dyn Handle>,
    faults: Arc<Faults>,
}

impl FaultyHandle {
    pub(super) fn new(inner: Arc<dyn Handle>, faults: Arc<Faults>) -> Self {
        faults.handle_made();
        Self { inner, faults }
    }

    pub(super) fn inner(&self) -> &Arc<dyn Handle> {
        &self.inner
    }
}

impl Drop for FaultyHandle {
    fn drop(&mut self) {
        self.faults.handle_dropped();
    }
}

impl Handle for FaultyHandle {
    fn birth(&self) -> Result<Option<(i64, u32)>> {
        self.inner.birth()
    }

    fn moved(&self, path: &RelativePath) {
        self.inner.moved(path);
    }

    fn stat(&self) -> Result<Stat> {
        self.faults.call("stat", || self.inner.stat())
    }

    fn size(&self) -> Result<u64> {
        self.faults.call("stat", || self.inner.size())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.faults.call("read_at", || self.inner.read_at(buffer, offset))
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.faults.call("try_read_at", || self.inner.try_read_at(buffer, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let length = self.faults.shortened(data.len());
        let data = data.get(..length).unwrap_or(data);
        self.faults.call("write_at", || self.inner.write_at(data, offset))
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        let length = self.faults.shortened(data.len());
        let data = data.get(..length).unwrap_or(data);
        self.faults.call("append", || self.inner.append(data, may_write_at))
    }

    fn set_range_lock(&self, range: Range<u64>, lock: Option<RangeLock>) -> Result<bool> {
        self.faults.call("set_range_lock", || self.inner.set_range_lock(range, lock))
    }

    fn is_range_locked(&self, range: Range<u64>, lock: RangeLock) -> Result<bool> {
        self.faults.call("is_range_locked", || self.inner.is_range_locked(range, lock))
    }

    fn flush(&self) -> Result<()> {
        self.faults.call("flush", || self.inner.flush())
    }

    fn ask_closing(&self) -> Result<()> {
        self.faults.call("ask_closing", || self.inner.ask_closing())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.faults.call("set_size", || self.inner.set_size(size))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        self.faults.call("allocate", || self.inner.allocate(bytes))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.faults.call("zero", || self.inner.zero(range))
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        self.faults.call("allocated_ranges", || self.inner.allocated_ranges(range))
    }

    fn duplicate_extents(&self, source: &dyn Handle, range: Range<u64>, at: u64) -> Result<()> {
        let source = inner(source)?;
        self.faults.call("duplicate_extents", || self.inner.duplicate_extents(source, range, at))
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        self.faults.call("set_times", || self.inner.set_times(times))
    }

    fn set_attributes(&self, attributes: FileAttributes) -> Result<()> {
        self.faults.call("set_attributes", || self.inner.set_attributes(attributes))
    }

    fn set_sparse(&self, sparse: bool) -> Result<()> {
        self.faults.call("set_sparse", || self.inner.set_sparse(sparse))
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        let cursor = self.faults.call("read_directory", || self.inner.read_directory())?;
        Ok(Box::new(FaultyCursor { cursor, faults: Arc::clone(&self.faults) }))
    }

    fn maximal_access(&self, actor: &Actor) -> AccessMask {
        self.inner.maximal_access(actor)
    }

    fn granted_access(&self, actor: &Actor, stat: &Stat, asked: AccessMask, permits: Permits) -> AccessMask {
        self.inner.granted_access(actor, stat, asked, permits)
    }

    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.faults.call("xattr", || self.inner.xattr(name))
    }

    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        self.faults.call("set_xattr", || self.inner.set_xattr(name, value))
    }

    fn remove_xattr(&self, name: &str) -> Result<()> {
        self.faults.call("remove_xattr", || self.inner.remove_xattr(name))
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        self.faults.call("xattrs", || self.inner.xattrs())
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        self.faults.call("security_record", || self.inner.security_record())
    }

    fn lock_security_record(&self) -> Box<dyn Send> {
        self.inner.lock_security_record()
    }

    fn set_security_record(&self, record: &[u8]) -> Result<()> {
        self.faults.call("set_security_record", || self.inner.set_security_record(record))
    }

    fn set_owner(&self, uid: u32) -> Result<()> {
        self.faults.call("set_owner", || self.inner.set_owner(uid))
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.faults.call("set_mode", || self.inner.set_mode(mode))
    }

    fn set_group(&self, gid: u32) -> Result<()> {
        self.faults.call("set_group", || self.inner.set_group(gid))
    }

    fn set_permissions(&self, mode: u32) -> Result<()> {
        self.faults.call("set_permissions", || self.inner.set_permissions(mode))
    }

    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        self.faults.call("posix_permissions", || self.inner.posix_permissions())
    }

    fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        self.faults.call("reparse_point", || self.inner.reparse_point())
    }

    fn set_reparse_data(&self, data: Option<&[u8]>) -> Result<()> {
        self.faults.call("set_reparse_data", || self.inner.set_reparse_data(data))
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.faults.call("streams", || self.inner.streams())
    }

    /// Returns `None`, because `sendfile` would bypass the calls that can fail.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct FaultyCursor {
    cursor: Box<dyn DirectoryCursor>,
    faults: Arc<Faults>,
}

impl DirectoryCursor for FaultyCursor {
    fn next(&mut self, wanted: &mut dyn FnMut(&str) -> EntryWanted) -> Result<Option<Entry>> {
        self.faults.call("next", || self.cursor.next(wanted))
    }

    fn restart(&mut self) -> Result<()> {
        self.faults.call("restart", || self.cursor.restart())
    }
}
