//! A FUSE file system that hangs on request: one directory with files in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    SessionACL, TimeOrNow, WriteFlags,
};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// The operations that can hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Looking up a name.
    Lookup,
    /// Metadata, read or set.
    Attributes,
    /// Opening or creating a file, or opening the directory.
    Open,
    /// Reading a file.
    Read,
    /// Writing to a file.
    Write,
    /// Closing a descriptor.
    Flush,
    /// Writing a file to disk.
    Sync,
    /// Listing the directory.
    List,
    /// Removing a name.
    Unlink,
    /// Renaming.
    Rename,
    /// Asking how much room there is.
    Statfs,
    /// Extended attributes.
    Xattrs,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 12] = [
        Self::Lookup,
        Self::Attributes,
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::Sync,
        Self::List,
        Self::Unlink,
        Self::Rename,
        Self::Statfs,
        Self::Xattrs,
    ];
}

/// A mounted file system that hangs on request. Dropping it ends the hanging and unmounts it.
#[derive(Debug)]
pub struct StuckFs {
    session: Option<BackgroundSession>,
    inner: Arc<Inner>,
    directory: PathBuf,
}

#[derive(Debug)]
struct Inner {
    gate: Mutex<Gate>,
    changed: Condvar,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Gate {
    closed: HashSet<Operation>,
    failing: HashMap<Operation, i32>,
    waiting: usize,
    opens: usize,
}

#[derive(Debug, Default)]
struct Files {
    names: BTreeMap<String, u64>,
    nodes: BTreeMap<u64, Vec<u8>>,
    last: u64,
    root_attributes: (u32, u32, u16),
}

impl StuckFs {
    /// Mounts an empty directory for all users.
    ///
    /// Panics if that fails: it requires root and FUSE.
    pub fn mount(directory: &Path) -> Self {
        let files = Files { last: ROOT, root_attributes: (0, 0, 0o777), ..Files::default() };
        let inner =
            Arc::new(Inner { gate: Mutex::default(), changed: Condvar::new(), files: Mutex::new(files) });
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.mount_options = vec![MountOption::FSName(String::from("stuck"))];
        let session =
            fuser::spawn_mount(Stuck(Arc::clone(&inner)), directory, &config).expect("a FUSE mount");
        Self { session: Some(session), inner, directory: directory.to_owned() }
    }

    /// Lets these operations hang from now on.
    pub fn hang(&self, operations: &[Operation]) {
        self.inner.gate().closed.extend(operations);
    }

    /// Lets closing, writing to disk or removing fail with this errno from now on.
    pub fn fail(&self, operation: Operation, errno: i32) {
        self.inner.gate().failing.insert(operation, errno);
    }

    /// Lets everything go on that hangs, and succeed.
    pub fn release(&self) {
        let mut gate = self.inner.gate();
        gate.closed.clear();
        gate.failing.clear();
        drop(gate);
        self.inner.changed.notify_all();
    }

    /// The number of calls that hang.
    pub fn hanging(&self) -> usize {
        self.inner.gate().waiting
    }

    /// The number of open files.
    pub fn opens(&self) -> usize {
        self.inner.gate().opens
    }

    /// The names of its files.
    pub fn names(&self) -> Vec<String> {
        self.inner.files().names.keys().cloned().collect()
    }

    /// Ends it with everything that hangs: each such call fails.
    pub fn kill(&self) {
        Command::new("umount").arg("-f").arg("-l").arg(&self.directory).status().ok();
    }
}

impl Drop for StuckFs {
    fn drop(&mut self) {
        self.release();
        Command::new("umount").arg("-q").arg("-l").arg(&self.directory).status().ok();
        // The thread ends when nothing is open there any more.
        std::mem::forget(self.session.take());
    }
}

impl Inner {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock()
    }

    fn failure(&self, operation: Operation) -> Option<Errno> {
        self.gate().failing.get(&operation).map(|errno| Errno::from_i32(*errno))
    }

    /// Answers an operation that does nothing.
    fn done(self: &Arc<Self>, operation: Operation, reply: ReplyEmpty) {
        let failure = self.failure(operation);
        self.pass(operation, move |_| match failure {
            Some(errno) => reply.error(errno),
            None => reply.ok(),
        });
    }

    /// Does `work` once the operation does not hang.
    fn pass(self: &Arc<Self>, operation: Operation, work: impl FnOnce(&mut Files) + Send + 'static) {
        let mut gate = self.gate();
        if !gate.closed.contains(&operation) {
            drop(gate);
            return work(&mut self.files());
        }
        gate.waiting += 1;
        drop(gate);
        let inner = Arc::clone(self);
        std::thread::spawn(move || {
            let mut gate = inner.gate();
            while gate.closed.contains(&operation) {
                inner.changed.wait(&mut gate);
            }
            gate.waiting -= 1;
            drop(gate);
            work(&mut inner.files());
        });
    }
}

const ROOT: u64 = 1;

/// The kernel caches nothing.
const TTL: Duration = Duration::ZERO;

