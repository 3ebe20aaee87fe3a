//! The requests of the kernel. Each one is a task, so that a request that waits for the server does not delay
//! others.

use std::ffi::OsStr;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLock, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use crate::append;
use crate::attributes::NOBODY;
use crate::change::Changes;
use crate::limits;
use crate::locks::{self, Range};
use crate::remote::Status;
use crate::replies::{attributes, done, entry, sized};
use crate::state::{STATE_ATTRIBUTE, State};
use crate::volume::Volume;
use crate::xattrs::When;

/// The FUSE file system of a share.
pub(crate) struct ShareFs {
    pub(crate) volume: Arc<Volume>,
    pub(crate) runtime: Handle,
    pub(crate) state: State,
}

impl ShareFs {
    fn spawn<F>(&self, work: impl FnOnce(Arc<Volume>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.runtime.spawn(work(Arc::clone(&self.volume))));
    }
}

impl Filesystem for ShareFs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Without these, the kernel would keep locks to itself, and they would not exclude other clients.
        let needed = InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_FLOCK_LOCKS;
        config.add_capabilities(needed).map_err(|_| {
            std::io::Error::new(std::io::ErrorKind::Unsupported, "FUSE in this kernel does not support locks")
        })?;
        // Other capabilities are optional, and the kernel adjusts the sizes to its limits.
        for wanted in [
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_AUTO_INVAL_DATA,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
        ] {
            config.add_capabilities(wanted).ok();
        }
        config.set_max_write(limits::TRANSFER_BYTES_MAX).ok();
        config.set_max_background(limits::BACKGROUND_MAX).ok();
        config.set_time_granularity(Duration::from_nanos(100)).ok();
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            entry(&volume, volume.look_up(parent, &name).await, reply);
        });
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.volume.forget(number, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        self.spawn(async move |volume: Arc<Volume>| {
            attributes(&volume, number, volume.attributes(number, handle).await, reply);
        });
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let view = &self.volume.view;
        if view.others && request.uid() == NOBODY && view.uid != NOBODY && size.is_none() {
            // The files that are shown as nobody's are not this user's.
            return reply.error(Errno::EPERM);
        }
        let changes = Changes { mode, size, accessed, modified };
        self.spawn(async move |volume: Arc<Volume>| {
            attributes(&volume, number, volume.changing(volume.change(number, handle, changes)).await, reply);
        });
    }

    fn access(&self, _request: &Request, number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.spawn(async move |volume: Arc<Volume>| done(volume.check_access(number, mask).await, reply));
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        self.spawn(async move |volume: Arc<Volume>| match volume.link_target_of(number).await {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(errno),
        });
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        if mode & S_IFMT != S_IFREG {
            return reply.error(Errno::EPERM);
        }
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            entry(&volume, volume.changing(volume.make_file(parent, &name, mode & !umask)).await, reply);
        });
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            entry(&volume, volume.changing(volume.make_directory(parent, &name, mode & !umask)).await, reply);
        });
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.remove_file(parent, &name)).await, reply)
        });
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.remove_directory(parent, &name)).await, reply)
        });
    }

    fn symlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (name, target) = (name.to_owned(), target.to_owned());
        self.spawn(async move |volume: Arc<Volume>| {
            let made = match target.to_str() {
                Some(target) => volume.changing(volume.make_link(parent, &name, target)).await,
                None => Err(Errno::EILSEQ),
            };
            entry(&volume, made, reply);
        });
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, to_name) = (name.to_owned(), to_name.to_owned());
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.rename(parent, &name, to, &to_name, flags)).await, reply);
        });
    }

    fn link(&self, _request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            entry(&volume, volume.changing(volume.link(number, parent, &name)).await, reply);
        });
    }

    fn open(&self, _request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.spawn(async move |volume: Arc<Volume>| match volume.open_file(number, flags).await {
            Ok((handle, how)) => reply.opened(handle, how),
            Err(errno) => reply.error(errno),
        });
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let name = name.to_owned();
        let (exclusive, truncate) = (flags & O_EXCL != 0, flags & O_TRUNC != 0);
        self.spawn(async move |volume: Arc<Volume>| {
            let (flags, mode) = (OpenFlags(flags), mode & !umask);
            match volume.changing(volume.create_file(parent, &name, mode, flags, exclusive, truncate)).await {
                Ok((number, facts, handle, how)) => {
                    let shown = facts.shown(number, &volume.view);
                    reply.created(&limits::ATTRIBUTES_TIME, &shown, Generation(0), handle, how);
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn read(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.spawn(async move |volume: Arc<Volume>| match volume.read(handle, offset, size).await {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        });
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = Bytes::copy_from_slice(data);
        // Pages of a mapping have fixed offsets.
        if append::appends(flags) && !write_flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            self.spawn(async move |volume: Arc<Volume>| {
                match volume.changing(volume.append(handle, offset, &data)).await {
                    Ok(appended) => {
                        reply.written(appended.length);
                        if appended.cached {
                            volume.invalidate(number).await;
                        }
                    }
                    Err(errno) => reply.error(errno),
                }
            });
            return;
        }
        self.spawn(async move |volume: Arc<Volume>| {
            match volume.changing(volume.write(handle, offset, data)).await {
                Ok(written) => reply.written(written),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn flush(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.spawn(async move |volume: Arc<Volume>| {
            let unlocked = volume.unlock_all(number, handle, owner).await;
            let kept = volume.is_kept(handle).await;
            done(unlocked.and(kept), reply);
        });
    }

    fn release(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.spawn(async move |volume: Arc<Volume>| {
            let unlocked = match owner {
                Some(owner) => volume.unlock_all(number, handle, owner).await,
                None => Ok(()),
            };
            done(volume.changing(volume.release(handle)).await.and(unlocked), reply);
        });
    }

    fn fsync(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.spawn(async move |volume: Arc<Volume>| done(volume.sync(handle).await, reply));
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let told = self.volume.unflushed.opened(number);
        reply.opened(self.volume.files.add_directory(number, told), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.spawn(async move |volume: Arc<Volume>| {
            match volume.list_names(number, handle, offset, &mut reply).await {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn readdirplus(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.spawn(async move |volume: Arc<Volume>| {
            match volume.list_all(number, handle, offset, &mut reply).await {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.volume.files.remove_directory(handle);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.spawn(async move |volume: Arc<Volume>| done(volume.sync_directory(handle).await, reply));
    }

    fn fallocate(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // SMB cannot reserve space, so plain allocation is refused; programs then write instead.
        let hole = match mode {
            PUNCH_HOLE => true,
            ZERO_RANGE => false,
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.zero(handle, offset, length, hole)).await, reply);
        });
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        self.spawn(async move |volume: Arc<Volume>| match volume.space().await {
            Ok(space) => reply.statfs(
                space.total,
                space.free,
                space.available,
                0,
                0,
                space.unit_bytes,
                u32::try_from(limits::NAME_UNITS_MAX).unwrap_or(255),
                space.unit_bytes,
            ),
            Err(errno) => reply.error(errno),
        });
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if number == INodeNo::ROOT && name == STATE_ATTRIBUTE {
            let status = self.volume.remote.status();
            let state = State {
                status,
                opens: self.volume.files.count(),
                problem: self.volume.problem().filter(|_| status != Status::Ok),
                ..self.state.clone()
            };
            return match serde_json::to_vec(&state) {
                Ok(state) => sized(Ok(state), size, reply),
                Err(_) => reply.error(Errno::EIO),
            };
        }
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            sized(volume.attribute(number, &name).await, size, reply)
        });
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        self.spawn(async move |volume: Arc<Volume>| {
            sized(volume.attribute_names(number).await, size, reply);
        });
    }

    fn setxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let when = match flags {
            0 => When::Always,
            1 => When::Absent,
            2 => When::Present,
            _ => return reply.error(Errno::EINVAL),
        };
        let (name, value) = (name.to_owned(), value.to_vec());
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.set_attribute(number, &name, &value, when)).await, reply);
        });
    }

    fn removexattr(&self, _request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.to_owned();
        self.spawn(async move |volume: Arc<Volume>| {
            done(volume.changing(volume.remove_attribute(number, &name)).await, reply)
        });
    }

    fn getlk(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let request = locks::Request { owner, handle, pid, range: Range { start, end } };
        self.spawn(async move |volume: Arc<Volume>| {
            match volume.in_the_way(number, request, kind == F_WRLCK).await {
                Ok(None) => reply.locked(start, end, F_UNLCK, 0),
                Ok(Some(lock)) => {
                    let kind = if lock.exclusive { F_WRLCK } else { F_RDLCK };
                    reply.locked(lock.range.start, lock.range.end, kind, lock.pid);
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn setlk(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        waits: bool,
        reply: ReplyEmpty,
    ) {
        // Signals are checked for the calling thread, but the lock belongs to its process.
        let thread = request.pid();
        let wanted = locks::Request { owner, handle, pid, range: Range { start, end } };
        self.spawn(async move |volume: Arc<Volume>| {
            let outcome = match kind {
                F_UNLCK => volume.unlock(number, wanted).await,
                kind => volume.lock(number, wanted, kind == F_WRLCK, waits.then_some(thread)).await,
            };
            done(outcome, reply);
        });
    }
}

/// FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE, each with FALLOC_FL_KEEP_SIZE.
const PUNCH_HOLE: i32 = 0x03;
const ZERO_RANGE: i32 = 0x11;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const O_EXCL: i32 = 0o200;
const O_TRUNC: i32 = 0o1000;
const F_RDLCK: i32 = 0;
const F_WRLCK: i32 = 1;
const F_UNLCK: i32 = 2;
