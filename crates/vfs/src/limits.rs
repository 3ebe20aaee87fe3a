//! Named limits of the backends, each with its reason and what happens beyond it.

use std::time::Duration;

/// Attempts to find a free name for the orphaned streams of a removed file. If all are taken, `.streams` has
/// not been cleaned up for long, and no large stream is created there.
pub(crate) const LOST_STREAMS_MAX: usize = 1000;

/// Bytes of the path in a file's mark ([`crate::Streams::Auto`]), which needs space among the attributes. Beyond, the
/// mark has no path, and streams are only searched for in the directories above the file.
pub(crate) const MARK_BYTES_MAX: usize = 128;

/// Directories whose stores are not usable and that have a warning in the log. Beyond, no more are logged, so that
/// clients of many such directories cannot fill the log.
pub(crate) const STORE_WARNINGS_MAX: usize = 64;

/// UTF-16 units in one component (MS-FSCC 2.1.5); longer ones are [`crate::Error::InvalidName`].
pub const COMPONENT_UNITS_MAX: usize = 255;

/// UTF-16 units in a whole path (MS-FSCC 2.1.5); longer ones are [`crate::Error::InvalidName`].
pub const PATH_UNITS_MAX: usize = 32_760;

/// Attempts to resolve a path while renames interfere (EAGAIN of openat2); then [`crate::Error::Busy`], so
/// that a client that keeps renaming does not occupy a server thread.
pub const RESOLVE_ATTEMPTS_MAX: usize = 64;

/// Bytes of one getdents call: some 400 entries, so that a listing of 10,000 costs 25 calls.
pub const DIRECTORY_BUFFER_BYTES: usize = 32 * 1024;

/// Bytes of one extended attribute's value: Linux's XATTR_SIZE_MAX; larger ones are [`crate::Error::Limitation`].
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one file in the memory backend; larger ones are [`crate::Error::NoSpace`], so that a client
/// cannot take all memory with one SetEndOfFile.
pub const MEM_FILE_BYTES_MAX: u64 = 1 << 30;

/// Ranges in one answer of `allocated_ranges`; callers continue at the end of the last one.
pub const ALLOCATED_RANGES_MAX: usize = 4096;

/// Entries up to which a directory is scanned for a name in another case, each time; the names of a longer one are kept
/// in memory. A shorter directory is scanned as fast.
pub const SCANNED_NAMES_MAX: usize = 128;

/// The memory for the names of all directories in the whole process, in bytes: some seven million names of 20 bytes.
/// Beyond, the names of the directory that was not used for the longest time are dropped. A directory that needs more
/// alone is scanned each time.
pub const INDEX_BYTES_MAX: usize = 256 << 20;

/// Deleted files of one name that the bin keeps beside each other; the next one is not kept.
pub const RECYCLED_VERSIONS_MAX: u32 = 1000;

/// Times by which files in a bin are counted: about as many as make some megabytes. If there are more, files of close times
/// are counted together.
pub const BIN_AGES_MAX: usize = 65_536;

/// The depth of directories in the bin that is searched for old files: deeper than paths of clients can be.
pub const RECYCLED_DEPTH_MAX: u32 = 512;

/// The depth of directories whose files are counted as used space; deeper ones are left out. Each level takes a
/// descriptor while it is counted.
pub(crate) const COUNTED_DEPTH_MAX: u32 = 128;

/// The depth of vetoed directories that are removed with their directory.
pub const VETOED_DEPTH_MAX: u32 = 128;

/// Directories whose names are in memory. Each needs one of the user's inotify watches, of which older kernels have 8,192.
/// Beyond, the one that was not used for the longest time is dropped.
pub const INDEX_DIRECTORIES_MAX: usize = 1024;

/// Changes of a directory that wait until its names are used: as many as the kernel's own queue holds by default.
/// Beyond, its names are dropped: other programs change it, and no client looks for names.
pub const INDEX_REPORTS_MAX: usize = 16_384;

/// Own changes of a directory after which the waiting ones are applied to its names, so that a client that removes many
/// files by their exact names does not fill the memory with them.
pub const INDEX_REPORTS_APPLIED: usize = 256;

/// The time for which the names of a directory on a network file system stay in memory: changes by others can remain
/// unseen for at most this long.
pub const FOLDED_AGE_MAX: Duration = Duration::from_secs(1);

/// The time for which a removed name is remembered with its short name (MS-FSA 2.1.1.1, TunnelCacheList): 15
/// seconds, as in Windows.
pub const TUNNEL_AGE_MAX: Duration = Duration::from_secs(15);

/// Removed names that are remembered per share; beyond, the oldest is dropped.
pub const TUNNEL_NAMES_MAX: usize = 256;

/// Directories that are remembered as flushed, so that a flush of a file in them need not flush them again;
/// beyond, all are dropped, and the next flushes take longer.
pub const FLUSHED_DIRECTORIES_MAX: usize = 4096;

/// Files whose attributes are remembered with their change time, about 100 bytes each for the whole server: enough for the
/// directories that clients list again and again. Beyond, a part of them is read again.
pub(crate) const KNOWN_ATTRIBUTES_MAX: usize = 65_536;

/// File systems below a share's root that are remembered by device number: more than are usually mounted at a
/// time. Beyond, all are dropped and queried again.
pub(crate) const FILE_SYSTEMS_MAX: usize = 1024;
