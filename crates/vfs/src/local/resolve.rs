//! Path resolution: every step is openat2 below the share's root, so no path leads out of the share.

use super::commit_order::CommitOrder;
use super::credentials::Credentials;
use super::file_system::{self, FileSystems};
use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::tunnel::Tunnel;
use super::{LocalOptions, Streams, folded, handle_directory, is_of_streams, names, samba_depot, store};
use crate::error::{Error, Result};
use crate::limits::RESOLVE_ATTEMPTS_MAX;
use crate::name_rules::is_ignorable;
use crate::path::RelativePath;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// The state that all handles of a share have in common.
pub(super) struct Root {
    pub(super) fd: OwnedFd,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) credentials: Credentials,
    pub(super) options: LocalOptions,
    pub(super) tunnel: Tunnel,
    pub(super) file_systems: FileSystems,
    commit_order: OnceLock<CommitOrder>,
}

/// A directory with its lock, for changes of its entries.
pub(super) struct HeldDirectory {
    /// Opened with O_PATH.
    pub(super) fd: OwnedFd,
    /// The directory's path on disk.
    pub(super) path: Vec<u8>,
    _lock: InodeLock,
}

/// A name in an existing directory; the name itself may not exist.
pub(super) struct Located {
    /// The directory, opened with O_PATH.
    pub(super) parent: OwnedFd,
    /// The directory's path on disk.
    pub(super) parent_path: Vec<u8>,
    /// The last component on disk: the real spelling if it exists, otherwise the requested one.
    pub(super) leaf: Vec<u8>,
    /// The metadata of the directory if the name does not exist. A dangling symlink exists.
    pub(super) missed_in: Option<Statx>,
}

