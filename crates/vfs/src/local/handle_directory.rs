//! The server's own directory in a share for the logs of opens that outlive the server: `.shareward-handles`. As the
//! store of streams, it belongs to the process, no other user can enter it, and clients do not see it.

use super::resolve::{Root, open_entry, statx_fd};
use super::store;
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// The directory, which is hidden from clients everywhere.
pub(super) const DIRECTORY: &[u8] = b".shareward-handles";
/// [`DIRECTORY`] as a name that clients send.
pub(super) const DIRECTORY_NAME: &str = ".shareward-handles";

/// Opens the directory in a share's root, and creates it if it does not exist. One that belongs to another user, or that
/// others may enter, is [`Error::AccessDenied`]: its contents could be forged.
pub(super) fn open_or_make(root: &Root) -> Result<OwnedFd> {
    if root.options.read_only {
        return Err(Error::ReadOnly);
    }
    match rustix::fs::mkdirat(root.fd.as_fd(), DIRECTORY, Mode::from_raw_mode(0o700)) {
        Ok(()) => synchronize(root)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let directory =
        open_entry(root.fd.as_fd(), DIRECTORY, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let device = super::resolve::device(&statx_fd(root.fd.as_fd())?);
    match store::is_ours(root, directory.as_fd(), device)? {
        true => Ok(directory),
        false => Err(Error::AccessDenied),
    }
}

/// Brings the new name of the directory onto the disk, so that a loss of power does not take the logs in it away.
fn synchronize(root: &Root) -> Result<()> {
    let parent = open_entry(root.fd.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    match rustix::fs::fsync(parent) {
        // The file system has nothing to write.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
