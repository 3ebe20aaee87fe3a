//! The server's own store for named streams that do not fit into attributes: `.shareward-streams` in the
//! share's directory or, for files in a file system mounted below it, at that file system's top. It belongs
//! to the process and no other user can enter it, so a stream can be accessed only through its file, and the
//! contents can be trusted.
//!
//! The directory of a file's streams is named by the file's inode number and birth time. These two
//! distinguish the file from all others in its file system, including removed ones, and do not change when
//! device numbers change, or when the file is renamed or linked.
//!
//! A file can be in several shares. So a file with streams has an attribute, the mark, with the place of its
//! store. Its streams are searched for in the share's directory, in all directories above the file up to the
//! top of the file system, and in the place of the mark. If they are found only there, they are moved into
//! the share's directory, because the file was moved here from another place.

use super::handle::LocalHandle;
use super::resolve::{Root, device, mount, open_entry, resolve_at, statx, statx_fd};
use super::{Streams, flush, metadata, xattr};
use crate::backend::Actor;
use crate::error::{Error, Result};
use crate::limits::{MARK_BYTES_MAX, RESOLVE_ATTEMPTS_MAX};
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directory of a store, which is hidden from clients everywhere.
pub(super) const DIRECTORY: &[u8] = b".shareward-streams";
/// [`DIRECTORY`] as a name that clients send.
pub(super) const DIRECTORY_NAME: &str = ".shareward-streams";

/// The attribute of a file with streams in a store: the path from the top of the file system to the store's
/// parent directory. It is empty if the path does not fit.
const MARK: &[u8] = b"user.ShwStreams";

/// The directory of a file's streams, if there is one.
pub(super) fn find(base: &LocalHandle) -> Result<Option<OwnedFd>> {
    if !matches!(base.kind(), Kind::File | Kind::Directory) {
        return Ok(None);
    }
    let marked = xattr::get(base.fd(), MARK)?;
    if marked.is_none() && base.root.options.streams == Streams::Attributes {
        return Ok(None);
    }
    let of = statx_fd(base.fd())?;
    let Some(id) = id_of(&of) else { return Ok(None) };
    if device(&of) == base.root.device
        && let Some(found) = look(&base.root, base.root.fd.as_fd(), device(&of), &id)?
    {
        if marked.is_none() {
            // The mark may not have fit, or a crash came before it.
            let _ = mark(base);
        }
        return Ok(Some(found));
    }
    match marked {
        Some(marked) => elsewhere(base, &of, &id, &marked),
        None => Ok(None),
    }
}

/// The directory of a marked file's streams outside of the share's store.
fn elsewhere(base: &LocalHandle, of: &Statx, id: &[u8], marked: &[u8]) -> Result<Option<OwnedFd>> {
    let (root, device) = (&base.root, device(of));
    let Some(mut directory) = nearest(base, of)? else { return Ok(None) };
    loop {
        if let Some(found) = look(root, directory.as_fd(), device, id)? {
            return Ok(Some(found));
        }
        match above(directory.as_fd())? {
            Some(above) => directory = above,
            None => break,
        }
    }
    if marked.is_empty() {
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    // The path is outdated, or was set by another program.
    let Ok(home) = resolve_at(directory.as_fd(), marked, flags, Mode::empty(), resolve) else {
        return Ok(None);
    };
    let found = look(root, home.as_fd(), device, id)?;
    if found.is_some()
        && let Err(error) = bring(base, of, home.as_fd(), id)
    {
        tracing::debug!(file = ?base, %error, "cannot move the streams of a file from another store");
    }
    Ok(found)
}

/// Moves the directory of a file's streams from the store in `from` into the file's current one.
fn bring(base: &LocalHandle, of: &Statx, from: BorrowedFd<'_>, id: &[u8]) -> Result<()> {
    let store = open_or_make(&base.root, home(base, of)?.as_fd(), device(of))?;
    let before = open(&base.root, from, device(of))?.ok_or(Error::NotFound)?;
    rustix::fs::renameat_with(&before, id, &store, id, RenameFlags::NOREPLACE)?;
    unmark(base);
    mark(base)?;
    remove_if_empty(from, DIRECTORY).map(drop)
}

/// Creates the directory of a file's streams.
pub(super) fn make(base: &LocalHandle, of: &Statx) -> Result<OwnedFd> {
    // Without birth times, it could be taken for that of a later file.
    let id = id_of(of).ok_or(Error::Limitation)?;
    let home = home(base, of)?;
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        let store = open_or_make(&base.root, home.as_fd(), device(of))?;
        match rustix::fs::mkdirat(&store, &id, Mode::from_raw_mode(0o700)) {
            // The store was just removed with its last entry.
            Err(Errno::NOENT) => continue,
            Err(Errno::EXIST) => {}
            result => result?,
        }
        match open_entry(store.as_fd(), &id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {}
            fd => {
                let fd = fd?;
                point(base, home.as_fd());
                return Ok(fd);
            }
        }
    }
    Err(Error::Busy)
}

