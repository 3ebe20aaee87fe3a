//! An open local file or directory.

use super::directory::LocalCursor;
use super::file_end::End;
use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::metadata::{self, Stored};
use super::resolve::{Root, inode_key, statx_fd};
use super::splice::Written;
use super::xattr::Node;
use super::{
    clone, closing, depot, file_system, flush, link, names, range_lock, rights, splice, stream, xattr,
};
use crate::backend::{Actor, Permits, Wanted};
use crate::error::{Error, Result};
use crate::handle::{
    DirectoryCursor, Handle, PosixPermissions, RangeLock, ReparsePoint, SetTimes, StreamInfo, Xattr,
};
use crate::limits::ALLOCATED_RANGES_MAX;
use crate::path::RelativePath;
use crate::stat::{DERIVED_ATTRIBUTES, Kind, SETTABLE_ATTRIBUTES, Stat};
use parking_lot::RwLock;
use rustix::fs::{
    Access, AtFlags, CWD, FallocateFlags, Mode, OFlags, SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
};
use rustix::io::{Errno, ReadWriteFlags};
use std::any::Any;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use wire::{AccessMask, FileAttributes, FileTime};

/// Set-user-id and set-group-id.
const SET_IDS: u32 = 0o6000;
/// The zeros that are written at a time if the file system cannot punch holes.
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// An open local file or directory.
pub(super) struct LocalHandle {
    pub(super) root: Arc<Root>,
    own: Target,
    /// The device and inode of the opened file, for the locks of the process.
    inode: InodeKey,
    /// The symlink that has replaced the opened file.
    replaced: OnceLock<Target>,
    wanted: Wanted,
    /// The path on disk, from which symlinks in a listing are resolved.
    path: RwLock<Vec<u8>>,
    pub(super) actor: Actor,
    /// Cleared if the file system does not support reads from the cache only.
    nowait: AtomicBool,
    /// Cleared if the file system does not take data from a pipe.
    splices: AtomicBool,
    /// True if set-id bits must be cleared before each change of the data: the kernel clears them only for
    /// writers without privileges, but the descriptor's writes run as the server.
    clears_set_ids: bool,
    /// The lock of the file's end, if the handle can move it.
    end: Option<End>,
}

/// The file that a handle refers to.
struct Target {
    fd: OwnedFd,
    kind: Kind,
    /// True if `fd` was opened for data, not with O_PATH.
    has_data: bool,
}

impl LocalHandle {
    pub(super) fn new(
        root: &Arc<Root>,
        fd: OwnedFd,
        wanted: Wanted,
        has_data: bool,
        stat: &Stat,
        path: Vec<u8>,
        actor: &Actor,
    ) -> Self {
        let writes = wanted.write && has_data && stat.kind == Kind::File;
        let inode = (stat.device, stat.inode);
        Self {
            root: Arc::clone(root),
            own: Target { fd, kind: stat.kind, has_data },
            inode,
            replaced: OnceLock::new(),
            wanted,
            path: RwLock::new(path),
            actor: actor.clone(),
            nowait: AtomicBool::new(true),
            splices: AtomicBool::new(true),
            clears_set_ids: root.credentials.is_privileged() && !root.credentials.is_all_powerful(actor),
            end: writes.then(|| End::of(inode)),
        }
    }

    /// The path on disk, as far as known to the server.
    pub(super) fn path(&self) -> Vec<u8> {
        self.path.read().clone()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.target().fd.as_fd()
    }

