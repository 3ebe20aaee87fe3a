//! Local directories on Linux.
//!
//! Apart from descriptors and caches that are only hints (see `folded`), nothing is kept between calls: the
//! disk has the truth, also when other programs change it.

mod abilities;
mod bin_limits;
mod change;
mod clone;
mod closing;
mod commit_order;
mod credentials;
mod depot;
mod directory;
mod directory_reports;
mod dosattrib;
mod entry;
mod file_end;
mod file_system;
mod flush;
mod folded;
mod handle;
mod handle_directory;
mod incomplete_files;
mod inode;
mod known_attributes;
mod link;
mod metadata;
mod modes;
mod name_index;
mod name_table;
mod names;
mod new_entry;
mod open;
mod open_stream;
mod range_lock;
mod recycle;
mod resolve;
mod rights;
mod samba_depot;
mod splice;
mod store;
mod stream;
mod trial;
mod tunnel;
mod used_space;
mod vetoed;
mod xattr;

use crate::backend::{
    self, Actor, Backend, Bin, BinLimits, Capabilities, Complete, Found, NamedIn, New, OpenHow, Opened,
    Parent, Space, Symlink, Trimmed, Volume, Wanted,
};
use crate::error::{Error, Result};
use crate::fold::Forms;
use crate::handle::Handle;
use crate::limits::COMPONENT_UNITS_MAX;
use crate::name_rules::NameRules;
use crate::path::RelativePath;
use crate::stat::{Kind, Stat};
use abilities::Abilities;
use credentials::Credentials;
pub use modes::Modes;
use resolve::{Root, statx_fd};
use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::{AccessMask, FileTime};

/// A share that is a directory.
pub struct LocalBackend {
    root: Arc<Root>,
    /// The features of the root's file system.
    capabilities: Capabilities,
    /// The features of file systems mounted below.
    below: Abilities,
    created: FileTime,
    mount: u64,
}

/// The options of a local share.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The volume's label.
    pub label: String,
    /// The name of the file system that clients receive; programs check for "NTFS" before they use features
    /// such as streams.
    pub file_system: String,
    /// The modes of new files and directories.
    pub modes: Modes,
    /// True if the server follows symlinks, as long as they stay in the share. Otherwise clients see symlinks
    /// and follow them.
    pub follow_symlinks: bool,
    /// The place of named streams.
    pub streams: Streams,
    /// True if clients can change nothing, so that the server moves no streams on its own either.
    pub read_only: bool,
    /// The normalization forms that count as one name.
    pub forms: Forms,
    /// The rules about names; `None` if there are none.
    pub names: Option<Arc<NameRules>>,
}

/// The places where a share stores named streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// Extended attributes for all new streams.
    Attributes,
    /// Extended attributes if the stream fits there, otherwise files in the server's own store.
    #[default]
    Auto,
    /// Files for all new streams, in the layout of Samba's `vfs_streams_depot`.
    Depot,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            label: String::new(),
            file_system: "NTFS".to_owned(),
            modes: Modes::default(),
            follow_symlinks: true,
            streams: Streams::default(),
            read_only: false,
            forms: Forms::Exact,
            names: None,
        }
    }
}

impl LocalBackend {
    /// Opens the directory that is the share's root.
    pub fn open(root: &Path, options: LocalOptions) -> Result<Self> {
        Self::of(rustix::fs::open(root, ROOT_FLAGS, Mode::empty())?, options)
    }

    /// Opens the root of a share that is below a directory which only administrators can change. Symlinks below it are not
    /// followed: a user may have created them.
    pub fn open_below(directory: &Path, below: &Path, options: LocalOptions) -> Result<Self> {
        let directory = rustix::fs::open(directory, ROOT_FLAGS, Mode::empty())?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let path = below.as_os_str().as_bytes();
        match resolve::resolve_at(directory.as_fd(), path, ROOT_FLAGS, Mode::empty(), resolve) {
            Err(Errno::LOOP) => Err(Error::Io(std::io::Error::other(
                "a symbolic link in the part of the path that depends on the user is not followed",
            ))),
            found => Self::of(found?, options),
        }
    }

    fn of(fd: OwnedFd, options: LocalOptions) -> Result<Self> {
        folded::prepare();
        let capabilities = abilities::probe(fd.as_fd(), Some(fd.as_fd()), &options);
        let created = metadata::to_stat(&statx_fd(fd.as_fd())?, Default::default()).created;
        let mount = resolve::mount(fd.as_fd())?;
        let root = Arc::new(Root::new(fd, Credentials::current(), options)?);
        Ok(Self { root, capabilities, below: Abilities::default(), created, mount })
    }
}