/// Marks a file as having streams in a store.
pub(super) fn mark(base: &LocalHandle) -> Result<()> {
    if xattr::get(base.fd(), MARK)?.is_some() {
        return Ok(());
    }
    let path = home(base, &statx_fd(base.fd())?).ok().and_then(|home| path_of(home.as_fd()));
    match xattr::set(base.fd(), MARK, &path.unwrap_or_default()) {
        Err(Error::Limitation) => xattr::set(base.fd(), MARK, b""),
        result => result,
    }
}

/// Corrects the mark of a file, which may have been copied from another file.
fn point(base: &LocalHandle, home: BorrowedFd<'_>) {
    let path = path_of(home).unwrap_or_default();
    let pointed = match xattr::get(base.fd(), MARK) {
        Ok(Some(before)) if before != path => xattr::set(base.fd(), MARK, &path),
        other => other.map(drop),
    };
    if let Err(error) = pointed {
        tracing::debug!(file = ?base, %error, "cannot correct the mark of a file with streams");
    }
}

/// Removes the mark of a file.
pub(super) fn unmark(base: &LocalHandle) {
    if let Err(error) = xattr::remove(base.fd(), MARK) {
        tracing::debug!(file = ?base, %error, "cannot remove the mark of a file without large streams");
    }
}