    /// The open file, for its attributes.
    pub(super) fn node(&self) -> Node<'_> {
        Node::new(self.fd(), self.has_data())
    }

    /// The metadata of the open file, without those of a symlink's target.
    pub(super) fn stat_now(&self) -> Result<Stat> {
        metadata::stat_fd(self.node())
    }

    pub(super) fn kind(&self) -> Kind {
        self.target().kind
    }

    /// True if the descriptor can read, write or list.
    pub(super) fn has_data(&self) -> bool {
        self.target().has_data
    }

    /// The data access that the handle was opened with.
    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// The device and inode of the opened file.
    pub(super) fn inode(&self) -> InodeKey {
        self.inode
    }

    /// The device and inode of the file that the handle refers to now: the opened one, or the symlink that has replaced it.
    pub(super) fn present_inode(&self) -> Result<InodeKey> {
        match self.replaced.get() {
            Some(link) => Ok(inode_key(link.fd.as_fd())?),
            None => Ok(self.inode),
        }
    }

    /// Serializes changes of the file's extended attributes within this process.
    pub(super) fn lock_attributes(&self) -> InodeLock {
        inode::lock(Purpose::Attributes, self.inode)
    }

    /// Makes the handle refer to the symlink that has replaced its file; false if that has happened before.
    pub(super) fn replace(&self, link: OwnedFd) -> bool {
        self.replaced.set(Target { fd: link, kind: Kind::Symlink, has_data: false }).is_ok()
    }

    /// True if [`Self::replace`] can still succeed.
    pub(super) fn can_be_replaced(&self) -> bool {
        self.replaced.get().is_none()
    }

    fn target(&self) -> &Target {
        self.replaced.get().unwrap_or(&self.own)
    }

    /// Fails if the kernel does not grant `access` to `actor`, considering ACLs and read-only mounts.
    pub(super) fn check_permitted(&self, actor: &Actor, access: Access) -> Result<()> {
        let _guard = self.root.credentials.assume(actor)?;
        Ok(check_access(self.fd(), access)?)
    }

    /// Opens a separate descriptor for listing, positioned at the start.
    pub(super) fn open_for_listing(&self) -> Result<OwnedFd> {
        // A handle that was opened for listing keeps that right; for others the kernel checks it now.
        let actor = if self.target().has_data { &Actor::Process } else { &self.actor };
        let _guard = self.root.credentials.assume(actor)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self.fd(), c".", flags, Mode::empty())?)
    }

    /// Duplicates the handle of the file, without access to data.
    pub(super) fn duplicate(&self, actor: &Actor, wanted: Wanted) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(self.fd(), 0)?;
        let stat = metadata::to_stat(&statx_fd(fd.as_fd())?, Default::default());
        Ok(Self::new(&self.root, fd, wanted, false, &stat, self.path(), actor))
    }

    /// Opens the file again for data, with the rights of the process.
    pub(super) fn reopened(&self, wanted: Wanted) -> Result<Self> {
        let flags = match wanted {
            Wanted { read: _, write: false } => OFlags::RDONLY,
            Wanted { read: false, write: true } => OFlags::WRONLY,
            Wanted { read: true, write: true } => OFlags::RDWR,
        };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let fd = rustix::fs::open(xattr::proc_path(self.fd()), flags, Mode::empty())?;
        let stat = metadata::stat_fd(fd.as_fd())?;
        Ok(Self::new(&self.root, fd, wanted, true, &stat, self.path(), &self.actor))
    }

    /// Moves the modification time to now.
    pub(super) fn touch(&self) -> Result<()> {
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let touch = |last_access| {
            let stamps = Timestamps { last_access, last_modification: now };
            rustix::fs::utimensat(self.fd(), c"", &stamps, AtFlags::EMPTY_PATH)
        };
        match touch(omit) {
            // A user with write access who is not the owner can set both times to now, but not only one of them.
            Err(Errno::PERM | Errno::ACCESS) => Ok(touch(now)?),
            result => Ok(result?),
        }
    }

    fn readable(&self) -> Result<BorrowedFd<'_>> {
        match self.kind() {
            Kind::Directory => Err(Error::IsADirectory),
            _ if self.target().has_data && self.wanted.read => Ok(self.fd()),
            _ => Err(Error::AccessDenied),
        }
    }

    fn writable(&self) -> Result<BorrowedFd<'_>> {
        match self.kind() {
            Kind::Directory => return Err(Error::IsADirectory),
            _ if self.target().has_data && self.wanted.write => {}
            _ => return Err(Error::AccessDenied),
        }
        if self.clears_set_ids {
            // Check before each change: the bits may have been set since.
            let mode = rustix::fs::fstat(self.fd())?.st_mode;
            if mode & SET_IDS != 0 {
                rustix::fs::fchmod(self.fd(), Mode::from_raw_mode(mode & 0o7777 & !SET_IDS))?;
            }
        }
        Ok(self.fd())
    }

    /// The descriptor that owns range locks, even if a symlink has replaced the file since.
    fn lockable(&self) -> Result<BorrowedFd<'_>> {
        if self.own.kind == Kind::File && self.own.has_data {
            Ok(self.own.fd.as_fd())
        } else {
            Err(Error::NotSupported)
        }
    }

    fn end(&self) -> Result<&End> {
        self.end.as_ref().ok_or(Error::AccessDenied)
    }
}

