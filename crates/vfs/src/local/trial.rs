//! Tries an extended attribute on a file without a name, before streams of the real file are moved for it.

use super::handle::LocalHandle;
use super::resolve::statx_fd;
use super::{store, xattr};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;

/// True if an attribute would fit if the file had no streams, or if that cannot be tried.
pub(super) fn fits_without_streams(base: &LocalHandle, name: &[u8], value: &[u8]) -> bool {
    !matches!(tried(base, name, value), Err(Error::Limitation))
}

fn tried(base: &LocalHandle, name: &[u8], value: &[u8]) -> Result<()> {
    let directory = store::home(base, &statx_fd(base.fd())?).map_err(|_| Error::NotSupported)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, c".", flags, Mode::from_raw_mode(0o600))?;
    for other in xattr::list(base.node())? {
        if other == name || other.starts_with(xattr::STREAM_PREFIX) {
            continue;
        }
        if let Some(value) = xattr::get(base.node(), &other)? {
            // Attributes that only the kernel sets are already set on this file.
            let _ = xattr::set(file.as_fd(), &other, &value);
        }
    }
    xattr::set(file.as_fd(), name, value)
}
