//! What changes the tree: creating, renaming, linking, removing.

use super::handle::LocalHandle;
use super::metadata::{self, Stored};
use super::open::{base_of, finish};
use super::resolve::{Located, Root, device, statx_fd};
use super::{names, stream, xattr};
use crate::backend::{Actor, Opened, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::short_name;
use crate::stat::{Kind, Stat};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::FileAttributes;

/// Creates a file that does not exist.
pub(super) fn create_file(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    attributes: FileAttributes,
    wanted: Wanted,
) -> Result<Opened> {
    let guard = root.credentials.assume(actor)?;
    let located = absent(root, path)?;
    let disk = located.path();
    let access = match (wanted.read, wanted.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    let mode = Mode::from_raw_mode(root.options.file_mode & 0o777);
    // RDONLY lends read access that was not wanted; the handle's own check still refuses it.
    let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let fd = root.open_at(&disk, flags, mode)?;
    drop(guard);
    root.folded.added(located.parent.as_fd(), &located.leaf);
    let attributes = attributes | FileAttributes::ARCHIVE;
    initialize(&fd, Kind::File, attributes).inspect_err(|_| undo(root, &located, &fd, AtFlags::empty()))?;
    finish(root, actor, fd, wanted, true, disk)
}

/// Creates a directory that does not exist.
pub(super) fn create_directory(
    root: &Arc<Root>,
    actor: &Actor,
    path: &RelativePath,
    attributes: FileAttributes,
) -> Result<Opened> {
    let guard = root.credentials.assume(actor)?;
    let located = absent(root, path)?;
    let disk = located.path();
    let mode = Mode::from_raw_mode(root.options.directory_mode & 0o777);
    rustix::fs::mkdirat(&located.parent, &located.leaf, mode)?;
    let fd = root.open_at(&disk, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    drop(guard);
    root.folded.added(located.parent.as_fd(), &located.leaf);
    initialize(&fd, Kind::Directory, attributes)
        .inspect_err(|_| undo(root, &located, &fd, AtFlags::REMOVEDIR))?;
    finish(root, actor, fd, Wanted::READ, true, disk)
}

/// Renames what `handle` has open.
pub(super) fn rename(
    root: &Root,
    actor: &Actor,
    handle: &LocalHandle,
    from: &RelativePath,
    to: &RelativePath,
    replace: bool,
) -> Result<String> {
    let guard = root.credentials.assume(actor)?;
    let source = verified(root, from, handle)?;
    let target = root.locate(to)?;
    drop(guard);
    let (source_path, target_path) = (source.path(), target.path());
    let is_below =
        target_path.strip_prefix(source_path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
    if is_below {
        return Err(Error::AccessDenied);
    }
    let is_respelling = target_path == source_path;
    let existing = match target.exists && !is_respelling {
        true => Some(replaceable(&target, replace)?),
        false => None,
    };
    let _guard = root.credentials.assume(actor)?;
    if is_respelling {
        return respell(root, &source, target, to);
    }
    if let Some(existing) = existing {
        replace_by(&source, &target, handle.kind(), &existing)?;
    } else {
        rename_to_free(&source, &target)?;
    }
    note_rename(root, &source, &target);
    Ok(names::decode_path(&target_path))
}

/// Links what `handle` has open.
pub(super) fn link(
    root: &Root,
    actor: &Actor,
    handle: &LocalHandle,
    to: &RelativePath,
    replace: bool,
) -> Result<String> {
    if handle.kind() == Kind::Directory {
        return Err(Error::IsADirectory);
    }
    let guard = root.credentials.assume(actor)?;
    let target = root.locate(to)?;
    drop(guard);
    let path = names::decode_path(&target.path());
    let own = metadata::to_stat(&statx_fd(handle.fd())?, Default::default());
    if target.exists && replaceable(&target, replace)?.is_same_file(&own) {
        return Ok(path);
    }
    let _guard = root.credentials.assume(actor)?;
    if target.exists {
        // There is no call that links over a name, but one that renames over it.
        let temporary = temporary_name(&own);
        link_at(handle, &target, &temporary)?;
        let renamed = rustix::fs::renameat(&target.parent, &temporary, &target.parent, &target.leaf);
        if let Err(error) = renamed {
            _ = rustix::fs::unlinkat(&target.parent, &temporary, AtFlags::empty());
            return Err(error.into());
        }
    } else {
        link_at(handle, &target, &target.leaf)?;
    }
    root.folded.added(target.parent.as_fd(), &target.leaf);
    Ok(path)
}

/// Removes a name of what `handle` has open.
pub(super) fn remove(root: &Root, actor: &Actor, path: &RelativePath, handle: &LocalHandle) -> Result<()> {
    let _guard = root.credentials.assume(actor)?;
    if let Some(wanted) = path.stream() {
        return stream::remove(handle, wanted);
    }
    if path.is_root() {
        return Err(Error::AccessDenied);
    }
    let located = verified(root, path, handle)?;
    let is_directory = metadata::kind(&located.lstat()?) == Kind::Directory;
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(&located.parent, &located.leaf, flags) {
        // Some file systems say EEXIST for a directory that is not empty.
        Err(Errno::EXIST) => Err(Error::NotEmpty),
        result => {
            result?;
            note_removal(root, &located);
            Ok(())
        }
    }
}

/// Renames a stream of the file `handle` has open; without a stream in `to` it becomes the file's data.
pub(super) fn rename_stream(
    handle: &LocalHandle,
    from: &RelativePath,
    to: &RelativePath,
    replace: bool,
) -> Result<String> {
    let Some(from_stream) = from.stream() else { return Err(Error::NotSupported) };
    if !crate::fold::equal(to.as_str(), from.as_str()) {
        return Err(Error::NotSupported);
    }
    match to.stream() {
        Some(to_stream) => stream::rename(handle, from_stream, to_stream, replace)?,
        None => stream::become_data(handle, from_stream)?,
    }
    Ok(names::decode_path(&handle.path))
}

/// The place of a name that is free.
fn absent(root: &Root, path: &RelativePath) -> Result<Located> {
    if path.is_root() {
        return Err(Error::Exists);
    }
    let located = root.locate(path)?;
    if located.exists {
        return Err(Error::Exists);
    }
    let name = path.name().unwrap_or_default();
    let before = directory_key(&located).and_then(|directory| root.tunnel.take(directory, name));
    let Some(before) = before.and_then(|name| path.parent()?.join(&name).ok()) else { return Ok(located) };
    match root.locate(&before) {
        Ok(before) if !before.exists => Ok(before),
        _ => Ok(located),
    }
}

/// What tells a directory from others.
fn directory_key(located: &Located) -> Option<(u64, u64)> {
    let raw = statx_fd(located.parent.as_fd()).ok()?;
    Some((device(&raw), raw.stx_ino))
}

/// Notes that a name is gone.
fn note_removal(root: &Root, located: &Located) {
    root.folded.removed(located.parent.as_fd(), &located.leaf);
    let name = names::decode(&located.leaf);
    if short_name::other_short_name(&name).is_some()
        && let Some(directory) = directory_key(located)
    {
        root.tunnel.removed(directory, &name);
    }
}

/// Stores the attributes and creation time of something new.
fn initialize(fd: &OwnedFd, kind: Kind, attributes: FileAttributes) -> Result<()> {
    let created = metadata::to_stat(&statx_fd(fd.as_fd())?, Default::default()).created;
    match metadata::store(fd.as_fd(), kind, &Stored { attributes, created, changed: None }) {
        Err(Error::NotSupported) => Ok(()),
        result => result,
    }
}

/// Takes back a creation whose attributes could not be stored, if the name still is what was created.
fn undo(root: &Root, located: &Located, fd: &OwnedFd, flags: AtFlags) {
    let stat = statx_fd(fd.as_fd()).map(|raw| metadata::to_stat(&raw, Default::default()));
    let named = located.lstat().map(|raw| metadata::to_stat(&raw, Default::default()));
    if let (Ok(stat), Ok(named)) = (stat, named)
        && stat.is_same_file(&named)
    {
        _ = rustix::fs::unlinkat(&located.parent, &located.leaf, flags);
        root.folded.removed(located.parent.as_fd(), &located.leaf);
    }
}

/// The place of a name that must stand for `handle`'s file, itself or as a symlink to it.
///
/// Between this look and the change that follows another process can still exchange the name: POSIX has no
/// call that changes a name only if it is a certain file. The server's own changes are serialized by it.
pub(super) fn verified(root: &Root, path: &RelativePath, handle: &LocalHandle) -> Result<Located> {
    let located = root.locate(path)?;
    if !located.exists {
        return Err(Error::NotFound);
    }
    let mut named = located.lstat()?;
    let own = metadata::to_stat(&statx_fd(handle.fd())?, Default::default());
    let is_followed = root.options.follow_symlinks && own.kind != Kind::Symlink;
    if metadata::kind(&named) == Kind::Symlink && is_followed {
        let fd = root.open_at(&located.path(), OFlags::PATH, Mode::empty())?;
        named = statx_fd(fd.as_fd())?;
    }
    let is_same = own.is_same_file(&metadata::to_stat(&named, Default::default()));
    if is_same { Ok(located) } else { Err(Error::Replaced) }
}

/// Changes no more than the case of a name.
fn respell(root: &Root, source: &Located, target: Located, to: &RelativePath) -> Result<String> {
    let wanted = names::encode(to.name().unwrap_or_default())?;
    let target = Located { leaf: wanted, ..target };
    if target.leaf != source.leaf {
        rename_to_free(source, &target)?;
        note_rename(root, source, &target);
    }
    Ok(names::decode_path(&target.path()))
}

fn note_rename(root: &Root, source: &Located, target: &Located) {
    note_removal(root, source);
    root.folded.added(target.parent.as_fd(), &target.leaf);
}

fn rename_to_free(source: &Located, target: &Located) -> Result<()> {
    let (flags, leaf) = (RenameFlags::NOREPLACE, &target.leaf);
    match rustix::fs::renameat_with(&source.parent, &source.leaf, &target.parent, leaf, flags) {
        // The file system cannot promise it, so look first.
        Err(Errno::INVAL | Errno::NOSYS) => match target.lstat() {
            Ok(_) => Err(Error::Exists),
            Err(Error::NotFound) => {
                Ok(rustix::fs::renameat(&source.parent, &source.leaf, &target.parent, leaf)?)
            }
            Err(error) => Err(error),
        },
        result => Ok(result?),
    }
}

fn replace_by(source: &Located, target: &Located, source_kind: Kind, existing: &Stat) -> Result<()> {
    if source_kind == Kind::Directory {
        return Err(Error::AccessDenied);
    }
    let own = metadata::to_stat(&source.lstat()?, Default::default());
    if own.is_same_file(existing) {
        // Two links of one file: rename(2) would leave both.
        return Ok(rustix::fs::unlinkat(&source.parent, &source.leaf, AtFlags::empty())?);
    }
    Ok(rustix::fs::renameat(&source.parent, &source.leaf, &target.parent, &target.leaf)?)
}

/// Makes a link; linkat with AT_EMPTY_PATH needs a capability, the way over /proc does not.
fn link_at(handle: &LocalHandle, target: &Located, leaf: &[u8]) -> Result<()> {
    let own = xattr::proc_path(handle.fd());
    match rustix::fs::linkat(CWD, own, &target.parent, leaf, AtFlags::SYMLINK_FOLLOW) {
        // All its names are gone.
        Err(Errno::NOENT) => Err(Error::Replaced),
        result => Ok(result?),
    }
}

/// A name for the moment between linking and renaming; one that is taken fails the link.
pub(super) fn temporary_name(stat: &Stat) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{TEMPORARY}{process:x}-{:x}-{number:x}", stat.inode).into_bytes()
}

/// Whether a name is such a one.
pub(super) fn is_temporary_name(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY.as_bytes())
        && name.starts_with(format!("{TEMPORARY}{:x}-", std::process::id()).as_bytes())
}

const TEMPORARY: &str = ".link-";

/// The metadata of an existing target that may be replaced (MS-FSA 2.1.5.15.11). Looks as the
/// process: an actor that may not read the file must not pass its READONLY attribute by.
fn replaceable(target: &Located, replace: bool) -> Result<Stat> {
    if !replace {
        return Err(Error::Exists);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&target.parent, &target.leaf, flags, Mode::empty())?;
    let raw = statx_fd(fd.as_fd())?;
    let stored = match metadata::kind(&raw) {
        Kind::File => metadata::stored(fd.as_fd(), Kind::File)?,
        _ => Default::default(),
    };
    let stat = metadata::to_stat(&raw, stored);
    if stat.is_directory() || stat.attributes.contains(FileAttributes::READONLY) {
        return Err(Error::AccessDenied);
    }
    Ok(stat)
}

/// The local handle behind any handle.
pub(super) fn own(handle: &dyn Handle) -> Result<&LocalHandle> {
    base_of(handle).ok_or(Error::InvalidArgument)
}