/// Removes the directory of a file's streams, and the store if it is empty then; false if the directory still
/// has streams.
pub(super) fn remove(base: &LocalHandle, place: BorrowedFd<'_>) -> Result<bool> {
    let Some(id) = id_of(&statx_fd(base.fd())?) else { return Ok(false) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let store = rustix::fs::openat(place, c"..", flags, Mode::empty())?;
    let is_gone = remove_if_empty(store.as_fd(), &id)?;
    if is_gone {
        let home = rustix::fs::openat(&store, c"..", flags, Mode::empty())?;
        remove_if_empty(home.as_fd(), DIRECTORY)?;
    }
    Ok(is_gone)
}

fn remove_if_empty(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The directory of a file's streams in the store of a directory.
fn look(root: &Root, home: BorrowedFd<'_>, device: u64, id: &[u8]) -> Result<Option<OwnedFd>> {
    let Some(store) = open(root, home, device)? else { return Ok(None) };
    match open_entry(store.as_fd(), id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// Opens the store of a directory; a directory made by another user is ignored.
fn open(root: &Root, home: BorrowedFd<'_>, device: u64) -> Result<Option<OwnedFd>> {
    match open_entry(home, DIRECTORY, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(None),
        store => {
            let store = store?;
            Ok(is_ours(root, store.as_fd(), device)?.then_some(store))
        }
    }
}

fn open_or_make(root: &Root, home: BorrowedFd<'_>, device: u64) -> Result<OwnedFd> {
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        match rustix::fs::mkdirat(home, DIRECTORY, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // The server may not create anything in the directory.
            Err(Errno::ACCESS | Errno::PERM) => return Err(Error::Limitation),
            Err(error) => return Err(error.into()),
        }
        if let Some(store) = open(root, home, device)? {
            return Ok(store);
        }
        if statx(home, DIRECTORY, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            break;
        }
        // The store was removed with its last streams.
    }
    tracing::warn!(
        directory = %String::from_utf8_lossy(&path_from(home).unwrap_or_default()),
        "cannot store large streams: .shareward-streams exists, but does not belong to this server with mode 0700"
    );
    Err(Error::Limitation)
}

/// True if a directory is the process's on this device, and no other user can enter it.
fn is_ours(root: &Root, store: BorrowedFd<'_>, of: u64) -> Result<bool> {
    let stat = statx_fd(store)?;
    Ok(metadata::kind(&stat) == Kind::Directory
        && stat.stx_uid == root.credentials.uid(&Actor::Process)
        && u32::from(stat.stx_mode) & 0o077 == 0
        && device(&stat) == of)
}

/// The parent directory of the store for new streams of a file: the share's root, or the top of a file system
/// mounted below it.
pub(super) fn home(base: &LocalHandle, of: &Statx) -> Result<OwnedFd> {
    if device(of) == base.root.device {
        return Ok(rustix::io::fcntl_dupfd_cloexec(base.root.fd.as_fd(), 0)?);
    }
    let mut directory = nearest(base, of)?.ok_or(Error::Limitation)?;
    while let Some(above) = above(directory.as_fd())? {
        directory = above;
    }
    Ok(directory)
}

/// The directory that contains a file, or the directory itself.
fn nearest(base: &LocalHandle, of: &Statx) -> Result<Option<OwnedFd>> {
    if base.kind() == Kind::Directory {
        return Ok(Some(rustix::io::fcntl_dupfd_cloexec(base.fd(), 0)?));
    }
    match flush::directory_of(base.fd(), of) {
        Ok(Some(directory)) => return Ok(Some(directory)),
        Ok(None) | Err(Error::AccessDenied | Error::Busy) => {}
        Err(error) => return Err(error),
    }
    if device(of) != base.root.device {
        return Ok(None);
    }
    Ok(Some(rustix::io::fcntl_dupfd_cloexec(base.root.fd.as_fd(), 0)?))
}

/// The parent of a directory within the same mount.
fn above(directory: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = match rustix::fs::openat(directory, c"..", flags, Mode::empty()) {
        Err(Errno::ACCESS | Errno::NOENT) => return Ok(None),
        above => above?,
    };
    let (from, to) = (statx_fd(directory)?, statx_fd(above.as_fd())?);
    let is_higher = device(&from) == device(&to)
        && from.stx_ino != to.stx_ino
        && mount(directory)? == mount(above.as_fd())?;
    Ok(is_higher.then_some(above))
}

/// The path of a directory from the top of its file system, for the mark; `None` if it exceeds [`MARK_BYTES_MAX`].
fn path_of(directory: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut top = rustix::io::fcntl_dupfd_cloexec(directory, 0).ok()?;
    while let Some(above) = above(top.as_fd()).ok()? {
        top = above;
    }
    let (top, path) = (path_from(top.as_fd())?, path_from(directory)?);
    let path = path.strip_prefix(top.as_slice())?;
    let path = path.strip_prefix(b"/").unwrap_or(path);
    (path.len() <= MARK_BYTES_MAX).then(|| path.to_vec())
}

fn path_from(directory: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let path = rustix::fs::readlink(xattr::proc_path(directory), Vec::new()).ok()?;
    Some(path.into_bytes()).filter(|path| path.starts_with(b"/"))
}

/// The name of the directory of a file's streams; `None` if the file system has no birth times.
fn id_of(of: &Statx) -> Option<Vec<u8>> {
    let is_told = StatxFlags::from_bits_retain(of.stx_mask).contains(StatxFlags::BTIME);
    let (seconds, nanoseconds) = (of.stx_btime.tv_sec, of.stx_btime.tv_nsec);
    is_told.then(|| format!("{}-{seconds}.{nanoseconds:09}", of.stx_ino).into_bytes())
}