impl Located {
    /// The complete path on disk.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut path = self.parent_path.clone();
        names::push_component(&mut path, &self.leaf);
        path
    }

    /// The metadata of the name itself, without following symlinks.
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
            commit_order: OnceLock::new(),
        })
    }

    /// The order in which the file system on this device makes changes durable. It is known of the root's only, which
    /// stays mounted as long as this exists.
    pub(super) fn commit_order(&self, device: u64) -> CommitOrder {
        if device != self.device {
            return CommitOrder::Unknown;
        }
        *self.commit_order.get_or_init(|| CommitOrder::of(device, self.fd.as_fd()))
    }

    /// The file id for clients. `fd` is of any file in the same file system; it may be `None` if the file
    /// system was queried before.
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

    /// Opens a path on disk below the root in exactly this spelling; the empty path is the root.
    ///
    /// EXDEV, for a symlink that leads out of the share, is converted to EACCES, so that it differs from the
    /// EXDEV of a rename.
    pub(super) fn open_at(
        &self,
        path: &[u8],
        flags: OFlags,
        mode: Mode,
    ) -> std::result::Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        // openat2 accepts only some flags together with O_PATH.
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

    /// Opens as [`Self::open_at`] does with O_PATH, but follows symlinks even if the share does not.
    pub(super) fn followed(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        resolve_at(self.fd.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// True if a name on disk is a directory of streams, which is hidden from clients.
    pub(super) fn hides(&self, directory: InodeKey, leaf: &[u8]) -> bool {
        is_of_streams(self.options.streams, directory == (self.device, self.inode), leaf)
    }

    /// Refuses a path that is, or leads through, a directory of streams or a vetoed name.
    pub(super) fn check_shown(&self, path: &RelativePath) -> Result<()> {
        if let Some(rules) = &self.options.names
            && rules.is_path_vetoed(path.as_str())
        {
            let (parent, _) = path.split().unwrap_or_default();
            return Err(if rules.is_path_vetoed(parent) { Error::PathNotFound } else { Error::NotFound });
        }
        let is_own = |component| {
            can_be(component, store::DIRECTORY_NAME) || can_be(component, handle_directory::DIRECTORY_NAME)
        };
        if path.components().any(is_own) {
            return Err(Error::AccessDenied);
        }
        if self.options.streams != Streams::Depot {
            return Ok(());
        }
        let mut start: usize = 0;
        for component in path.components() {
            // Each occurrence is checked, because symlinks may lead back to the root.
            if can_be(component, samba_depot::DIRECTORY_NAME)
                && let Some(above) = path.as_str().get(..start.saturating_sub(1))
                && let Ok((directory, _)) = self.directory(above)
                && inode_key(directory.as_fd())? == (self.device, self.inode)
            {
                return Err(Error::AccessDenied);
            }
            start = start.saturating_add(component.len()).saturating_add(1);
        }
        Ok(())
    }

    /// Finds a name in a directory without regard to case, except for hidden ones.
    pub(super) fn find(&self, directory: BorrowedFd<'_>, name: &str) -> Result<Option<Vec<u8>>> {
        self.find_in(directory, &statx_fd(directory)?, name)
    }

    /// Finds a name as [`Self::find`] does in a directory whose metadata the caller has just read.
    pub(super) fn find_in(
        &self,
        directory: BorrowedFd<'_>,
        raw: &Statx,
        name: &str,
    ) -> Result<Option<Vec<u8>>> {
        let found = folded::find(directory, raw, self.options.forms, name)?;
        self.shown(directory, found)
    }

    /// Filters a name that was found in a directory; `None` if it is hidden from clients.
    pub(super) fn shown(&self, directory: BorrowedFd<'_>, found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        match found {
            Some(leaf)
                if self.options.names.as_ref().is_some_and(|it| it.is_vetoed(&names::decode(&leaf))) =>
            {
                Ok(None)
            }
            Some(leaf) if leaf == store::DIRECTORY || leaf == handle_directory::DIRECTORY => Ok(None),
            Some(leaf) if leaf == samba_depot::DIRECTORY => {
                let is_hidden = self.hides(inode_key(directory)?, &leaf);
                Ok(if is_hidden { None } else { Some(leaf) })
            }
            found => Ok(found),
        }
    }

    /// Opens a directory with O_PATH, first by exact spelling, then without regard to case; also returns its
    /// path on disk.
    pub(super) fn directory(&self, path: &str) -> Result<(OwnedFd, Vec<u8>)> {
        let disk = names::encode_path(path)?;
        match self.open_directory(&disk) {
            Err(Errno::NOENT) if !path.is_empty() => self.folded_directory(path),
            result => Ok((result.map_err(on_the_way)?, disk)),
        }
    }

    /// Opens and locks a directory.
    pub(super) fn hold(&self, path: &str) -> Result<HeldDirectory> {
        let (fd, path) = self.directory(path)?;
        let lock = inode::lock(Purpose::Entries, inode_key(fd.as_fd())?);
        Ok(HeldDirectory { fd, path, _lock: lock })
    }

    /// Finds a name: its directory and, if it exists, its real spelling. The root is
    /// [`Error::InvalidArgument`].
    pub(super) fn locate(&self, path: &RelativePath) -> Result<Located> {
        let (parent, name) = path.split().ok_or(Error::InvalidArgument)?;
        let leaf = names::encode(name)?;
        let (parent, parent_path) = self.directory(parent)?;
        match statx(parent.as_fd(), &leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(Located { parent, parent_path, leaf, missed_in: None }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let raw = statx_fd(parent.as_fd())?;
        Ok(match self.find_in(parent.as_fd(), &raw, name)? {
            Some(leaf) => Located { parent, parent_path, leaf, missed_in: None },
            None => Located { parent, parent_path, leaf, missed_in: Some(raw) },
        })
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

/// True if a file system may take a name for `hidden`, which is ASCII in lower case. Directories with casefolding (ext4,
/// F2FS) fold all of Unicode, and ignore characters that are not visible.
fn can_be(name: &str, hidden: &str) -> bool {
    let mut rest = hidden.chars();
    for character in name.chars() {
        let is_next = match character {
            '\u{17f}' => rest.next() == Some('s'),
            '\u{fb05}' | '\u{fb06}' => rest.next() == Some('s') && rest.next() == Some('t'),
            _ if character.is_ascii() => rest.next() == Some(character.to_ascii_lowercase()),
            _ => is_ignorable(character),
        };
        if !is_next {
            return false;
        }
    }
    rest.next().is_none()
}

/// Opens an entry of a directory by its name on disk without following symlinks: a symlink is an error or,
/// with O_PATH, itself opened.
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

/// The device and inode of an open file.
pub(super) fn inode_key(fd: BorrowedFd<'_>) -> std::result::Result<InodeKey, Errno> {
    statx_fd(fd).map(|raw| (device(&raw), raw.stx_ino))
}

/// The metadata of an open file, also of O_PATH descriptors.
pub(super) fn statx_fd(fd: BorrowedFd<'_>) -> std::result::Result<Statx, Errno> {
    statx(fd, b"", AtFlags::EMPTY_PATH)
}

/// The mount of an open file; 0 if the kernel does not report it (before Linux 5.8).
pub(super) fn mount(fd: BorrowedFd<'_>) -> std::result::Result<u64, Errno> {
    let raw = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let is_told = StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::MNT_ID);
    Ok(if is_told { raw.stx_mnt_id } else { 0 })
}

/// The metadata of a name in a directory.
pub(super) fn statx(fd: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> std::result::Result<Statx, Errno> {
    rustix::fs::statx(fd, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

/// The device number of a file.
pub(super) fn device(stat: &Statx) -> u64 {
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

/// The error for an errno that concerns a component before the last.
pub(super) fn on_the_way(errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::PathNotFound,
        other => other.into(),
    }
}
