//! The server's own store for named streams that do not fit into attributes: `.shareward-streams` in the
//! share's directory or, for files in a file system mounted below it, at that file system's top. It belongs
//! to the process and no other user can enter it, so a stream can be accessed only through its file, and the
//! contents can be trusted.
//!
//! The directory of a file's streams is named by the file's inode number and birth time. These two
//! distinguish the file from all others in its file system, including removed ones, and do not change when
//! device numbers change, or when the file is renamed or linked.
//!
//! A file can be in several shares. So a file with large streams has an attribute, the mark, with its own id and
//! the place of its store. The streams of a marked file are searched for in the share's directory, in all
//! directories above the file up to the top of its mount, and in the place of the mark. If they are found only
//! there, they are moved into the share's directory, because the file was moved here from another place. A mark
//! with the id of another file was copied from that file.

use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::{Root, device, inode_key, mount, open_entry, resolve_at, statx, statx_fd};
use super::{Streams, flush, metadata, xattr};
use crate::backend::Actor;
use crate::error::{Error, Result};
use crate::limits::{MARK_BYTES_MAX, RESOLVE_ATTEMPTS_MAX, STORE_WARNINGS_MAX};
use crate::stat::Kind;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The directory of a store, which is hidden from clients everywhere.
pub(super) const DIRECTORY: &[u8] = b".shareward-streams";
/// [`DIRECTORY`] as a name that clients send.
pub(super) const DIRECTORY_NAME: &str = ".shareward-streams";

/// The attribute of a file with streams in a store, the mark: the file's id ([`id_of`]) and a NUL, and the path from
/// the top of the mount to the store's parent directory. The id is absent until the directory of the streams exists,
/// or if there is no room for it. The path is empty at the top, and if there is no room for it.
const MARK: &[u8] = b"user.ShwStreams";

/// The contents of a mark.
struct Mark {
    id: Option<Vec<u8>>,
    path: Vec<u8>,
}

impl Mark {
    /// The mark of a file, if it has one that the server may read.
    fn of(base: &LocalHandle) -> Result<Option<Self>> {
        let Some(value) = value_of_mark(base)? else { return Ok(None) };
        let mut parts = value.splitn(2, |byte| *byte == 0);
        let first = parts.next().unwrap_or_default().to_vec();
        Ok(Some(match parts.next() {
            Some(path) => Self { id: Some(first), path: path.to_vec() },
            None => Self { id: None, path: first },
        }))
    }
}

fn value_of_mark(base: &LocalHandle) -> Result<Option<Vec<u8>>> {
    match xattr::get(base.node(), MARK) {
        // A server without privileges, and a file that it may write but not read.
        Err(Error::AccessDenied) => Ok(None),
        value => value,
    }
}

/// The directory of a file's streams, if there is one.
pub(super) fn find(base: &LocalHandle) -> Result<Option<OwnedFd>> {
    if !matches!(base.kind(), Kind::File | Kind::Directory) {
        return Ok(None);
    }
    let root = &base.root;
    let mark = Mark::of(base)?;
    if mark.is_none() && root.options.streams == Streams::Attributes {
        return Ok(None);
    }
    let store = match base.inode().0 == root.device {
        true => open(root, root.fd.as_fd(), root.device)?,
        false => None,
    };
    if store.is_none() && mark.is_none() {
        return Ok(None);
    }
    let of = statx_fd(base.fd())?;
    let Some(id) = id_of(&of) else { return Ok(None) };
    if let Some(store) = store
        && let Some(found) = entry(store.as_fd(), &id)?
    {
        let is_foreign = |mark: &Mark| mark.id.as_ref().is_some_and(|of_mark| *of_mark != id);
        // The mark may not have fit, or a crash came before it. One that cannot be read is left alone.
        let is_missing = || matches!(xattr::get(base.node(), MARK), Ok(None));
        if may_move(base) && mark.as_ref().map_or_else(is_missing, is_foreign) {
            point(base, root.fd.as_fd(), &id);
        }
        return Ok(Some(found));
    }
    match mark {
        // A copy's.
        Some(Mark { id: Some(of_mark), .. }) if of_mark != id => Ok(None),
        Some(mark) => elsewhere(base, &of, &id, &mark.path),
        None => Ok(None),
    }
}

