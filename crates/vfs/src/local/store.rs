//! The server's own store for named streams that no attribute can hold: `.shareward-streams` in the share's directory, or
//! at the top of the file system that is mounted below it and has the file. It is the process's and nobody else can enter
//! it, so that a stream is found by way of its file alone, and what is in it can be trusted.
//!
//! The directory of a file's streams has the inode number and the time of birth of the file as its name. These two tell a
//! file from all others of its file system, those that are gone included, and stay what they are when disks are numbered
//! otherwise, when the file is renamed, and when it is linked.
//!
//! One file can be reached through several shares. So the file is marked with an attribute, which says where its streams
//! are, and those of a file that is marked are looked for in the share's directory, in all directories that the file is
//! in, up to the top of the file system, and where the mark says. What is found only there is brought into the share's
//! directory: the file was moved here from another place.

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

/// The directory that is a store, which clients see nowhere.
pub(super) const DIRECTORY: &[u8] = b".shareward-streams";
/// [`DIRECTORY`] as a name that clients send.
pub(super) const DIRECTORY_NAME: &str = ".shareward-streams";

/// The attribute of a file that has streams in a store: the path, from the top of the file system, of the directory that
/// the store is in. It is empty where there is no room for the path.
const MARK: &[u8] = b"user.ShwStreams";

/// The directory of a file's streams, where there is one.
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
            // There may have been no room for it, or a crash has come between.
            let _ = mark(base);
        }
        return Ok(Some(found));
    }
    match marked {
        Some(marked) => elsewhere(base, &of, &id, &marked),
        None => Ok(None),
    }
}

/// The directory of a marked file's streams, which is not in the share's.
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
    // A path that leads nowhere is old, or somebody else's words.
    let Ok(home) = resolve_at(directory.as_fd(), marked, flags, Mode::empty(), resolve) else {
        return Ok(None);
    };
    let found = look(root, home.as_fd(), device, id)?;
    if found.is_some()
        && let Err(error) = bring(base, of, home.as_fd(), id)
    {
        tracing::debug!(file = ?base, %error, "a file's streams stay in the store that it came from");
    }
    Ok(found)
}

/// Brings the directory of a file's streams from the store in `from` into the one that the file's streams go to.
fn bring(base: &LocalHandle, of: &Statx, from: BorrowedFd<'_>, id: &[u8]) -> Result<()> {
    let store = open_or_make(&base.root, home(base, of)?.as_fd(), device(of))?;
    let before = open(&base.root, from, device(of))?.ok_or(Error::NotFound)?;
    rustix::fs::renameat_with(&before, id, &store, id, RenameFlags::NOREPLACE)?;
    unmark(base);
    mark(base)?;
    remove_if_empty(from, DIRECTORY).map(drop)
}

/// Makes the directory of a file's streams.
pub(super) fn make(base: &LocalHandle, of: &Statx) -> Result<OwnedFd> {
    // Where births are not told, it could be taken for a later file's.
    let id = id_of(of).ok_or(Error::Limitation)?;
    let home = home(base, of)?;
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        let store = open_or_make(&base.root, home.as_fd(), device(of))?;
        match rustix::fs::mkdirat(&store, &id, Mode::from_raw_mode(0o700)) {
            // It was the last of its kind to be removed.
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

/// Marks a file as one that has streams in a store.
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

/// Lets the mark of a file, which may have come with a copy, say where its streams are.
fn point(base: &LocalHandle, home: BorrowedFd<'_>) {
    let path = path_of(home).unwrap_or_default();
    let pointed = match xattr::get(base.fd(), MARK) {
        Ok(Some(before)) if before != path => xattr::set(base.fd(), MARK, &path),
        other => other.map(drop),
    };
    if let Err(error) = pointed {
        tracing::debug!(file = ?base, %error, "the mark of a file does not say where its streams are");
    }
}

/// Takes the mark from a file.
pub(super) fn unmark(base: &LocalHandle) {
    if let Err(error) = xattr::remove(base.fd(), MARK) {
        tracing::debug!(file = ?base, %error, "a file without large streams keeps its mark");
    }
}

/// Removes the directory of a file's streams, and the store if it was the last there; false where it still has some.
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

/// The directory of a file's streams in the store that a directory has.
fn look(root: &Root, home: BorrowedFd<'_>, device: u64, id: &[u8]) -> Result<Option<OwnedFd>> {
    let Some(store) = open(root, home, device)? else { return Ok(None) };
    match open_entry(store.as_fd(), id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// Opens the store that a directory has; what others have made there is none.
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
            // The directory is not the server's to make something in.
            Err(Errno::ACCESS | Errno::PERM) => return Err(Error::Limitation),
            Err(error) => return Err(error.into()),
        }
        if let Some(store) = open(root, home, device)? {
            return Ok(store);
        }
        if statx(home, DIRECTORY, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            break;
        }
        // It went with the last streams in it.
    }
    tracing::warn!(
        directory = %String::from_utf8_lossy(&path_from(home).unwrap_or_default()),
        "large streams cannot be kept: .shareward-streams is there already, and not this server's (mode 0700)"
    );
    Err(Error::Limitation)
}

/// A directory is the process's on this device, and nobody else can enter it.
fn is_ours(root: &Root, store: BorrowedFd<'_>, of: u64) -> Result<bool> {
    let stat = statx_fd(store)?;
    Ok(metadata::kind(&stat) == Kind::Directory
        && stat.stx_uid == root.credentials.uid(&Actor::Process)
        && u32::from(stat.stx_mode) & 0o077 == 0
        && device(&stat) == of)
}

/// The directory whose store the new streams of a file go to: the share's, or the top of what is mounted below it.
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

/// The directory that a file is in, or the directory itself.
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

/// The directory above one in the same file system, as far as it is mounted.
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

/// The path of a directory from the top of its file system, for the mark; `None` if it is longer than [`MARK_BYTES_MAX`].
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

/// The name of the directory of a file's streams; `None` if the file system does not tell when files were born.
fn id_of(of: &Statx) -> Option<Vec<u8>> {
    let is_told = StatxFlags::from_bits_retain(of.stx_mask).contains(StatxFlags::BTIME);
    let (seconds, nanoseconds) = (of.stx_btime.tv_sec, of.stx_btime.tv_nsec);
    is_told.then(|| format!("{}-{seconds}.{nanoseconds:09}", of.stx_ino).into_bytes())
}
