//! The bin of a share, which keeps deleted files.

use crate::path::RelativePath;
use std::time::SystemTime;

/// The place of a user's deleted files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bin {
    /// The directory. The last component becomes the user's own; the server owns those above.
    pub directory: RelativePath,
    /// True if a file is moved to the directory of its former path below `directory`.
    pub keeps_tree: bool,
    /// True if files of the same name get numbers; otherwise the last one replaces the others.
    pub keeps_versions: bool,
}

/// The limits of a bin with the directories of all users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinLimits {
    /// Files that were moved to the bin, or changed, before this time are removed; `None` for no limit.
    pub since: Option<SystemTime>,
    /// If the files have more bytes together than the first number, the oldest are removed until they have at most the
    /// second; `None` for no limit.
    pub bytes: Option<(u64, u64)>,
}

/// The result of [`crate::Backend::trim_bin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The number of files that were removed.
    pub files: u64,
    /// The bytes of the files that are left.
    pub bytes_left: u64,
}
