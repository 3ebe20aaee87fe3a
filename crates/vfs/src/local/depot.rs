//! Named streams in files of their own: each file with such streams has a directory for them, in which a
//! stream is `:NAME:$DATA`. The share's setting determines the place of that directory: the server's own
//! store ([`store`]), or Samba's depot ([`samba_depot`]).
//!
//! A stream has the permissions of its file, and an actor who requests one has been admitted to the file.
//! Only the server can put files into its own store, so all streams there are accessed as the process. In
//! Samba's depot, streams that belong to the file's owner are accessed as the process, like the file. Other
//! streams were created by users of Samba, or put there by a user with write access to the directory: they
//! are accessed with the actor's own rights.
//!
//! A stream gets its name when it is complete and on the disk; before, it has a temporary name.
//!
//! Callers hold the lock of the file's attributes, and act as the process.

use super::change::temporary_name;
use super::credentials::Guard;
use super::handle::LocalHandle;
use super::resolve::{open_entry, statx, statx_fd};
use super::{Streams, metadata, samba_depot, store, xattr};
use crate::backend::{Actor, Wanted};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::limits::DIRECTORY_BUFFER_BYTES;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RawDir, Statx, Uid};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const PREFIX: &[u8] = b":";
const SUFFIX: &[u8] = b":$DATA";

/// The directory of a file's streams.
pub(super) struct Place<'a> {
    pub(super) base: &'a LocalHandle,
    pub(super) fd: OwnedFd,
    pub(super) rights: Rights,
}

/// The rights with which the streams of a directory are accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// The rights of the process: no other user has access.
    Store,
    /// The rights of the process for streams of the file's owner, who also owns the directory.
    Owner,
    /// The rights of the actor.
    Actor,
}

/// A stream.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) allocation: u64,
}

/// The directory of a file's streams, if there is one.
pub(super) fn find(base: &LocalHandle) -> Result<Option<Place<'_>>> {
    match base.root.options.streams {
        Streams::Depot => samba_depot::find(base),
        Streams::Attributes | Streams::Auto => {
            Ok(store::find(base)?.map(|fd| Place { base, fd, rights: Rights::Store }))
        }
    }
}

/// The directory of a file's streams; created if there is none.
fn find_or_make(base: &LocalHandle) -> Result<Place<'_>> {
    if let Some(place) = find(base)? {
        return Ok(place);
    }
    let of = statx_fd(base.fd())?;
    if of.stx_nlink == 0 && base.kind() == Kind::File {
        // The streams of a removed file would never be removed.
        return Err(Error::Limitation);
    }
    match base.root.options.streams {
        Streams::Attributes => Err(Error::Limitation),
        Streams::Auto => Ok(Place { base, fd: store::make(base, &of)?, rights: Rights::Store }),
        Streams::Depot => samba_depot::make(base, &of),
    }
}

