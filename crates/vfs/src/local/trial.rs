//! A trial of an extended attribute on a file without a name, before anything of the real one is moved for it.

use super::handle::LocalHandle;
use super::resolve::statx_fd;
use super::{store, xattr};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;

/// The file system could keep an attribute of a file if no streams were beside it. Where that cannot be tried, it is
/// taken to be so.
pub(super) fn fits_without_streams(base: &LocalHandle, name: &[u8], value: &[u8]) -> bool {
    !matches!(tried(base, name, value), Err(Error::Limitation))
}

fn tried(base: &LocalHandle, name: &[u8], value: &[u8]) -> Result<()> {
    let directory = store::home(base, &statx_fd(base.fd())?).map_err(|_| Error::NotSupported)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, c".", flags, Mode::from_raw_mode(0o600))?;
    for other in xattr::list(base.fd())? {
        if other == name || other.starts_with(xattr::STREAM_PREFIX) {
            continue;
        }
        if let Some(value) = xattr::get(base.fd(), &other)? {
            // What only the kernel sets, it has set on this one, too.
            let _ = xattr::set(file.as_fd(), &other, &value);
        }
    }
    xattr::set(file.as_fd(), name, value)
}
