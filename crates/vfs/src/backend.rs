//! A share's tree: names in, handles out.

use crate::error::Result;
use crate::handle::Handle;
use crate::path::RelativePath;
use crate::stat::Stat;
use std::sync::Arc;
use wire::{FileAttributes, FileTime};

/// One share's files.
///
/// Names are looked up exactly first and without regard to case where that fails, in every component
/// ([`crate::fold`]); of several candidates the one that sorts first by its bytes on disk is taken. A name that
/// none has may be the short name of one ([`crate::short_name`]). Symlinks are followed as long as they stay in the share; others are [`crate::Error::AccessDenied`], dangling ones
/// [`crate::Error::NotFound`]. A share may also leave them to its clients: [`crate::Error::Loop`].
pub trait Backend: Send + Sync {
    /// The abilities of the file system that the root is in.
    fn capabilities(&self) -> Capabilities;

    /// The abilities of the file system that `handle` is in, which may be mounted below the root.
    fn capabilities_at(&self, _handle: &dyn Handle) -> Result<Capabilities> {
        Ok(self.capabilities())
    }

    /// Opens what exists, with no side effect: never creates, truncates or blocks on a special file.
    ///
    /// A handle for `wanted` without any access still answers metadata calls. With data access wanted, a
    /// special file is [`crate::Error::AccessDenied`]; a directory is opened for listing if `read` is wanted,
    /// and `write` asks nothing of it. A path with a stream opens the stream, which must exist.
    fn open(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened>;

    /// As [`Self::open`], but a symlink at the end of the path is itself opened where the share does not follow
    /// symlinks (FILE_OPEN_REPARSE_POINT).
    fn open_link(&self, actor: &Actor, path: &RelativePath, wanted: Wanted) -> Result<Opened> {
        self.open(actor, path, wanted)
    }

    /// The first symlink on the way of a path that is a client's to follow: one of the file system's where the share
    /// leaves these to its clients (what [`Self::open`] answers with [`crate::Error::Loop`]), and everywhere one that is
    /// kept as reparse data. None where there is none.
    fn first_symlink(&self, _actor: &Actor, _path: &RelativePath) -> Result<Option<Symlink>> {
        Ok(None)
    }

    /// Puts a symlink in the place of the empty file, the empty directory or the symlink that `handle` has open
    /// as `path`; the handle then is of the symlink. `target` is relative and has `/` between its components;
    /// where it leads out of the share, it is [`crate::Error::AccessDenied`].
    fn make_symlink(
        &self,
        _actor: &Actor,
        _path: &RelativePath,
        _handle: &dyn Handle,
        _target: &str,
    ) -> Result<()> {
        Err(crate::Error::NotSupported)
    }

    /// The same file or stream opened again with the access that is `wanted`, by right of `actor`: what `opened`
    /// has open, whatever has its name by now.
    fn reopen(&self, actor: &Actor, opened: &Opened, wanted: Wanted) -> Result<Opened>;

    /// The file of which `handle` is a stream (or itself), without access to data.
    fn file_of(&self, actor: &Actor, handle: &dyn Handle) -> Result<Opened>;

    /// What holds the last component of `path`, which need not exist: its directory; for a path with a stream,
    /// the file. Calls that take a [`Parent`] act in what was found here, whatever has its name by then.
    ///
    /// The root has no parent: [`crate::Error::InvalidArgument`].
    fn parent(&self, actor: &Actor, path: &RelativePath) -> Result<Parent>;

    /// Opens, without access to data, what the last component of `path` stands for in the directory `holder`, or the
    /// stream of the file `holder` that `path` names. A symlink is opened itself, unless it is to be `followed` and
    /// the share follows symlinks; the metadata are those that clients see, of what a symlink leads to where the
    /// share follows it.
    fn open_in(
        &self,
        actor: &Actor,
        holder: &dyn Handle,
        path: &RelativePath,
        followed: bool,
    ) -> Result<Opened>;

    /// The directory in which `path` stands for `handle`'s file ([`crate::Error::Replaced`] where it stands for
    /// another), and whether its permissions let `actor` remove the name.
    fn directory_of(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<NamedIn>;

    /// Creates a file that does not exist under any case spelling ([`crate::Error::Exists`] otherwise), and lets
    /// `complete` give it what it is to have: whoever opens it through a local share, or sees it in a listing's
    /// metadata, waits for that.
    ///
    /// ARCHIVE is added to `attributes`. A path with a stream creates the stream; its file must exist.
    fn make_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
        wanted: Wanted,
        complete: Complete<'_>,
    ) -> Result<Opened>;

    /// Creates a directory that does not exist under any case spelling ([`crate::Error::Exists`] otherwise, also
    /// where somebody has put another directory in the place of the one that was made); the handle can list it.
    /// `complete` as in [`Self::make_file_in`].
    fn make_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
        complete: Complete<'_>,
    ) -> Result<Opened>;

