//! Deleted files that are kept: they are moved to a directory of their user instead of being removed.
//!
//! The directory is on the file system of the deleted file, or the file is not kept. A directory on the way that another
//! user owns is not used: its owner could put another in its place.

use super::change::{note_removal, own};
use super::entry::verified;
use super::folded::OwnChange;
use super::inode;
use super::names;
use super::resolve::{Root, directory_key, open_entry, statx, statx_fd};
use super::vetoed::entries;
use super::{directory, metadata};
use crate::backend::{Actor, Bin};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::limits::{RECYCLED_DEPTH_MAX, RECYCLED_VERSIONS_MAX};
use crate::path::RelativePath;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Moves the name `path` of `handle`'s file to the bin.
pub(super) fn recycle(
    root: &Root,
    actor: &Actor,
    path: &RelativePath,
    handle: &dyn Handle,
    bin: &Bin,
) -> Result<()> {
    let handle = own(handle)?;
    let (parent, name) = path.split().ok_or(Error::AccessDenied)?;
    let home = home(root, actor, &bin.directory).map_err(of_bin)?;
    let guard = root.credentials.assume(actor)?;
    let target_fd = if bin.keeps_tree { below(home, parent).map_err(of_bin)? } else { home };
    let (source_fd, source_path) = root.directory(parent)?;
    let (source_key, target_key) = (directory_key(source_fd.as_fd())?, directory_key(target_fd.as_fd())?);
    let locks = inode::lock_directories(source_key, target_key);
    let source = OwnChange::begin(source_fd.as_fd())?;
    let entry = verified(root, &source, &source_path, name, handle)?;
    if metadata::kind(entry.existing()?) != Kind::File {
        return Err(Error::NotSupported);
    }
    let target = OwnChange::begin(target_fd.as_fd())?;
    let moved_to = moved((source.fd(), &entry.leaf), target.fd(), bin.keeps_versions).map_err(of_bin)?;
    drop(guard);
    source.done(Some(&entry.leaf), None);
    target.done(None, Some(&moved_to));
    note_removal(root, &source, &entry.leaf);
    drop(locks);
    Ok(())
}

/// The error of a call in the bin, whose directories may be removed meanwhile: that says nothing about the file.
fn of_bin(error: Error) -> Error {
    match error {
        Error::NotFound | Error::PathNotFound | Error::Replaced => Error::Busy,
        error => error,
    }
}

