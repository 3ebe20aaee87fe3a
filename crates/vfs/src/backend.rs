//! The file tree of one share: takes names, returns handles.

use crate::error::Result;
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::Stat;
use std::sync::Arc;
use wire::{AccessMask, FileAttributes};

pub use crate::bin::{Bin, BinLimits, Trimmed};
pub use crate::volume::{Capabilities, Root, Space, Volume};

/// One share's files.
///
/// In every component of a path, an exact match of the name comes first; if there is none, case is ignored
/// ([`crate::fold`]), and of several candidates the one that sorts first by its bytes on disk is taken. A
/// name that matches no file may be the short name of one ([`crate::short_name`]). Symlinks are followed if
/// they stay in the share; others are [`crate::Error::AccessDenied`], dangling ones
/// [`crate::Error::NotFound`]. A share can also be configured to let its clients follow symlinks:
/// [`crate::Error::Loop`].
pub trait Backend: Send + Sync {
    /// The features of the file system that the root is in.
    fn capabilities(&self) -> Capabilities;

    /// The features of the file system that `handle` is in, which may be mounted below the root.
    fn capabilities_at(&self, _handle: &dyn Handle) -> Result<Capabilities> {
        Ok(self.capabilities())
    }

    /// A directory on the share's file system that only the server can enter, for the logs of opens that outlive the
    /// server.
    fn handle_directory(&self) -> Result<std::os::fd::OwnedFd> {
        Err(crate::Error::NotSupported)
    }

    /// Opens an existing file without side effects: never creates, truncates or blocks on a special file.
    ///
    /// If `wanted` contains no access, the handle still answers metadata calls. Data access to a special file
    /// is [`crate::Error::AccessDenied`]. A directory is opened for listing if `read` is wanted; `write` has
    /// no effect on it. A path with a stream opens the stream, which must exist.
    fn open(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened>;

    /// Opens a path as [`Self::open`] does, but opens a symlink at its end itself if the share does not
    /// follow symlinks (FILE_OPEN_REPARSE_POINT).
    fn open_link(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.open(actor, path, wanted)
    }

    /// Opens a path as [`Self::open`] does, or as [`Self::open_link`] does, and queries the operating system in the
    /// same step for the permissions that decide about the rights `asked`: see [`Opened::permits`].
    fn open_asking(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        _asked: AccessMask,
    ) -> Result<Opened> {
        match how.link {
            true => self.open_link(actor, path, how.wanted),
            false => self.open(actor, path, how.wanted),
        }
    }

    /// Opens a path as [`Self::open_asking`] does. If there is no such file, the result is the directory that lacks it,
    /// for calls that take a [`Parent`], so that the directory that is checked and changed is the one in which the name
    /// was missed. A directory that is a symlink which a client has stored is [`crate::Error::Loop`].
    fn open_or_miss(
        &self,
        actor: &Actor,
        path: &RelativePath,
        how: OpenHow,
        asked: AccessMask,
    ) -> Result<Found> {
        found(self.open_asking(actor, path, how, asked))
    }

    /// The first symlink in a path that the client must follow itself, or `None`. It is a reparse point that
    /// a client has set or, if the share does not follow symlinks, a symlink of the file system (for which
    /// [`Self::open`] returns [`crate::Error::Loop`]).
    fn first_symlink(&self, _actor: &Actor, _path: &RelativePath) -> Result<Option<Symlink>> {
        Ok(None)
    }

    /// Replaces the empty file, the empty directory or the symlink that `handle` has open as `path` with a
    /// symlink; `handle` then refers to the symlink. `target` is relative with `/` between its components; if
    /// it leads out of the share, the error is [`crate::Error::AccessDenied`].
    fn make_symlink(
        &self,
        _actor: &Actor,
        _path: &RelativePath,
        _handle: &dyn Handle,
        _target: &str,
    ) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Opens the file or stream of `opened` again with the access `wanted` and the rights of `actor`, even if
    /// its name now belongs to another file.
    fn reopen(&self, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened>;

    /// Opens the file that `handle` is a stream of (or the file itself), without access to data.
    fn file_of(&self, actor: &Actor, handle: &dyn Handle) -> Result<Opened>;

    /// Finds the container of the last component of `path`, which need not exist: its directory or, for a
    /// path with a stream, the file. Calls that take a [`Parent`] act on the container found here, even if
    /// its name belongs to another file by then.
    ///
    /// The root has no parent: [`crate::Error::InvalidArgument`].
    fn parent(&self, actor: &Actor, path: &RelativePath) -> Result<Parent>;

    /// Finds the container of the last component of `path` as [`Self::parent`] does, and opens what has this name in it as
    /// [`Self::open_in`] does, without following a symlink; `None` if nothing has.
    fn parent_and_entry(&self, actor: &Actor, path: &RelativePath) -> Result<(Parent, Option<Opened>)> {
        parent_and_entry(self, actor, path)
    }

    /// Opens, without access to data, the entry of the directory `holder` that the last component of `path`
    /// names, or the stream of the file `holder` that `path` names. A symlink itself is opened, unless
    /// `followed` is set and the share follows symlinks. The metadata are those that clients see: those of
    /// the symlink's target if the share follows symlinks.
    fn open_in(
        &self,
        actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        followed: bool,
    ) -> Result<Opened>;

    /// The directory in which `path` names `handle`'s file ([`crate::Error::Replaced`] if it names another
    /// file), and the answer whether the directory's permissions let `actor` remove the name.
    fn directory_of(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn>;

    /// Creates a file that does not exist in any spelling ([`crate::Error::Exists`] otherwise) and calls
    /// `complete` to initialize it. Until `complete` returns, opens of the file through any local share and
    /// listings that include its metadata wait.
    ///
    /// ARCHIVE is added to the attributes. A path with a stream creates the stream; its file must exist.
    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened>;

    /// Creates a directory that does not exist in any spelling; the handle can list it. The error is
    /// [`crate::Error::Exists`] if the name exists, or if another process has replaced the new directory with
    /// another one. `complete` works as in [`Self::make_file_in`].
    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        new: New,
        complete: Complete<'_>,
    ) -> Result<Opened>;

    /// Creates a file as [`Self::make_file_in`] does, without initialization.
    fn create_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
        wanted: Wanted,
    ) -> Result<Opened> {
        self.make_file_in(actor, parent, attributes.into(), wanted, &|_| Ok(()))
    }

    /// Creates a directory as [`Self::make_directory_in`] does, without initialization.
    fn create_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
    ) -> Result<Opened> {
        self.make_directory_in(actor, parent, attributes.into(), &|_| Ok(()))
    }

