//! Names in an open directory: the files that they stand for, and the directory that a file has its name in.

use super::folded::OwnChange;
use super::handle::{LocalHandle, permits};
use super::inode::InodeKey;
use super::open::{finish, finish_stream};
use super::resolve::{Root, device, inode_key, open_entry, statx, statx_fd};
use super::{incomplete_files, link, metadata, names, stream};
use crate::backend::{Actor, NamedIn, Opened, Parent, Permits, Wanted};
use crate::error::{Error, Result};
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use rustix::fs::{Access, AtFlags, Mode, OFlags, StatVfsMountFlags, Statx, StatxAttributes};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The sticky bit: only owners can remove entries.
const STICKY: u32 = 0o1000;

/// A name in a directory.
pub(super) struct Entry {
    /// The name on disk: the real spelling if it exists, otherwise the requested one.
    pub(super) leaf: Vec<u8>,
    /// The metadata of the name itself, without following symlinks; `None` if the name is free.
    pub(super) raw: Option<Statx>,
}

impl Entry {
    /// Looks a name up in a directory that is locked for a change.
    pub(super) fn locked(root: &Root, change: &OwnChange<'_>, name: &str) -> Result<Self> {
        Self::look_up(change.fd(), name, |name| {
            root.shown(change.fd(), change.find(root.options.forms, name)?)
        })
    }

    /// Looks a name up in a directory.
    fn of(root: &Root, directory: BorrowedFd<'_>, name: &str) -> Result<Self> {
        Self::look_up(directory, name, |name| root.find(directory, name))
    }

    /// Looks a name up in a directory whose metadata the caller has just read.
    fn of_read(root: &Root, directory: BorrowedFd<'_>, raw: &Statx, name: &str) -> Result<Self> {
        Self::look_up(directory, name, |name| root.find_in(directory, raw, name))
    }

    fn look_up(
        directory: BorrowedFd<'_>,
        name: &str,
        find: impl FnOnce(&str) -> Result<Option<Vec<u8>>>,
    ) -> Result<Self> {
        let leaf = names::encode(name)?;
        if let Some(raw) = lstat(directory, &leaf)? {
            return Ok(Self { leaf, raw: Some(raw) });
        }
        if let Some(found) = find(name)? {
            // A cached name may have been removed.
            if let Some(raw) = lstat(directory, &found)? {
                return Ok(Self { leaf: found, raw: Some(raw) });
            }
        }
        Ok(Self { leaf, raw: None })
    }

    /// The metadata of the name itself.
    pub(super) fn existing(&self) -> Result<&Statx> {
        self.raw.as_ref().ok_or(Error::NotFound)
    }
}

/// The entry `name` of a locked directory; it must be `handle`'s file, or a symlink to it.
///
/// A local process can still exchange the name between this check and the subsequent change: POSIX has no
/// call that changes a name only if it belongs to a certain file. Such a process needs the right to change
/// the directory, and the change is made with the actor's rights only. The directory's lock serializes the
/// server's own changes.
pub(super) fn verified(
    root: &Root,
    change: &OwnChange<'_>,
    directory_path: &[u8],
    name: &str,
    handle: &LocalHandle,
) -> Result<Entry> {
    let entry = Entry::locked(root, change, name)?;
    check_stands_for(root, directory_path, &entry, (handle.present_inode()?, handle.kind()))?;
    Ok(entry)
}

