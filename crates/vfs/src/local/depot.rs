//! Named streams that are files of their own, where Samba's `vfs_streams_depot` has them: the streams of a file are in
//! `.streams/XX/YY/ID` below the share's root, each as `:NAME:$DATA`. ID is the file's device and inode number, XX and
//! YY are a hash of it, and the file is marked with an attribute.
//!
//! An inode number comes back when a file is deleted, and attributes are copied with a file. So a directory counts for
//! the file that it was made for, which an attribute of its own says; for one that Samba made, the file has the mark and
//! is not younger. Any other is set aside, as Samba does, when its place is needed.
//!
//! A stream has its file's permissions, so the process looks after streams that belong to the file's owner, as the file
//! does. Others were made by a user of Samba, or put here by somebody who may change the directory: the actor uses them
//! with rights of his own.
//!
//! Callers have the lock of the file's attributes, and act as the process.

use super::Streams;
use super::credentials::Guard;
use super::handle::LocalHandle;
use super::inode::InodeKey;
use super::resolve::{Root, open_entry, resolve_at, statx, statx_fd};
use super::{metadata, xattr};
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::limits::{DIRECTORY_BUFFER_BYTES, LOST_STREAMS_MAX, RESOLVE_ATTEMPTS_MAX};
use crate::stat::Kind;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, Statx, StatxFlags, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directory of a share that all of it is in, which clients do not see.
pub(super) const DIRECTORY: &[u8] = b".streams";
/// The same as clients would spell it.
pub(super) const DIRECTORY_NAME: &str = ".streams";

/// The attribute that marks a file with streams here, for Samba.
const MARK: &[u8] = b"user.SAMBA_STREAMS";
/// The attribute of a directory that says which file it was made for.
const MADE_FOR: &[u8] = b"user.StreamsOf";

const PREFIX: &[u8] = b":";
const SUFFIX: &[u8] = b":$DATA";

/// The sticky bit: only owners remove entries.
const STICKY: u32 = 0o1000;

/// The directory of a file's streams.
pub(super) struct Place<'a> {
    base: &'a LocalHandle,
    fd: OwnedFd,
    /// The directory belongs to the file's owner.
    is_owners: bool,
}

/// A stream.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) allocation: u64,
}

/// The directory of a file's streams, where there is one; none where the share has no such thing.
pub(super) fn find(base: &LocalHandle) -> Result<Option<Place<'_>>> {
    if base.root.options.streams == Streams::Attributes {
        return Ok(None);
    }
    let fd = match open_below(&base.root, &path_of(base.inode())) {
        // A symlink leads to no place for streams of this share.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        // A depot that this server may not search has nothing of its streams.
        Err(Errno::ACCESS) => return Ok(None),
        result => result?,
    };
    let (own, of) = (statx_fd(fd.as_fd())?, statx_fd(base.fd())?);
    if !is_made_for(fd.as_fd(), &own, base.fd(), &of)? {
        return Ok(None);
    }
    Ok(Some(Place { base, fd, is_owners: own.stx_uid == of.stx_uid }))
}

/// The directory of a file's streams, made where there is none.
fn find_or_make(base: &LocalHandle) -> Result<Place<'_>> {
    if let Some(place) = find(base)? {
        return Ok(place);
    }
    let of = statx_fd(base.fd())?;
    if base.root.options.streams == Streams::Attributes || (of.stx_nlink == 0 && base.kind() == Kind::File) {
        // Nobody would remove the streams of a file that is gone already.
        return Err(Error::Limitation);
    }
    let path = path_of(base.inode());
    let mut components = path.split(|byte| *byte == b'/');
    let id = components.next_back().unwrap_or_default();
    let mut above = rustix::io::fcntl_dupfd_cloexec(base.root.fd.as_fd(), 0)?;
    for component in components {
        above = match shared_directory(&base.root, above.as_fd(), component) {
            // The share's root is not the server's to make something in, so there is no place for it.
            Err(Error::AccessDenied) => return Err(Error::Limitation),
            result => result?,
        };
    }
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        match rustix::fs::mkdirat(&above, id, Mode::from_raw_mode(0o700)) {
            Err(Errno::EXIST) => set_aside(&base.root, above.as_fd(), id)?,
            result => {
                result?;
                return made(base, above.as_fd(), id, &of);
            }
        }
    }
    Err(Error::Busy)
}