    /// Renames `from` to the name in `to` if `from` still names `handle`'s file ([`crate::Error::Replaced`]
    /// otherwise); returns the new path in its spelling on disk.
    ///
    /// A symlink itself is renamed, not its target. An existing target is [`crate::Error::Exists`], unless
    /// only the case of the name changes or the target is the file `replaced`, which [`Self::open_in`] has
    /// opened; if the name belongs to another file by now, the error is [`crate::Error::Replaced`]. A file is
    /// replaced atomically and keeps its spelling; a directory or a READONLY file is
    /// [`crate::Error::AccessDenied`] (MS-FSA 2.1.5.15.11).
    ///
    /// If `from` has a stream, `to` must be on the same file. With a stream in `to`, the stream is renamed;
    /// without one, the stream's data become the file's data, which must have been empty
    /// ([`crate::Error::Exists`]). Handles of the stream remain valid.
    fn rename_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String>;

    /// Gives `handle`'s file the additional name `to`; returns its spelling on disk. Directories are
    /// [`crate::Error::IsADirectory`]; existing targets are treated as in [`Self::rename_in`].
    fn link_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String>;

    /// Removes the name `path` if it still names `handle`'s file ([`crate::Error::Replaced`] otherwise). A
    /// symlink itself is removed; a directory must be empty. A path with a stream removes the stream.
    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()>;

