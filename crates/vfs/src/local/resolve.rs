//! From names to files: every step is openat2 below the share's root, so nothing leads out of it.

use super::credentials::Credentials;
use super::file_system::{self, FileSystems};
use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::tunnel::Tunnel;
use super::{LocalOptions, Streams, depot, folded, names};
use crate::error::{Error, Result};
use crate::limits::RESOLVE_ATTEMPTS_MAX;
use crate::path::RelativePath;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What all handles of a share have in common.
pub(super) struct Root {
    pub(super) fd: OwnedFd,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) credentials: Credentials,
    pub(super) options: LocalOptions,
    pub(super) tunnel: Tunnel,
    pub(super) file_systems: FileSystems,
}

/// A directory of a share with its lock, for those who change entries.
pub(super) struct HeldDirectory {
    /// Opened with O_PATH.
    pub(super) fd: OwnedFd,
    /// The directory's path on disk.
    pub(super) path: Vec<u8>,
    _lock: InodeLock,
}

/// A name in its directory, which exists; the name itself may not.
pub(super) struct Located {
    /// The directory, opened with O_PATH.
    pub(super) parent: OwnedFd,
    /// The directory's path on disk.
    pub(super) parent_path: Vec<u8>,
    /// The last component on disk: the real spelling if it exists, otherwise the wanted one.
    pub(super) leaf: Vec<u8>,
    /// Whether there is something (a dangling symlink, too).
    pub(super) exists: bool,
}

