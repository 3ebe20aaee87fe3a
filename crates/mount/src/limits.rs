//! The bounds of a mount, each with its reason and what happens there.

use std::time::Duration;

/// How long the kernel believes names and attributes without asking: long enough for one command's many looks at
/// one file, short enough that what others change is seen.
pub(crate) const ATTRIBUTES_TIME: Duration = Duration::from_secs(1);

/// From connecting to the end of the negotiation. A longer one counts as no server.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// One request, locks that wait aside: a server may wait half a minute for a third client to give up its cache.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(45);

/// After a failure to connect, whoever comes in this time is refused at once: a dead server must not make every
/// one of a thousand calls wait.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often a connection is asked whether it lives, and how long it may take to say so. What is under way on one
/// that does not fails with EIO.
pub(crate) const ECHO_PAUSE: Duration = Duration::from_secs(10);

/// How often whoever waits for a lock is looked at for a signal.
pub(crate) const SIGNAL_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two tries of a lock that the server cannot wait for by itself.
pub(crate) const LOCK_PAUSE_MAX: Duration = Duration::from_millis(500);

/// The longest that a server is let wait for a lock, as good as forever: a signal ends the wait sooner. Beyond, the
/// call fails with EIO.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Bytes of one READ or WRITE: more does not make it faster, and each is a buffer.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// Requests that the kernel has under way by itself (read-ahead).
pub(crate) const BACKGROUND_MAX: u16 = 64;

/// Entries of one directory. Listing a larger one fails with EFBIG: a listing is held as a whole.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 2_000_000;

/// Bytes of a listing asked for with one request.
pub(crate) const LISTING_BYTES: u32 = 1 << 20;

/// Bytes of the extended attributes of one file (64 KiB is all that the wire's fields allow).
pub(crate) const EA_BYTES_MAX: u32 = 64 << 10;

/// Bytes of a reparse point (MS-FSCC 2.1.2).
pub(crate) const REPARSE_BYTES_MAX: u32 = 16 << 10;

/// UTF-16 code units of a name. A longer one is ENAMETOOLONG.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// UTF-16 code units of a path (MS-FSCC 2.1.5: a request has 16 bits for its bytes; Windows takes no more). A longer one
/// is ENAMETOOLONG.
pub(crate) const PATH_UNITS_MAX: usize = 32_760;

/// Bytes of a name in UTF-8 that file systems of Unix servers take (NAME_MAX). If a server calls a longer one invalid,
/// its length is the reason: ENAMETOOLONG.
pub(crate) const SERVER_NAME_BYTES_MAX: usize = 255;

/// The same for a path (PATH_MAX, the zero aside).
pub(crate) const SERVER_PATH_BYTES_MAX: usize = 4095;

/// Entries of a listing that are looked at together: enough to fill the way to a distant server, few enough that other
/// calls come in between.
pub(crate) const LOOKS_AT_ONCE: usize = 32;

/// How long the creation of a file waits for one of its name that was deleted and that another client still has open:
/// looks take milliseconds. Beyond, the call fails with ENOENT, as the server says.
pub(crate) const DELETED_WAIT_MAX: Duration = Duration::from_secs(2);

/// The pause between two tries of that.
pub(crate) const DELETED_PAUSE: Duration = Duration::from_millis(20);

/// How long a rename that failed half-way goes on trying to put back what it had moved out of its way: a server that
/// restarts is back by then. Beyond, the call ends, and it is put back when the connection is.
pub(crate) const RESTORE_TIME_MAX: Duration = Duration::from_secs(15);

/// How often it is tried then.
pub(crate) const UNFINISHED_PAUSE: Duration = Duration::from_secs(2);

/// Files that are to be put back or deleted when the connection is back. One more keeps the name that it was given.
pub(crate) const UNFINISHED_MAX: usize = 4096;

/// How long an append waits for its turn at the end of a file: others' appends take milliseconds each, and whoever holds
/// a lock there for longer means to keep others out. Beyond, the call fails with EACCES, as any write there does.
pub(crate) const APPEND_WAIT_MAX: Duration = Duration::from_secs(10);

/// The same where it is a process of this machine that has locked it, in a way that not even its own open can write.
pub(crate) const APPEND_WAIT_HERE_MAX: Duration = Duration::from_secs(1);

/// The first and the longest pause between two tries of an append.
pub(crate) const APPEND_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Bytes of the names of one directory's entries: a hundred for each of as many as there may be. More fail with EFBIG.
pub(crate) const DIRECTORY_BYTES_MAX: u64 = 200_000_000;

/// From the first to the last answer of one directory's listing. A longer one fails with ETIMEDOUT: whoever waits for
/// it holds up all others who list through the same open.
pub(crate) const LISTING_TIME_MAX: Duration = Duration::from_secs(600);

/// Bytes of a symbolic link's target (PATH_MAX of Linux, the zero aside). A longer one is ENAMETOOLONG.
pub(crate) const LINK_BYTES_MAX: usize = 4095;

/// Names tried for a file that is deleted while it is open. One more and the deletion fails with EBUSY.
pub(crate) const HIDDEN_NAMES_MAX: u32 = 16;
