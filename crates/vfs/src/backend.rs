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
    /// What this backend can do.
    fn capabilities(&self) -> Capabilities;

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

    /// The first symlink on the way of a path that [`Self::open`] answered [`crate::Error::Loop`]; none where
    /// there is none that is a client's to follow.
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

    /// Creates a file that does not exist under any case spelling ([`crate::Error::Exists`] otherwise).
    ///
    /// ARCHIVE is added to `attributes`. A path with a stream creates the stream; its file must exist.
    fn create_file(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
        wanted: Wanted,
    ) -> Result<Opened>;

    /// Creates a directory that does not exist under any case spelling ([`crate::Error::Exists`] otherwise);
    /// the handle can list it.
    fn create_directory(
        &self,
        actor: &Actor,
        path: &RelativePath,
        attributes: FileAttributes,
    ) -> Result<Opened>;

    /// Renames `from` to `to` if `from` still stands for `handle`'s file ([`crate::Error::Replaced`] otherwise);
    /// returns the real spelling of the new path.
    ///
    /// A symlink is renamed itself, not what it points to. Without `replace`, an existing `to` is
    /// [`crate::Error::Exists`], unless only the case of the name changes. With `replace`, an existing file is
    /// replaced atomically and keeps its spelling; a directory or a READONLY file is
    /// [`crate::Error::AccessDenied`] (MS-FSA 2.1.5.15.11).
    ///
    /// With a stream in `from`: `to` is of the same file, another stream or, without one, the file's data, which
    /// must be empty ([`crate::Error::Exists`]) and are what the stream's were. Whatever had the stream open still
    /// has.
    fn rename(
        &self,
        actor: &Actor,
        handle: &dyn Handle,
        from: &RelativePath,
        to: &RelativePath,
        replace: bool,
    ) -> Result<String>;

    /// Gives `handle`'s file the further name `to`; returns its real spelling. Directories are
    /// [`crate::Error::IsADirectory`]; an existing `to` as in [`Self::rename`].
    fn link(&self, actor: &Actor, handle: &dyn Handle, to: &RelativePath, replace: bool) -> Result<String>;

    /// Removes the name `path` if it still stands for `handle`'s file ([`crate::Error::Replaced`] otherwise);
    /// a symlink is removed itself, a directory must be empty. A path with a stream removes the stream.
    fn remove(&self, actor: &Actor, path: &RelativePath, handle: &dyn Handle) -> Result<()>;

    /// Whether `handle`'s directory has no entry at all, entries that a listing leaves out counted.
    fn is_empty_directory(&self, handle: &dyn Handle) -> Result<bool>;

    /// How much there is room for.
    fn space(&self) -> Result<Space>;

    /// What the volume calls itself.
    fn volume(&self) -> Volume;
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
    /// Where it leads, relative to its directory, with `/` between the components; it does not leave the share.
    pub target: String,
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
    }
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