const ROOT_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Backend for LocalBackend {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn handle_directory(&self) -> Result<OwnedFd> {
        handle_directory::open_or_make(&self.root)
    }

    fn capabilities_at(&self, handle: &dyn Handle) -> Result<Capabilities> {
        let handle = change::own(handle)?;
        let directory = || {
            let path = handle.path();
            let directory = match handle.kind() {
                Kind::Directory => &*path,
                _ => path
                    .iter()
                    .rposition(|byte| *byte == b'/')
                    .and_then(|end| path.get(..end))
                    .unwrap_or_default(),
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            self.root.open_at(directory, flags, Mode::empty()).ok()
        };
        let root = (self.mount, self.root.device);
        let below = self.below.below(root, handle.fd(), &self.root.options, directory)?;
        Ok(below.unwrap_or(self.capabilities))
    }

    fn open(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        let how = OpenHow { wanted, link: false };
        self.open_asking(actor, path, how, AccessMask::NONE)
    }

    fn open_link(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        let how = OpenHow { wanted, link: true };
        self.open_asking(actor, path, how, AccessMask::NONE)
    }

    fn open_asking(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        asked: AccessMask,
    ) -> Result<Opened> {
        self.root.check_shown(path)?;
        match open::open(&self.root, actor, path, how.wanted, asked) {
            Err(Error::Loop) if how.link && !self.root.options.follow_symlinks => {
                link::open(&self.root, actor, path, how.wanted)
            }
            result => result,
        }
    }

    fn open_or_miss(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        asked: AccessMask,
    ) -> Result<Found> {
        if path.stream().is_some() || how.link && !self.root.options.follow_symlinks {
            return backend::found(self.open_asking(actor, path, how, asked));
        }
        let shown = self.root.check_shown(path);
        match shown.and_then(|()| open::open_or_miss(&self.root, actor, path, how.wanted, asked)) {
            // The name is vetoed, or a symlink that leads to nothing.
            Err(Error::NotFound) => Ok(Found::Missed(None)),
            found => found,
        }
    }

    fn first_symlink(&self, actor: &Actor, path: &RelativePath) -> Result<Option<Symlink>> {
        self.root.check_shown(path)?;
        link::first(&self.root, actor, path)
    }

    fn make_symlink(
        &self,
        actor: &Actor,
        path: &RelativePath,
        handle: &dyn Handle,
        target: &str,
    ) -> Result<()> {
        self.root.check_shown(path)?;
        link::make(&self.root, actor, path, change::own(handle)?, target)
    }

    fn reopen(&self, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened> {
        open::reopen(&self.root, actor, opened, wanted)
    }

    fn file_of(&self, actor: &Actor, handle: &dyn Handle) -> Result<Opened> {
        open::file_of(actor, change::own(handle)?)
    }

    fn parent(&self, actor: &Actor, path: &RelativePath) -> Result<Parent> {
        self.root.check_shown(path)?;
        open::parent(&self.root, actor, path)
    }

    fn parent_and_entry(&self, actor: &Actor, path: &RelativePath) -> Result<(Parent, Option<Opened>)> {
        if path.stream().is_some() {
            return backend::parent_and_entry(self, actor, path);
        }
        self.root.check_shown(path)?;
        entry::parent_and_entry(&self.root, actor, path)
    }

    fn open_in(
        &self,
        actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        followed: bool,
    ) -> Result<Opened> {
        // Hidden from listings, so it does not exist here either.
        self.root.check_shown(path).map_err(|_| Error::NotFound)?;
        entry::open_in(&self.root, actor, change::own(holder)?, path, followed)
    }

    fn directory_of(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn> {
        self.root.check_shown(path)?;
        entry::directory_of(&self.root, actor, path, change::own(handle)?)
    }

    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        open::create_file(&self.root, actor, parent, new, wanted, complete)
    }

    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        complete: Complete<'_>,
    ) -> Result<Opened> {
        if parent.path.stream().is_some() {
            return Err(Error::NotADirectory);
        }
        change::create_directory(&self.root, actor, parent, new, complete)
    }

    fn rename_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        self.root.check_shown(from)?;
        let handle = change::own(handle)?;
        if from.stream().is_some() || to.path.stream().is_some() {
            return change::rename_stream(handle, from, &to.path, replaced.is_some());
        }
        let replaced = replaced.map(change::own).transpose()?;
        let replaced = replaced.map(|replaced| (replaced, None));
        Ok(change::rename(&self.root, actor, handle, from, to, replaced)?.0)
    }

    fn link_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String> {
        if to.path.stream().is_some() {
            return Err(Error::NotSupported);
        }
        let replaced = replaced.map(change::own).transpose()?;
        change::link(&self.root, actor, change::own(handle)?, to, replaced)
    }

    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        self.root.check_shown(path)?;
        change::remove(&self.root, actor, path, change::own(handle)?)
    }

    fn check_removable(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()> {
        self.root.check_shown(path)?;
        entry::check_removable(&self.root, actor, path, change::own(handle)?)
    }

    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool> {
        let directory = change::own(handle)?.fd();
        store::clear(&self.root, directory);
        match vetoed::removed_with_directory(&self.root) {
            Some(rules) => vetoed::has_only(rules, directory),
            None => directory::is_empty(directory),
        }
    }

    fn recycle(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle, bin: &Bin) -> Result<()> {
        self.root.check_shown(path)?;
        recycle::recycle(&self.root, actor, path, handle, bin)
    }

    fn rename_keeping_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: &dyn Handle,
        bin: &Bin,
    ) -> Result<(String, Result<()>)> {
        if from.stream().is_some() || to.path.stream().is_some() {
            return Err(Error::NotSupported);
        }
        self.root.check_shown(from)?;
        let (file, replaced) = (change::own(handle)?, change::own(replaced)?);
        change::rename(&self.root, actor, file, from, to, Some((replaced, Some(bin))))
    }

    fn trim_bin(&self, directory: &RelativePath, limits: &BinLimits) -> Result<Trimmed> {
        bin_limits::trim(&self.root, directory, limits)
    }

    fn used_bytes(&self) -> Result<u64> {
        used_space::count(&self.root)
    }

    fn space(&self, handle: &dyn Handle) -> Result<Space> {
        let stat = rustix::fs::fstatvfs(change::own(handle)?.fd())?;
        let (unit, total, free, available) = (stat.f_frsize, stat.f_blocks, stat.f_bfree, stat.f_bavail);
        let read_only = stat.f_flag.contains(StatVfsMountFlags::RDONLY);
        match u32::try_from(unit) {
            Ok(unit_bytes) if unit_bytes > 0 => Ok(Space { unit_bytes, total, free, available, read_only }),
            _ => Err(Error::NotSupported),
        }
    }

    fn volume(&self, handle: &dyn Handle) -> Result<Volume> {
        let handle = change::own(handle)?;
        let (device, _) = handle.inode();
        let key = self.root.file_systems.key(device, handle.fd())?;
        // As with two drives, two shares of one file system are two volumes.
        let longest = rustix::fs::fstatvfs(handle.fd())?.f_namemax;
        let longest = usize::try_from(longest).map_or(COMPONENT_UNITS_MAX, |it| it.min(COMPONENT_UNITS_MAX));
        let of_root = if device == self.root.device { self.root.inode } else { 0 };
        Ok(Volume {
            serial: serial(key, of_root),
            label: self.root.options.label.clone(),
            created: self.created,
            file_system: self.root.options.file_system.clone(),
            component_units_max: u32::try_from(longest).unwrap_or(u32::MAX),
        })
    }

    fn file_id(&self, of: &dyn Handle, stat: &Stat) -> u64 {
        let own = change::own(of).ok().filter(|own| own.inode().0 == stat.device);
        self.root.file_id(stat.device, stat.inode, own.map(|own| own.fd()))
    }

    fn root(&self) -> backend::Root {
        backend::Root { device: self.root.device, inode: self.root.inode, mount: self.mount }
    }
}

