//! Reparse points: symlinks that clients follow, and reparse data that clients set.

use super::change::{name_gone, temporary_name};
use super::entry::{is_same, joined, verified};
use super::folded::OwnChange;
use super::handle::LocalHandle;
use super::metadata::{self, Stored};
use super::resolve::{Root, open_entry, statx, statx_fd};
use super::{directory, names, xattr};
use crate::backend::{Actor, Opened, Permits, Symlink, SymlinkTarget, Wanted};
use crate::error::{Error, Result};
use crate::handle::ReparsePoint;
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Statx};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use wire::ioctl::{ReparseData, ReparseTag, SymlinkData};
use wire::{FileAttributes, Utf16};

/// Opens a symlink itself; the last component of the path must be one.
pub(super) fn open(root: &Arc<Root>, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
    if path.stream().is_some() {
        return Err(Error::Loop);
    }
    let _guard = root.credentials.assume(actor)?;
    let located = root.locate(path)?;
    if located.missed_in.is_some() {
        return Err(Error::NotFound);
    }
    let disk = located.path();
    let fd = open_entry(located.parent.as_fd(), &located.leaf, OFlags::PATH, Mode::empty())?;
    let raw = statx_fd(fd.as_fd())?;
    if metadata::kind(&raw) != Kind::Symlink {
        return Err(Error::Busy);
    }
    let stat = stat(root, &disk, &raw);
    let path = names::decode_path(&disk);
    let handle = LocalHandle::new(root, fd, wanted, false, &stat, disk, actor);
    Ok(Opened {
        handle: Arc::new(handle),
        path,
        stream: None,
        stat,
        permits: Permits::default(),
        named: None,
    })
}

/// The first symlink in a path that clients must follow.
pub(super) fn first(root: &Root, actor: &Actor, path: &RelativePath) -> Result<Option<Symlink>> {
    let components: Vec<&str> = path.components().collect();
    for (index, _) in components.iter().enumerate() {
        let (parsed, behind) = components.split_at_checked(index.saturating_add(1)).unwrap_or_default();
        let guard = root.credentials.assume(actor)?;
        let located = root.locate(&RelativePath::new(parsed.join("/"))?)?;
        if located.missed_in.is_some() {
            return Err(Error::NotFound);
        }
        let found = |target| Ok(Some(Symlink { components_behind: behind.len(), target }));
        let own_path = located.path();
        let fd = if metadata::kind(&located.lstat()?) != Kind::Symlink {
            open_entry(located.parent.as_fd(), &located.leaf, OFlags::PATH, Mode::empty())?
        } else if root.options.follow_symlinks {
            root.open_at(&own_path, OFlags::PATH, Mode::empty())?
        } else {
            let target = rustix::fs::readlinkat(&located.parent, &located.leaf, Vec::new())?;
            let target = inside(&own_path, target.as_bytes()).ok_or(Error::AccessDenied)?;
            return found(SymlinkTarget::Relative(target));
        };
        // The stored data is read with the server's rights.
        drop(guard);
        if metadata::stat_fd(fd.as_fd())?.reparse_tag == ReparseTag::SYMLINK.0 {
            let data = xattr::get(fd.as_fd(), xattr::REPARSE)?.unwrap_or_default();
            return found(kept_target(&own_path, &data)?);
        }
    }
    Ok(None)
}

