//! What a file system says when a file is closed (close(2)).
//!
//! Network file systems, and FUSE, write with a descriptor's close what they still hold back, and say there that the
//! server, the quota or the disk would not have it. The standard library drops that.
#![expect(unsafe_code, reason = "no safe wrapper of close tells its error")]

use rustix::io::Errno;
use std::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd};

unsafe extern "C" {
    /// close(2) of the C library that the standard library uses.
    fn close(fd: c_int) -> c_int;
}

/// Lets the file system say what it says at a close, the descriptor staying open: every close of a descriptor asks it,
/// and this one is of a copy.
pub(super) fn ask(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 0)?.into_raw_fd();
    // SAFETY: `copy` is a descriptor that nobody else has, and is given up with this call, whatever it answers.
    match unsafe { close(copy) } {
        0 => Ok(()),
        _ => match Errno::from_io_error(&std::io::Error::last_os_error()) {
            // Linux has closed the descriptor all the same.
            Some(Errno::INTR) | None => Ok(()),
            Some(error) => Err(error),
        },
    }
}