/// Completes a directory that has just been made: its file, its owner, its permissions.
fn made<'a>(base: &'a LocalHandle, above: BorrowedFd<'_>, id: &[u8], of: &Statx) -> Result<Place<'a>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let fd = open_entry(above, id, flags, Mode::empty())?;
    if statx_fd(fd.as_fd())?.stx_uid != base.root.credentials.uid(&Actor::Process) {
        // Somebody has put another in its place.
        return Err(Error::Busy);
    }
    match rustix::fs::fsetxattr(&fd, MADE_FOR, &made_for(of), XattrFlags::empty()) {
        // The file system of the depot knows none; the mark has to do.
        Err(Errno::OPNOTSUPP) => {}
        result => result?,
    }
    let is_owners = give(base, fd.as_fd(), of)?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
    Ok(Place { base, fd, is_owners })
}

/// Marks a file for Samba.
pub(super) fn mark(base: &LocalHandle) {
    let marked = xattr::get(base.fd(), MARK).and_then(|mark| match mark {
        Some(_) => Ok(()),
        None => xattr::set(base.fd(), MARK, b"1"),
    });
    if let Err(error) = marked {
        // This server finds them without.
        tracing::warn!(file = ?base, %error, "a file cannot be marked; Samba does not find its large streams");
    }
}

