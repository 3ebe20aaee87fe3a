//! Errors that a file system reports when a file is closed (close(2)).
//!
//! Network file systems and FUSE write cached data when a descriptor is closed, and then report errors of the
//! server, the quota or the disk. The standard library discards them.
#![expect(unsafe_code, reason = "no safe wrapper of close tells its error")]

use rustix::fs::FsWord;
use rustix::io::Errno;
use std::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd};

unsafe extern "C" {
    /// close(2) of the C library that the standard library uses.
    fn close(fd: c_int) -> c_int;
}

/// True if a close of a file on a file system of this kind (statfs(2)) never reports an error, because the file system
/// writes nothing then.
pub(super) fn is_silent(kind: FsWord) -> bool {
    const KINDS: [u32; 5] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x0102_1994, // tmpfs
        0xca45_1a4e, // bcachefs
    ];
    KINDS.contains(&(kind as u32))
}

/// Returns the error that a close of `fd` would report: closes a copy, which has the same effect on the file
/// system. `fd` stays open.
pub(super) fn ask(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 0)?.into_raw_fd();
    // SAFETY: `copy` is a descriptor that only this function owns; it is not used after this call, whatever
    // the result.
    match unsafe { close(copy) } {
        0 => Ok(()),
        _ => match Errno::from_io_error(&std::io::Error::last_os_error()) {
            // Linux has closed the descriptor nevertheless.
            Some(Errno::INTR) | None => Ok(()),
            Some(error) => Err(error),
        },
    }
}
