//! Named limits of the backends, each with its reason and what happens beyond it.

use std::time::Duration;

/// The number of times that streams of files that are gone are set aside for one place. Beyond it nobody has looked
/// after `.streams` for long, and no large stream is made there.
pub(crate) const LOST_STREAMS_MAX: usize = 1000;

/// UTF-16 units in one component (MS-FSCC 2.1.5); longer ones are [`crate::Error::InvalidName`].
pub const COMPONENT_UNITS_MAX: usize = 255;

/// UTF-16 units in a whole path (MS-FSCC 2.1.5); longer ones are [`crate::Error::InvalidName`].
pub const PATH_UNITS_MAX: usize = 32_760;

/// How often a resolution that raced with renames (EAGAIN of openat2) is tried again before
/// [`crate::Error::Busy`]: a client that keeps renaming must not keep a server thread.
pub const RESOLVE_ATTEMPTS_MAX: usize = 64;

/// Bytes of one getdents call: some 400 entries, so that a listing of 10,000 costs 25 calls.
pub const DIRECTORY_BUFFER_BYTES: usize = 32 * 1024;

/// Bytes of one extended attribute's value: Linux's XATTR_SIZE_MAX; larger ones are [`crate::Error::Limitation`].
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one file in the memory backend; larger ones are [`crate::Error::NoSpace`], so that a client
/// cannot take all memory with one SetEndOfFile.
pub const MEM_FILE_BYTES_MAX: u64 = 1 << 30;

/// Ranges that one allocated-ranges answer holds; a caller asks again from the end of the last one.
pub const ALLOCATED_RANGES_MAX: usize = 4096;

/// Entries from which a directory's names are remembered for case folding; a shorter one is scanned as fast.
pub const FOLDED_NAMES_MIN: usize = 128;

/// Entries up to which a directory's names are remembered; a longer one is scanned each time, so that
/// clients cannot make the server remember without bound.
pub const FOLDED_NAMES_MAX: usize = 65_536;

/// Directories whose names are remembered, in the whole process; beyond, the one scanned longest ago is forgotten.
pub const FOLDED_DIRECTORIES_MAX: usize = 32;

/// How long remembered names count: what another program's change could stay unseen for at most.
pub const FOLDED_AGE_MAX: Duration = Duration::from_secs(1);

/// How long a name that is gone is remembered with its short name (MS-FSA 2.1.1.1, TunnelCacheList): Windows'
/// own 15 seconds.
pub const TUNNEL_AGE_MAX: Duration = Duration::from_secs(15);

/// Names that are gone and remembered, per share; beyond, the oldest is forgotten.
pub const TUNNEL_NAMES_MAX: usize = 256;

/// Directories that are remembered to be on the disk as they are, so that a flush of a file in them need not flush
/// them too; beyond, all are forgotten, and the next flushes take longer.
pub const FLUSHED_DIRECTORIES_MAX: usize = 4096;

/// File systems below a share's root that are remembered by their device numbers: more than anybody mounts at a time.
/// Where more came and went, all are asked again.
pub(crate) const FILE_SYSTEMS_MAX: usize = 1024;
