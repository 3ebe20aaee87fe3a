//! The versions of files that the server reads again when they have changed.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::core::limits::USERS_FILE_SETTLES;

/// The version of the file. It differs after each change that is older than [`USERS_FILE_SETTLES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// There is no file.
    Missing,
    /// The file cannot be examined.
    Unreadable(io::ErrorKind),
    /// Device, inode and size, with the times of the last changes of data and inode in nanoseconds.
    File { device: u64, inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Version {
    /// The version of the file, and true if it may change again without becoming another version.
    pub(crate) fn of(path: &Path) -> (Self, bool) {
        match std::fs::metadata(path) {
            Ok(metadata) => (Self::of_file(&metadata), is_young(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Self::Missing, false),
            Err(error) => (Self::Unreadable(error.kind()), false),
        }
    }

    fn of_file(metadata: &Metadata) -> Self {
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// True if the file may have changed again with the same version, because file systems have coarse times. A time in the
/// future is ignored, so that the file does not stay young for ever.
fn is_young(metadata: &Metadata) -> bool {
    let age = |time: io::Result<SystemTime>| time.ok().and_then(|time| time.elapsed().ok());
    let changed = SystemTime::UNIX_EPOCH
        .checked_add(std::time::Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or_default()));
    let ages = [age(metadata.modified()), changed.and_then(|time| time.elapsed().ok())];
    ages.iter().flatten().any(|age| *age < USERS_FILE_SETTLES)
}
