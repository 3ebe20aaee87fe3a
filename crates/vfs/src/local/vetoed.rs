//! Vetoed files, which do not exist for clients, in a directory that a client removes.

use super::handle::LocalHandle;
use super::resolve::{Root, open_entry, statx};
use super::{metadata, names};
use crate::backend::Actor;
use crate::error::{Error, Result};
use crate::limits::VETOED_DEPTH_MAX;
use crate::name_rules::NameRules;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// The rules of a share that removes vetoed files with their directory; `None` for other shares.
pub(super) fn removed_with_directory(root: &Root) -> Option<&NameRules> {
    root.options.names.as_deref().filter(|rules| rules.has_vetoes() && rules.removes_vetoed)
}

/// True if a directory has no entries but vetoed ones.
pub(super) fn has_only(rules: &NameRules, directory: BorrowedFd<'_>) -> Result<bool> {
    Ok(entries(directory)?.iter().all(|name| rules.is_vetoed(&names::decode(name))))
}

/// Removes the vetoed files and directories in a directory, with the rights of `actor`, if it has no others.
pub(super) fn clear(root: &Root, actor: &Actor, directory: &LocalHandle) -> Result<()> {
    let Some(rules) = removed_with_directory(root) else { return Ok(()) };
    let directory = directory.fd();
    if !has_only(rules, directory)? {
        return Ok(());
    }
    let _guard = root.credentials.assume(actor)?;
    remove_all(directory, VETOED_DEPTH_MAX)
}

fn remove_all(directory: BorrowedFd<'_>, depth: u32) -> Result<()> {
    for name in entries(directory)? {
        let raw = match statx(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            raw => raw?,
        };
        let is_directory = metadata::kind(&raw) == Kind::Directory;
        if is_directory {
            let depth = depth.checked_sub(1).ok_or(Error::NotEmpty)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let below = open_entry(directory, &name, flags, Mode::empty())?;
            remove_all(below.as_fd(), depth)?;
        }
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(directory, &name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The names in a directory on disk, without `.` and `..`.
pub(super) fn entries(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
    let mut entries = RawDir::new(fd, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        match entry?.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}
