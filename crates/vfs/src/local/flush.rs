//! Writes files to the disk: data, metadata, extended attributes (which include streams), and the names of
//! the file (MS-FSA 2.1.5.7: "the directory structure is persisted").
//!
//! In POSIX, flushing a file guarantees that its content is on the disk, but not its name. So the directories
//! from the file up to the share's root are flushed, too, with two exceptions: a directory whose change time is that of
//! its last flush, and one whose changes the flush of the file itself has made durable, by the order in which the file
//! system commits them (`commit_order.rs`).

use super::commit_order::DurableChanges;
use super::directory_reports::is_changed_here_only;
use super::file_end::End;
use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::{device, statx, statx_fd};
use super::{file_system, xattr};
use crate::error::{Error, Result};
use crate::limits::{FLUSHED_DIRECTORIES_MAX, RESOLVE_ATTEMPTS_MAX};
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use parking_lot::{Mutex, MutexGuard};

/// Flushes the open file of a handle, and its name.
pub(super) fn flush(handle: &LocalHandle) -> Result<()> {
    let reopened;
    let fd = match handle.kind() {
        _ if handle.has_data() => handle.fd(),
        Kind::File => {
            reopened = reopen(handle.fd())?;
            reopened.as_fd()
        }
        Kind::Directory => {
            reopened = directory_at(handle.fd(), b".")?;
            reopened.as_fd()
        }
        // These have no data of their own; everything is in their directory.
        Kind::Symlink | Kind::Other => return flush_name(handle, handle.fd(), &statx_fd(handle.fd())?, None),
    };
    let own = stat_between_writes(handle, fd)?;
    rustix::fs::fsync(fd)?;
    let durable = DurableChanges::by_fsync(handle.root.commit_order(device(&own)), &own);
    match flush_name(handle, fd, &own, durable) {
        // If a directory above the file cannot be opened, flush the whole file system.
        Err(Error::AccessDenied | Error::Busy) => Ok(rustix::fs::syncfs(fd)?),
        result => result,
    }
}

/// The metadata of a file while no handle writes to it. A write sets the change time before it has a place in the
/// journal, so the change time of one that is under way says nothing about what fsync makes durable.
fn stat_between_writes(handle: &LocalHandle, fd: BorrowedFd<'_>) -> Result<Statx> {
    let end = End::of(handle.inode());
    let _still = end.still();
    Ok(statx_fd(fd)?)
}

/// Reopens a file that was opened without access to its data, for reading or writing.
fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let open = |access| {
        let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::open(xattr::proc_path(fd), flags, Mode::empty())
    };
    match open(OFlags::RDONLY) {
        Err(Errno::ACCESS) => Ok(open(OFlags::WRONLY)?),
        result => Ok(result?),
    }
}

fn directory_at(fd: BorrowedFd<'_>, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, path, flags, Mode::empty())
}

fn path_at(fd: BorrowedFd<'_>, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, path, flags, Mode::empty())
}

/// Flushes the directories that lead from the share's root to an open file with the metadata `own`, except those whose
/// changes are durable.
fn flush_name(
    handle: &LocalHandle,
    fd: BorrowedFd<'_>,
    own: &Statx,
    durable: Option<DurableChanges>,
) -> Result<()> {
    let root = &handle.root;
    if key(own) == (root.device, root.inode) || own.stx_nlink == 0 {
        return Ok(());
    }
    let mut directory = match handle.kind() {
        Kind::Directory => directory_at(fd, b"..")?,
        _ => match named_in(handle, fd, own)? {
            Some(directory) => directory,
            None => return Ok(()),
        },
    };
    // The way from `directory` to the one that is looked at.
    let mut way: Vec<u8> = b".".to_vec();
    let mut stat = statx_fd(directory.as_fd())?;
    loop {
        if !durable.is_some_and(|durable| durable.include(&stat)) {
            flush_directory(directory.as_fd(), &way, &stat)?;
        }
        if key(&stat) == (root.device, root.inode) {
            return Ok(());
        }
        if way.len() > WAY_BYTES_MAX {
            directory = path_at(directory.as_fd(), &way)?;
            way = b".".to_vec();
        }
        way.extend(b"/..");
        let above = statx(directory.as_fd(), &way, AtFlags::empty())?;
        // The root of the file system is reached: the directory was moved out of the share.
        if key(&above) == key(&stat) {
            return Ok(());
        }
        stat = above;
    }
}