/// Checks whether a directory can currently be the root of a share, without opening it and without triggering
/// an automount (autofs(5)).
pub fn look(root: &Path) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(root, flags, Mode::empty())?;
    let needed = rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    if handle::permits(fd.as_fd(), needed) { Ok(()) } else { Err(Error::AccessDenied) }
}

/// True if the kernel reports all changes on the file system of this directory, so that the names of a long directory stay
/// in memory. Otherwise, changes by others can remain unseen for [`crate::limits::FOLDED_AGE_MAX`].
pub fn are_changes_reported(directory: &Path) -> Result<bool> {
    Ok(directory_reports::is_changed_here_only(rustix::fs::statfs(directory)?.f_type))
}

/// The name on the wire for a name on disk.
pub fn wire_name(disk: &[u8]) -> String {
    names::decode(disk)
}

/// The path on disk, relative to the share's directory; the stream is omitted.
pub fn disk_path(path: &RelativePath) -> Result<PathBuf> {
    Ok(PathBuf::from(OsString::from_vec(names::encode_path(path.as_str())?)))
}

/// A path that refers to an open file, for calls that take no descriptor; valid while it is open.
pub fn reopen_path(handle: &dyn Handle) -> Option<String> {
    change::own(handle).ok().map(|handle| xattr::proc_path(handle.fd()))
}

/// True if a name on disk is a directory of streams, which is hidden from clients. `is_top`: it is in the share's root.
pub fn is_of_streams(streams: Streams, is_top: bool, disk: &[u8]) -> bool {
    disk == store::DIRECTORY
        || disk == handle_directory::DIRECTORY
        || (is_top && streams == Streams::Depot && disk == samba_depot::DIRECTORY)
}

/// True for a temporary name of this process, under which a file is created before it replaces another.
pub fn is_temporary_name(disk: &[u8]) -> bool {
    change::is_temporary_name(disk)
}

/// A volume serial number: the FNV-1a hash of the file system's key and the root's inode.
fn serial(file_system: u64, inode: u64) -> u32 {
    let bytes = file_system.to_le_bytes().into_iter().chain(inode.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
