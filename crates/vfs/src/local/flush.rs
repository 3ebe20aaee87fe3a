//! Bringing files to the disk: data, metadata, extended attributes (streams among them), and the names by which
//! they are found (MS-FSA 2.1.5.7: "the directory structure is persisted").
//!
//! POSIX promises of a file that was flushed that its content is on the disk, not that its name is. So the directories
//! that lead to it are flushed too, up to the share's root. One that has not changed since it was flushed is left
//! alone, which its change time tells.

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

/// Brings what a handle has open to the disk, with its name.
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
        // All that there is to them is in their directory.
        Kind::Symlink | Kind::Other => return flush_name(&handle.root, handle.fd(), handle.kind()),
    };
    rustix::fs::fsync(fd)?;
    match flush_name(&handle.root, fd, handle.kind()) {
        // What leads to the file cannot be opened: everything on the file system is flushed instead.
        Err(Error::AccessDenied | Error::Busy) => Ok(rustix::fs::syncfs(fd)?),
        result => result,
    }
}

/// Opens a file again that was opened without access to its data; any access will do.
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
        // The root of all: a directory that was moved out of the share.
        if key(&statx_fd(above.as_fd())?) == key(&stat) {
            return Ok(());
        }
        directory = above;
    }
}

/// The directory that an open file has its name in; none where the name is gone.
fn directory_of(fd: BorrowedFd<'_>, own: &Statx) -> Result<Option<OwnedFd>> {
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
        // It was renamed or removed meanwhile.
        if statx_fd(fd)?.stx_nlink == 0 {
            return Ok(None);
        }
    }
    Err(Error::Busy)
}

/// Flushes a directory unless it is known to be on the disk as `stat` has it.
fn flush_directory(fd: BorrowedFd<'_>, stat: &Statx) -> Result<()> {
    let changed = (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec);
    if flushed().get(&key(stat)) == Some(&changed) {
        return Ok(());
    }
    match rustix::fs::fsync(fd) {
        // The file system has no separate way for directories.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    // A change that comes within the same tick of the file system's clock would not show.
    if is_past(changed) {
        let mut flushed = flushed();
        if flushed.len() >= FLUSHED_DIRECTORIES_MAX {
            flushed.clear();
        }
        flushed.insert(key(stat), changed);
    }
    Ok(())
}

/// Whether a time of the file system is long enough ago for its clock to have gone on.
fn is_past((seconds, nanoseconds): Moment) -> bool {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let millis = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds)
            .saturating_mul(1000)
            .saturating_add(i128::from(nanoseconds).wrapping_div(1_000_000))
    };
    millis(now.tv_sec, now.tv_nsec).saturating_sub(millis(seconds, nanoseconds.into())) > CLOCK_TICKS_MS
}

/// More than any tick of the clock that file systems stamp changes with, in milliseconds.
const CLOCK_TICKS_MS: i128 = 1000;

/// A change time: seconds and nanoseconds.
type Moment = (i64, u32);

/// The directories that are on the disk as they were at their change time.
static FLUSHED: Mutex<BTreeMap<InodeKey, Moment>> = Mutex::new(BTreeMap::new());

fn flushed() -> MutexGuard<'static, BTreeMap<InodeKey, Moment>> {
    FLUSHED.lock()
}

fn key(stat: &Statx) -> InodeKey {
    (device(stat), stat.stx_ino)
}