    /// Moves a file to a bin instead of removing its name as [`Self::remove`] does. The bin must be on the file system of
    /// the file ([`crate::Error::CrossDevice`] otherwise). The file itself, its handles and streams stay as they are.
    fn recycle(&self, _actor: &Actor, _path: &RelativePath, _handle: &dyn Handle, _bin: &Bin) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// Renames as [`Self::rename_in`] does over the file `replaced`, which is moved to a bin as by [`Self::recycle`]. At
    /// every moment, the name belongs to one of the two files. The second result is the reason why the bin has not taken
    /// the replaced file, which is removed then.
    fn rename_keeping_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: &dyn Handle,
        _bin: &Bin,
    ) -> Result<(String, Result<()>)> {
        let real = self.rename_in(actor, handle, from, to, Some(replaced))?;
        Ok((real, Err(crate::Error::NotSupported)))
    }

    /// Removes files in a bin, below `directory`, that exceed the limits.
    fn trim_bin(&self, _directory: &RelativePath, _limits: &BinLimits) -> Result<Trimmed> {
        Err(crate::Error::NotSupported)
    }

    /// Checks in advance for reasons why [`Self::remove`] would fail: [`crate::Error::ReadOnly`],
    /// [`crate::Error::AccessDenied`] if the directory does not permit `actor` to remove names,
    /// [`crate::Error::Undeletable`], [`crate::Error::Replaced`]. Success does not guarantee that the removal
    /// succeeds.
    fn check_removable(&self, _actor: &Actor, _path: &RelativePath, _handle: &dyn Handle) -> Result<()> {
        Ok(())
    }

    /// Creates a file as [`Self::create_file_in`] does, for callers that do not check its directory.
    fn create_file(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
        wanted: Wanted,
    ) -> Result<Opened> {
        if path.is_root() && path.stream().is_none() {
            return Err(crate::Error::Exists);
        }
        self.create_file_in(actor, &self.parent(actor, path)?, attributes, wanted)
    }

    /// Creates a directory as [`Self::create_directory_in`] does, for callers that do not check its
    /// directory.
    fn create_directory(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
    ) -> Result<Opened> {
        if path.stream().is_some() {
            return Err(crate::Error::NotADirectory);
        }
        if path.is_root() {
            return Err(crate::Error::Exists);
        }
        self.create_directory_in(actor, &self.parent(actor, path)?, attributes)
    }

    /// Renames as [`Self::rename_in`] does, for callers that do not check the directory; with `replace`, an
    /// existing target is replaced.
    fn rename(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &RelativePath,
        replace: bool,
    ) -> Result<String> {
        if to.is_root() && to.stream().is_none() && from.stream().is_none() {
            return Err(crate::Error::AccessDenied);
        }
        let to = self.parent_for(actor, from, to)?;
        // A stream that becomes the file's data never replaces data.
        let may_replace = replace && (from.stream().is_none() || to.path.stream().is_some());
        let replaced = self.replaced_in(actor, &to, may_replace)?;
        self.rename_in(actor, handle, from, &to, replaced.as_ref().map(|opened| &*opened.handle))
    }

    /// Links as [`Self::link_in`] does, for callers that do not check the directory; with `replace`, an
    /// existing target is replaced.
    fn link(&self, actor: &Actor, handle: &dyn Handle, to: &RelativePath, replace: bool) -> Result<String> {
        if to.stream().is_some() {
            return Err(crate::Error::NotSupported);
        }
        if to.is_root() {
            return Err(crate::Error::AccessDenied);
        }
        let to = self.parent(actor, to)?;
        let replaced = self.replaced_in(actor, &to, replace)?;
        self.link_in(actor, handle, &to, replaced.as_ref().map(|opened| &*opened.handle))
    }

    /// The [`Parent`] of a rename's target. For a stream it is the file, even if the stream becomes the
    /// file's data.
    fn parent_for(&self, actor: &Actor, from: &RelativePath, to: &RelativePath) -> Result<Parent> {
        match (from.stream(), to.stream()) {
            (Some(stream), None) => {
                let parent = self.parent(actor, &to.clone().with_stream(stream)?)?;
                Ok(Parent { path: to.clone(), ..parent })
            }
            _ => self.parent(actor, to),
        }
    }

    /// Opens the existing target in `parent` if it is to be replaced; `None` if the name is free.
    fn replaced_in(&self, actor: &Actor, parent: &Parent, replace: bool) -> Result<Option<Opened>> {
        if !replace {
            return Ok(None);
        }
        match self.open_in(actor, &*parent.handle, &parent.path, false) {
            Err(crate::Error::NotFound) => Ok(None),
            result => result.map(Some),
        }
    }

    /// True if `handle`'s directory has no entries, not even hidden ones.
    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool>;

    /// The bytes on the disk that all files of the share use, without those on file systems that are mounted below its
    /// root. It searches the whole share.
    fn used_bytes(&self) -> Result<u64> {
        Err(crate::Error::NotSupported)
    }

    /// The space in the file system that `handle` is in, which may be mounted below the root.
    fn space(&self, handle: &dyn Handle) -> Result<Space>;

    /// The name and properties of the file system that `handle` is in.
    fn volume(&self, handle: &dyn Handle) -> Result<Volume>;

    /// The file's id (MS-FSCC 2.4.20): unique in the share, equal for all names of the file and after a
    /// restart, and never a value that clients reserve. `stat` describes `of` itself or an entry of that
    /// directory.
    fn file_id(&self, _of: &dyn Handle, stat: &Stat) -> u64 {
        stat.inode
    }

    /// The identity of the share's root directory. If a file system is mounted on it later, or another
    /// directory takes its place, the identity differs.
    fn root(&self) -> Root {
        Root::default()
    }
}

/// The user whose permissions the file system applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// The server's own process.
    #[default]
    Process,
    /// A user. If the server does not run as root, every user acts as the process.
    User(Arc<Identity>),
}

impl Actor {
    /// The user with these ids; `groups` are the supplementary ones.
    pub fn user(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        Self::User(Arc::new(Identity { uid, gid, groups }))
    }
}

/// The Unix identity that the file system sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group: the group of new files.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// The data access that an open needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Reading data or listing a directory.
    pub read: bool,
    /// Writing data, truncating, allocating.
    pub write: bool,
}