impl Located {
    /// The whole path on disk.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut path = self.parent_path.clone();
        names::push_component(&mut path, &self.leaf);
        path
    }

    /// The metadata of the name itself, a symlink not followed.
    pub(super) fn lstat(&self) -> Result<Statx> {
        Ok(statx(self.parent.as_fd(), &self.leaf, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

impl Root {
    pub(super) fn new(fd: OwnedFd, credentials: Credentials, options: LocalOptions) -> Result<Self> {
        let stat = statx_fd(fd.as_fd())?;
        Ok(Self {
            fd,
            device: device(&stat),
            inode: stat.stx_ino,
            credentials,
            options,
            tunnel: Tunnel::default(),
            file_systems: FileSystems::default(),
        })
    }

    /// The id that clients know a file by; `fd` is of some file in its file system, or `None` where that was asked for
    /// before.
    pub(super) fn file_id(&self, device: u64, inode: u64, fd: Option<BorrowedFd<'_>>) -> u64 {
        if device == self.device && file_system::is_plain(inode) {
            return inode;
        }
        let key = match fd {
            Some(fd) => self.file_systems.key(device, fd).ok(),
            None if device == self.device => self.file_systems.key(device, self.fd.as_fd()).ok(),
            None => self.file_systems.known(device),
        };
        file_system::file_id(key.unwrap_or(device), inode)
    }

    /// Opens a path on disk below the root, exactly as it is spelled; the empty path is the root.
    ///
    /// EXDEV, a symlink that leads out, becomes EACCES here, so that it cannot be taken for a rename's EXDEV.
    pub(super) fn open_at(
        &self,
        path: &[u8],
        flags: OFlags,
        mode: Mode,
    ) -> std::result::Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        // O_PATH takes only a few companions; openat2 refuses the others.
        let flags = match flags.contains(OFlags::PATH) {
            true => flags & (OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW),
            false => flags,
        };
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if !self.options.follow_symlinks {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        resolve_at(self.fd.as_fd(), path, flags, mode, resolve)
    }

    /// As [`Self::open_at`] with O_PATH, symlinks followed also where clients are to follow them.
    pub(super) fn followed(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        resolve_at(self.fd.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// A name on disk is that of the directory of streams, which clients do not see.
    pub(super) fn hides(&self, directory: InodeKey, leaf: &[u8]) -> bool {
        leaf == depot::DIRECTORY
            && directory == (self.device, self.inode)
            && self.options.streams != Streams::Attributes
    }

    /// Refuses a path that is, or leads through, the directory of streams.
    pub(super) fn check_shown(&self, path: &RelativePath) -> Result<()> {
        if self.options.streams == Streams::Attributes {
            return Ok(());
        }
        let mut start: usize = 0;
        for component in path.components() {
            // Symlinks may lead back to the root.
            if component.eq_ignore_ascii_case(depot::DIRECTORY_NAME)
                && let Some(above) = path.as_str().get(..start.saturating_sub(1))
                && let Ok((directory, _)) = self.directory(above)
                && directory_key(directory.as_fd())? == (self.device, self.inode)
            {
                return Err(Error::AccessDenied);
            }
            start = start.saturating_add(component.len()).saturating_add(1);
        }
        Ok(())
    }

    /// Finds a name of a directory without regard to case, but for what clients do not see.
    pub(super) fn find(&self, directory: BorrowedFd<'_>, name: &str) -> Result<Option<Vec<u8>>> {
        let found = folded::find(directory, self.options.forms, name)?;
        self.shown(directory, found)
    }

    /// A name that was found in a directory; none where clients do not see it.
    pub(super) fn shown(&self, directory: BorrowedFd<'_>, found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        match found {
            Some(leaf) if leaf == depot::DIRECTORY => {
                let is_hidden = self.hides(directory_key(directory)?, &leaf);
                Ok(if is_hidden { None } else { Some(leaf) })
            }
            found => Ok(found),
        }
    }

    /// Opens a directory with O_PATH; exact first, then without regard to case. Gives its path on disk too.
    pub(super) fn directory(&self, path: &str) -> Result<(OwnedFd, Vec<u8>)> {
        let disk = names::encode_path(path)?;
        match self.open_directory(&disk) {
            Err(Errno::NOENT) if !path.is_empty() => self.folded_directory(path),
            result => Ok((result.map_err(on_the_way)?, disk)),
        }
    }

    /// As [`Self::directory`], with the directory's lock.
    pub(super) fn hold(&self, path: &str) -> Result<HeldDirectory> {
        let (fd, path) = self.directory(path)?;
        let lock = inode::lock(Purpose::Entries, directory_key(fd.as_fd())?);
        Ok(HeldDirectory { fd, path, _lock: lock })
    }

    /// Finds a name: its directory, and its real spelling where it exists. The root is
    /// [`Error::InvalidArgument`].
    pub(super) fn locate(&self, path: &RelativePath) -> Result<Located> {
        let (parent, name) = path.split().ok_or(Error::InvalidArgument)?;
        let leaf = names::encode(name)?;
        let (parent, parent_path) = self.directory(parent)?;
        let exists = match statx(parent.as_fd(), &leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => true,
            Err(Errno::NOENT) => false,
            Err(error) => return Err(error.into()),
        };
        if !exists && let Some(leaf) = self.find(parent.as_fd(), name)? {
            return Ok(Located { parent, parent_path, leaf, exists: true });
        }
        Ok(Located { parent, parent_path, leaf, exists })
    }

    fn open_directory(&self, disk: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        self.open_at(disk, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    }

    fn folded_directory(&self, path: &str) -> Result<(OwnedFd, Vec<u8>)> {
        let mut disk = Vec::with_capacity(path.len());
        let mut directory = self.open_directory(&disk)?;
        for component in path.split('/') {
            let parent_bytes = disk.len();
            names::push_component(&mut disk, &names::encode(component)?);
            directory = match self.open_directory(&disk) {
                Err(Errno::NOENT) => {
                    let found = self.find(directory.as_fd(), component)?.ok_or(Error::PathNotFound)?;
                    disk.truncate(parent_bytes);
                    names::push_component(&mut disk, &found);
                    self.open_directory(&disk).map_err(on_the_way)?
                }
                result => result.map_err(on_the_way)?,
            };
        }
        Ok((directory, disk))
    }
}

/// Opens an entry of a directory by its name on disk, itself: where it is a symlink, that is an error (or with
/// O_PATH what is opened).
pub(super) fn open_entry(
    directory: BorrowedFd<'_>,
    leaf: &[u8],
    flags: OFlags,
    mode: Mode,
) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = if flags.contains(OFlags::PATH) { flags } else { flags | OFlags::NOCTTY | OFlags::NONBLOCK };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    resolve_at(directory, leaf, flags, mode, resolve)
}

/// Opens a path on disk below a directory.
pub(super) fn resolve_at(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> std::result::Result<OwnedFd, Errno> {
    for _ in 0..RESOLVE_ATTEMPTS_MAX {
        match rustix::fs::openat2(directory, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => return Err(Errno::ACCESS),
            result => return result,
        }
    }
    Err(Errno::BUSY)
}

/// What tells a directory from all others.
pub(super) fn directory_key(fd: BorrowedFd<'_>) -> std::result::Result<InodeKey, Errno> {
    statx_fd(fd).map(|raw| (device(&raw), raw.stx_ino))
}

/// Metadata of an open file, however it was opened.
pub(super) fn statx_fd(fd: BorrowedFd<'_>) -> std::result::Result<Statx, Errno> {
    statx(fd, b"", AtFlags::EMPTY_PATH)
}

/// The mount through which an open file is seen; zero where the kernel does not tell (before Linux 5.8).
pub(super) fn mount(fd: BorrowedFd<'_>) -> std::result::Result<u64, Errno> {
    let raw = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let is_told = StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::MNT_ID);
    Ok(if is_told { raw.stx_mnt_id } else { 0 })
}

/// Metadata of a name in a directory.
pub(super) fn statx(fd: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> std::result::Result<Statx, Errno> {
    rustix::fs::statx(fd, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

/// The device number of a file.
pub(super) fn device(stat: &Statx) -> u64 {
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

/// What an error means that struck a component before the last.
pub(super) fn on_the_way(errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::PathNotFound,
        other => other.into(),
    }
}