impl Handle for LocalHandle {
    fn birth(&self) -> Result<Option<(i64, u32)>> {
        Ok(metadata::birth(&statx_fd(self.fd())?))
    }

    fn moved(&self, path: &RelativePath) {
        // The path comes from a name on disk, so it should be encodable; if not, the old one stays.
        if let Ok(disk) = names::encode_path(path.as_str()) {
            *self.path.write() = disk;
        }
    }

    fn inode(&self) -> Result<(u64, u64)> {
        self.present_inode()
    }

    fn stat(&self) -> Result<Stat> {
        if self.kind() == Kind::Symlink {
            return Ok(link::stat(&self.root, &self.path(), &statx_fd(self.fd())?));
        }
        metadata::stat_fd(self.node())
    }

    fn stat_and_ea_size(&self) -> Result<(Stat, u32)> {
        if self.kind() == Kind::Symlink {
            return Ok((self.stat()?, self.ea_size()?));
        }
        metadata::stat_and_ea_size(self.node())
    }

    fn size(&self) -> Result<u64> {
        if self.kind() != Kind::File {
            return Ok(self.stat()?.size);
        }
        Ok(statx_fd(self.fd())?.stx_size)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if self.kind() == Kind::Symlink {
            return Ok(0);
        }
        let fd = self.readable()?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(fd, rest, position(offset, done)?) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn try_read_at(&self, buffer: &mut [u8], offset: u64) -> Result<Option<usize>> {
        let fd = self.readable()?;
        if !self.nowait.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut done = 0;
        // A short result means the end of the file, which the next call confirms, or the end of the cached
        // data.
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let mut slices = [IoSliceMut::new(rest)];
            match rustix::io::preadv2(fd, &mut slices, position(offset, done)?, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.nowait.store(false, Ordering::Relaxed);
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(done))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let fd = self.writable()?;
        let _moving = self.end()?.moving();
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(fd, rest, position(offset, done)?) {
                Ok(0) => break,
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn write_from(
        &self,
        socket: BorrowedFd<'_>,
        length: usize,
        offset: u64,
        taken: &mut usize,
    ) -> Result<usize> {
        position(offset, length)?;
        if !self.splices.load(Ordering::Relaxed) {
            return Err(Error::NotSupported);
        }
        let fd = self.writable()?;
        let moving = self.end()?.moving();
        match splice::write(socket, length, fd, offset, taken)? {
            Written::Count(written) => Ok(written),
            Written::Refused(data) => {
                self.splices.store(false, Ordering::Relaxed);
                drop(moving);
                self.write_at(&data, offset)
            }
        }
    }

    fn append(&self, data: &[u8], may_write_at: &dyn Fn(u64) -> bool) -> Result<Option<usize>> {
        let fd = self.writable()?;
        let _still = self.end()?.still();
        let end = statx_fd(fd)?.stx_size;
        position(end, data.len())?;
        if !may_write_at(end) {
            return Ok(None);
        }
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            // The kernel determines the end again, so data that a local process has appended since is
            // preserved.
            let at = position(end, done)?;
            let written = match rustix::io::pwritev2(fd, &[IoSlice::new(rest)], at, ReadWriteFlags::APPEND) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => rustix::io::pwrite(fd, rest, at),
                result => result,
            };
            match written {
                Ok(0) => break,
                Ok(written) => done = done.saturating_add(written),
                Err(Errno::INTR) => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(done))
    }

    fn set_range_lock(&self, range: Range<u64>, lock: Option<RangeLock>) -> Result<bool> {
        range_lock::set(self.lockable()?, self.wanted, &range, lock)
    }

    fn is_range_locked(&self, range: Range<u64>, lock: RangeLock) -> Result<bool> {
        range_lock::is_locked(self.lockable()?, &range, lock)
    }

    fn flush(&self) -> Result<()> {
        flush::flush(self)?;
        let _lock = self.lock_attributes();
        depot::flush(self)
    }

    fn ask_closing(&self) -> Result<()> {
        if !self.has_data() || !self.wanted.write {
            return Ok(());
        }
        let (device, _) = self.inode;
        if file_system::kind(device, self.fd()).is_some_and(closing::is_silent) {
            return Ok(());
        }
        Ok(closing::ask(self.fd())?)
    }

    fn set_size(&self, size: u64) -> Result<()> {
        checked_size(size)?;
        let fd = self.writable()?;
        let _moving = self.end()?.moving();
        Ok(rustix::fs::ftruncate(fd, size)?)
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        checked_size(bytes)?;
        if bytes == 0 {
            return self.writable().map(drop);
        }
        Ok(rustix::fs::fallocate(self.writable()?, FallocateFlags::KEEP_SIZE, 0, bytes)?)
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        checked_size(range.end)?;
        let fd = self.writable()?;
        let end = range.end.min(statx_fd(fd)?.stx_size);
        let Some(length) = end.checked_sub(range.start).filter(|length| *length > 0) else { return Ok(()) };
        // Only sparse files are deallocated (MS-FSA 2.1.5.10.39); other files keep their reserved space.
        let attributes = metadata::stored(fd, self.kind())?.attributes.unwrap_or_default();
        let how = match attributes.contains(FileAttributes::SPARSE_FILE) {
            true => FallocateFlags::PUNCH_HOLE,
            false => FallocateFlags::ZERO_RANGE,
        };
        match rustix::fs::fallocate(fd, how | FallocateFlags::KEEP_SIZE, range.start, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
        let mut start = range.start;
        while start < end {
            let chunk = usize::try_from(end - start).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
            let written = self.write_at(ZEROS.get(..chunk).unwrap_or_default(), start)?;
            if written == 0 {
                return Err(Error::NoSpace);
            }
            start = position(start, written)?;
        }
        Ok(())
    }

    fn allocated_ranges(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        checked_size(range.end)?;
        let fd = self.readable()?;
        let end = range.end.min(statx_fd(fd)?.stx_size);
        let mut ranges = Vec::new();
        let mut at = range.start;
        while at < end && ranges.len() < ALLOCATED_RANGES_MAX {
            let start = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                // A file system without holes has data everywhere.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                    ranges.push(at..end);
                    break;
                }
                result => result?,
            };
            if start >= end {
                break;
            }
            at = rustix::fs::seek(fd, SeekFrom::Hole(start))?.min(end).max(start.saturating_add(1));
            ranges.push(start..at);
        }
        Ok(ranges)
    }

    fn duplicate_extents(&self, source: &dyn Handle, range: Range<u64>, at: u64) -> Result<()> {
        let source = source.as_any().downcast_ref::<Self>().ok_or(Error::NotSupported)?;
        let length = range.end.checked_sub(range.start).ok_or(Error::InvalidArgument)?;
        let (from, to) = (source.readable()?, self.writable()?);
        let _moving = self.end()?.moving();
        Ok(clone::clone_range(from, range.start, length, to, at)?)
    }

    fn set_times(&self, times: SetTimes) -> Result<()> {
        if times.accessed.is_some() || times.modified.is_some() {
            let stamps = Timestamps {
                last_access: timespec(times.accessed),
                last_modification: timespec(times.modified),
            };
            rustix::fs::utimensat(self.fd(), c"", &stamps, AtFlags::EMPTY_PATH)?;
        }
        // The other times cannot be stored for a symlink.
        if (times.created.is_none() && times.changed.is_none()) || self.kind() == Kind::Symlink {
            return Ok(());
        }
        metadata::update(self.node(), |stat| Stored {
            attributes: stat.attributes,
            created: times.created.unwrap_or(stat.created),
            changed: times.changed,
        })
    }

    fn set_attributes(&self, attributes: FileAttributes) -> Result<()> {
        if self.kind() == Kind::Symlink {
            // A symlink has no other attributes and cannot store any. Success for none, because clients clear
            // READONLY before they remove a symlink.
            let others = (attributes & SETTABLE_ATTRIBUTES).without(FileAttributes::ARCHIVE);
            return if others.is_none() { Ok(()) } else { Err(Error::NotSupported) };
        }
        metadata::update(self.node(), |stat| {
            let kept = stat.attributes & DERIVED_ATTRIBUTES;
            let attributes = kept | (attributes & SETTABLE_ATTRIBUTES);
            Stored { attributes, created: stat.created, changed: None }
        })
    }

    fn set_sparse(&self, sparse: bool) -> Result<()> {
        if self.kind() == Kind::Directory {
            return Err(Error::IsADirectory);
        }
        metadata::update_kept(self.node(), |stat| {
            let others = stat.attributes.without(FileAttributes::SPARSE_FILE);
            let attributes = if sparse { others | FileAttributes::SPARSE_FILE } else { others };
            Stored { attributes, created: stat.created, changed: None }
        })
    }

    fn read_directory(&self) -> Result<Box<dyn DirectoryCursor>> {
        if self.kind() != Kind::Directory {
            return Err(Error::NotADirectory);
        }
        Ok(Box::new(LocalCursor::new(self)?))
    }

    fn maximal_access(&self, actor: &Actor) -> AccessMask {
        rights::maximal_access(self, actor)
    }

    fn granted_access(&self, actor: &Actor, stat: &Stat, asked: AccessMask, permits: Permits) -> AccessMask {
        rights::granted_access(self, actor, stat, asked, permits)
    }

    fn xattr(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let stored = xattr::stored_name(self.node(), name)?;
        xattr::get(self.node(), &stored)
    }

    fn set_xattr(&self, name: &str, value: &[u8]) -> Result<()> {
        let _lock = self.lock_attributes();
        let stored = xattr::stored_name(self.node(), name)?;
        stream::put_beside(self, &stored, value)
    }

    fn remove_xattr(&self, name: &str) -> Result<()> {
        let _lock = self.lock_attributes();
        let stored = xattr::stored_name(self.node(), name)?;
        xattr::remove(self.node(), &stored)
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        xattr::list_visible(self.node())
    }

    fn security_record(&self) -> Result<Option<Vec<u8>>> {
        if !self.root.credentials.is_privileged()
            && let Some(record) = xattr::get(self.node(), xattr::SECURITY_OF_USER)?
        {
            return Ok(Some(record));
        }
        xattr::get(self.node(), xattr::SECURITY)
    }

    fn lock_security_record(&self) -> Box<dyn Send> {
        Box::new(inode::lock(Purpose::Security, self.inode))
    }

    fn set_security_record(&self, record: &[u8]) -> Result<()> {
        let privileged = self.root.credentials.is_privileged();
        let _lock = self.lock_attributes();
        stream::put_beside(self, if privileged { xattr::SECURITY } else { xattr::SECURITY_OF_USER }, record)
    }

    fn set_owner(&self, uid: u32) -> Result<()> {
        let before = statx_fd(self.fd())?.stx_uid;
        let owner = rustix::fs::Uid::from_raw(uid);
        rustix::fs::chownat(self.fd(), c"", Some(owner), None, AtFlags::EMPTY_PATH)?;
        let _lock = self.lock_attributes();
        depot::follow_permissions(self, before)
    }

    fn set_permissions(&self, mode: u32) -> Result<()> {
        let kept = u32::from(statx_fd(self.fd())?.stx_mode) & 0o7000;
        self.set_mode(kept | (mode & 0o777))
    }

    fn set_group(&self, gid: u32) -> Result<()> {
        let before = statx_fd(self.fd())?.stx_uid;
        let group = rustix::fs::Gid::from_raw(gid);
        rustix::fs::chownat(self.fd(), c"", None, Some(group), AtFlags::EMPTY_PATH)?;
        let _lock = self.lock_attributes();
        depot::follow_permissions(self, before)
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        let raw = statx_fd(self.fd())?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if self.kind() == Kind::Symlink {
            return Err(Error::NotSupported);
        }
        rustix::fs::chmodat(CWD, xattr::proc_path(self.fd()), mode, AtFlags::empty())?;
        let _lock = self.lock_attributes();
        depot::follow_permissions(self, raw.stx_uid)
    }

    fn posix_permissions(&self) -> Result<Option<PosixPermissions>> {
        let raw = statx_fd(self.fd())?;
        let default_acl = match self.kind() {
            Kind::Directory => xattr::get(self.node(), xattr::POSIX_DEFAULT_ACL)?,
            _ => None,
        };
        Ok(Some(PosixPermissions {
            mode: raw.stx_mode.into(),
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            access_acl: xattr::get(self.node(), xattr::POSIX_ACCESS_ACL)?,
            default_acl,
        }))
    }

    fn reparse_point(&self) -> Result<Option<ReparsePoint>> {
        link::reparse_point(self)
    }

    fn set_reparse_data(&self, data: Option<&[u8]>) -> Result<()> {
        link::set_data(self, data)
    }

    fn streams(&self) -> Result<Vec<StreamInfo>> {
        let _lock = self.lock_attributes();
        stream::list(self)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.readable().ok()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl std::fmt::Debug for LocalHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LocalHandle").field(&names::decode_path(&self.path())).finish()
    }
}

/// True if the kernel currently grants `access` to the calling thread.
pub(super) fn permits(fd: BorrowedFd<'_>, access: Access) -> bool {
    check_access(fd, access).is_ok()
}

/// Fails if the kernel does not grant `access` to the calling thread.
fn check_access(fd: BorrowedFd<'_>, access: Access) -> std::result::Result<(), Errno> {
    // rustix has no AT_EMPTY_PATH here, which takes a fifth of the time of a path in /proc.
    let mode = nix::unistd::AccessFlags::from_bits_retain(access.bits().cast_signed());
    let flags = nix::fcntl::AtFlags::AT_EACCESS | nix::fcntl::AtFlags::AT_EMPTY_PATH;
    match nix::unistd::faccessat(fd, c"", mode, flags) {
        // Before Linux 5.8, or with a C library that does not know the flag.
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOSYS) => {
            rustix::fs::accessat(CWD, xattr::proc_path(fd), access, AtFlags::EACCESS)
        }
        result => result.map_err(|error| Errno::from_raw_os_error(error as i32)),
    }
}

/// `offset` plus `done`; an error if that exceeds the largest file offset.
fn position(offset: u64, done: usize) -> Result<u64> {
    let position = u64::try_from(done).ok().and_then(|done| offset.checked_add(done));
    position.filter(|position| i64::try_from(*position).is_ok()).ok_or(Error::InvalidArgument)
}

fn checked_size(size: u64) -> Result<()> {
    i64::try_from(size).map(drop).map_err(|_| Error::InvalidArgument)
}

fn timespec(time: Option<FileTime>) -> Timespec {
    match time {
        Some(time) => {
            let (seconds, nanoseconds) = time.to_unix();
            Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() }
        }
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    }
}
