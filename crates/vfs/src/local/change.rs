//! Changes of the tree: create, rename, link, remove.
//!
//! Every change is made in an open directory whose entries are locked ([`Purpose::Entries`]), so that the
//! checks and the change see the same entries.

use super::entry::{Entry, is_same, joined, verified};
use super::folded::OwnChange;
use super::handle::LocalHandle;
use super::incomplete_files::Making;
use super::inode::{self, Purpose};
use super::metadata;
use super::modes::{NewMode, OWNER_OF_DIRECTORY, OWNER_OF_FILE};
use super::new_entry::{initialize, make_directory, undo};
use super::open::{base_of, finish_with};
use super::resolve::{Root, inode_key, on_the_way, open_entry, statx_fd};
use super::{depot, names, recycle, store, stream, vetoed, xattr};
use crate::backend::{Actor, Bin, Complete, New, Opened, Parent, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::short_name;
use crate::stat::Kind;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Statx};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::FileAttributes;

/// Creates a file in an open directory; the name must be free.
pub(super) fn create_file(
    root: &Arc<Root>,
    actor: &Actor,
    parent: &LocalHandle,
    path: &RelativePath,
    (new, wanted): (New, Wanted),
    complete: Complete<'_>,
) -> Result<Opened> {
    let lock = inode::lock(Purpose::Entries, parent.inode());
    let change = OwnChange::begin(parent.fd())?;
    let guard = root.credentials.assume(actor)?;
    let leaf = free_name(root, &change, path)?;
    let access = match (wanted.read, wanted.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    let mode = new_mode(root, &change, new, Kind::File);
    let bits = Mode::from_raw_mode(mode.bits & 0o777);
    let mut making = Making::begin(parent.inode(), parent.fd());
    // RDONLY opens for read access even if only metadata is wanted; the handle's own check still refuses
    // reads. If the name is not found, the missing item is the directory.
    let fd =
        open_entry(parent.fd(), &leaf, access | OFlags::CREATE | OFlags::EXCL, bits).map_err(on_the_way)?;
    let raw = statx_fd(fd.as_fd())?;
    drop(guard);
    change.done(None, Some(&leaf));
    let attributes = new.attributes | FileAttributes::ARCHIVE;
    let stat = mode
        .complete(root, actor, parent.node(), (fd.as_fd(), &raw))
        .and_then(|()| initialize(&fd, Kind::File, &raw, attributes, &mut making))
        .inspect_err(|_| undo(root, actor, &change, &leaf, fd.as_fd()))?;
    drop(lock);
    let made = finish_with(root, actor, fd, wanted, true, joined(&parent.path(), &leaf), stat);
    completed(root, actor, parent, &leaf, made, complete)
}

/// The mode of a new file or directory in a locked directory.
fn new_mode(root: &Root, change: &OwnChange<'_>, new: New, kind: Kind) -> NewMode {
    let own = if kind == Kind::Directory { OWNER_OF_DIRECTORY } else { OWNER_OF_FILE };
    match new.mode {
        Some(mode) => NewMode::named(mode | own),
        None => root.options.modes.of_new(kind, change.mode(), root.credentials.is_privileged()),
    }
}

/// Runs `complete` on a new file or directory, and removes the item if that fails.
fn completed(
    root: &Root,
    actor: &Actor,
    directory: &LocalHandle,
    leaf: &[u8],
    made: Opened,
    complete: Complete<'_>,
) -> Result<Opened> {
    if let Err(error) = complete(&made) {
        let _lock = inode::lock(Purpose::Entries, directory.inode());
        undo(root, actor, &OwnChange::begin(directory.fd())?, leaf, own(&*made.handle)?.fd());
        return Err(error);
    }
    Ok(made)
}

/// Creates a directory in an open directory; the name must be free.
pub(super) fn create_directory(
    root: &Arc<Root>,
    actor: &Actor,
    parent: &Parent,
    new: New,
    complete: Complete<'_>,
) -> Result<Opened> {
    let directory = own(&*parent.handle)?;
    let lock = inode::lock(Purpose::Entries, directory.inode());
    let change = OwnChange::begin(directory.fd())?;
    let guard = root.credentials.assume(actor)?;
    let leaf = free_name(root, &change, &parent.path)?;
    let mode = new_mode(root, &change, new, Kind::Directory);
    let mut making = Making::begin(directory.inode(), directory.fd());
    let made = make_directory(root, actor, &change, &leaf, Mode::from_raw_mode(mode.bits & 0o1777));
    drop(guard);
    change.done(None, Some(&leaf));
    let (fd, raw) = made?;
    let stat = mode
        .complete(root, actor, directory.node(), (fd.as_fd(), &raw))
        .and_then(|()| initialize(&fd, Kind::Directory, &raw, new.attributes, &mut making))
        .inspect_err(|_| undo(root, actor, &change, &leaf, fd.as_fd()))?;
    drop(lock);
    let made = finish_with(root, actor, fd, Wanted::READ, true, joined(&directory.path(), &leaf), stat);
    completed(root, actor, directory, &leaf, made, complete)
}

/// Renames the file that `handle` has open. `replaced` may come with a bin that takes it; the second result is the reason
/// why it has not.
pub(super) fn rename(
    root: &Root,
    actor: &Actor,
    handle: &LocalHandle,
    from: &RelativePath,
    to: &Parent,
    replaced: Option<(&LocalHandle, Option<&Bin>)>,
) -> Result<(String, Result<()>)> {
    let (from_parent, from_name) = from.split().ok_or(Error::AccessDenied)?;
    let (to_parent, to_name) = to.path.split().ok_or(Error::AccessDenied)?;
    let to = own(&*to.handle)?;
    let bin = replaced.and_then(|(_, bin)| bin);
    let bin = bin.map(|bin| (bin, recycle::place(root, actor, bin, to_parent)));
    let replaced = replaced.map(|(replaced, _)| replaced);
    let guard = root.credentials.assume(actor)?;
    // Within a directory, the one that was checked is both.
    let elsewhere = if from_parent == to_parent { None } else { Some(root.directory(from_parent)?) };
    let (source_fd, source_path) = match &elsewhere {
        Some((fd, path)) => (fd.as_fd(), path.clone()),
        None => (to.fd(), to.path()),
    };
    let target_key = to.inode();
    let source_key = elsewhere.as_ref().map_or(Ok(target_key), |(fd, _)| inode_key(fd.as_fd()))?;
    let locks = inode::lock_directories(source_key, target_key);
    let source = OwnChange::begin(source_fd)?;
    let other = if source_key == target_key { None } else { Some(OwnChange::begin(to.fd())?) };
    let target = other.as_ref().unwrap_or(&source);
    let old = verified(root, &source, &source_path, from_name, handle)?;
    let mut new = Entry::locked(root, target, to_name)?;
    let (old_path, new_path) = (joined(&source_path, &old.leaf), joined(&to.path(), &new.leaf));
    let is_below = new_path.strip_prefix(old_path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
    if is_below {
        return Err(Error::AccessDenied);
    }
    if other.is_none() && old.leaf == new.leaf {
        // At most the case of the name changes.
        new = Entry { leaf: names::encode(to_name)?, raw: None };
        if new.leaf == old.leaf {
            return Ok((names::decode_path(&old_path), Ok(())));
        }
    }
    let (existing, guard) = match new.raw {
        Some(_) => {
            drop(guard);
            let existing = replaceable(target.fd(), &new.leaf, replaced)?;
            (Some(existing), root.credentials.assume(actor)?)
        }
        None => (None, guard),
    };
    let mut kept = Ok(());
    match existing {
        Some(_) if handle.kind() == Kind::Directory => return Err(Error::AccessDenied),
        // Both names are links of one file: rename(2) would leave both.
        Some(existing) if is_same(&existing, old.existing()?) => {
            rustix::fs::unlinkat(source.fd(), &old.leaf, AtFlags::empty())?;
        }
        Some(existing) => {
            let names = ((source.fd(), old.leaf.as_slice()), (target.fd(), new.leaf.as_slice()));
            kept = match bin {
                Some((bin, Ok(place))) if metadata::kind(&existing) == Kind::File => {
                    recycle::replace(names, place.as_fd(), bin.keeps_versions)?
                }
                other => {
                    rustix::fs::renameat(source.fd(), &old.leaf, target.fd(), &new.leaf)?;
                    other.map_or(Ok(()), |(_, place)| place.and(Err(Error::NotSupported)))
                }
            };
        }
        None => rename_to_free(source.fd(), &old.leaf, target.fd(), &new.leaf)?,
    }
    drop(guard);
    match &other {
        None => source.done(Some(&old.leaf), Some(&new.leaf)),
        Some(target) => {
            source.done(Some(&old.leaf), None);
            target.done(None, Some(&new.leaf));
        }
    }
    note_removal(root, &source, &old.leaf);
    drop((source, other, locks));
    if let Some(replaced) = replaced.filter(|_| existing.is_some()) {
        name_gone(replaced);
    }
    Ok((names::decode_path(&joined(&to.path(), &new.leaf)), kept))
}

/// Adds a link to the file that `handle` has open.
pub(super) fn link(
    root: &Root,
    actor: &Actor,
    handle: &LocalHandle,
    to: &Parent,
    replaced: Option<&LocalHandle>,
) -> Result<String> {
    if handle.kind() == Kind::Directory {
        return Err(Error::IsADirectory);
    }
    let (_, name) = to.path.split().ok_or(Error::AccessDenied)?;
    let to = own(&*to.handle)?;
    let lock = inode::lock(Purpose::Entries, to.inode());
    let change = OwnChange::begin(to.fd())?;
    let guard = root.credentials.assume(actor)?;
    let new = Entry::locked(root, &change, name)?;
    let path = names::decode_path(&joined(&to.path(), &new.leaf));
    if new.raw.is_none() {
        link_at(handle, &change, &new.leaf)?;
        change.done(None, Some(&new.leaf));
        return Ok(path);
    }
    drop(guard);
    let own = statx_fd(handle.fd())?;
    if is_same(&replaceable(change.fd(), &new.leaf, replaced)?, &own) {
        return Ok(path);
    }
    // linkat does not replace existing names, so link to a temporary name and rename that.
    let guard = root.credentials.assume(actor)?;
    let temporary = temporary_name(own.stx_ino);
    link_at(handle, &change, &temporary)?;
    if let Err(error) = rustix::fs::renameat(change.fd(), &temporary, change.fd(), &new.leaf) {
        rustix::fs::unlinkat(change.fd(), &temporary, AtFlags::empty())?;
        return Err(error.into());
    }
    change.done(None, Some(&new.leaf));
    drop((guard, change, lock));
    if let Some(replaced) = replaced {
        name_gone(replaced);
    }
    Ok(path)
}

/// Removes the streams that are stored outside of a file after the removal of its last name.
pub(super) fn name_gone(handle: &LocalHandle) {
    let is_last =
        statx_fd(handle.fd()).is_ok_and(|raw| raw.stx_nlink == 0 || handle.kind() == Kind::Directory);
    if is_last {
        let _lock = handle.lock_attributes();
        depot::forget(handle);
    }
}

/// Removes a name of the file that `handle` has open.
pub(super) fn remove(root: &Root, actor: &Actor, path: &RelativePath, handle: &LocalHandle) -> Result<()> {
    if let Some(wanted) = path.stream() {
        return stream::remove(actor, handle, wanted);
    }
    if handle.kind() == Kind::Directory {
        store::clear(root, handle.fd());
        vetoed::clear(root, actor, handle)?;
    }
    let guard = root.credentials.assume(actor)?;
    let (parent, name) = path.split().ok_or(Error::AccessDenied)?;
    let directory = root.hold(parent)?;
    let change = OwnChange::begin(directory.fd.as_fd())?;
    let entry = verified(root, &change, &directory.path, name, handle)?;
    let is_directory = metadata::kind(entry.existing()?) == Kind::Directory;
    let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(change.fd(), &entry.leaf, flags) {
        // Some file systems return EEXIST for a directory that is not empty.
        Err(Errno::EXIST) => Err(Error::NotEmpty),
        result => {
            result?;
            change.done(Some(&entry.leaf), None);
            note_removal(root, &change, &entry.leaf);
            drop(guard);
            drop(directory);
            name_gone(handle);
            Ok(())
        }
    }
}

/// Renames a stream of the file that `handle` has open; without a stream in `to`, it becomes the file's data.
pub(super) fn rename_stream(
    handle: &LocalHandle,
    from: &RelativePath,
    to: &RelativePath,
    may_replace: bool,
) -> Result<String> {
    let Some(from_stream) = from.stream() else { return Err(Error::NotSupported) };
    if !crate::fold::equal_in(handle.root.options.forms, to.as_str(), from.as_str()) {
        return Err(Error::NotSupported);
    }
    match to.stream() {
        Some(to_stream) => stream::rename(handle, from_stream, to_stream, may_replace)?,
        None => stream::become_data(handle, from_stream)?,
    }
    Ok(names::decode_path(&handle.path()))
}

/// The name on disk for a new entry `path` in a locked directory: its own, or the long name that was recently
/// removed there and had it as its short name.
fn free_name(root: &Root, change: &OwnChange<'_>, path: &RelativePath) -> Result<Vec<u8>> {
    let name = path.name().ok_or(Error::Exists)?;
    let entry = Entry::locked(root, change, name)?;
    if entry.raw.is_some() {
        return Err(Error::Exists);
    }
    let Some(before) = root.tunnel.take(change.key(), name) else { return Ok(entry.leaf) };
    match Entry::locked(root, change, &before) {
        Ok(before) if before.raw.is_none() => Ok(before.leaf),
        _ => Ok(entry.leaf),
    }
}

/// Remembers a removed name, for a new file created under its short name.
pub(super) fn note_removal(root: &Root, change: &OwnChange<'_>, leaf: &[u8]) {
    let name = names::decode(leaf);
    if short_name::other_short_name(&name).is_some() {
        root.tunnel.removed(change.key(), &name);
    }
}

fn rename_to_free(source: BorrowedFd<'_>, old: &[u8], target: BorrowedFd<'_>, new: &[u8]) -> Result<()> {
    match rustix::fs::renameat_with(source, old, target, new, RenameFlags::NOREPLACE) {
        // The file system cannot rename without replacing, so check the target first.
        Err(Errno::INVAL | Errno::NOSYS) => match open_entry(target, new, OFlags::PATH, Mode::empty()) {
            Ok(_) => Err(Error::Exists),
            Err(Errno::NOENT) => Ok(rustix::fs::renameat(source, old, target, new)?),
            Err(error) => Err(error.into()),
        },
        result => Ok(result?),
    }
}

/// Makes a link. linkat with AT_EMPTY_PATH needs a capability; a path in /proc does not.
fn link_at(handle: &LocalHandle, change: &OwnChange<'_>, leaf: &[u8]) -> Result<()> {
    let own = xattr::proc_path(handle.fd());
    match rustix::fs::linkat(CWD, own, change.fd(), leaf, AtFlags::SYMLINK_FOLLOW) {
        // All names of the file are gone.
        Err(Errno::NOENT) => Err(Error::Replaced),
        result => Ok(result?),
    }
}

/// A temporary name for the file with that inode. If the name is taken, the operation that needs it fails.
pub(super) fn temporary_name(inode: u64) -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{TEMPORARY}{process:x}-{inode:x}-{number:x}").into_bytes()
}

/// True for a temporary name of this process.
pub(super) fn is_temporary_name(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY.as_bytes())
        && name.starts_with(format!("{TEMPORARY}{:x}-", std::process::id()).as_bytes())
}