impl Wanted {
    /// Metadata only.
    pub const NOTHING: Self = Self { read: false, write: false };
    /// Reading only.
    pub const READ: Self = Self { read: true, write: false };
    /// Writing only.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Reading and writing.
    pub const BOTH: Self = Self { read: true, write: true };
}

/// The properties of a new file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// The attributes.
    pub attributes: FileAttributes,
    /// The mode of open(2) or mkdir(2); `None` for the share's. The directory's default ACL or the process's umask
    /// takes permissions away from it. The owner may read and write in addition, so that the file can be initialized:
    /// `complete` takes these permissions away.
    pub mode: Option<u32>,
}

impl From<FileAttributes> for New {
    fn from(attributes: FileAttributes) -> Self {
        Self { attributes, mode: None }
    }
}

/// A symlink that the client must follow itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    /// The number of path components behind the symlink.
    pub components_behind: usize,
    /// The target of the symlink.
    pub target: SymlinkTarget,
}

/// The target of a symlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymlinkTarget {
    /// A path relative to the symlink's directory, with `/` between the components; it does not leave the
    /// share.
    Relative(String),
    /// A path in the name space of the client that made the symlink (MS-FSCC 2.1.2.4); the server never
    /// follows it.
    Absolute {
        /// `SubstituteName`.
        substitute: String,
        /// `PrintName`.
        print: String,
    },
}

/// A function that initializes a new file or directory beyond its attributes, through the only handle to it.
/// If it fails, the new item is removed. It must not call the backend.
pub type Complete<'a> = &'a dyn Fn(&Opened) -> Result<()>;

/// The container of a name: see [`Backend::parent`].
#[derive(Clone)]
pub struct Parent {
    /// The directory or, for a stream, its file.
    pub handle: Arc<dyn Handle>,
    /// The metadata of the container when it was found.
    pub stat: Stat,
    /// The requested path, including the name.
    pub path: RelativePath,
}

impl Parent {
    /// The name `path` in an open directory, or a stream of an open file.
    pub fn of(handle: Arc<dyn Handle>, path: RelativePath) -> Result<Self> {
        Ok(Self { stat: handle.stat()?, handle, path })
    }
}

/// The directory in which a path names a file: see [`Backend::directory_of`].
#[derive(Clone)]
pub struct NamedIn {
    /// The directory.
    pub directory: Arc<dyn Handle>,
    /// True if the directory's permissions let the actor remove the name.
    pub is_removable: bool,
}

/// A successful open.
#[derive(Clone)]
pub struct Opened {
    /// The open file.
    pub handle: Arc<dyn Handle>,
    /// The real spelling on disk, share-relative, split by `/`, without the stream.
    pub path: String,
    /// The stream's spelling on disk, if a stream was opened.
    pub stream: Option<String>,
    /// The metadata at the time of the open.
    pub stat: Stat,
    /// The answers of the operating system about this open's actor, for [`Handle::granted_access`].
    pub permits: Permits,
    /// The result of [`Backend::directory_of`] if [`Backend::open_or_miss`] was asked about the right to delete, and has
    /// found it in the same step.
    pub named: Option<NamedIn>,
}

/// The result of [`Backend::open_or_miss`].
pub enum Found {
    /// The file.
    File(Opened),
    /// There is no such file in this directory. `None` if the directory was not opened or not examined.
    Missed(Option<Parent>),
}

/// The container and the entry in two steps.
pub(crate) fn parent_and_entry<B: Backend + ?Sized>(
    backend: &B,
    actor: &Actor,
    path: &RelativePath,
) -> Result<(Parent, Option<Opened>)> {
    let parent = backend.parent(actor, path)?;
    match backend.open_in(actor, &*parent.handle, &parent.path, false) {
        Err(crate::Error::NotFound) => Ok((parent, None)),
        entry => Ok((parent, Some(entry?))),
    }
}

/// The result of an open that says nothing about the directory.
pub(crate) fn found(opened: Result<Opened>) -> Result<Found> {
    match opened {
        Ok(opened) => Ok(Found::File(opened)),
        Err(crate::Error::NotFound) => Ok(Found::Missed(None)),
        Err(error) => Err(error),
    }
}

/// The permissions that the operating system has just granted or refused to an actor; `None` where it was not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permits {
    /// Reading a file, listing a directory.
    pub read: Option<bool>,
    /// Writing to a file, changing the entries of a directory.
    pub write: Option<bool>,
    /// Executing a file, searching a directory.
    pub execute: Option<bool>,
}

/// The way of an open: see [`Backend::open_asking`].
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    /// The access to the data.
    pub wanted: Wanted,
    /// True if a symlink at the end of the path is opened itself, as [`Backend::open_link`] does.
    pub link: bool,
}
