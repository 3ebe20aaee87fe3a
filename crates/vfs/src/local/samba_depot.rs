//! The directories of named streams in the format of Samba's `vfs_streams_depot`: the streams of a file are
//! in `.streams/XX/YY/ID` below the share's root. ID is the file's device and inode number, XX and YY are a
//! hash of it, and the file has an attribute as its mark.
//!
//! Inode numbers are reused after a deletion, and attributes are copied with a file. So a directory is valid
//! only for the file that it was made for, which an attribute of the directory records; for a directory made
//! by Samba, the file must have the mark and not be younger. Any other directory is set aside, as in Samba,
//! when its place is needed.

use super::depot::{Place, Rights, give};
use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::{Root, open_entry, resolve_at, statx_fd};
use super::xattr;
use crate::backend::Actor;
use crate::error::{Error, Result};
use crate::limits::{LOST_STREAMS_MAX, RESOLVE_ATTEMPTS_MAX};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directory of a share's streams, which is hidden from clients.
pub(super) const DIRECTORY: &[u8] = b".streams";
/// [`DIRECTORY`] as a name that clients send.
pub(super) const DIRECTORY_NAME: &str = ".streams";

/// The attribute that marks a file with streams here, for Samba.
const MARK: &[u8] = b"user.SAMBA_STREAMS";
/// The attribute of a directory that records the file that it was made for.
const MADE_FOR: &[u8] = b"user.StreamsOf";

/// The sticky bit: only owners can remove entries.
const STICKY: u32 = 0o1000;

/// The directory of a file's streams, if there is one.
pub(super) fn find(base: &LocalHandle) -> Result<Option<Place<'_>>> {
    let fd = match open_below(&base.root, &path_of(base.inode())) {
        // A symlink is never followed.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        // The server cannot access this depot.
        Err(Errno::ACCESS) => return Ok(None),
        result => result?,
    };
    let (own, of) = (statx_fd(fd.as_fd())?, statx_fd(base.fd())?);
    if !is_made_for(fd.as_fd(), &own, base.fd(), &of)? {
        return Ok(None);
    }
    let rights = if own.stx_uid == of.stx_uid { Rights::Owner } else { Rights::Actor };
    Ok(Some(Place { base, fd, rights }))
}

/// Creates the directory of a file's streams.
pub(super) fn make<'a>(base: &'a LocalHandle, of: &Statx) -> Result<Place<'a>> {
    let path = path_of(base.inode());
    let mut components = path.split(|byte| *byte == b'/');
    let id = components.next_back().unwrap_or_default();
    let mut above = rustix::io::fcntl_dupfd_cloexec(base.root.fd.as_fd(), 0)?;
    for component in components {
        above = match shared_directory(&base.root, above.as_fd(), component) {
            // The server may not create anything in the share's root.
            Err(Error::AccessDenied) => return Err(Error::Limitation),
            result => result?,
        };
    }
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        match rustix::fs::mkdirat(&above, id, Mode::from_raw_mode(0o700)) {
            Err(Errno::EXIST) => set_aside(&base.root, above.as_fd(), id)?,
            result => {
                result?;
                return made(base, above.as_fd(), id, of);
            }
        }
    }
    Err(Error::Busy)
}

/// Completes a new directory: records its file, and sets its owner and permissions.
fn made<'a>(base: &'a LocalHandle, above: BorrowedFd<'_>, id: &[u8], of: &Statx) -> Result<Place<'a>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let fd = open_entry(above, id, flags, Mode::empty())?;
    if statx_fd(fd.as_fd())?.stx_uid != base.root.credentials.uid(&Actor::Process) {
        // Another process has replaced the directory.
        return Err(Error::Busy);
    }
    match rustix::fs::fsetxattr(&fd, MADE_FOR, &made_for(of), XattrFlags::empty()) {
        // The file system of the depot has no extended attributes, so only the mark counts.
        Err(Errno::OPNOTSUPP) => {}
        result => result?,
    }
    let rights = if give(base, fd.as_fd(), of)? { Rights::Owner } else { Rights::Actor };
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
    Ok(Place { base, fd, rights })
}

/// Marks a file for Samba.
pub(super) fn mark(base: &LocalHandle) {
    let marked = xattr::get(base.node(), MARK).and_then(|mark| match mark {
        Some(_) => Ok(()),
        None => xattr::set(base.node(), MARK, b"1"),
    });
    if let Err(error) = marked {
        // This server finds the streams without the mark.
        tracing::warn!(file = ?base, %error, "cannot mark a file; Samba will not find its large streams");
    }
}

/// Removes the directory of a file's streams, which is empty.
pub(super) fn remove(base: &LocalHandle) -> Result<()> {
    let path = path_of(base.inode());
    let (above, id) = path.split_at(path.len().saturating_sub(ID_DIGITS));
    let above = open_below(&base.root, above)?;
    Ok(rustix::fs::unlinkat(&above, id, AtFlags::REMOVEDIR)?)
}

