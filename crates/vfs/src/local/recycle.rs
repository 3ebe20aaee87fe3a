//! Deleted files that are kept: they are moved to a directory of their user instead of being removed.
//!
//! The directory is on the file system of the deleted file, or the file is not kept. A directory on the way that another
//! user owns is not used: its owner could put another in its place.

use super::change::{note_removal, own};
use super::entry::verified;
use super::folded::OwnChange;
use super::inode;
use super::names;
use super::resolve::{Root, inode_key, open_entry, statx_fd};
use super::{directory, metadata};
use crate::backend::{Actor, Bin};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::limits::RECYCLED_VERSIONS_MAX;
use crate::path::RelativePath;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
    let target_fd = place(root, actor, bin, parent)?;
    let guard = root.credentials.assume(actor)?;
    let (source_fd, source_path) = root.directory(parent)?;
    let (source_key, target_key) = (inode_key(source_fd.as_fd())?, inode_key(target_fd.as_fd())?);
    let locks = inode::lock_directories(source_key, target_key);
    let source = OwnChange::begin(source_fd.as_fd())?;
    let entry = verified(root, &source, &source_path, name, handle)?;
    if metadata::kind(entry.existing()?) != Kind::File {
        return Err(Error::NotSupported);
    }
    let target = OwnChange::begin(target_fd.as_fd())?;
    let moved_to =
        moved((source.fd(), &entry.leaf), target.fd(), &entry.leaf, bin.keeps_versions).map_err(of_bin)?;
    drop(guard);
    source.done(Some(&entry.leaf), None);
    target.done(None, Some(&moved_to));
    note_removal(root, &source, &entry.leaf);
    drop(locks);
    Ok(())
}

/// A name in a directory.
type Name<'a> = (BorrowedFd<'a>, &'a [u8]);

/// The directory of the bin for a file whose name is in the directory `parent` of the share.
pub(super) fn place(root: &Root, actor: &Actor, bin: &Bin, parent: &str) -> Result<OwnedFd> {
    let home = home(root, actor, &bin.directory).map_err(of_bin)?;
    if !bin.keeps_tree {
        return Ok(home);
    }
    let _guard = root.credentials.assume(actor)?;
    below(home, parent).map_err(of_bin)
}

/// Renames over a file, which is moved to the directory `place` of the bin. The second result is the reason why it is
/// removed instead. The thread acts as the user.
pub(super) fn replace(
    ((source, old), (target, new)): (Name<'_>, Name<'_>),
    place: BorrowedFd<'_>,
    keeps_versions: bool,
) -> Result<Result<()>> {
    // The two files exchange their names, so that neither name is missing at any time.
    match rustix::fs::renameat_with(source, old, target, new, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(error) => {
            rustix::fs::renameat(source, old, target, new)?;
            return Ok(Err(error.into()));
        }
    }
    let Err(error) = moved((source, old), place, new, keeps_versions) else { return Ok(Ok(())) };
    if rustix::fs::unlinkat(source, old, AtFlags::empty()).is_err() {
        // The user may replace the file, but not remove it from the other directory.
        rustix::fs::renameat_with(source, old, target, new, RenameFlags::EXCHANGE)?;
        rustix::fs::renameat(source, old, target, new)?;
    }
    Ok(Err(of_bin(error)))
}

/// The error of a call in the bin, whose directories may be removed meanwhile: that says nothing about the file.
fn of_bin(error: Error) -> Error {
    match error {
        Error::NotFound | Error::PathNotFound | Error::Replaced => Error::Busy,
        error => error,
    }
}

/// Moves a file to the name `leaf` if that is free, or else to one like `report (2).txt`. Returns the name.
fn moved(
    (source, own): Name<'_>,
    target: BorrowedFd<'_>,
    leaf: &[u8],
    keeps_versions: bool,
) -> Result<Vec<u8>> {
    if !keeps_versions {
        match rustix::fs::renameat(source, own, target, leaf) {
            // A directory has the name.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return Ok(result.map(|()| leaf.to_vec())?),
        }
    }
    for version in 1..=RECYCLED_VERSIONS_MAX {
        let name = versioned(leaf, version);
        match rustix::fs::renameat_with(source, own, target, &name, RenameFlags::NOREPLACE) {
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

pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

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
        // If the server has ended before it gave the user a new directory, that is still the server's, and empty.
        let is_unfinished = is_users
            && user != process
            && statx_fd(next.as_fd())?.stx_uid == process
            && directory::is_empty(next.as_fd())?;
        if is_new || is_unfinished {
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