/// Removes files that were moved to the bin, or changed, before `limit`, and directories that are empty then. Returns the
/// number of files.
pub(super) fn expire(root: &Root, directory: &RelativePath, limit: SystemTime) -> Result<u64> {
    let seconds = limit.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let limit = i64::try_from(seconds).unwrap_or(i64::MAX);
    let mut at = root.open_at(b"", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let process = root.credentials.uid(&Actor::Process);
    for component in directory.components() {
        at = open_entry(at.as_fd(), &names::encode(component)?, DIRECTORY, Mode::empty())?;
        if statx_fd(at.as_fd())?.stx_uid != process {
            return Err(Error::AccessDenied);
        }
    }
    let mut removed: u64 = 0;
    let mut failed = None;
    for name in entries(at.as_fd())? {
        // An error in the directory of one user does not keep the files of other users from expiring.
        if let Err(error) = expire_entry(at.as_fd(), &name, None, limit, RECYCLED_DEPTH_MAX, &mut removed) {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// Removes the entry, or what is in it, if it is old. A directory that the user of the bin does not own is left: the
/// user may have moved it there with files in it that the user could not delete.
fn expire_entry(
    at: BorrowedFd<'_>,
    name: &[u8],
    user: Option<u32>,
    limit: i64,
    depth: u32,
    removed: &mut u64,
) -> Result<()> {
    let raw = match statx(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        raw => raw?,
    };
    if metadata::kind(&raw) != Kind::Directory {
        if raw.stx_ctime.tv_sec < limit && removed_or_gone(rustix::fs::unlinkat(at, name, AtFlags::empty()))?
        {
            *removed = removed.saturating_add(1);
        }
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let below = open_entry(at, name, DIRECTORY, Mode::empty())?;
    let owner = statx_fd(below.as_fd())?.stx_uid;
    if user.is_some_and(|user| user != owner) {
        return Ok(());
    }
    for name in entries(below.as_fd())? {
        expire_entry(below.as_fd(), &name, Some(owner), limit, depth, removed)?;
    }
    if raw.stx_ctime.tv_sec < limit && directory::is_empty(below.as_fd())? {
        removed_or_gone(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// False if a user has removed it, or used its directory, meanwhile.
fn removed_or_gone(result: std::result::Result<(), Errno>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Renames to a name that is free: the own one, or `report (2).txt`. Returns the name.
fn moved(
    (source, leaf): (BorrowedFd<'_>, &[u8]),
    target: BorrowedFd<'_>,
    keeps_versions: bool,
) -> Result<Vec<u8>> {
    if !keeps_versions {
        match rustix::fs::renameat(source, leaf, target, leaf) {
            // A directory has the name.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return Ok(result.map(|()| leaf.to_vec())?),
        }
    }
    for version in 1..=RECYCLED_VERSIONS_MAX {
        let name = versioned(leaf, version);
        match rustix::fs::renameat_with(source, leaf, target, &name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            result => return Ok(result.map(|()| name)?),
        }
    }
    Err(Error::Exists)
}

/// The name of a version: the number stands before the extension.
fn versioned(leaf: &[u8], version: u32) -> Vec<u8> {
    if version == 1 {
        return leaf.to_vec();
    }
    let dot = leaf.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(leaf.len());
    let (stem, extension) = leaf.split_at_checked(dot).unwrap_or((leaf, &[]));
    let number = format!(" ({version})");
    let room = NAME_BYTES_MAX.saturating_sub(number.len()).saturating_sub(extension.len());
    let mut stem = stem.get(..room).unwrap_or(stem);
    // A character that does not fit is left out as a whole.
    while let [before @ .., last] = stem
        && stem.len() == room
        && std::str::from_utf8(stem).is_err()
        && *last >= 0x80
    {
        stem = before;
    }
    [stem, number.as_bytes(), extension].concat()
}

/// The longest name of a file in bytes (NAME_MAX).
const NAME_BYTES_MAX: usize = 255;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens the user's directory of the bin, and makes it: its last component belongs to the user alone, those above to the
/// server.
fn home(root: &Root, actor: &Actor, directory: &RelativePath) -> Result<OwnedFd> {
    let user = root.credentials.uid(actor);
    let process = root.credentials.uid(&Actor::Process);
    let mut at = root.open_at(b"", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let mut components = directory.components().peekable();
    while let Some(component) = components.next() {
        let is_users = components.peek().is_none();
        let mode = Mode::from_raw_mode(if is_users { 0o700 } else { 0o755 });
        let (next, is_new) = open_or_make(at.as_fd(), &names::encode(component)?, mode)?;
        if is_new {
            // In a directory that others may change, another may have taken the place of the new one.
            if statx_fd(next.as_fd())?.stx_uid != process || !directory::is_empty(next.as_fd())? {
                return Err(Error::AccessDenied);
            }
            rustix::fs::fchmod(&next, mode)?;
            if is_users && user != process {
                rustix::fs::fchown(&next, Some(rustix::process::Uid::from_raw(user)), None)?;
            }
        }
        let owner = statx_fd(next.as_fd())?.stx_uid;
        if owner != process && !(is_users && owner == user) {
            return Err(Error::AccessDenied);
        }
        at = next;
    }
    Ok(at)
}

/// Makes the directories of `path` in the user's directory; the thread acts as the user.
fn below(home: OwnedFd, path: &str) -> Result<OwnedFd> {
    let mut at = home;
    for component in path.split('/').filter(|component| !component.is_empty()) {
        at = open_or_make(at.as_fd(), &names::encode(component)?, Mode::from_raw_mode(0o700))?.0;
    }
    Ok(at)
}

/// The second value is true if the directory was made.
fn open_or_make(at: BorrowedFd<'_>, leaf: &[u8], mode: Mode) -> Result<(OwnedFd, bool)> {
    let is_new = match rustix::fs::mkdirat(at, leaf, mode) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    Ok((open_entry(at, leaf, DIRECTORY, Mode::empty())?, is_new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_before_the_extension_and_are_not_too_long() {
        for (name, version, expected) in [
            ("report.txt", 1, "report.txt"),
            ("report.txt", 2, "report (2).txt"),
            (".profile", 3, ".profile (3)"),
            ("plain", 2, "plain (2)"),
        ] {
            assert_eq!(versioned(name.as_bytes(), version), expected.as_bytes());
        }
        let long = format!("{}.txt", "ä".repeat(125));
        let name = String::from_utf8(versioned(long.as_bytes(), 10)).unwrap();
        assert!(name.len() <= NAME_BYTES_MAX && name.ends_with("ä (10).txt"), "{name}");
    }
}