impl Files {
    fn find(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    fn create(&mut self, name: String) -> u64 {
        self.last += 1;
        self.names.insert(name, self.last);
        self.nodes.insert(self.last, Vec::new());
        self.last
    }

    fn attributes(&self, inode: u64) -> Option<FileAttr> {
        let (uid, gid, perm) = self.root_attributes;
        let is_root = inode == ROOT;
        let size = if is_root { 0 } else { self.nodes.get(&inode)?.len() as u64 };
        Some(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: if is_root { perm } else { 0o666 },
            nlink: 1,
            uid,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// The kernel's side.
struct Stuck(Arc<Inner>);

impl Filesystem for Stuck {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = text(name);
        self.0.pass(Operation::Lookup, move |files| {
            match files.find(&name).and_then(|inode| files.attributes(inode)) {
                Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
                None => reply.error(Errno::ENOENT),
            }
        });
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.0.pass(Operation::Attributes, move |files| match files.attributes(inode.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        });
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.0.pass(Operation::Attributes, move |files| {
            if inode.0 == ROOT {
                let (own_uid, own_gid, perm) = &mut files.root_attributes;
                *own_uid = uid.unwrap_or(*own_uid);
                *own_gid = gid.unwrap_or(*own_gid);
                *perm = mode.map_or(*perm, |mode| u16::try_from(mode & 0o7777).unwrap_or(0o777));
            } else if let (Some(size), Some(data)) = (size, files.nodes.get_mut(&inode.0)) {
                data.resize(usize::try_from(size).expect("a small file"), 0);
            }
            match files.attributes(inode.0) {
                Some(attributes) => reply.attr(&TTL, &attributes),
                None => reply.error(Errno::ENOENT),
            }
        });
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let inner = Arc::clone(&self.0);
        self.0.pass(Operation::Open, move |_| {
            inner.gate().opens += 1;
            reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let (name, inner) = (text(name), Arc::clone(&self.0));
        self.0.pass(Operation::Open, move |files| {
            if files.find(&name).is_some() {
                return reply.error(Errno::EEXIST);
            }
            let inode = files.create(name);
            inner.gate().opens += 1;
            let attributes = files.attributes(inode).expect("a new file");
            reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        });
    }

    fn mknod(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        let name = text(name);
        self.0.pass(Operation::Open, move |files| {
            if files.find(&name).is_some() {
                return reply.error(Errno::EEXIST);
            }
            let inode = files.create(name);
            reply.entry(&TTL, &files.attributes(inode).expect("a new file"), Generation(0));
        });
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.pass(Operation::Read, move |files| {
            let data = files.nodes.get(&inode.0).map(Vec::as_slice).unwrap_or_default();
            let from = usize::try_from(offset).map_or(data.len(), |offset| offset.min(data.len()));
            reply.data(&data[from..data.len().min(from + size as usize)]);
        });
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = data.to_vec();
        self.0.pass(Operation::Write, move |files| {
            let Some(file) = files.nodes.get_mut(&inode.0) else { return reply.error(Errno::ENOENT) };
            let from = usize::try_from(offset).expect("a small file");
            if file.len() < from + data.len() {
                file.resize(from + data.len(), 0);
            }
            file[from..from + data.len()].copy_from_slice(&data);
            reply.written(u32::try_from(data.len()).expect("a small write"));
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.0.done(Operation::Flush, reply);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.gate().opens -= 1;
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.done(Operation::Sync, reply);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.0.pass(Operation::Open, move |_| reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.0.pass(Operation::List, move |files| {
            let own = [(".", ROOT, FileType::Directory), ("..", ROOT, FileType::Directory)];
            let names =
                files.names.iter().map(|(name, inode)| (name.as_str(), *inode, FileType::RegularFile));
            let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
            for (next, (name, inode, kind)) in (1..).zip(own.into_iter().chain(names)).skip(skipped) {
                if reply.add(INodeNo(inode), next, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = text(name);
        if let Some(errno) = self.0.failure(Operation::Unlink) {
            return reply.error(errno);
        }
        self.0.pass(Operation::Unlink, move |files| match files.names.remove(&name) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        });
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, to) = (text(name), text(to));
        let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.0.pass(Operation::Rename, move |files| {
            if !may_replace && files.find(&to).is_some() {
                return reply.error(Errno::EEXIST);
            }
            match files.names.remove(&name) {
                Some(inode) => {
                    files.names.insert(to, inode);
                    reply.ok();
                }
                None => reply.error(Errno::ENOENT),
            }
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.0.pass(Operation::Statfs, move |_| {
            reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096)
        });
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        self.0.pass(Operation::Xattrs, move |_| reply.error(Errno::ENODATA));
    }

    fn listxattr(&self, _: &Request, _: INodeNo, size: u32, reply: ReplyXattr) {
        self.0.pass(Operation::Xattrs, move |_| if size == 0 { reply.size(0) } else { reply.data(&[]) });
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        self.0.pass(Operation::Xattrs, move |_| reply.ok());
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.0.pass(Operation::Xattrs, move |_| reply.error(Errno::ENODATA));
    }
}