/// Opens an entry of a directory or a stream of a file.
pub(super) fn open_in(
    root: &Arc<Root>,
    actor: &Actor,
    directory: &LocalHandle,
    path: &RelativePath,
    followed: bool,
) -> Result<Opened> {
    if let Some(wanted) = path.stream() {
        let base = directory.duplicate(actor, Wanted::NOTHING)?;
        let lock = base.lock_attributes();
        let found = stream::find(&base, wanted)?.ok_or(Error::NotFound)?;
        let opened = finish_stream(base, found, Wanted::NOTHING);
        drop(lock);
        return opened;
    }
    let name = path.name().ok_or(Error::InvalidArgument)?;
    let guard = root.credentials.assume(actor)?;
    let entry = Entry::of(root, directory.fd(), name)?;
    entry.existing()?;
    let fd = open_entry(directory.fd(), &entry.leaf, OFlags::PATH, Mode::empty())?;
    let raw = statx_fd(fd.as_fd())?;
    let disk = joined(&directory.path(), &entry.leaf);
    if metadata::kind(&raw) != Kind::Symlink {
        drop(guard);
        incomplete_files::wait_for(root, fd.as_fd())?;
        return finish(root, actor, fd, Wanted::NOTHING, false, disk);
    }
    let stat = if root.options.follow_symlinks {
        let target = follow(root, directory, path, &entry.leaf);
        drop(guard);
        if followed {
            return finish(root, actor, target?, Wanted::NOTHING, false, disk);
        }
        // A dangling symlink shows its own metadata.
        target.and_then(|target| metadata::stat_fd(target.as_fd())).unwrap_or_else(|_| plain(&raw))
    } else {
        link::stat(root, &disk, &raw)
    };
    let path = names::decode_path(&disk);
    let own = plain(&raw);
    let handle = LocalHandle::new(root, fd, Wanted::NOTHING, false, &own, disk, actor);
    Ok(Opened {
        handle: Arc::new(handle),
        path,
        stream: None,
        stat,
        permits: Permits::default(),
        named: None,
    })
}

/// The directory of a path without a stream, and the entry that has its name.
pub(super) fn parent_and_entry(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
) -> Result<(Parent, Option<Opened>)> {
    let (parent, name) = path.split().ok_or(Error::InvalidArgument)?;
    let guard = root.credentials.assume(actor)?;
    let (fd, disk) = root.directory(parent)?;
    let raw = statx_fd(fd.as_fd())?;
    let entry = Entry::of_read(root, fd.as_fd(), &raw, name);
    drop(guard);
    // The permissions of an incomplete directory may have been set meanwhile.
    let is_free = !incomplete_files::wait_for_entry(root, &raw) && entry?.raw.is_none();
    let stat = plain(&raw);
    let handle = LocalHandle::new(root, fd, Wanted::NOTHING, false, &stat, disk, actor);
    let found = if is_free { Err(Error::NotFound) } else { open_in(root, actor, &handle, path, false) };
    let entry = match found {
        Err(Error::NotFound) => None,
        found => Some(found?),
    };
    Ok((Parent { handle: Arc::new(handle), stat, path: path.clone() }, entry))
}

/// The directory in which `path` names `handle`'s file.
pub(super) fn directory_of(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    handle: &LocalHandle,
) -> Result<NamedIn> {
    let named = named_in(root, actor, path, handle)?;
    Ok(named.finish(root, actor))
}

/// The directory in which a file has a name.
pub(super) struct Named {
    fd: OwnedFd,
    /// The directory's path on disk.
    path: Vec<u8>,
    raw: Statx,
    is_removable: bool,
}

impl Named {
    /// Finds the directory in which `path` names the file `of`, and asks whether its permissions let `actor` remove the
    /// name; the thread acts as the actor.
    pub(super) fn find(
        root: &Root,
        actor: &Actor,
        path: &RelativePath,
        of: (InodeKey, Kind),
    ) -> Result<Self> {
        let (parent, name) = path.split().ok_or(Error::InvalidArgument)?;
        let (fd, path) = root.directory(parent)?;
        let entry = Entry::of(root, fd.as_fd(), name)?;
        check_stands_for(root, &path, &entry, of)?;
        let raw = statx_fd(fd.as_fd())?;
        let uid = root.credentials.uid(actor);
        let is_sticky = u32::from(raw.stx_mode) & STICKY != 0;
        let is_owner = uid == raw.stx_uid || entry.raw.is_some_and(|entry| uid == entry.stx_uid);
        let is_removable = root.credentials.is_all_powerful(actor)
            || (permits(fd.as_fd(), Access::WRITE_OK | Access::EXEC_OK) && (!is_sticky || is_owner));
        Ok(Self { fd, path, raw, is_removable })
    }