impl Place<'_> {
    /// All streams.
    pub(super) fn list(&self) -> Result<Vec<Stored>> {
        let _guard = self.acting()?;
        let mut streams = Vec::new();
        for entry in self.entries()? {
            let Some(name) = stream_name(&entry) else { continue };
            match statx(self.fd.as_fd(), &entry, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                stat => {
                    let stat = stat?;
                    if metadata::kind(&stat) == Kind::File {
                        let allocation = stat.stx_blocks.saturating_mul(512);
                        streams.push(Stored { name, size: stat.stx_size, allocation });
                    }
                }
            }
        }
        Ok(streams)
    }

    /// A stream of exactly this name exists.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let _guard = self.acting()?;
        match statx(self.fd.as_fd(), &file_name(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(metadata::kind(&stat) == Kind::File),
            // No file has so long a name.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a stream for reading and writing, as far as the file system and the actor's rights let it.
    pub(super) fn open(&self, name: &str) -> Result<LocalHandle> {
        let file = file_name(name);
        let stat = statx(self.fd.as_fd(), &file, AtFlags::SYMLINK_NOFOLLOW)?;
        // Into a directory of somebody else's, that one may have put any file of the owner's.
        let is_owners = self.is_owners && stat.stx_uid == statx_fd(self.base.fd())?.stx_uid;
        let actor = if is_owners { &Actor::Process } else { &self.base.actor };
        let open = |flags| {
            let _guard = self.base.root.credentials.assume(actor)?;
            Ok(open_entry(self.fd.as_fd(), &file, flags, Mode::empty())?)
        };
        let (fd, wanted) = match open(OFlags::RDWR) {
            Err(Error::AccessDenied | Error::ReadOnly) => match open(OFlags::RDONLY) {
                Err(Error::AccessDenied) => (open(OFlags::PATH)?, Wanted::NOTHING),
                result => (result?, Wanted::READ),
            },
            result => (result?, Wanted::BOTH),
        };
        let opened = statx_fd(fd.as_fd())?;
        // A link to a file elsewhere would have been put here by somebody else.
        if metadata::kind(&opened) != Kind::File || opened.stx_nlink > 1 || opened.stx_uid != stat.stx_uid {
            return Err(Error::AccessDenied);
        }
        self.handle(fd, wanted)
    }

    /// Removes a stream, where there is one of exactly this name.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let _guard = self.acting()?;
        match rustix::fs::unlinkat(&self.fd, file_name(name), AtFlags::empty()) {
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Renames a stream, over one that has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let _guard = self.acting()?;
        Ok(rustix::fs::renameat(&self.fd, file_name(from), &self.fd, file_name(to))?)
    }

    /// Makes a stream, in the place of one that has the name.
    fn create(&self, name: &str) -> Result<LocalHandle> {
        self.remove(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let guard = self.acting()?;
        let fd = open_entry(self.fd.as_fd(), &file_name(name), flags, Mode::from_raw_mode(0o600))?;
        drop(guard);
        if let Err(error) = self.give_file(fd.as_fd()) {
            self.remove(name)?;
            return Err(error);
        }
        self.handle(fd, Wanted::BOTH)
    }

    fn handle(&self, fd: OwnedFd, wanted: Wanted) -> Result<LocalHandle> {
        let stat = metadata::to_stat(&statx_fd(fd.as_fd())?, Default::default());
        let has_data = wanted != Wanted::NOTHING;
        let path = self.base.path();
        Ok(LocalHandle::new(&self.base.root, fd, wanted, has_data, &stat, path, &Actor::Process))
    }

    /// The stream gets its file's owner and permissions.
    fn give_file(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let of = statx_fd(self.base.fd())?;
        if !give(self.base, fd, &of)? {
            return Ok(());
        }
        let acl = xattr::get(self.base.fd(), xattr::POSIX_ACCESS_ACL)?;
        if acl.is_none() && xattr::get(fd, xattr::POSIX_ACCESS_ACL)?.is_some() {
            // One that is inherited from the depot's directories, or that the file has no longer.
            xattr::remove(fd, xattr::POSIX_ACCESS_ACL)?;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(u32::from(of.stx_mode) & 0o666))?;
        if let Some(acl) = acl {
            xattr::set(fd, xattr::POSIX_ACCESS_ACL, &acl)?;
        }
        Ok(())
    }

    fn acting(&self) -> Result<Guard<'_>> {
        let actor = if self.is_owners { &Actor::Process } else { &self.base.actor };
        self.base.root.credentials.assume(actor)
    }

    /// The names on disk.
    fn entries(&self) -> Result<Vec<Vec<u8>>> {
        let fd = open_entry(self.fd.as_fd(), b".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            names.push(entry?.file_name().to_bytes().to_vec());
        }
        Ok(names)
    }
}

/// Makes a stream that holds `data`, in the place of one that has the name. Whatever they were in can be removed then:
/// they are on the disk.
pub(super) fn keep(base: &LocalHandle, name: &str, data: &[u8]) -> Result<LocalHandle> {
    let place = find_or_make(base)?;
    let file = place.create(name)?;
    if data.is_empty() {
        return Ok(file);
    }
    let kept = file.write_at(data, 0).and_then(|written| {
        if written < data.len() {
            return Err(Error::NoSpace);
        }
        file.flush()
    });
    if let Err(error) = kept {
        place.remove(name)?;
        return Err(error);
    }
    Ok(file)
}

/// Brings a file's streams to the disk.
pub(super) fn flush(base: &LocalHandle) -> Result<()> {
    let Some(place) = find(base)? else { return Ok(()) };
    for stream in place.list()? {
        match place.open(&stream.name) {
            // It is gone, or is flushed by who may.
            Err(Error::NotFound | Error::AccessDenied) => {}
            file => file?.flush()?,
        }
    }
    Ok(())
}

/// A file's streams that belonged to `before` get the owner and the permissions that the file has now; others stay as
/// they are.
pub(super) fn follow_permissions(base: &LocalHandle, before: u32) -> Result<()> {
    let Some(place) = find(base)? else { return Ok(()) };
    if statx_fd(place.fd.as_fd())?.stx_uid != before {
        return Ok(());
    }
    for entry in place.entries()?.iter().filter(|entry| stream_name(entry).is_some()) {
        let file = match open_entry(place.fd.as_fd(), entry, OFlags::RDONLY, Mode::empty()) {
            // Gone, or no file: somebody else's doing.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => continue,
            file => file?,
        };
        let stat = statx_fd(file.as_fd())?;
        if metadata::kind(&stat) == Kind::File && stat.stx_uid == before && stat.stx_nlink == 1 {
            place.give_file(file.as_fd())?;
        }
    }
    give(base, place.fd.as_fd(), &statx_fd(base.fd())?).map(drop)
}

/// Removes the streams of a file whose last name has just been removed.
pub(super) fn forget(base: &LocalHandle) {
    let removed = || -> Result<()> {
        let Some(place) = find(base)? else { return Ok(()) };
        let guard = place.acting()?;
        for entry in place.entries()?.iter().filter(|entry| stream_name(entry).is_some()) {
            rustix::fs::unlinkat(&place.fd, entry, AtFlags::empty())?;
        }
        drop(guard);
        let path = path_of(base.inode());
        let (above, id) = path.split_at(path.len().saturating_sub(ID_DIGITS));
        let above = open_below(&base.root, above)?;
        Ok(rustix::fs::unlinkat(&above, id, AtFlags::REMOVEDIR)?)
    };
    if let Err(error) = removed() {
        tracing::warn!(file = ?base, %error, "the streams of a deleted file cannot be removed; they stay in .streams");
    }
}

/// Opens a directory that all files share, or makes it: for whoever may make files in the share's root, each the own.
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

/// Takes a directory out of the way that was made for another file. It may be one that is only known by another device
/// number now, so its streams are kept, as Samba keeps them.
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
                    "streams of a file that is gone were found for another; they are kept in .streams"
                );
                return Ok(result?);
            }
        }
    }
    Err(Error::Limitation)
}

