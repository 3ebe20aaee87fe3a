//! The named limits of a client.

use std::time::Duration;

/// The time that one request may take, from connecting to the last byte: a close may wait for its client for
/// [`control::limits::GRACE_MAX`] seconds, and ending a session with many opens needs time on the server's disk.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(45);

/// Entries asked for with one request of a list.
pub const PAGE_ENTRIES: u32 = control::limits::PAGE_MAX;

/// Entries of a list at most, so that a server that never ends its pages ends here.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;

/// The most addresses of one name that are tried. A name with more stands for a farm, whose servers differ.
pub const ADDRESSES_TRIED: usize = 4;

/// The time that an idle connection is kept for reuse. Servers end idle ones after minutes, and firewalls drop them
/// silently; a new logon costs three exchanges.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// The time that getting a ticket may take. The Kerberos library asks each key distribution center several times before
/// it gives up, which takes ten seconds or more with two of them.
pub const TICKET_TIME_MAX: Duration = Duration::from_secs(30);

/// The bytes in transit through a pipe, in each direction: the payload of one credit (MS-SMB2 3.1.5.2).
pub const PIPE_STREAM_BYTES: usize = 64 << 10;

/// Bytes of entries asked for with one call of MS-SRVS (`PreferedMaximumLength`): some thousand entries. A server
/// that cannot fit one entry into that is asked for all.
pub const SRVS_PAGE_BYTES: u32 = 256 << 10;

/// Pages of one list of MS-SRVS at most, so that a server whose resume handles never end ends here.
pub const SRVS_PAGES_MAX: usize = 10_000;

/// The most computers whose connections are requested one by one to find the shares of sessions. If there are more,
/// the shares stay unknown.
pub const SRVS_COMPUTERS_ASKED: usize = 64;

/// Accounts asked for with one call of MS-LSAT: as many names as one may have (MS-LSAT 3.1.4.6).
pub const LSA_LOOKUP_ENTRIES: usize = 1000;

/// The waits before looking again for a closed file, if the server reports failure for a close that may have worked:
/// Samba closes after it has answered.
pub const CLOSE_LOOKS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1000)];

/// The pause before a server without events is asked again: short for a waiting user, and not much work for the
/// server.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The most bytes of one file of /proc or of one program's output that are read: some hundred thousand opens, each with
/// a long path.
pub const SOURCE_BYTES_MAX: usize = 256 << 20;

/// The most bytes of a program's messages that are kept; they are shown to a person.
pub const SOURCE_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The time that a program of another server may take. It waits for locks of the server's databases.
pub const SOURCE_TIME_MAX: Duration = Duration::from_secs(30);

/// The waits before looking again for a session or an open that a server of this machine was told to end.
pub const END_LOOKS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_millis(2000),
];

/// The most files below a directory that are looked at to find its opens on a server that reports no paths.
pub const TREE_ENTRIES_MAX: usize = 100_000;