    /// Waits until the directory is complete; false if it was complete before. The thread acts as the process.
    pub(super) fn wait(&self, root: &Root) -> bool {
        incomplete_files::wait_for_entry(root, &self.raw)
    }

    pub(super) fn finish(self, root: &Arc<Root>, actor: &Actor) -> NamedIn {
        let Self { fd, path, raw, is_removable } = self;
        let directory = LocalHandle::new(root, fd, Wanted::NOTHING, false, &plain(&raw), path, actor);
        NamedIn { directory: Arc::new(directory), is_removable }
    }
}

fn named_in(root: &Root, actor: &Actor, path: &RelativePath, handle: &LocalHandle) -> Result<Named> {
    let of = (handle.present_inode()?, handle.kind());
    let guard = root.credentials.assume(actor)?;
    let named = Named::find(root, actor, path, of)?;
    drop(guard);
    named.wait(root);
    Ok(named)
}

/// Predicts, as far as possible, the kernel's error for the removal of a name or a stream (unlink(2)).
pub(super) fn check_removable(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    handle: &LocalHandle,
) -> Result<()> {
    let checked = check_attributes(root, actor, path, handle);
    // The kernel does not permit a user to write to a directory on a read-only file system.
    let is_asked = path.stream().is_none() && !root.credentials.is_all_powerful(actor);
    if checked.is_ok() && is_asked {
        return Ok(());
    }
    let mount = rustix::fs::fstatvfs(handle.fd())?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) { Err(Error::ReadOnly) } else { checked }
}

/// The reasons against a removal that attributes and permissions give.
fn check_attributes(root: &Root, actor: &Actor, path: &RelativePath, handle: &LocalHandle) -> Result<()> {
    let own = statx_fd(handle.fd())?;
    if own.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        return Err(Error::Undeletable);
    }
    if path.stream().is_some() {
        return Ok(());
    }
    if own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(Error::Undeletable);
    }
    let named = named_in(root, actor, path, handle)?;
    let attributes = named.raw.stx_attributes;
    let is_closed = attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND);
    if named.is_removable && !is_closed { Ok(()) } else { Err(Error::AccessDenied) }
}

/// The path on disk of an entry.
pub(super) fn joined(directory: &[u8], leaf: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    names::push_component(&mut path, leaf);
    path
}

/// True if both are the same file.
pub(super) fn is_same(one: &Statx, other: &Statx) -> bool {
    key(one) == key(other)
}

fn key(raw: &Statx) -> InodeKey {
    (device(raw), raw.stx_ino)
}

/// Fails unless an entry is the file with this inode and kind, or a symlink to it.
fn check_stands_for(
    root: &Root,
    directory_path: &[u8],
    entry: &Entry,
    (own, kind): (InodeKey, Kind),
) -> Result<()> {
    let mut named = *entry.existing()?;
    let is_followed = root.options.follow_symlinks && kind != Kind::Symlink;
    if metadata::kind(&named) == Kind::Symlink && is_followed {
        let path = joined(directory_path, &entry.leaf);
        let fd = root.open_at(&path, OFlags::PATH, Mode::empty())?;
        named = statx_fd(fd.as_fd())?;
    }
    if own == key(&named) { Ok(()) } else { Err(Error::Replaced) }
}

/// Opens the target of a symlink in a directory. The kernel resolves it from the share's root, so the
/// directory must still be at `path`.
fn follow(root: &Root, directory: &LocalHandle, path: &RelativePath, leaf: &[u8]) -> Result<OwnedFd> {
    let (parent, _) = path.split().ok_or(Error::InvalidArgument)?;
    let (again, disk) = root.directory(parent)?;
    if inode_key(again.as_fd())? != inode_key(directory.fd())? {
        return Err(Error::NotFound);
    }
    Ok(root.open_at(&joined(&disk, leaf), OFlags::PATH, Mode::empty())?)
}

fn lstat(directory: BorrowedFd<'_>, leaf: &[u8]) -> Result<Option<Statx>> {
    match statx(directory, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(raw) => Ok(Some(raw)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The metadata of a file without its stored attributes.
pub(super) fn plain(raw: &Statx) -> Stat {
    metadata::to_stat(raw, Default::default())
}
