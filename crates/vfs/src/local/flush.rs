//! Writes files to the disk: data, metadata, extended attributes (which include streams), and the names of
//! the file (MS-FSA 2.1.5.7: "the directory structure is persisted").
//!
//! In POSIX, flushing a file guarantees that its content is on the disk, but not its name. So the directories
//! from the file up to the share's root are flushed, too. A directory whose change time is that of its last
//! flush is skipped.

use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::{Root, device, statx, statx_fd};
use super::xattr;
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
        Kind::Symlink | Kind::Other => return flush_name(&handle.root, handle.fd(), handle.kind()),
    };
    rustix::fs::fsync(fd)?;
    match flush_name(&handle.root, fd, handle.kind()) {
        // If a directory above the file cannot be opened, flush the whole file system.
        Err(Error::AccessDenied | Error::Busy) => Ok(rustix::fs::syncfs(fd)?),
        result => result,
    }
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

/// Flushes the directories that lead from the share's root to an open file.
fn flush_name(root: &Root, fd: BorrowedFd<'_>, kind: Kind) -> Result<()> {
    let own = statx_fd(fd)?;
    if key(&own) == (root.device, root.inode) || own.stx_nlink == 0 {
        return Ok(());
    }
    let mut directory = match kind {
        Kind::Directory => directory_at(fd, b"..")?,
        _ => match directory_of(fd, &own)? {
            Some(directory) => directory,
            None => return Ok(()),
        },
    };
    loop {
        let stat = statx_fd(directory.as_fd())?;
        flush_directory(directory.as_fd(), &stat)?;
        if key(&stat) == (root.device, root.inode) {
            return Ok(());
        }
        let above = directory_at(directory.as_fd(), b"..")?;
        // The root of the file system is reached: the directory was moved out of the share.
        if key(&statx_fd(above.as_fd())?) == key(&stat) {
            return Ok(());
        }
        directory = above;
    }
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

/// Flushes a directory, unless it was flushed with the change time in `stat`.
fn flush_directory(fd: BorrowedFd<'_>, stat: &Statx) -> Result<()> {
    let changed = (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec);
    if flushed().get(&key(stat)) == Some(&changed) {
        return Ok(());
    }
    match rustix::fs::fsync(fd) {
        // The file system does not support fsync of directories.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    // A later change within the same tick of the file system's clock would have the same change time.
    if is_past(changed) {
        let mut flushed = flushed();
        if flushed.len() >= FLUSHED_DIRECTORIES_MAX {
            flushed.clear();
        }
        flushed.insert(key(stat), changed);
    }
    Ok(())
}

/// True if the clock of the file system has certainly moved on since that time.
fn is_past((seconds, nanoseconds): Moment) -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let millis = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds)
            .saturating_mul(1000)
            .saturating_add(i128::from(nanoseconds).wrapping_div(1_000_000))
    };
    millis(now.tv_sec, now.tv_nsec).saturating_sub(millis(seconds, nanoseconds.into())) > CLOCK_TICKS_MS
}

/// An upper limit of the tick, in milliseconds, of the clock for change times.
const CLOCK_TICKS_MS: i128 = 1000;

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
