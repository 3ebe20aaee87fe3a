//! Names in an open directory: the files that they stand for, and the directory that a file has its name in.

use super::folded::OwnChange;
use super::handle::{LocalHandle, permits};
use super::open::{finish, finish_stream};
use super::resolve::{Root, device, directory_key, open_entry, statx, statx_fd};
use super::{change, incomplete_files, link, metadata, names, stream};
use crate::backend::{Actor, NamedIn, Opened, Permits, Wanted};
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
    check_stands_for(root, directory_path, &entry, handle)?;
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
    Ok(Opened { handle: Arc::new(handle), path, stream: None, stat, permits: Permits::default() })
}

/// The directory in which `path` names `handle`'s file.
pub(super) fn directory_of(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    handle: &LocalHandle,
) -> Result<NamedIn> {
    let (parent, name) = path.split().ok_or(Error::InvalidArgument)?;
    let guard = root.credentials.assume(actor)?;
    let (fd, directory_path) = root.directory(parent)?;
    let entry = Entry::of(root, fd.as_fd(), name)?;
    check_stands_for(root, &directory_path, &entry, handle)?;
    let raw = statx_fd(fd.as_fd())?;
    let uid = root.credentials.uid(actor);
    let is_sticky = u32::from(raw.stx_mode) & STICKY != 0;
    let is_owner = uid == raw.stx_uid || entry.raw.is_some_and(|entry| uid == entry.stx_uid);
    let is_removable = root.credentials.is_all_powerful(actor)
        || (permits(fd.as_fd(), Access::WRITE_OK | Access::EXEC_OK) && (!is_sticky || is_owner));
    drop(guard);
    incomplete_files::wait_for(root, fd.as_fd())?;
    let directory = LocalHandle::new(root, fd, Wanted::NOTHING, false, &plain(&raw), directory_path, actor);
    Ok(NamedIn { directory: Arc::new(directory), is_removable })
}

/// Predicts, as far as possible, the kernel's error for the removal of a name or a stream (unlink(2)).
pub(super) fn check_removable(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    handle: &LocalHandle,
) -> Result<()> {
    let own = statx_fd(handle.fd())?;
    let mount = rustix::fs::fstatvfs(handle.fd())?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::ReadOnly);
    }
    if own.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
        return Err(Error::Undeletable);
    }
    if path.stream().is_some() {
        return Ok(());
    }
    if own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(Error::Undeletable);
    }
    let named = directory_of(root, actor, path, handle)?;
    let directory = change::own(&*named.directory)?;
    let raw = statx_fd(directory.fd())?;
    let is_closed = raw.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND);
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
    (device(one), one.stx_ino) == (device(other), other.stx_ino)
}

fn check_stands_for(root: &Root, directory_path: &[u8], entry: &Entry, handle: &LocalHandle) -> Result<()> {
    let mut named = *entry.existing()?;
    let own = statx_fd(handle.fd())?;
    let is_followed = root.options.follow_symlinks && metadata::kind(&own) != Kind::Symlink;
    if metadata::kind(&named) == Kind::Symlink && is_followed {
        let path = joined(directory_path, &entry.leaf);
        let fd = root.open_at(&path, OFlags::PATH, Mode::empty())?;
        named = statx_fd(fd.as_fd())?;
    }
    if is_same(&own, &named) { Ok(()) } else { Err(Error::Replaced) }
}

/// Opens the target of a symlink in a directory. The kernel resolves it from the share's root, so the
/// directory must still be at `path`.
fn follow(root: &Root, directory: &LocalHandle, path: &RelativePath, leaf: &[u8]) -> Result<OwnedFd> {
    let (parent, _) = path.split().ok_or(Error::InvalidArgument)?;
    let (again, disk) = root.directory(parent)?;
    if directory_key(again.as_fd())? != directory_key(directory.fd())? {
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
