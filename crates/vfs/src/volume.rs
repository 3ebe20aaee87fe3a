//! The properties of the file systems in a share.

use wire::FileTime;

wire::bit_mask! {
    /// The features of a backend.
    Capabilities(u32) {
        /// Named streams.
        STREAMS = 0x01,
        /// Extended attributes.
        XATTR = 0x02,
        /// Holes: [`crate::Handle::zero`] frees space of a sparse file; [`crate::Handle::allocated_ranges`] lists the rest.
        SPARSE = 0x04,
        /// Case-insensitive lookup of names.
        CASE_INSENSITIVE = 0x08,
        /// Stored DOS attributes and creation times.
        DOS_ATTRIBUTES = 0x10,
        /// Hard links.
        HARD_LINKS = 0x20,
        /// Reads without waiting: [`crate::Handle::try_read_at`] may succeed.
        NOWAIT = 0x40,
        /// Reparse points set by clients.
        REPARSE_POINTS = 0x80,
        /// Block cloning: [`crate::Handle::duplicate_extents`].
        BLOCK_CLONES = 0x100,
        /// Symlinks of the file system, shown as such: [`crate::Backend::make_symlink`].
        SYMLINKS = 0x200,
        /// Security descriptors.
        SECURITY = 0x400,
    }
}

/// The identity of a share's root: see [`crate::Backend::root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The device number.
    pub device: u64,
    /// The inode number on that device.
    pub inode: u64,
    /// The mount through which the share sees the root; its options, such as read-only, apply to all files
    /// below.
    pub mount: u64,
}

/// The space of a volume, in allocation units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes per unit.
    pub unit_bytes: u32,
    /// All units.
    pub total: u64,
    /// The free units, including those reserved for the superuser.
    pub free: u64,
    /// The free units for ordinary users.
    pub available: u64,
    /// True if nothing on the volume can be changed.
    pub read_only: bool,
}

/// The data of FileFsVolumeInformation (MS-FSCC 2.5.9) and FileFsAttributeInformation (2.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `VolumeSerialNumber`: the same across restarts.
    pub serial: u32,
    /// `VolumeLabel`.
    pub label: String,
    /// `VolumeCreationTime`.
    pub created: FileTime,
    /// `FileSystemName`: the name that clients expect, not that of the file system on the disk.
    pub file_system: String,
    /// `MaximumComponentNameLength`.
    pub component_units_max: u32,
}
