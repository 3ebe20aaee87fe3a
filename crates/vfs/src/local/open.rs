//! Opens existing files and streams.

use super::entry::{Named, plain};
use super::handle::LocalHandle;
use super::open_stream::LocalStream;
use super::resolve::{Root, device, statx_fd};
use super::xattr::Node;
use super::{change, incomplete_files, metadata, names, rights, stream, xattr};
use crate::backend::{Actor, Complete, Found, New, Opened, Parent, Permits, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use rustix::fs::{Access, Mode, OFlags, Statx};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use wire::AccessMask;
use wire::ioctl::ReparseTag;

/// Opens a path, or the stream it names. The kernel is asked for the permissions that decide about the rights `asked`, as
/// part of the same switch to the actor's identity.
pub(super) fn open(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
    asked: AccessMask,
) -> Result<Opened> {
    let Some(wanted_stream) = path.stream() else {
        return match open_file(root, actor, path, wanted, asked)? {
            FoundFile::Open(open) => open.finish(root, actor, wanted),
            FoundFile::Missed(..) => Err(Error::NotFound),
        };
    };
    let base = open_base(root, actor, path)?;
    // Holds the lock while the stream is opened: a rename of the stream must reach all its handles.
    let lock = base.lock_attributes();
    let found = stream::find(&base, wanted_stream)?.ok_or(Error::NotFound)?;
    let opened = finish_stream(base, found, wanted);
    drop(lock);
    opened
}

/// Opens a path without a stream, or finds the directory that lacks it: see [`crate::Backend::open_or_miss`].
pub(super) fn open_or_miss(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
    asked: AccessMask,
) -> Result<Found> {
    match open_file(root, actor, path, wanted, asked)? {
        FoundFile::Open(open) => open.finish(root, actor, wanted).map(Found::File),
        FoundFile::Missed(directory, path_on_disk, raw) => {
            incomplete_files::wait_for_entry(root, &raw);
            let node = Node::new(directory.as_fd(), false);
            // The root cannot be a symlink.
            let is_root = (device(&raw), raw.stx_ino) == (root.device, root.inode);
            let stat = if is_root { plain(&raw) } else { metadata::stat_of(node, &raw)? };
            if stat.reparse_tag == ReparseTag::SYMLINK.0 {
                return Err(Error::Loop);
            }
            let handle =
                LocalHandle::new(root, directory, Wanted::NOTHING, false, &stat, path_on_disk, actor);
            Ok(Found::Missed(Some(Parent { handle: Arc::new(handle), stat, path: path.clone() })))
        }
    }
}

/// Opens the file of `opened` again for `wanted`, through its descriptor and with the kernel's permission
/// check for `actor`.
pub(super) fn reopen(root: &Arc<Root>, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened> {
    let handle = change::own(&*opened.handle)?;
    if let Some(stream) = opened.handle.as_any().downcast_ref::<LocalStream>() {
        let again = stream.again(handle.duplicate(actor, Wanted::NOTHING)?, wanted)?;
        let (stat, permits) = (again.stat()?, Permits::default());
        return Ok(Opened { stat, permits, handle: Arc::new(again), ..opened.clone() });
    }
    let is_listed = handle.kind() == Kind::Directory && wanted.read;
    if handle.kind() == Kind::Symlink || wanted == Wanted::NOTHING {
        let again = handle.duplicate(actor, wanted)?;
        return Ok(Opened { handle: Arc::new(again), ..opened.clone() });
    }
    let (fd, has_data) = match handle.kind() {
        Kind::Other | Kind::Symlink => return Err(Error::AccessDenied),
        Kind::Directory if !is_listed => (rustix::io::fcntl_dupfd_cloexec(handle.fd(), 0)?, false),
        Kind::File | Kind::Directory => {
            let flags = if is_listed { OFlags::RDONLY | OFlags::DIRECTORY } else { data_flags(wanted) };
            let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
            let _guard = root.credentials.assume(actor)?;
            (rustix::fs::open(xattr::proc_path(handle.fd()), flags, Mode::empty())?, true)
        }
    };
    let again = finish(root, actor, fd, wanted, has_data, handle.path())?;
    if !again.stat.is_same_file(&opened.stat) {
        return Err(Error::Replaced);
    }
    Ok(again)
}

/// The file itself, opened without access to data.
pub(super) fn file_of(actor: &Actor, file: &LocalHandle) -> Result<Opened> {
    let handle = file.duplicate(actor, Wanted::NOTHING)?;
    let (path, stat) = (names::decode_path(&handle.path()), handle.stat()?);
    Ok(Opened {
        handle: Arc::new(handle),
        path,
        stream: None,
        stat,
        permits: Permits::default(),
        named: None,
    })
}

/// The parent directory of a path, or the file of a stream.
pub(super) fn parent(root: &Arc<Root>, actor: &Actor, path: &RelativePath) -> Result<Parent> {
    if path.stream().is_some() {
        return Parent::of(Arc::new(open_base(root, actor, path)?), path.clone());
    }
    let (parent, _) = path.split().ok_or(Error::InvalidArgument)?;
    let guard = root.credentials.assume(actor)?;
    let (fd, disk) = root.directory(parent)?;
    drop(guard);
    incomplete_files::wait_for(root, fd.as_fd())?;
    let stat = plain(&statx_fd(fd.as_fd())?);
    let handle = LocalHandle::new(root, fd, Wanted::NOTHING, false, &stat, disk, actor);
    Ok(Parent { handle: Arc::new(handle), stat, path: path.clone() })
}

/// Creates a stream of an open file.
fn create_stream(
    actor: &Actor,
    file: &LocalHandle,
    name: &str,
    wanted: Wanted,
    complete: Complete<'_>,
) -> Result<Opened> {
    let base = file.duplicate(actor, Wanted::NOTHING)?;
    base.check_permitted(actor, Access::WRITE_OK)?;
    let lock = base.lock_attributes();
    if stream::find(&base, name)?.is_some() {
        return Err(Error::Exists);
    }
    let made = stream::create(&base, name)?;
    let opened = finish_stream(base, made, wanted)?;
    drop(lock);
    if let Err(error) = complete(&opened) {
        stream::remove(actor, file, name)?;
        return Err(error);
    }
    Ok(opened)
}

/// Creates a file or a stream.
pub(super) fn create_file(
    root: &Arc<Root>,
    actor: &Actor,
    parent: &Parent,
    new: New,
    wanted: Wanted,
    complete: Complete<'_>,
) -> Result<Opened> {
    let holder = change::own(&*parent.handle)?;
    match parent.path.stream() {
        Some(stream) => create_stream(actor, holder, stream, wanted, complete),
        None => change::create_file(root, actor, holder, &parent.path, (new, wanted), complete),
    }
}

/// Makes a handle from a descriptor.
pub(super) fn finish(
    root: &Arc<Root>,
    actor: &Actor,
    fd: OwnedFd,
    wanted: Wanted,
    has_data: bool,
    disk: Vec<u8>,
) -> Result<Opened> {
    let stat = metadata::stat_fd(Node::new(fd.as_fd(), has_data))?;
    check_data(&stat, wanted)?;
    Ok(finish_with(root, actor, fd, wanted, has_data, disk, stat))
}

/// Refuses access to the data of a special file.
fn check_data(stat: &Stat, wanted: Wanted) -> Result<()> {
    let is_special = !metadata::has_attributes(stat.kind);
    if is_special && (wanted.read || wanted.write) { Err(Error::AccessDenied) } else { Ok(()) }
}

/// Makes a handle from a descriptor of a file with these metadata.
pub(super) fn finish_with(
    root: &Arc<Root>,
    actor: &Actor,
    fd: OwnedFd,
    wanted: Wanted,
    has_data: bool,
    disk: Vec<u8>,
    stat: Stat,
) -> Opened {
    let path = names::decode_path(&disk);
    let handle = LocalHandle::new(root, fd, wanted, has_data, &stat, disk, actor);
    Opened { handle: Arc::new(handle), path, stream: None, stat, permits: Permits::default(), named: None }
}

/// The handle of a file of this backend, or of the file that a stream handle belongs to.
pub(super) fn base_of(handle: &dyn Handle) -> Option<&LocalHandle> {
    let any = handle.as_any();
    any.downcast_ref::<LocalHandle>().or_else(|| Some(any.downcast_ref::<LocalStream>()?.base()))
}

/// The result of a search for a file.
#[expect(clippy::large_enum_variant, reason = "only one exists at a time, on the stack")]
enum FoundFile {
    Open(OpenFile),
    /// The directory that has no such name, its path on disk, and its metadata.
    Missed(OwnedFd, Vec<u8>, Statx),
}

/// A file that was found and opened.
struct OpenFile {
    fd: OwnedFd,
    /// False for O_PATH.
    has_data: bool,
    /// The path on disk.
    disk: Vec<u8>,
    permits: Permits,
    /// The directory and the file's metadata, if the right to delete was asked about.
    named: Option<(Named, Statx)>,
}

impl OpenFile {
    fn finish(self, root: &Arc<Root>, actor: &Actor, wanted: Wanted) -> Result<Opened> {
        let Self { fd, has_data, disk, permits, named } = self;
        let Some((named, raw)) = named else {
            return Ok(Opened { permits, ..finish(root, actor, fd, wanted, has_data, disk)? });
        };
        let stat = metadata::stat_of(Node::new(fd.as_fd(), has_data), &raw)?;
        check_data(&stat, wanted)?;
        let named = Some(named.finish(root, actor));
        Ok(Opened { permits, named, ..finish_with(root, actor, fd, wanted, has_data, disk, stat) })
    }
}

/// Opens a descriptor: one call for the exact spelling, a search for others.
fn open_file(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
    asked: AccessMask,
) -> Result<FoundFile> {
    let mut found = find_file(root, actor, path, wanted, asked)?;
    if let FoundFile::Open(open) = &mut found {
        // The permissions of what was incomplete may have been set meanwhile.
        if incomplete_files::wait_for(root, open.fd.as_fd())? {
            (open.permits, open.named) = (Permits::default(), None);
        }
        if open.named.as_ref().is_some_and(|(named, _)| named.wait(root)) {
            open.named = None;
        }
    }
    Ok(found)
}

fn find_file(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    wanted: Wanted,
    asked: AccessMask,
) -> Result<FoundFile> {
    let exact = names::encode_path(path.as_str())?;
    let _guard = root.credentials.assume(actor)?;
    let (opened, disk) = match open_descriptor(root, &exact, wanted) {
        Ok(opened) => (opened, exact),
        Err(Errno::NOENT | Errno::NOTDIR) if !path.is_root() => {
            let located = root.locate(path)?;
            if let Some(raw) = located.missed_in {
                return Ok(FoundFile::Missed(located.parent, located.parent_path, raw));
            }
            let disk = located.path();
            (open_descriptor(root, &disk, wanted)?, disk)
        }
        Err(error) => return Err(error.into()),
    };
    let (fd, has_data, granted) = opened;
    // An actor who passes every check need not be asked about.
    let asked = if root.credentials.is_all_powerful(actor) { AccessMask::NONE } else { asked };
    let permits = rights::ask(fd.as_fd(), asked, granted);
    let named = match asked.intersects(AccessMask::DELETE | AccessMask::MAXIMUM_ALLOWED) {
        true => named_in(root, actor, &disk, fd.as_fd()),
        false => None,
    };
    Ok(FoundFile::Open(OpenFile { fd, has_data, disk, permits, named }))
}

/// The directory of a file that has just been opened, and the file's metadata; `None` for the root, or if the name
/// belongs to another file by now.
fn named_in(root: &Root, actor: &Actor, disk: &[u8], fd: BorrowedFd<'_>) -> Option<(Named, Statx)> {
    let path = RelativePath::new(names::decode_path(disk)).ok().filter(|path| !path.is_root())?;
    let raw = statx_fd(fd).ok()?;
    let of = ((device(&raw), raw.stx_ino), metadata::kind(&raw));
    Some((Named::find(root, actor, &path, of).ok()?, raw))
}

/// Opens with the access that is wanted; with O_PATH if that is none, or only writing to a directory. The
/// flag in the result is false for O_PATH; the permissions are those that the kernel has checked for this open.
fn open_descriptor(
    root: &Root,
    disk: &[u8],
    wanted: Wanted,
) -> std::result::Result<(OwnedFd, bool, Permits), Errno> {
    let flags = data_flags(wanted);
    let granted = |is_checked: bool| is_checked.then_some(true);
    match root.open_at(disk, flags, Mode::empty()) {
        Err(Errno::ISDIR) => {
            let flags = if wanted.read { OFlags::RDONLY } else { OFlags::PATH };
            let fd = root.open_at(disk, flags | OFlags::DIRECTORY, Mode::empty())?;
            Ok((fd, wanted.read, Permits { read: granted(wanted.read), ..Permits::default() }))
        }
        result => {
            let permits = Permits { read: granted(wanted.read), write: granted(wanted.write), execute: None };
            result.map(|fd| (fd, !flags.contains(OFlags::PATH), permits))
        }
    }
}

fn data_flags(wanted: Wanted) -> OFlags {
    match wanted {
        Wanted { read: false, write: false } => OFlags::PATH,
        Wanted { read: true, write: false } => OFlags::RDONLY,
        Wanted { read: false, write: true } => OFlags::WRONLY,
        Wanted { read: true, write: true } => OFlags::RDWR,
    }
}

fn open_base(root: &Arc<Root>, actor: &Actor, path: &RelativePath) -> Result<LocalHandle> {
    let found = open_file(root, actor, path, Wanted::NOTHING, AccessMask::NONE)?;
    let FoundFile::Open(OpenFile { fd, has_data, disk, .. }) = found else { return Err(Error::NotFound) };
    let stat = metadata::stat_fd(Node::new(fd.as_fd(), has_data))?;
    if stat.kind != Kind::File && stat.kind != Kind::Directory {
        return Err(Error::AccessDenied);
    }
    Ok(LocalHandle::new(root, fd, Wanted::NOTHING, has_data, &stat, disk, actor))
}

/// Makes a handle of a stream of an open file; the caller holds the lock of its attributes.
pub(super) fn finish_stream(base: LocalHandle, found: stream::Found, wanted: Wanted) -> Result<Opened> {
    let path = names::decode_path(&base.path());
    let handle = LocalStream::new(base, &found, wanted)?;
    let stat = handle.stat()?;
    Ok(Opened {
        handle: Arc::new(handle),
        path,
        stream: Some(found.name),
        stat,
        permits: Permits::default(),
        named: None,
    })
}