/// The target of a symlink that is stored as reparse data; an error if the data is malformed.
fn kept_target(link: &[u8], data: &[u8]) -> Result<SymlinkTarget> {
    let symlink = ReparseData::decode(data).and_then(|data| SymlinkData::<Utf16<'_>>::decode(data.data));
    let symlink = symlink.map_err(|_| Error::AccessDenied)?;
    let substitute = symlink.substitute_name.to_text();
    if !symlink.relative {
        return Ok(SymlinkTarget::Absolute { substitute, print: symlink.print_name.to_text() });
    }
    let target = encode(&substitute.replace('\\', "/"))?;
    inside(link, &target).map(SymlinkTarget::Relative).ok_or(Error::AccessDenied)
}

/// The metadata of the symlink at `path`. As in Windows, a symlink to a directory has the DIRECTORY
/// attribute.
pub(super) fn stat(root: &Root, path: &[u8], raw: &Statx) -> Stat {
    let mut stat = metadata::to_stat(raw, Default::default());
    let target = root.followed(path).and_then(|fd| statx_fd(fd.as_fd()));
    if target.is_ok_and(|target| metadata::kind(&target) == Kind::Directory) {
        stat.attributes = stat.attributes.without(FileAttributes::ARCHIVE) | FileAttributes::DIRECTORY;
    }
    stat
}

/// Sets the reparse tag of a file that is marked as a reparse point; `read` returns the data.
pub(super) fn complete(stat: &mut Stat, read: impl FnOnce() -> Result<Option<Vec<u8>>>) -> Result<()> {
    if stat.kind == Kind::Symlink || !stat.attributes.contains(FileAttributes::REPARSE_POINT) {
        return Ok(());
    }
    match read()?.as_deref().and_then(<[u8]>::first_chunk) {
        Some(tag) => stat.reparse_tag = u32::from_le_bytes(*tag),
        None => {
            let others = stat.attributes.without(FileAttributes::REPARSE_POINT);
            stat.attributes = if others.is_none() { FileAttributes::NORMAL } else { others };
        }
    }
    Ok(())
}

/// The contents of a reparse point; `None` for other files.
pub(super) fn reparse_point(handle: &LocalHandle) -> Result<Option<ReparsePoint>> {
    if handle.kind() == Kind::Symlink {
        let target = target_of(handle.fd())?;
        let target = inside(&handle.path(), &target).ok_or(Error::AccessDenied)?;
        return Ok(Some(ReparsePoint::Symlink(target)));
    }
    if metadata::stat_fd(handle.node())?.reparse_tag == 0 {
        return Ok(None);
    }
    Ok(xattr::get(handle.node(), xattr::REPARSE)?.map(ReparsePoint::Data))
}

/// Stores or removes the reparse data of a file.
pub(super) fn set_data(handle: &LocalHandle, data: Option<&[u8]>) -> Result<()> {
    if !metadata::has_attributes(handle.kind()) {
        return Err(Error::NotSupported);
    }
    if let Some(data) = data {
        let is_symlink =
            data.first_chunk().is_some_and(|tag| u32::from_le_bytes(*tag) == ReparseTag::SYMLINK.0);
        if is_symlink {
            // A symlink that leads out of the share is refused.
            kept_target(&handle.path(), data)?;
        }
        xattr::set(handle.node(), xattr::REPARSE, data)?;
    }
    metadata::update(handle.node(), |stat| {
        let others = stat.attributes.without(FileAttributes::REPARSE_POINT);
        let mark = if data.is_some() { FileAttributes::REPARSE_POINT } else { FileAttributes::NONE };
        Stored { attributes: others | mark, created: stat.created, changed: None }
    })?;
    if data.is_none() { xattr::remove(handle.node(), xattr::REPARSE) } else { Ok(()) }
}

/// Replaces an empty file, directory or symlink with a symlink.
pub(super) fn make(
    root: &Root,
    actor: &Actor,
    path: &RelativePath,
    handle: &LocalHandle,
    target: &str,
) -> Result<()> {
    if root.options.follow_symlinks || !handle.can_be_replaced() {
        return Err(Error::NotSupported);
    }
    let target = encode(target)?;
    let stat = handle.stat_now()?;
    if stat.kind == Kind::Other || stat.size != 0 {
        return Err(Error::NotSupported);
    }
    if stat.kind == Kind::Directory && !directory::is_empty(handle.fd())? {
        return Err(Error::NotEmpty);
    }
    let (parent, name) = path.split().ok_or(Error::NotSupported)?;
    let guard = root.credentials.assume(actor)?;
    let directory = root.hold(parent)?;
    let change = OwnChange::begin(directory.fd.as_fd())?;
    let entry = verified(root, &change, &directory.path, name, handle)?;
    inside(&joined(&directory.path, &entry.leaf), &target).ok_or(Error::AccessDenied)?;
    let temporary = temporary_name(stat.inode);
    rustix::fs::symlinkat(&*target, change.fd(), &temporary)?;
    let placed = place_link(change.fd(), &temporary, &entry.leaf, &target, handle);
    change.done(None, Some(&entry.leaf));
    let placed = placed?;
    drop(guard);
    drop(directory);
    name_gone(handle);
    if handle.replace(placed) { Ok(()) } else { Err(Error::Busy) }
}

/// Moves the symlink `temporary` to the name `leaf`, replacing the empty file that `handle` has open; returns
/// a descriptor of the symlink.
fn place_link(
    parent: BorrowedFd<'_>,
    temporary: &[u8],
    leaf: &[u8],
    target: &[u8],
    handle: &LocalHandle,
) -> Result<OwnedFd> {
    let link = open_entry(parent, temporary, OFlags::PATH, Mode::empty())?;
    // A local process with write access to the directory may have replaced the symlink.
    if target_of(link.as_fd()).ok().as_deref() != Some(target) {
        return Err(Error::Busy);
    }
    let placed = exchange(parent, temporary, leaf, link.as_fd(), handle);
    if placed.is_err() && is_entry(parent, temporary, link.as_fd()) {
        rustix::fs::unlinkat(parent, temporary, AtFlags::empty())?;
    }
    placed.map(|()| link)
}

/// Exchanges the names of a symlink and an empty file, directory or symlink, and removes the latter, if it
/// still is the file that `handle` has open, and empty. Otherwise exchanges the names back.
fn exchange(
    parent: BorrowedFd<'_>,
    temporary: &[u8],
    leaf: &[u8],
    link: BorrowedFd<'_>,
    handle: &LocalHandle,
) -> Result<()> {
    let is_directory = handle.kind() == Kind::Directory;
    match rustix::fs::renameat_with(parent, temporary, parent, leaf, RenameFlags::EXCHANGE) {
        // A file system that cannot exchange names can still replace a file.
        Err(Errno::INVAL | Errno::NOSYS) if !is_directory => {
            return Ok(rustix::fs::renameat(parent, temporary, parent, leaf)?);
        }
        result => result?,
    }
    let removed = || -> Result<()> {
        let raw = statx(parent, temporary, AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_same(&raw, &statx_fd(handle.fd())?) {
            return Err(Error::Replaced);
        }
        if metadata::kind(&raw) == Kind::File && raw.stx_size != 0 {
            return Err(Error::Busy);
        }
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        // Fails if another process has created an entry in the directory meanwhile.
        Ok(rustix::fs::unlinkat(parent, temporary, flags)?)
    };
    if let Err(error) = removed() {
        take_back(parent, temporary, leaf, link)?;
        return Err(error);
    }
    Ok(())
}

/// Attempts to find the symlink under its new name when the exchange is undone. A local process that
/// constantly exchanges names has it elsewhere half of the time.
const TAKE_BACK_TRIES: usize = 10_000;

/// Exchanges the names back, so that the file at `leaf` is not left under the temporary name.
///
/// Exchanges only while the symlink is at `leaf`: if a local process has moved it, the exchange would
/// displace another file. If it is moved between the check and the exchange, the loop continues with the file
/// that was displaced.
fn take_back(parent: BorrowedFd<'_>, temporary: &[u8], leaf: &[u8], link: BorrowedFd<'_>) -> Result<()> {
    for _ in 0..TAKE_BACK_TRIES {
        if is_entry(parent, temporary, link) {
            return Ok(());
        }
        if is_entry(parent, leaf, link) {
            rustix::fs::renameat_with(parent, temporary, parent, leaf, RenameFlags::EXCHANGE)?;
        } else {
            std::thread::yield_now();
        }
    }
    tracing::warn!(
        temporary = %String::from_utf8_lossy(temporary),
        name = %String::from_utf8_lossy(leaf),
        "cannot undo the creation of a symlink, because a local process keeps renaming it; a file may have been left \
         under the temporary name"
    );
    Err(Error::Busy)
}

/// True if an entry is the file that the descriptor has open.
fn is_entry(parent: BorrowedFd<'_>, leaf: &[u8], fd: BorrowedFd<'_>) -> bool {
    let named = statx(parent, leaf, AtFlags::SYMLINK_NOFOLLOW);
    matches!((named, statx_fd(fd)), (Ok(named), Ok(own)) if is_same(&named, &own))
}

/// The target of a symlink as clients see it; `None` if it leads out of the share. `..` is resolved
/// textually, as clients do: they follow it with another open, which is checked again.
fn inside(link: &[u8], target: &[u8]) -> Option<String> {
    if target.starts_with(b"/") {
        return None;
    }
    let components = |path: &[u8]| path.split(|byte| *byte == b'/').filter(|it| !it.is_empty()).count();
    let mut depth = components(link).saturating_sub(1);
    let mut shown = Vec::new();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                depth = depth.checked_sub(1)?;
                shown.push(String::from(".."));
            }
            name => {
                depth = depth.saturating_add(1);
                shown.push(names::decode(name));
            }
        }
    }
    Some(if shown.is_empty() { String::from(".") } else { shown.join("/") })
}

