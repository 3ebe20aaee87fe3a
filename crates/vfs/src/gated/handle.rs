//! Open files with a gate.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use wire::{AccessMask, FileAttributes};

use super::Gate;
use crate::backend::{Actor, Permits};
use crate::error::Result;
use crate::handle::{
    DirectoryCursor, Handle, PosixPermissions, RangeLock, ReparsePoint, SetTimes, StreamInfo, Xattr,
};
use crate::path::RelativePath;
use crate::stat::Stat;

/// An open file with a gate.
pub(super) struct GatedHandle {
    inner: Arc<dyn Handle>,
    gate: Gate,
}

impl GatedHandle {
    pub(super) fn new(inner: Arc<dyn Handle>, gate: Gate) -> Self {
        Self { inner, gate }
    }

    fn within<T>(&self, call: impl FnOnce(&dyn Handle) -> Result<T>) -> Result<T> {
        self.gate.within(|| call(&*self.inner))
    }
}

impl Handle for GatedHandle {
    fn stat(&self) -> Result<Stat> {
        self.inner.stat()
    }

    fn inode(&self) -> Result<(u64, u64)> {
        self.inner.inode()
    }

    fn stat_and_ea_size(&self) -> Result<(Stat, u32)> {
        self.inner.stat_and_ea_size()
    }

    fn ea_size(&self) -> Result<u32> {
        self.inner.ea_size()
    }

    fn birth(&self) -> Result<Option<(i64, u32)>> {
        self.inner.birth()
    }

    fn size(&self) -> Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.within(|it| it.read_at(buffer, offset))
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        self.within(|it| it.try_read_at(buffer, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        self.within(|it| it.write_at(data, offset))
    }

    #[cfg(unix)]
    fn write_from(
        &self,
        socket: std::os::fd::BorrowedFd<'_>,
        length: usize,
        offset: u64,
        taken: &mut usize,
    ) -> Result<usize> {
        self.within(|it| it.write_from(socket, length, offset, taken))
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        self.within(|it| it.append(data, may_write_at))
    }

    fn set_range_lock(&self, range: Range<u64>, lock: Option<RangeLock>) -> Result<bool> {
        match lock {
            Some(_) => self.within(|it| it.set_range_lock(range, lock)),
            None => self.inner.set_range_lock(range, lock),
        }
    }

    fn is_range_locked(&self, range: Range<u64>, lock: RangeLock) -> Result<bool> {
        self.inner.is_range_locked(range, lock)
    }

    fn flush(&self) -> Result<()> {
        self.within(|it| it.flush())
    }

    fn ask_closing(&self) -> Result<()> {
        self.within(|it| it.ask_closing())
    }

    fn set_size(&self, size: u64) -> Result<()> {
        self.within(|it| it.set_size(size))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        self.within(|it| it.allocate(bytes))
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        self.within(|it| it.zero(range))
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        self.inner.allocated_ranges(range)
    }

    fn duplicate_extents(&self, source: &dyn Handle, range: Range<u64>, at: u64) -> Result<()> {
        self.within(|it| it.duplicate_extents(source, range, at))
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        self.within(|it| it.set_times(times))
    }

    fn set_attributes(&self, attributes: FileAttributes) -> Result<()> {
        self.within(|it| it.set_attributes(attributes))
    }

    fn set_sparse(&self, sparse: bool) -> Result<()> {
        self.within(|it| it.set_sparse(sparse))
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        self.within(|it| it.read_directory())
    }

    fn maximal_access(&self, actor: &Actor) -> AccessMask {
        self.inner.maximal_access(actor)
    }

    fn granted_access(&self, actor: &Actor, stat: &Stat, asked: AccessMask, permits: Permits) -> AccessMask {
        self.inner.granted_access(actor, stat, asked, permits)
    }

    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.xattr(name)
    }

    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        self.within(|it| it.set_xattr(name, value))
    }

    fn remove_xattr(&self, name: &str) -> Result<()> {
        self.within(|it| it.remove_xattr(name))
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        self.inner.xattrs()
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        self.inner.security_record()
    }

    fn lock_security_record(&self) -> Box<dyn Send> {
        self.inner.lock_security_record()
    }

    fn set_security_record(&self, record: &[u8]) -> Result<()> {
        self.within(|it| it.set_security_record(record))
    }

    fn set_owner(&self, uid: u32) -> Result<()> {
        self.within(|it| it.set_owner(uid))
    }

    fn set_permissions(&self, mode: u32) -> Result<()> {
        self.within(|it| it.set_permissions(mode))
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        self.within(|it| it.set_mode(mode))
    }

    fn set_group(&self, gid: u32) -> Result<()> {
        self.within(|it| it.set_group(gid))
    }

    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        self.inner.posix_permissions()
    }

    fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        self.inner.reparse_point()
    }

    fn set_reparse_data(&self, data: Option<&[u8]>) -> Result<()> {
        self.within(|it| it.set_reparse_data(data))
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.inner.streams()
    }

    /// The descriptor, for data that goes from the file to the socket without a copy.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.gate.is_open().then(|| self.inner.as_fd()).flatten()
    }

    fn moved(&self, path: &RelativePath) {
        self.inner.moved(path);
    }

    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }
}
