//! The named limits of a client.

use std::time::Duration;

/// How long one request may take, from connecting to the last byte: a kind close waits for its client, for
/// [`control::limits::GRACE_MAX`] seconds at most, and ending a session with many opens takes the server's disk a
/// while.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(45);

/// Entries asked for with one request of a list.
pub const PAGE_ENTRIES: u32 = control::limits::PAGE_MAX;

/// Entries of a list at most, so that a server that never ends its pages ends here.
pub const LIST_ENTRIES_MAX: usize = 4_000_000;

/// Addresses of one name that are tried. A name that stands for more stands for a farm, where the next
/// question may ask another.
pub const ADDRESSES_TRIED: usize = 4;

/// How long a connection may be left alone and is still used. Servers end idle ones after minutes, and firewalls
/// forget them unheard; logging on again costs three exchanges.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// Bytes on their way through a pipe, each way: what one credit carries (MS-SMB2 3.1.5.2).
pub const PIPE_STREAM_BYTES: usize = 64 << 10;

/// Bytes of entries asked for with one call of MS-SRVS (`PreferedMaximumLength`): some thousand entries. A server
/// that cannot fit one entry into that is asked for all.
pub const SRVS_PAGE_BYTES: u32 = 256 << 10;

/// Pages of one list of MS-SRVS at most, so that a server whose resume handles never end ends here.
pub const SRVS_PAGES_MAX: usize = 10_000;

/// Computers whose connections are asked for one by one, to tell which shares a session is connected to. Of more,
/// no session's shares are told.
pub const SRVS_COMPUTERS_ASKED: usize = 64;

/// Accounts asked for with one call of MS-LSAT: as many names as one may have (MS-LSAT 3.1.4.6).
pub const LSA_LOOKUP_ENTRIES: usize = 1000;

/// Times that a file which was closed is looked for again, where a server says that a close failed which may have
/// worked, and the wait before each: Samba closes after it has answered.
pub const CLOSE_LOOKS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1000)];

/// How long to wait before a server that tells no events is asked again: little for who waits, and not much for a
/// server to list.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