/// The directory of the streams of an unmarked file in a file system below the share's, which a crash can leave
/// behind. To look for it is expensive.
pub(super) fn find_unmarked(base: &LocalHandle) -> Result<Option<OwnedFd>> {
    if base.inode().0 == base.root.device || !may_move(base) {
        return Ok(None);
    }
    let of = statx_fd(base.fd())?;
    match (id_of(&of), home(base, &of)) {
        (Some(id), Ok(home)) => look(&base.root, home.as_fd(), device(&of), &id),
        _ => Ok(None),
    }
}

/// False if the share changes nothing about stores.
fn may_move(base: &LocalHandle) -> bool {
    base.root.options.streams == Streams::Auto && !base.root.options.read_only
}

/// The directory of a marked file's streams outside of the share's store.
fn elsewhere(base: &LocalHandle, of: &Statx, id: &[u8], path: &[u8]) -> Result<Option<OwnedFd>> {
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
    if path.is_empty() {
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    // The path is outdated, or was set by another program.
    let Ok(home) = resolve_at(directory.as_fd(), path, flags, Mode::empty(), resolve) else {
        return Ok(None);
    };
    let found = look(root, home.as_fd(), device, id)?;
    // A file with several names may be in the other share, too.
    let is_only_here = of.stx_nlink == 1 || base.kind() == Kind::Directory;
    if found.is_some()
        && is_only_here
        && may_move(base)
        && let Err(error) = bring(base, of, home.as_fd(), id)
    {
        tracing::debug!(file = ?base, %error, "cannot move the streams of a file from another store");
    }
    Ok(found)
}

/// Moves the directory of a file's streams from the store in `from` into the file's current one.
fn bring(base: &LocalHandle, of: &Statx, from: BorrowedFd<'_>, id: &[u8]) -> Result<()> {
    let home = home(base, of)?;
    let store = open_or_make(&base.root, home.as_fd(), device(of))?;
    let before = open(&base.root, from, device(of))?.ok_or(Error::NotFound)?;
    rustix::fs::renameat_with(&before, id, &store, id, RenameFlags::NOREPLACE)?;
    point(base, home.as_fd(), id);
    Ok(())
}

/// Creates the directory of a file's streams.
pub(super) fn make(base: &LocalHandle, of: &Statx) -> Result<OwnedFd> {
    // Without birth times, it could be taken for that of a later file.
    let id = id_of(of).ok_or(Error::Limitation)?;
    let home = home(base, of)?;
    if Mark::of(base)?.is_some_and(|mark| mark.id.as_deref() == Some(&*id)) {
        // With a second directory, the streams would depend on the way to the file.
        warn_once(home.as_fd(), "cannot store large streams: a file has others, which are out of reach");
        return Err(Error::Limitation);
    }
    let store = open_or_make(&base.root, home.as_fd(), device(of))?;
    match rustix::fs::mkdirat(&store, &id, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => {}
        // The store was just removed, because it was empty.
        Err(Errno::NOENT) => return Err(Error::Busy),
        result => result?,
    }
    let fd = open_entry(store.as_fd(), &id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    point(base, home.as_fd(), &id);
    Ok(fd)
}

/// Marks a file that will have streams in a store, if it is unmarked.
pub(super) fn mark(base: &LocalHandle) -> Result<()> {
    match xattr::get(base.node(), MARK) {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(()),
        // The server may not read it, but a file with streams has one.
        Err(Error::AccessDenied) if find(base)?.is_none() => {}
        Err(Error::AccessDenied) => return Ok(()),
        Err(error) => return Err(error),
    }
    let path = home(base, &statx_fd(base.fd())?).ok().and_then(|home| path_of(home.as_fd()));
    match xattr::set(base.node(), MARK, &path.unwrap_or_default()) {
        Err(Error::Limitation) => xattr::set(base.node(), MARK, b""),
        result => result,
    }
}

/// Marks a file whose streams are in the store of `home`. Its mark may be incomplete, outdated, or copied from another
/// file. It is replaced at once, so that the file is never without one.
fn point(base: &LocalHandle, home: BorrowedFd<'_>, id: &[u8]) {
    let path = path_of(home).unwrap_or_default();
    let whole = [id, b"\0", &path].concat();
    let put = || {
        if value_of_mark(base)?.is_some_and(|before| before == whole) {
            return Ok(());
        }
        for value in [&*whole, &*path] {
            match xattr::set(base.node(), MARK, value) {
                Err(Error::Limitation) => {}
                result => return result,
            }
        }
        xattr::set(base.node(), MARK, b"")
    };
    if let Err(error) = put() {
        tracing::debug!(file = ?base, %error, "cannot set the mark of a file with streams");
    }
}

/// Removes the mark of a file; false if that is impossible.
pub(super) fn unmark(base: &LocalHandle) -> bool {
    let removed = xattr::remove(base.node(), MARK);
    if let Err(error) = &removed {
        tracing::debug!(file = ?base, %error, "cannot remove the mark of a file without large streams");
    }
    removed.is_ok()
}

/// Removes the mark of a file for which no directory was created.
pub(super) fn unmark_unmade(base: &LocalHandle) {
    if let Ok(Some(Mark { id: None, .. })) = Mark::of(base)
        && let Ok(None) = find(base)
    {
        unmark(base);
    }
}

/// Removes the directory of a file's streams; false if it still has streams. The store stays, because its creation
/// and removal would change the share's directory each time.
pub(super) fn remove(base: &LocalHandle, place: BorrowedFd<'_>) -> Result<bool> {
    let Some(id) = id_of(&statx_fd(base.fd())?) else { return Ok(false) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let store = rustix::fs::openat(place, c"..", flags, Mode::empty())?;
    match rustix::fs::unlinkat(&store, &id, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the store in a directory if it is empty, so that it does not prevent the removal of the directory.
pub(super) fn clear(root: &Root, directory: BorrowedFd<'_>) {
    let clear = || -> Result<()> {
        if open(root, directory, device(&statx_fd(directory)?))?.is_some() {
            rustix::fs::unlinkat(directory, DIRECTORY, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    };
    match clear() {
        Ok(()) | Err(Error::NotFound | Error::NotEmpty) => {}
        Err(error) => tracing::debug!(%error, "cannot remove the empty store in a directory"),
    }
}

/// The directory of a file's streams in the store of a directory.
fn look(root: &Root, home: BorrowedFd<'_>, device: u64, id: &[u8]) -> Result<Option<OwnedFd>> {
    let Some(store) = open(root, home, device)? else { return Ok(None) };
    entry(store.as_fd(), id)
}

/// The directory of a file's streams in a store.
fn entry(store: BorrowedFd<'_>, id: &[u8]) -> Result<Option<OwnedFd>> {
    match open_entry(store, id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
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

fn open_or_make(root: &Root, home: BorrowedFd<'_>, of: u64) -> Result<OwnedFd> {
    if device(&statx_fd(home)?) != of {
        warn_once(
            home,
            "cannot store large streams: files are on other devices than directories (overlayfs)",
        );
        return Err(Error::Limitation);
    }
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        match rustix::fs::mkdirat(home, DIRECTORY, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // The server may not create anything in the directory.
            Err(Errno::ACCESS | Errno::PERM) => return Err(Error::Limitation),
            Err(error) => return Err(error.into()),
        }
        if let Some(store) = open(root, home, of)? {
            return Ok(store);
        }
        if statx(home, DIRECTORY, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            break;
        }
        // The store was removed, because it was empty.
    }
    warn_once(
        home,
        "cannot store large streams: .shareward-streams exists, but does not belong to this server with mode 0700",
    );
    Err(Error::Limitation)
}

/// The directories that the log has a warning about.
static WARNED: Mutex<BTreeSet<InodeKey>> = Mutex::new(BTreeSet::new());

/// Logs a warning about the store of a directory, unless there was one: clients can repeat the cause.
fn warn_once(home: BorrowedFd<'_>, message: &str) {
    let Ok(key) = inode_key(home) else { return };
    let mut warned = WARNED.lock();
    if warned.len() >= STORE_WARNINGS_MAX || !warned.insert(key) {
        return;
    }
    drop(warned);
    let directory = path_from(home).unwrap_or_default();
    tracing::warn!(directory = %String::from_utf8_lossy(&directory), "{message}");
}

/// True if a directory is the process's on this device, and no other user can enter it.
pub(super) fn is_ours(root: &Root, store: BorrowedFd<'_>, of: u64) -> Result<bool> {
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
    if let Some(former) = former(base, device(of)) {
        return Ok(Some(former));
    }
    if device(of) != base.root.device {
        return Ok(None);
    }
    Ok(Some(rustix::io::fcntl_dupfd_cloexec(base.root.fd.as_fd(), 0)?))
}

/// The nearest directory that exists on the former path of a file whose name is gone.
fn former(base: &LocalHandle, of: u64) -> Option<OwnedFd> {
    let path = path_from(base.fd())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = Path::new(OsStr::from_bytes(&path)).ancestors().skip(1);
    let directory = above.into_iter().find_map(|path| rustix::fs::open(path, flags, Mode::empty()).ok())?;
    (device(&statx_fd(directory.as_fd()).ok()?) == of).then_some(directory)
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
