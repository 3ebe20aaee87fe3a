//! The abilities of a share's file systems: the root's, and those that are mounted below.

use super::resolve::{device, mount, statx_fd};
use super::{LocalOptions, clone, dosattrib, xattr};
use crate::backend::Capabilities;
use crate::error::Result;
use crate::limits::FILE_SYSTEMS_MAX;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use parking_lot::Mutex;

/// The abilities of the file systems below a share's root, as far as they were asked for, by mount and device.
#[derive(Default)]
pub(super) struct Abilities(Mutex<BTreeMap<(u64, u64), Capabilities>>);

impl Abilities {
    /// Asks for the abilities of the file system that `fd` is in, where that is not the root's, which is mounted as
    /// `root`. Opens `directory`, the one that `fd` is of or in, where they were not asked for before.
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

/// Asks for the abilities of the file system that a file and `directory` are in.
pub(super) fn probe(
    fd: BorrowedFd<'_>,
    directory: Option<BorrowedFd<'_>>,
    options: &LocalOptions,
) -> Capabilities {
    let mut capabilities = Capabilities::CASE_INSENSITIVE | Capabilities::HARD_LINKS | Capabilities::NOWAIT;
    // Asking tells whether the file system knows user attributes without leaving a trace on the disk.
    let mut record = [0; dosattrib::RECORD_BYTES_MAX];
    let asked = rustix::fs::getxattr(xattr::proc_path(fd), dosattrib::NAME, &mut record[..]);
    if !matches!(asked, Err(Errno::OPNOTSUPP)) {
        // That a file is sparse is one of the attributes.
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
