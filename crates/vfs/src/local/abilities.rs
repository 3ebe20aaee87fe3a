//! The features of a share's file systems: the root's, and those mounted below.

use super::resolve::{device, mount, statx_fd};
use super::{LocalOptions, clone, dosattrib, xattr};
use crate::backend::Capabilities;
use crate::error::Result;
use crate::limits::FILE_SYSTEMS_MAX;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use parking_lot::Mutex;

/// The features of the file systems below a share's root that were queried so far, by mount and device.
#[derive(Default)]
pub(super) struct Abilities(Mutex<BTreeMap<(u64, u64), Capabilities>>);

impl Abilities {
    /// The features of the file system that `fd` is in; `None` if it is the root's, which is mounted as
    /// `root`. If they are not known yet, `directory` opens the directory that `fd` is or is in.
    pub(super) fn below(
        &self,
        root: (u64, u64),
        fd: BorrowedFd<'_>,
        options: &LocalOptions,
        directory: impl FnOnce() -> Option<OwnedFd>,
    ) -> Result<Option<Capabilities>> {
        let place = (mount(fd)?, device(&statx_fd(fd)?));
        if place == root {
            return Ok(None);
        }
        let known = self.0.lock().get(&place).copied();
        if let Some(known) = known {
            return Ok(Some(known));
        }
        let directory = directory();
        let capabilities = probe(fd, directory.as_ref().map(std::os::fd::AsFd::as_fd), options);
        if directory.is_some() {
            let mut known = self.0.lock();
            if known.len() >= FILE_SYSTEMS_MAX {
                known.clear();
            }
            known.insert(place, capabilities);
        }
        Ok(Some(capabilities))
    }
}

/// Queries the features of the file system that a file and `directory` are in.
pub(super) fn probe(
    fd: BorrowedFd<'_>,
    directory: Option<BorrowedFd<'_>>,
    options: &LocalOptions,
) -> Capabilities {
    let mut capabilities = Capabilities::CASE_INSENSITIVE | Capabilities::HARD_LINKS | Capabilities::NOWAIT;
    // Reading an attribute shows whether the file system has user attributes, without leaving a trace on the
    // disk.
    let mut record = [0; dosattrib::RECORD_BYTES_MAX];
    let asked = rustix::fs::getxattr(xattr::proc_path(fd), dosattrib::NAME, &mut record[..]);
    if !matches!(asked, Err(Errno::OPNOTSUPP)) {
        // SPARSE_FILE is one of the stored attributes.
        capabilities |= Capabilities::STREAMS
            | Capabilities::XATTR
            | Capabilities::DOS_ATTRIBUTES
            | Capabilities::SPARSE
            | Capabilities::REPARSE_POINTS
            | Capabilities::SECURITY;
    }
    if directory.is_some_and(clone::is_supported) {
        capabilities |= Capabilities::BLOCK_CLONES;
    }
    if !options.follow_symlinks {
        capabilities |= Capabilities::REPARSE_POINTS | Capabilities::SYMLINKS;
    }
    capabilities
}