/// Marks a file as having streams here; [`Error::Limitation`] if the mark does not fit.
pub(super) fn mark(base: &LocalHandle) -> Result<()> {
    match base.root.options.streams {
        Streams::Depot => {
            samba_depot::mark(base);
            Ok(())
        }
        Streams::Attributes | Streams::Auto => store::mark(base),
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

    /// True if a stream of exactly this name exists.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let _guard = self.acting()?;
        match statx(self.fd.as_fd(), &file_name(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(metadata::kind(&stat) == Kind::File),
            // A name that is too long cannot exist.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a stream for reading and writing, as far as the file system and the actor's rights allow.
    pub(super) fn open(&self, name: &str) -> Result<LocalHandle> {
        let file = file_name(name);
        let stat = statx(self.fd.as_fd(), &file, AtFlags::SYMLINK_NOFOLLOW)?;
        let actor = match self.rights {
            Rights::Store => &Actor::Process,
            // A directory of the owner may contain any files of the owner, but must not give access to those
            // of others.
            Rights::Owner if stat.stx_uid == statx_fd(self.base.fd())?.stx_uid => &Actor::Process,
            Rights::Owner | Rights::Actor => &self.base.actor,
        };
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
        if metadata::kind(&opened) != Kind::File || opened.stx_uid != stat.stx_uid {
            return Err(Error::AccessDenied);
        }
        self.handle(fd, wanted)
    }

    /// Removes the stream of exactly this name, if it exists.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.unlink(&file_name(name))
    }

    /// Renames a stream, replacing one with the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let _guard = self.acting()?;
        Ok(rustix::fs::renameat(&self.fd, file_name(from), &self.fd, file_name(to))?)
    }

    /// Creates a stream with `data`, replacing one of this name.
    fn put(&self, name: &str, data: &[u8]) -> Result<LocalHandle> {
        let temporary = temporary_name(self.base.inode().1);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let guard = self.acting()?;
        let fd = open_entry(self.fd.as_fd(), &temporary, flags, Mode::from_raw_mode(0o600))?;
        drop(guard);
        let put = self.filled(fd, data).and_then(|file| {
            let _guard = self.acting()?;
            rustix::fs::renameat(&self.fd, &temporary, &self.fd, file_name(name))?;
            Ok(file)
        });
        let file = put.inspect_err(|_| {
            let _ = self.unlink(&temporary);
        })?;
        if !data.is_empty() {
            self.flush_names()?;
        }
        Ok(file)
    }

    /// Sets the owner and the data of a new file, and flushes it.
    fn filled(&self, fd: OwnedFd, data: &[u8]) -> Result<LocalHandle> {
        self.give_file(fd.as_fd())?;
        let file = self.handle(fd, Wanted::BOTH)?;
        if data.is_empty() {
            return Ok(file);
        }
        if file.write_at(data, 0)? < data.len() {
            return Err(Error::NoSpace);
        }
        file.flush()?;
        Ok(file)
    }

    fn handle(&self, fd: OwnedFd, wanted: Wanted) -> Result<LocalHandle> {
        let stat = metadata::to_stat(&statx_fd(fd.as_fd())?, Default::default());
        let has_data = wanted != Wanted::NOTHING;
        let path = self.base.path();
        Ok(LocalHandle::new(&self.base.root, fd, wanted, has_data, &stat, path, &Actor::Process))
    }

    /// Gives a stream its file's owner and, if other users can access it, its permissions.
    fn give_file(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let of = statx_fd(self.base.fd())?;
        if !give(self.base, fd, &of)? || self.rights == Rights::Store {
            return Ok(());
        }
        let acl = xattr::get(self.base.node(), xattr::POSIX_ACCESS_ACL)?;
        if acl.is_none() && xattr::get(fd, xattr::POSIX_ACCESS_ACL)?.is_some() {
            // The ACL is inherited from the depot's directories, or was removed from the file.
            xattr::remove(fd, xattr::POSIX_ACCESS_ACL)?;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(u32::from(of.stx_mode) & 0o666))?;
        if let Some(acl) = acl {
            xattr::set(fd, xattr::POSIX_ACCESS_ACL, &acl)?;
        }
        Ok(())
    }

    fn acting(&self) -> Result<Guard<'_>> {
        let actor = if self.rights == Rights::Actor { &self.base.actor } else { &Actor::Process };
        self.base.root.credentials.assume(actor)
    }

    fn unlink(&self, entry: &[u8]) -> Result<()> {
        let _guard = self.acting()?;
        match rustix::fs::unlinkat(&self.fd, entry, AtFlags::empty()) {
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Flushes the names of the streams.
    fn flush_names(&self) -> Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // The file system does not support fsync of directories.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
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

    fn is_own(&self, entry: &[u8]) -> bool {
        stream_name(entry).is_some() || (self.rights == Rights::Store && !matches!(entry, b"." | b".."))
    }
}

/// Creates a stream with `data`, replacing one of this name. The data is on the disk afterwards, so a
/// previous copy can be removed.
pub(super) fn keep(base: &LocalHandle, name: &str, data: &[u8]) -> Result<LocalHandle> {
    let place = find_or_make(base).inspect_err(|_| {
        if base.root.options.streams == Streams::Auto {
            store::unmark_unmade(base);
        }
    })?;
    // A directory that was created for it must not stay.
    place.put(name, data).inspect_err(|_| tidy(&place))
}

/// Flushes a file's streams.
pub(super) fn flush(base: &LocalHandle) -> Result<()> {
    let Some(place) = find(base)? else { return Ok(()) };
    for stream in place.list()? {
        match place.open(&stream.name) {
            // The stream is gone, or can only be flushed by another user.
            Err(Error::NotFound | Error::AccessDenied) => {}
            file => file?.flush()?,
        }
    }
    Ok(())
}

/// Gives the streams of a file that belonged to `before` the current owner and permissions of the file; other
/// streams stay unchanged.
pub(super) fn follow_permissions(base: &LocalHandle, before: u32) -> Result<()> {
    let Some(place) = find(base)? else { return Ok(()) };
    let is_store = place.rights == Rights::Store;
    if !is_store && statx_fd(place.fd.as_fd())?.stx_uid != before {
        return Ok(());
    }
    for entry in place.entries()?.iter().filter(|entry| stream_name(entry).is_some()) {
        let file = match open_entry(place.fd.as_fd(), entry, OFlags::RDONLY, Mode::empty()) {
            // The entry is gone or not a file, because of another process.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => continue,
            file => file?,
        };
        let stat = statx_fd(file.as_fd())?;
        // A hard link would change a file in another place, too.
        let is_followed = is_store || (stat.stx_uid == before && stat.stx_nlink == 1);
        if metadata::kind(&stat) == Kind::File && is_followed {
            place.give_file(file.as_fd())?;
        }
    }
    if is_store { Ok(()) } else { give(base, place.fd.as_fd(), &statx_fd(base.fd())?).map(drop) }
}

/// Removes the streams of a file after the removal of its last name.
pub(super) fn forget(base: &LocalHandle) {
    let removed = || -> Result<()> {
        let unmarked = || match base.root.options.streams {
            Streams::Auto => store::find_unmarked(base),
            Streams::Attributes | Streams::Depot => Ok(None),
        };
        let place = match find(base)? {
            Some(place) => place,
            None => match unmarked()? {
                Some(fd) => Place { base, fd, rights: Rights::Store },
                None => return Ok(()),
            },
        };
        for entry in place.entries()?.iter().filter(|entry| place.is_own(entry)) {
            place.unlink(entry)?;
        }
        match place.rights {
            Rights::Store => store::remove(base, place.fd.as_fd()).map(drop),
            Rights::Owner | Rights::Actor => samba_depot::remove(base),
        }
    };
    if let Err(error) = removed() {
        tracing::warn!(file = ?base, %error, "cannot remove the streams of a deleted file; they remain on the disk");
    }
}

/// Removes the directory of a file's streams if it is empty, and first the mark: a crash must not leave a mark for a
/// directory that is gone, because no other would be created.
pub(super) fn tidy(place: &Place<'_>) {
    let is_empty = || Ok::<_, Error>(!place.entries()?.iter().any(|entry| place.is_own(entry)));
    if place.rights == Rights::Store && is_empty().unwrap_or_default() {
        // A mark without its directory would keep others from being made.
        if !store::unmark(place.base) {
            return;
        }
        if let Err(error) = store::remove(place.base, place.fd.as_fd()) {
            tracing::debug!(file = ?place.base, %error, "cannot remove the empty directory of a file's streams");
        }
    }
}

/// Gives a stream or its directory the owner and the group of a file; false if the server may not do that.
pub(super) fn give(base: &LocalHandle, fd: BorrowedFd<'_>, of: &Statx) -> Result<bool> {
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

fn file_name(stream: &str) -> Vec<u8> {
    [PREFIX, stream.as_bytes(), SUFFIX].concat()
}

fn stream_name(file: &[u8]) -> Option<String> {
    let name = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())
}
