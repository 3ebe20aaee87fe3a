//! Locks of ranges of a local file that all programs of the machine see (`fcntl`, `lockf`, an NFS server).
//!
//! They are open file description locks: they belong to the handle's descriptor. Other descriptors of the
//! file in this process have their own locks, and closing one of them releases only those. POSIX locks belong
//! to the process, and would be lost when the server closes any descriptor of the file. Both kinds conflict
//! with each other as usual.
//!
//! The kernel checks the descriptor's own access: exclusive locks need a descriptor that can write, shared
//! locks one that can read. If the handle has no such access, the file is not reopened: that could be
//! refused, or break a lease.

use crate::backend::Wanted;
use crate::error::{Error, Result};
use crate::handle::{RangeLock, lockable};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Sets or releases a lock: [`crate::Handle::set_range_lock`].
pub(super) fn set(
    fd: BorrowedFd<'_>,
    wanted: Wanted,
    range: &Range<u64>,
    lock: Option<RangeLock>,
) -> Result<bool> {
    let Some(range) = lockable(range) else { return Ok(true) };
    let held = lock.and_then(|lock| lock.held_by(wanted));
    if let Some(lock) = lock.filter(|_| held != lock)
        && is_locked(fd, &range, lock)?
    {
        return Ok(false);
    }
    let lock = flock(&range, held.map_or(libc::F_UNLCK, kind))?;
    loop {
        return match fcntl(fd, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(Errno::EINTR) => continue,
            Err(error) => Err(of(error)),
        };
    }
}

/// True if another owner's lock conflicts: [`crate::Handle::is_range_locked`].
pub(super) fn is_locked(fd: BorrowedFd<'_>, range: &Range<u64>, lock: RangeLock) -> Result<bool> {
    let Some(range) = lockable(range) else { return Ok(false) };
    loop {
        let mut found = flock(&range, kind(lock))?;
        return match fcntl(fd, FcntlArg::F_OFD_GETLK(&mut found)) {
            Ok(_) => Ok(i32::from(found.l_type) != libc::F_UNLCK),
            Err(Errno::EINTR) => continue,
            Err(error) => Err(of(error)),
        };
    }
}

fn kind(lock: RangeLock) -> libc::c_int {
    match lock {
        RangeLock::Shared => libc::F_RDLCK,
        RangeLock::Exclusive => libc::F_WRLCK,
    }
}

fn flock(range: &Range<u64>, kind: libc::c_int) -> Result<libc::flock> {
    let offset = |at: u64| libc::off_t::try_from(at).map_err(|_| Error::InvalidArgument);
    let length = range.end.checked_sub(range.start).ok_or(Error::InvalidArgument)?;
    Ok(libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(|_| Error::InvalidArgument)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(|_| Error::InvalidArgument)?,
        l_start: offset(range.start)?,
        // A length that does not fit means the whole range of offsets, which is encoded as zero.
        l_len: offset(length).unwrap_or(0),
        l_pid: 0,
    })
}

fn of(error: Errno) -> Error {
    std::io::Error::from(error).into()
}
