//! Conversion between statx with the stored DOS attributes, and [`Stat`].

use super::dosattrib::{self, DosAttrib, SetChange};
use super::inode::{self, Purpose};
use super::known_attributes::{Known, Version};
use super::resolve::{device, statx_fd};
use super::xattr::Node;
use super::{link, xattr};
use crate::error::{Error, Result};
use crate::handle::ea_size;
use crate::stat::{DERIVED_ATTRIBUTES, Kind, SETTABLE_ATTRIBUTES, Stat, normalized};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Statx, StatxFlags, StatxTimestamp};
use std::os::fd::BorrowedFd;
use wire::ioctl::ReparseTag;
use wire::{FileAttributes, FileTime};

/// Attempts to store a change time that does not count because of a delay.
const SET_CHANGE_ATTEMPTS: usize = 4;

/// The write permission bits of owner, group and others.
const ANY_WRITE: u32 = 0o222;

/// The metadata of an open file.
pub(super) fn stat_fd<'a>(of: impl Into<Node<'a>>) -> Result<Stat> {
    let of = of.into();
    let raw = statx_fd(of.fd)?;
    stat_of(of, &raw)
}

/// The metadata of an open file that the kernel has just returned as `raw`, with the stored attributes. Those come from
/// memory if the file has not changed since they were read.
pub(super) fn stat_of(of: Node<'_>, raw: &Statx) -> Result<Stat> {
    let version = version(of, raw);
    let mut known = version.map(|version| version.known()).unwrap_or_default();
    completed(of, raw, version, &mut known)
}

/// The metadata of an open file as [`stat_fd`] returns them, and its `EaSize`, both from memory if the file has not
/// changed since they were read.
pub(super) fn stat_and_ea_size(of: Node<'_>) -> Result<(Stat, u32)> {
    let raw = statx_fd(of.fd)?;
    let version = version(of, &raw);
    let mut known = version.map(|version| version.known()).unwrap_or_default();
    let stat = completed(of, &raw, version, &mut known)?;
    if let Some(size) = known.ea_size {
        return Ok((stat, size));
    }
    let visible = xattr::list_visible(of)?;
    let size = ea_size(visible.iter().map(|it| (it.name.len(), it.value.len())));
    if let Some(version) = version {
        version.keep(Known { ea_size: Some(size), ..known });
    }
    Ok((stat, size))
}

/// The metadata of a new file, whose stored attributes are still those that this thread has written.
pub(super) fn stat_of_new(of: Node<'_>, stored: DosAttrib) -> Result<Stat> {
    with_reparse_tag(of, to_stat(&statx_fd(of.fd)?, stored))
}

fn version(of: Node<'_>, raw: &Statx) -> Option<Version> {
    if has_attributes(kind(raw)) { Version::of(raw, of.fd) } else { None }
}

/// Combines the kernel's metadata with the stored attributes, which are read and kept unless they are known.
fn completed(of: Node<'_>, raw: &Statx, version: Option<Version>, known: &mut Known) -> Result<Stat> {
    if known.dos.is_none() {
        // Empty if the server's own user may not read the file.
        known.dos = readable(stored(of, kind(raw)))?;
        if let (Some(version), Some(_)) = (version, known.dos) {
            version.keep(*known);
        }
    }
    with_reparse_tag(of, to_stat(raw, known.dos.unwrap_or_default()))
}

fn with_reparse_tag(of: Node<'_>, mut stat: Stat) -> Result<Stat> {
    link::complete(&mut stat, || Ok(readable(xattr::get(of, xattr::REPARSE))?.flatten()))?;
    Ok(stat)
}

/// `None` if the server's own user may not read the file. Other errors are returned, because the file must
/// not appear to have no attributes.
fn readable<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::AccessDenied) => Ok(None),
        result => result.map(Some),
    }
}

/// The stored attributes of an open file; empty if there are none, or if the record is malformed. A record
/// that cannot be read is an error: it may protect the file, and the next change would overwrite it.
pub(super) fn stored<'a>(of: impl Into<Node<'a>>, kind: Kind) -> Result<DosAttrib> {
    if !has_attributes(kind) {
        return Ok(DosAttrib::default());
    }
    let mut buffer = [0; dosattrib::RECORD_BYTES_MAX];
    let record = xattr::get_short(of, dosattrib::NAME.as_bytes(), &mut buffer)?;
    Ok(record.and_then(DosAttrib::parse).unwrap_or_default())
}

/// True if the kernel supports user attributes for this kind: files and directories only.
pub(super) fn has_attributes(kind: Kind) -> bool {
    matches!(kind, Kind::File | Kind::Directory)
}

/// The kind of a file.
pub(super) fn kind(raw: &Statx) -> Kind {
    match FileType::from_raw_mode(u32::from(raw.stx_mode)) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// The time of birth in seconds since 1970 and nanoseconds; `None` if the file system has none.
pub(super) fn birth(raw: &Statx) -> Option<(i64, u32)> {
    let is_told = StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::BTIME);
    is_told.then_some((raw.stx_btime.tv_sec, raw.stx_btime.tv_nsec))
}