/// A stream or its directory gets the owner and the group of a file; false where the server may not do that.
fn give(base: &LocalHandle, fd: BorrowedFd<'_>, of: &Statx) -> Result<bool> {
    let own = statx_fd(fd)?;
    if (own.stx_uid, own.stx_gid) == (of.stx_uid, of.stx_gid) {
        return Ok(true);
    }
    let (uid, gid) = (Uid::from_raw(of.stx_uid), Gid::from_raw(of.stx_gid));
    match rustix::fs::fchown(fd, Some(uid), Some(gid)) {
        Err(Errno::PERM | Errno::ACCESS) if !base.root.credentials.is_privileged() => {
            Ok(own.stx_uid == of.stx_uid)
        }
        result => Ok(result.map(|()| true)?),
    }
}

/// A directory was made for a file.
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

/// The record that tells a file from all that have had, or will have, its inode number, by the time of its birth.
fn made_for(of: &Statx) -> [u8; MADE_FOR_BYTES] {
    let mut said = [0; MADE_FOR_BYTES];
    let (seconds, nanoseconds) = (of.stx_btime.tv_sec.to_le_bytes(), of.stx_btime.tv_nsec.to_le_bytes());
    let bytes = of.stx_ino.to_le_bytes().into_iter().chain(seconds).chain(nanoseconds);
    said.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    said
}

const MADE_FOR_BYTES: usize = 20;

/// Opens a directory by a path on disk that has no symlinks.
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

/// Digits of an id.
const ID_DIGITS: usize = 32;
/// By how much more than the one before each byte of an id is shifted, in a circle of [`HASH_BITS`].
const HASH_STEP: usize = 5;
const HASH_BITS: u32 = 24;
const HASH_SEED: u32 = 0x238F_13AFu32.wrapping_mul(16);
const HASH_FACTOR: u32 = 1_103_515_243;
const HASH_TERM: u32 = 12_345;

fn file_name(stream: &str) -> Vec<u8> {
    [PREFIX, stream.as_bytes(), SUFFIX].concat()
}

fn stream_name(file: &[u8]) -> Option<String> {
    let name = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_where_samba_looks_for_them() {
        // As smbd 4.17 has put them.
        for (inode, path) in [
            (10_052_008, ".streams/95/2F/00FE000000000000A861990000000000"),
            (10_052_015, ".streams/95/2F/00FE000000000000AF61990000000000"),
        ] {
            assert_eq!(path_of((0xfe00, inode)), path.as_bytes());
        }
    }
}