    /// [`Self::make_file_in`] for a file that needs no completion.
    fn create_file_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
        wanted: Wanted,
    ) -> Result<Opened> {
        self.make_file_in(actor, parent, attributes, wanted, &|_| Ok(()))
    }

    /// [`Self::make_directory_in`] for a directory that needs no completion.
    fn create_directory_in(
        &self,
        actor: &Actor,
        parent: &Parent,
        attributes: FileAttributes,
    ) -> Result<Opened> {
        self.make_directory_in(actor, parent, attributes, &|_| Ok(()))
    }

    /// Renames `from` to the name in `to` if `from` still stands for `handle`'s file
    /// ([`crate::Error::Replaced`] otherwise); returns the real spelling of the new path.
    ///
    /// A symlink is renamed itself, not what it points to. An existing target is [`crate::Error::Exists`], unless
    /// only the case of the name changes or it is the file that is to be `replaced` (what [`Self::open_in`] has
    /// opened); where that has been replaced itself, the error is [`crate::Error::Replaced`]. A file is replaced
    /// atomically and keeps its spelling; a directory or a READONLY file is [`crate::Error::AccessDenied`]
    /// (MS-FSA 2.1.5.15.11).
    ///
    /// With a stream in `from`: `to` is of the same file, another stream or, without one, the file's data, which
    /// must be empty ([`crate::Error::Exists`]) and are what the stream's were. Whatever had the stream open still
    /// has.
    fn rename_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String>;

    /// Gives `handle`'s file the further name that `to` says; returns its real spelling. Directories are
    /// [`crate::Error::IsADirectory`]; an existing target as in [`Self::rename_in`].
    fn link_in(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        to: &Parent,
        replaced: Option<&dyn Handle>,
    ) -> Result<String>;

    /// Removes the name `path` if it still stands for `handle`'s file ([`crate::Error::Replaced`] otherwise);
    /// a symlink is removed itself, a directory must be empty. A path with a stream removes the stream.
    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()>;

    /// What is known already against [`Self::remove`]: [`crate::Error::ReadOnly`], [`crate::Error::AccessDenied`]
    /// where the directory does not let `actor`, [`crate::Error::Undeletable`], [`crate::Error::Replaced`]. That
    /// nothing is known is no promise.
    fn check_removable(&self, _actor: &Actor, _path: &RelativePath, _handle: &dyn Handle) -> Result<()> {
        Ok(())
    }

    /// [`Self::create_file_in`] for a caller that decides nothing by the directory.
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

    /// [`Self::create_directory_in`] for a caller that decides nothing by the directory.
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

    /// [`Self::rename_in`] for a caller that decides nothing by the directory; with `replace`, whatever has the
    /// name is to be replaced.
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
        // Data that a stream becomes are never replaced.
        let may_replace = replace && (from.stream().is_none() || to.path.stream().is_some());
        let replaced = self.replaced_in(actor, &to, may_replace)?;
        self.rename_in(actor, handle, from, &to, replaced.as_ref().map(|opened| &*opened.handle))
    }

    /// [`Self::link_in`] for a caller that decides nothing by the directory; with `replace`, whatever has the
    /// name is to be replaced.
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

    /// The [`Parent`] of a rename's target. That of a stream is the file, also where the stream becomes its data.
    fn parent_for(&self, actor: &Actor, from: &RelativePath, to: &RelativePath) -> Result<Parent> {
        match (from.stream(), to.stream()) {
            (Some(stream), None) => {
                let parent = self.parent(actor, &to.clone().with_stream(stream)?)?;
                Ok(Parent { path: to.clone(), ..parent })
            }
            _ => self.parent(actor, to),
        }
    }

    /// What has the name in `parent`, where it is to be replaced; none where there is nothing.
    fn replaced_in(&self, actor: &Actor, parent: &Parent, replace: bool) -> Result<Option<Opened>> {
        if !replace {
            return Ok(None);
        }
        match self.open_in(actor, &*parent.handle, &parent.path, false) {
            Err(crate::Error::NotFound) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Whether `handle`'s directory has no entry at all, entries that a listing leaves out counted.
    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool>;

    /// How much there is room for in the file system that `handle` is in, which may be mounted below the root.
    fn space(&self, handle: &dyn Handle) -> Result<Space>;

    /// What the file system that `handle` is in calls itself.
    fn volume(&self, handle: &dyn Handle) -> Result<Volume>;

    /// The file's id (MS-FSCC 2.4.20): another for each file of the share, the same by all its names and after a restart,
    /// and none of those that clients have other uses for. `stat` is of `of` itself, or of an entry of that directory.
    fn file_id(&self, _of: &dyn Handle, stat: &Stat) -> u64 {
        stat.inode
    }

    /// Which directory is the share's root. What is mounted on it later, or made in its place, is another.
    fn root(&self) -> Root {
        Root::default()
    }
}

/// Who acts: whose permissions the file system applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// The server's own process.
    #[default]
    Process,
    /// A user. Where the server does not run as root, all users are the process.
    User(Arc<Identity>),
}