/// Combines the kernel's metadata with the stored record.
pub(super) fn to_stat(raw: &Statx, stored: DosAttrib) -> Stat {
    let kind = kind(raw);
    let is_file = kind == Kind::File;
    let mode = u32::from(raw.stx_mode) & 0o7777;
    let modified = time(&raw.stx_mtime);
    let changed = time(&raw.stx_ctime);
    let born = birth(raw).map_or_else(|| modified.min(changed), |_| time(&raw.stx_btime));
    Stat {
        device: device(raw),
        inode: raw.stx_ino,
        size: if is_file { raw.stx_size } else { 0 },
        allocation: if is_file { raw.stx_blocks.saturating_mul(512) } else { 0 },
        links: if kind == Kind::Directory { 1 } else { raw.stx_nlink },
        kind,
        created: stored.created.unwrap_or(born),
        accessed: time(&raw.stx_atime),
        modified,
        changed: stored.changed.filter(|set| set.counts(changed)).map_or(changed, |set| set.time),
        attributes: normalized(stored.attributes.unwrap_or_else(|| from_mode(mode, kind)), kind),
        reparse_tag: if kind == Kind::Symlink { ReparseTag::SYMLINK.0 } else { 0 },
        mode,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
    }
}

/// The attributes of a file without stored ones.
fn from_mode(mode: u32, kind: Kind) -> FileAttributes {
    match kind {
        Kind::File if mode & ANY_WRITE == 0 => FileAttributes::ARCHIVE | FileAttributes::READONLY,
        Kind::File | Kind::Symlink => FileAttributes::ARCHIVE,
        Kind::Directory | Kind::Other => FileAttributes::NONE,
    }
}

/// The metadata that can be stored.
pub(super) struct Stored {
    pub(super) attributes: FileAttributes,
    pub(super) created: FileTime,
    /// The change time, if it is to be set.
    pub(super) changed: Option<FileTime>,
}

/// Changes the stored attributes; `change` receives the current metadata. If the file system has no user
/// attributes, READONLY is stored in the permission bits, and the rest is lost.
pub(super) fn update(of: Node<'_>, change: impl FnOnce(&Stat) -> Stored) -> Result<()> {
    update_or(of, change, |stat, new| {
        set_readonly_mode(of.fd, stat, new.attributes.contains(FileAttributes::READONLY))
    })
}

/// Changes the stored attributes as [`update`] does, but returns [`Error::NotSupported`] if they cannot be
/// stored.
pub(super) fn update_kept(of: Node<'_>, change: impl FnOnce(&Stat) -> Stored) -> Result<()> {
    update_or(of, change, |_, _| Err(Error::NotSupported))
}

fn update_or(
    of: Node<'_>,
    change: impl FnOnce(&Stat) -> Stored,
    otherwise: impl FnOnce(&Stat, &Stored) -> Result<()>,
) -> Result<()> {
    let raw = statx_fd(of.fd)?;
    let kind = kind(&raw);
    if !has_attributes(kind) {
        return Err(Error::NotSupported);
    }
    let _lock = inode::lock(Purpose::Attributes, (device(&raw), raw.stx_ino));
    // The stored attributes may have changed until now, and the kernel's change time with them.
    let stat = to_stat(&statx_fd(of.fd)?, stored(of, kind)?);
    let new = change(&stat);
    match store(of, kind, &new) {
        Err(Error::NotSupported) => otherwise(&stat, &new),
        result => result.map(drop),
    }
}

/// Stores attributes and times; returns what was stored.
pub(super) fn store(of: Node<'_>, kind: Kind, new: &Stored) -> Result<DosAttrib> {
    let mut kept = new.attributes & (SETTABLE_ATTRIBUTES | DERIVED_ATTRIBUTES);
    if kind == Kind::Directory {
        kept |= FileAttributes::DIRECTORY;
    }
    let record = DosAttrib { attributes: Some(kept), created: Some(new.created), changed: None };
    let put =
        |record: DosAttrib| xattr::set(of, dosattrib::NAME.as_bytes(), &record.to_record()).map(|()| record);
    let Some(time) = new.changed else { return put(record) };
    let mut stored = record;
    for _ in 0..SET_CHANGE_ATTEMPTS {
        let set = SetChange { time, at: now() };
        stored = put(DosAttrib { changed: Some(set), ..record })?;
        // If the thread was delayed between the two steps, the kernel's change time may be too late.
        if set.counts(self::time(&statx_fd(of.fd)?.stx_ctime)) {
            break;
        }
    }
    Ok(stored)
}

fn set_readonly_mode(fd: BorrowedFd<'_>, stat: &Stat, readonly: bool) -> Result<()> {
    let mode = match (readonly, stat.mode & ANY_WRITE == 0) {
        (true, false) => stat.mode & !ANY_WRITE,
        // Only the owner gets the permission back, because the previous bits are unknown.
        (false, true) => stat.mode | 0o200,
        _ => return Ok(()),
    };
    if stat.kind != Kind::File {
        return Ok(());
    }
    Ok(rustix::fs::chmodat(CWD, xattr::proc_path(fd), Mode::from_raw_mode(mode), AtFlags::empty())?)
}

fn time(raw: &StatxTimestamp) -> FileTime {
    FileTime::from_unix(raw.tv_sec, raw.tv_nsec)
}

/// The time of the clock that the kernel uses for file times.
pub(super) fn now() -> FileTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    FileTime::from_unix(now.tv_sec, u32::try_from(now.tv_nsec).unwrap_or_default())
}
