//! Steps after a creation: verify the new item, store its attributes, or remove it again.

use super::change::temporary_name;
use super::directory;
use super::dosattrib::DosAttrib;
use super::entry::{is_same, plain};
use super::folded::OwnChange;
use super::incomplete_files::Making;
use super::metadata::{self, Stored};
use super::resolve::{Root, on_the_way, open_entry, statx, statx_fd};
use super::xattr::Node;
use crate::backend::Actor;
use crate::error::{Error, Result};
use crate::stat::{Kind, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wire::FileAttributes;

/// Creates a directory and opens it; the thread acts as `actor`. Also returns its metadata.
///
/// The kernel has no call that does both, and in between a local process with write access to the parent can
/// put another directory under the name. So the opened directory must be the one just created: owned by the
/// actor, empty, and born since the last change of the parent. Any other counts as an existing file
/// ([`Error::Exists`]).
pub(super) fn make_directory(
    root: &Root,
    actor: &Actor,
    change: &OwnChange<'_>,
    leaf: &[u8],
    mode: Mode,
) -> Result<(OwnedFd, Statx)> {
    rustix::fs::mkdirat(change.fd(), leaf, mode).map_err(on_the_way)?;
    let opened = open_entry(change.fd(), leaf, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let fd = match opened {
        Ok(fd) => fd,
        // The directory is gone or replaced. If it is still the own one, its mode denies access to its owner,
        // and the error is returned.
        Err(error) => {
            let is_own = statx(change.fd(), leaf, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|raw| metadata::kind(&raw) == Kind::Directory && is_owned(root, actor, &raw));
            return Err(if is_own { error.into() } else { Error::Exists });
        }
    };
    let raw = statx_fd(fd.as_fd())?;
    let is_made = (is_owned(root, actor, &raw) || is_given_owner(change.fd(), &raw)?)
        && is_born_since(change, &raw)?
        && directory::is_empty(fd.as_fd())?;
    if is_made { Ok((fd, raw)) } else { Err(Error::Exists) }
}

/// Stores the attributes and creation time of a new file or directory, whose metadata are `raw`; returns the metadata that
/// it has then.
pub(super) fn initialize(
    fd: &OwnedFd,
    kind: Kind,
    raw: &Statx,
    attributes: FileAttributes,
    making: &mut Making,
) -> Result<Stat> {
    making.is(raw);
    let of = Node::new(fd.as_fd(), true);
    let created = plain(raw).created;
    let stored = match metadata::store(of, kind, &Stored { attributes, created, changed: None }) {
        Err(Error::NotSupported) => DosAttrib::default(),
        stored => stored?,
    };
    metadata::stat_of_new(of, stored)
}

/// Removes a new file or directory that could not be completed, with the actor's rights, if the name still
/// belongs to it.
pub(super) fn undo(root: &Root, actor: &Actor, change: &OwnChange<'_>, leaf: &[u8], fd: BorrowedFd<'_>) {
    let undone = || -> Result<()> {
        let _guard = root.credentials.assume(actor)?;
        let (own, named) = (statx_fd(fd)?, statx(change.fd(), leaf, AtFlags::SYMLINK_NOFOLLOW)?);
        if !is_same(&own, &named) {
            return Err(Error::Replaced);
        }
        let is_directory = metadata::kind(&own) == Kind::Directory;
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        Ok(rustix::fs::unlinkat(change.fd(), leaf, flags)?)
    };
    match undone() {
        Ok(()) => change.done(Some(leaf), None),
        Err(error) => {
            let name = String::from_utf8_lossy(leaf);
            tracing::warn!(%name, %error, "cannot remove a file whose creation failed; an incomplete file remains");
        }
    }
}

fn is_owned(root: &Root, actor: &Actor, raw: &Statx) -> bool {
    raw.stx_uid == root.credentials.uid(actor)
}

/// True if the directory has the owner that the file system assigns to all new files of this thread: FAT and
/// network file systems with mapped owners have none, or others. A temporary file shows that owner.
fn is_given_owner(parent: BorrowedFd<'_>, raw: &Statx) -> Result<bool> {
    let name = temporary_name(raw.stx_ino);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let probe = open_entry(parent, &name, flags, Mode::empty())?;
    let owner = statx_fd(probe.as_fd()).map(|raw| raw.stx_uid);
    rustix::fs::unlinkat(parent, &name, AtFlags::empty())?;
    Ok(owner? == raw.stx_uid)
}

/// True if the directory was born after the parent's last change before the creation, by the file system's
/// own clock. Also true if the file system stores no birth times, or if its clock was set back.
fn is_born_since(change: &OwnChange<'_>, raw: &Statx) -> Result<bool> {
    let before = change.before().changed();
    if !StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::BTIME)
        || (raw.stx_btime.tv_sec, raw.stx_btime.tv_nsec) >= before
    {
        return Ok(true);
    }
    let parent = statx_fd(change.fd())?;
    Ok((parent.stx_ctime.tv_sec, parent.stx_ctime.tv_nsec) < before)
}