/// A target in its form on disk.
fn encode(target: &str) -> Result<Vec<u8>> {
    let mut disk = Vec::with_capacity(target.len());
    for component in target.split('/') {
        match component {
            "" => return Err(Error::InvalidName),
            "." | ".." => names::push_component(&mut disk, component.as_bytes()),
            name => names::push_component(&mut disk, &names::encode(name)?),
        }
    }
    Ok(disk)
}

fn target_of(link: BorrowedFd<'_>) -> Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(link, c"", Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_leave_the_share_are_hidden() {
        for (link, target, shown) in [
            ("l", "a/b", Some("a/b")),
            ("l", "./a//b/", Some("a/b")),
            ("l", ".", Some(".")),
            ("d/l", "..", Some("..")),
            ("d/l", "../x/../y:z", Some("../x/../y\u{f022}z")),
            ("l", "..", None),
            ("l", "a/../../b", None),
            ("d/l", "../../b", None),
            ("l", "/etc/passwd", None),
        ] {
            assert_eq!(inside(link.as_bytes(), target.as_bytes()).as_deref(), shown, "{link} to {target}");
        }
    }

    #[test]
    fn targets_are_encoded_as_names_are() {
        assert_eq!(encode("../a\u{f022}b").unwrap(), b"../a:b");
        for wrong in ["", "/a", "a/", "a//b", "a/\0"] {
            assert!(encode(wrong).is_err(), "{wrong:?}");
        }
    }
}