impl Actor {
    /// A user by ids; `groups` are the supplementary ones.
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

/// Which data access an open needs.
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

/// A symlink that a client is to follow itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    /// How many of the path's last components come after it.
    pub components_behind: usize,
    /// Where it leads: see [`SymlinkTarget`].
    pub target: SymlinkTarget,
}

/// Where a symlink leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymlinkTarget {
    /// Relative to its directory, with `/` between the components; it does not leave the share.
    Relative(String),
    /// Where the client says that made it, in the words of its own name space (MS-FSCC 2.1.2.4); nobody else follows it.
    Absolute {
        /// `SubstituteName`.
        substitute: String,
        /// `PrintName`.
        print: String,
    },
}

/// Gives something new what it is to have beside its attributes, through the handle that it is told alone; where it
/// fails, what is new is removed. It must not call the backend.
pub type Complete<'a> = &'a dyn Fn(&Opened) -> Result<()>;

/// What holds a name: see [`Backend::parent`].
#[derive(Clone)]
pub struct Parent {
    /// The directory; for a stream its file.
    pub handle: Arc<dyn Handle>,
    /// Its metadata when it was found.
    pub stat: Stat,
    /// The path that was asked for, the name included.
    pub path: RelativePath,
}

impl Parent {
    /// The name `path` in a directory (or the stream of a file) that is open.
    pub fn of(handle: Arc<dyn Handle>, path: RelativePath) -> Result<Self> {
        Ok(Self { stat: handle.stat()?, handle, path })
    }
}

/// The directory that has a file by a name: see [`Backend::directory_of`].
#[derive(Clone)]
pub struct NamedIn {
    /// The directory.
    pub directory: Arc<dyn Handle>,
    /// Whether its permissions let the actor remove the name.
    pub is_removable: bool,
}

/// A successful open.
#[derive(Clone)]
pub struct Opened {
    /// The open file.
    pub handle: Arc<dyn Handle>,
    /// The real spelling on disk, share-relative, split by `/`, without the stream.
    pub path: String,
    /// The stream's real spelling, where one was opened.
    pub stream: Option<String>,
    /// The metadata at the time of the open.
    pub stat: Stat,
}

wire::bit_mask! {
    /// What a backend can do.
    Capabilities(u32) {
        /// Named streams.
        STREAMS = 0x01,
        /// Extended attributes.
        XATTR = 0x02,
        /// Holes: [`Handle::zero`] frees a sparse file's space, [`Handle::allocated_ranges`] tells.
        SPARSE = 0x04,
        /// Names are found without regard to case.
        CASE_INSENSITIVE = 0x08,
        /// DOS attributes and creation times are stored.
        DOS_ATTRIBUTES = 0x10,
        /// Hard links.
        HARD_LINKS = 0x20,
        /// [`Handle::try_read_at`] may be worth trying.
        NOWAIT = 0x40,
        /// Reparse points are kept for clients.
        REPARSE_POINTS = 0x80,
        /// [`Handle::duplicate_extents`] works.
        BLOCK_CLONES = 0x100,
        /// [`Backend::make_symlink`] works: symlinks are the file system's, and shown as such.
        SYMLINKS = 0x200,
        /// Security descriptors are kept.
        SECURITY = 0x400,
    }
}

/// A share's root: [`Backend::root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// Its device number.
    pub device: u64,
    /// Its inode number on that device.
    pub inode: u64,
    /// The mount through which it is seen: its options, read-only for one, go for the files below.
    pub mount: u64,
}

/// Room on the volume, in allocation units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in a unit.
    pub unit_bytes: u32,
    /// Units in all.
    pub total: u64,
    /// Units free for anybody.
    pub free: u64,
    /// Units free for an ordinary user.
    pub available: u64,
    /// Nothing on the volume can be changed.
    pub read_only: bool,
}

/// What MS-FSCC 2.5.9 and 2.5.1 answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `VolumeSerialNumber`: the same across restarts.
    pub serial: u32,
    /// `VolumeLabel`.
    pub label: String,
    /// `VolumeCreationTime`.
    pub created: FileTime,
    /// `FileSystemName`: what clients expect, not what the disk has.
    pub file_system: String,
    /// `MaximumComponentNameLength`.
    pub component_units_max: u32,
}