const TEMPORARY: &str = ".link-";

/// The metadata of an existing target, which must be the file `replaced` and replaceable (MS-FSA
/// 2.1.5.15.11). Reads them as the process, so that the READONLY attribute also counts for actors who cannot
/// read the file.
fn replaceable(directory: BorrowedFd<'_>, leaf: &[u8], replaced: Option<&LocalHandle>) -> Result<Statx> {
    let replaced = replaced.ok_or(Error::Exists)?;
    let fd = open_entry(directory, leaf, OFlags::PATH, Mode::empty())?;
    let raw = statx_fd(fd.as_fd())?;
    if !is_same(&raw, &statx_fd(replaced.fd())?) {
        return Err(Error::Replaced);
    }
    let stored = match metadata::kind(&raw) {
        Kind::File => metadata::stored(fd.as_fd(), Kind::File)?,
        _ => Default::default(),
    };
    let stat = metadata::to_stat(&raw, stored);
    if stat.is_directory() || stat.attributes.contains(FileAttributes::READONLY) {
        return Err(Error::AccessDenied);
    }
    Ok(raw)
}

/// The local handle of a file, or of the file that a stream handle belongs to.
pub(super) fn own(handle: &dyn Handle) -> Result<&LocalHandle> {
    base_of(handle).ok_or(Error::InvalidArgument)
}