/// The directory that contains the name of an open file: by the path that the server knows, or else by the kernel's,
/// which takes longer. `None` if the name is gone.
fn named_in(handle: &LocalHandle, fd: BorrowedFd<'_>, own: &Statx) -> Result<Option<OwnedFd>> {
    match known_directory_of(handle, own) {
        Some(directory) => Ok(Some(directory)),
        None => directory_of(fd, own),
    }
}

/// The directory that contains a file by the path that the server knows; `None` if the path leads to another one.
fn known_directory_of(handle: &LocalHandle, own: &Statx) -> Option<OwnedFd> {
    let path = handle.path();
    let (parent, leaf) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash)?, path.get(slash.checked_add(1)?..)?),
        None => (&[][..], path.as_slice()),
    };
    let directory = handle.root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).ok()?;
    let named = statx(directory.as_fd(), leaf, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (key(&named) == key(own)).then_some(directory)
}

/// The directory that contains the name of an open file; `None` if the name is gone.
pub(super) fn directory_of(fd: BorrowedFd<'_>, own: &Statx) -> Result<Option<OwnedFd>> {
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        let path = rustix::fs::readlink(xattr::proc_path(fd), Vec::new())?.into_bytes();
        let path = Path::new(std::ffi::OsStr::from_bytes(&path));
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Error::Busy) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(parent, flags, Mode::empty()) {
            Ok(directory) => {
                let named = statx(directory.as_fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
                if named.is_ok_and(|named| key(&named) == key(own)) {
                    return Ok(Some(directory));
                }
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
        // The file was renamed or removed meanwhile.
        if statx_fd(fd)?.stx_nlink == 0 {
            return Ok(None);
        }
    }
    Err(Error::Busy)
}

/// Flushes the directory at the end of a way, unless it was flushed with the change time in `stat`.
fn flush_directory(from: BorrowedFd<'_>, way: &[u8], stat: &Statx) -> Result<()> {
    if flushed().get(&key(stat)) == Some(&changed(stat)) {
        return Ok(());
    }
    let fd = directory_at(from, way)?;
    // The way may lead to another directory by now.
    let stat = statx_fd(fd.as_fd())?;
    match rustix::fs::fsync(&fd) {
        // The file system does not support fsync of directories.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    #[cfg(test)]
    tests::DIRECTORIES_FLUSHED.set(tests::DIRECTORIES_FLUSHED.get() + 1);
    // A later change within the same tick of the file system's clock would have the same change time.
    if is_past(changed(&stat), tick(&stat, fd.as_fd())) {
        let mut flushed = flushed();
        if flushed.len() >= FLUSHED_DIRECTORIES_MAX {
            flushed.clear();
        }
        flushed.insert(key(&stat), changed(&stat));
    }
    Ok(())
}

/// True if more than this number of milliseconds has passed since a change time.
fn is_past((seconds, nanoseconds): Moment, tick: i128) -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let millis = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds)
            .saturating_mul(1000)
            .saturating_add(i128::from(nanoseconds).wrapping_div(1_000_000))
    };
    millis(now.tv_sec, now.tv_nsec).saturating_sub(millis(seconds, nanoseconds.into())) > tick
}

/// An upper limit of the tick, in milliseconds, of the clock for the change time of a file.
fn tick(stat: &Statx, fd: BorrowedFd<'_>) -> i128 {
    let is_local = file_system::kind(device(stat), fd).is_some_and(is_changed_here_only);
    // Without nanoseconds, the file system may have no finer times.
    if is_local && stat.stx_ctime.tv_nsec != 0 { LOCAL_TICKS_MS } else { CLOCK_TICKS_MS }
}

/// Ten ticks of the slowest clock that Linux uses for change times.
const LOCAL_TICKS_MS: i128 = 100;

/// An upper limit of the tick of other machines' clocks, and of times in whole seconds.
const CLOCK_TICKS_MS: i128 = 1000;

/// The length of a way of `..` from which the next directory is opened: far below that of the kernel's paths, and longer
/// than the way in most shares.
const WAY_BYTES_MAX: usize = 256;

fn changed(stat: &Statx) -> Moment {
    (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec)
}

/// A change time: seconds and nanoseconds.
type Moment = (i64, u32);

/// The directories that are flushed, with their change times at the flush.
static FLUSHED: Mutex<BTreeMap<InodeKey, Moment>> = Mutex::new(BTreeMap::new());

fn flushed() -> MutexGuard<'static, BTreeMap<InodeKey, Moment>> {
    FLUSHED.lock()
}

fn key(stat: &Statx) -> InodeKey {
    (device(stat), stat.stx_ino)
}

#[cfg(test)]
mod tests;
