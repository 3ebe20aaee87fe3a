//! The limits of a mount, each with its reason and what happens beyond it.

use std::time::Duration;

/// The time for which the kernel caches names and attributes: long enough for the repeated queries of one
/// command, short enough that changes by other clients are seen.
pub(crate) const ATTRIBUTES_TIME: Duration = Duration::from_secs(1);

/// The time for connecting and negotiating. A server that takes longer is unreachable.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// The times that servers of a cluster may lead to another one: a share that moves meanwhile leads once more. Connecting
/// fails beyond.
pub(crate) const REDIRECTS_MAX: usize = 4;

/// The time for one request, except for locks that wait: a server may wait half a minute until another client
/// gives up its cache.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(45);

/// The time after a failed connection during which calls are refused at once, so that not every one of a
/// thousand calls waits for a dead server.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The interval of ECHO requests, and the time for their answers. If there is no answer, the requests in
/// progress fail with EIO.
pub(crate) const ECHO_PAUSE: Duration = Duration::from_secs(10);

/// The interval at which a thread that waits for a lock is checked for signals.
pub(crate) const SIGNAL_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts to get a lock for which the server cannot wait by itself.
pub(crate) const LOCK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// The longest time for which the server may wait for a lock, practically unlimited: a signal ends the wait
/// sooner. Beyond, the call fails with EIO.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Bytes of one READ or WRITE: larger ones are not faster, and each needs a buffer.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// Background requests of the kernel in progress (read-ahead).
pub(crate) const BACKGROUND_MAX: u16 = 64;

/// Entries of one directory. Listing a larger one fails with EFBIG, because a listing is held in memory.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 2_000_000;

/// Bytes of a listing that are requested at a time.
pub(crate) const LISTING_BYTES: u32 = 1 << 20;

/// Bytes of the extended attributes of one file (64 KiB is the most that the fields on the wire allow).
pub(crate) const EA_BYTES_MAX: u32 = 64 << 10;

/// Bytes of a reparse point (MS-FSCC 2.1.2).
pub(crate) const REPARSE_BYTES_MAX: u32 = 16 << 10;

/// UTF-16 code units of a name. A longer one is ENAMETOOLONG.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// UTF-16 code units of a path (MS-FSCC 2.1.5: a request has 16 bits for its length; Windows accepts no
/// more). A longer one is ENAMETOOLONG.
pub(crate) const PATH_UNITS_MAX: usize = 32_760;

/// Bytes of a name in UTF-8 that file systems of Unix servers accept (NAME_MAX). If a server calls a longer
/// one invalid, its length is the reason: ENAMETOOLONG.
pub(crate) const SERVER_NAME_BYTES_MAX: usize = 255;

/// Bytes of a path that Unix servers accept (PATH_MAX without the zero).
pub(crate) const SERVER_PATH_BYTES_MAX: usize = 4095;

/// Entries of a listing that are queried together: enough to use the connection to a distant server, few
/// enough that other calls are not delayed.
pub(crate) const LOOKS_AT_ONCE: usize = 32;

/// The time for which the creation of a file waits while a deleted file of that name is still open by another
/// client; short opens take milliseconds. Beyond, the call fails with ENOENT, according to the server's
/// status.
pub(crate) const DELETED_WAIT_MAX: Duration = Duration::from_secs(2);

/// The pause between two of these attempts.
pub(crate) const DELETED_PAUSE: Duration = Duration::from_millis(20);

/// The time for which a rename that failed half-way tries to restore the replaced target: a restarted server
/// is back by then. Beyond, the call ends, and the target is restored after a reconnection.
pub(crate) const RESTORE_TIME_MAX: Duration = Duration::from_secs(15);

/// The interval of the attempts after that.
pub(crate) const UNFINISHED_PAUSE: Duration = Duration::from_secs(2);

/// Files to be restored or deleted after a reconnection. Beyond, a file keeps its temporary name.
pub(crate) const UNFINISHED_MAX: usize = 4096;

/// The time for which an append waits for its turn at the end of a file: appends of others take milliseconds
/// each, and a lock that is held for longer is intended to exclude writers. Beyond, the call fails with
/// EACCES, as does any write there.
pub(crate) const APPEND_WAIT_MAX: Duration = Duration::from_secs(10);

/// The time if a process of this machine holds the lock and not even its own open can write there.
pub(crate) const APPEND_WAIT_HERE_MAX: Duration = Duration::from_secs(1);

/// The first and the longest pause between two attempts to append.
pub(crate) const APPEND_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Bytes of the names in one directory: 100 for each of the entries that are allowed. More fail with EFBIG.
pub(crate) const DIRECTORY_BYTES_MAX: u64 = 200_000_000;

/// The time for one directory's listing. A longer one fails with ETIMEDOUT, because it delays other listings
/// through the same open.
pub(crate) const LISTING_TIME_MAX: Duration = Duration::from_secs(600);

/// Bytes of a symbolic link's target (PATH_MAX of Linux without the zero). A longer one is ENAMETOOLONG.
pub(crate) const LINK_BYTES_MAX: usize = 4095;

/// Names that are tried for a deleted file that is still open. Beyond, the deletion fails with EBUSY.
pub(crate) const HIDDEN_NAMES_MAX: u32 = 16;