/// Opens or creates a directory that all files share. Users with write access to the share's root can create
/// directories in it, and remove only their own.
fn shared_directory(root: &Root, above: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match open_entry(above, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(Error::AccessDenied),
        result => return Ok(result?),
    }
    match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => return Ok(open_entry(above, name, flags, Mode::empty())?),
        result => result?,
    }
    let fd = open_entry(above, name, flags, Mode::empty())?;
    let of_root = statx_fd(root.fd.as_fd())?;
    if root.credentials.is_privileged() {
        let owner = (Uid::from_raw(of_root.stx_uid), Gid::from_raw(of_root.stx_gid));
        rustix::fs::fchown(&fd, Some(owner.0), Some(owner.1))?;
    }
    let mode = u32::from(of_root.stx_mode) & 0o777 | 0o700 | STICKY;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    Ok(fd)
}

/// Moves a directory that was made for another file out of the way. The file may still exist under another
/// device number, so its streams are preserved, as in Samba.
fn set_aside(root: &Root, above: BorrowedFd<'_>, id: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(above, id, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(_) => {}
    }
    let top = open_below(root, DIRECTORY)?;
    for number in 0..LOST_STREAMS_MAX {
        let lost = [b"lost-", id, format!("-{number}").as_bytes()].concat();
        match rustix::fs::renameat_with(above, id, &top, &lost, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) => return Ok(()),
            result => {
                tracing::warn!(
                    kept = %String::from_utf8_lossy(&lost),
                    "found streams of a removed file; they are preserved in .streams"
                );
                return Ok(result?);
            }
        }
    }
    Err(Error::Limitation)
}

/// True if a directory was made for this file.
fn is_made_for(place: BorrowedFd<'_>, own: &Statx, base: BorrowedFd<'_>, of: &Statx) -> Result<bool> {
    let mut buffer = [0; MADE_FOR_BYTES];
    let said = xattr::get_short(place, MADE_FOR, &mut buffer)?;
    let is_told = |stat: &Statx| StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    if let Some(said) = said
        && (said != made_for(of) || is_told(of))
    {
        return Ok(said == made_for(of));
    }
    if xattr::get_short(base, MARK, &mut [0; 16])?.is_none() {
        return Ok(false);
    }
    let born = |stat: &Statx| is_told(stat).then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec));
    Ok(born(own).zip(born(of)).is_none_or(|(own, of)| own >= of))
}

/// The record of a file: its inode number and birth time, which distinguish it from all other files.
fn made_for(of: &Statx) -> [u8; MADE_FOR_BYTES] {
    let mut said = [0; MADE_FOR_BYTES];
    let (seconds, nanoseconds) = (of.stx_btime.tv_sec.to_le_bytes(), of.stx_btime.tv_nsec.to_le_bytes());
    let bytes = of.stx_ino.to_le_bytes().into_iter().chain(seconds).chain(nanoseconds);
    said.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    said
}

const MADE_FOR_BYTES: usize = 20;

/// Opens a directory by a path on disk without following symlinks.
fn open_below(root: &Root, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    resolve_at(root.fd.as_fd(), path, flags, Mode::empty(), resolve)
}

/// The path of the directory of a file's streams, from the share's root.
fn path_of((device, inode): InodeKey) -> Vec<u8> {
    let id = [device.to_le_bytes(), inode.to_le_bytes()].concat();
    let shifts = (0..HASH_BITS).cycle().step_by(HASH_STEP);
    let shifted = id.iter().zip(shifts).map(|(byte, shift)| u32::from(*byte).wrapping_shl(shift));
    let sum = shifted.fold(HASH_SEED, u32::wrapping_add);
    let hash = HASH_FACTOR.wrapping_mul(sum).wrapping_add(HASH_TERM);
    let [first, second, ..] = hash.to_le_bytes();
    let digits = id.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    format!("{DIRECTORY_NAME}/{first:02X}/{second:02X}/{digits}").into_bytes()
}

/// The number of digits of an id.
const ID_DIGITS: usize = 32;
/// The bits by which each byte of an id is shifted more than the one before, modulo [`HASH_BITS`].
const HASH_STEP: usize = 5;
const HASH_BITS: u32 = 24;
const HASH_SEED: u32 = 0x238F_13AFu32.wrapping_mul(16);
const HASH_FACTOR: u32 = 1_103_515_243;
const HASH_TERM: u32 = 12_345;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_where_samba_looks_for_them() {
        // Paths created by smbd 4.17.
        for (inode, path) in [
            (10_052_008, ".streams/95/2F/00FE000000000000A861990000000000"),
            (10_052_015, ".streams/95/2F/00FE000000000000AF61990000000000"),
        ] {
            assert_eq!(path_of((0xfe00, inode)), path.as_bytes());
        }
    }
}
