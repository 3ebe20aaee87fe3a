//! The limits of all tables and queues of the registry. Entries beyond a limit are refused with [`LimitReached`], which
//! the server answers with INSUFFICIENT_RESOURCES or TOO_MANY_OPENED_FILES.

use crate::Standing;

/// The number of connections: what the usual limit of descriptors on a busy server allows.
pub const CONNECTIONS: usize = 65_536;

/// The part of connections, sessions, tree connects and opens that is kept for administrators: one place in this many.
/// When users have taken all the others, an administrator can still log on and end sessions.
pub const RESERVE_PART: usize = 16;

/// The maximal number of places kept for administrators, for each kind of object.
pub const RESERVE_MAX: usize = 1_024;

/// The part of sessions, tree connects and opens that anonymous and guest sessions may have: one in this many. These
/// callers have proved nothing, so they may not take the places that users need.
pub const STRANGERS_PART: usize = 8;

/// The part of sessions, tree connects and opens that one user who is no administrator may have: one in this many. So
/// one user cannot keep the others out. Half of a table is enough even if all clients use one service account. Requests
/// for more are answered as if the table were full: INSUFFICIENT_RESOURCES, or TOO_MANY_OPENED_FILES.
pub const USER_PART: usize = 2;

/// The number of connections without a logon from one address: hundreds, because the users of a terminal server or
/// behind a NAT share one address, and all of them connect at once when a server comes back. One more closes the oldest.
pub const STRANGERS_PER_ADDRESS: usize = 512;

/// The part of all connections that connections without a logon from one address may have: one in this many.
pub const STRANGERS_PER_ADDRESS_PART: usize = 4;

/// The number of sessions of a connection without a logon, in progress and anonymous: several users of a terminal
/// server may begin to log on before the first is done.
pub const SESSIONS_PER_STRANGER: usize = 64;

/// The number of tree connects of a connection without a user's logon: a guest has one for each share that accepts
/// guests, and IPC$.
pub const TREES_PER_STRANGER: usize = 64;

/// The number of sessions in progress. They are counted apart, so that they cannot take the places of valid ones. One
/// more ends the oldest of the address that has the most.
pub const SESSIONS_IN_PROGRESS: usize = 4_096;

/// The number of sessions in progress from one address. One more ends the oldest of them.
pub const SESSIONS_IN_PROGRESS_PER_ADDRESS: usize = 1_024;

/// The time that a session may be in progress, in milliseconds: a logon takes two or three round trips between
/// programs, and waits for no person.
pub const LOGON_TIMEOUT_MS: u64 = 30_000;

/// The number of sessions: more than one per connection on average, for terminal servers.
pub const SESSIONS: usize = 131_072;

/// The number of sessions of one connection: a terminal server has one for each of its users.
pub const SESSIONS_PER_CONNECTION: usize = 1_024;

/// The number of connections of one session: 32 in Windows (MS-SMB2 3.3.5.5.2).
pub const CHANNELS_PER_SESSION: usize = 32;

/// The number of connections with the GUID of a lease's client, and of sessions of all of these together, that are
/// searched for the lease's user. Any client can claim a GUID; a client has a few connections of one user. The
/// connections of the lease's session are found in any case.
pub const CONNECTIONS_LOOKED_AT: usize = 256;

/// The number of requests of one session that wait for a break and have lost their connection.
pub const STRANDED_PER_SESSION: usize = 64;

/// The number of tree connects of one session: a client uses one for each share.
pub const TREES_PER_SESSION: usize = 1_024;

/// The number of tree connects of all sessions of a connection: some eight for each user of a terminal server.
pub const TREES_PER_CONNECTION: usize = 8_192;

/// The number of tree connects, of about a kilobyte each: as many as sessions, of which there are usually few.
pub const TREES: usize = 131_072;

/// The number of opens: the descriptors that a process may have on a server tuned for it.
pub const OPENS: usize = 1_048_576;

/// The number of opens of one session. Windows' own limit for one client's connection is 16,384 files.
pub const OPENS_PER_SESSION: usize = 65_536;

/// The number of byte-range locks that are taken under one hold of the lock, which takes at most a millisecond. A
/// request may have more elements, and the server takes them in parts; more in one call of
/// [`State::lock`](crate::State::lock) are an invalid parameter.
pub const LOCKS_PER_CALL: usize = 256;

/// The number of byte-range locks of one open; a database takes some hundred. They end with the open under one hold of
/// the lock, which takes a millisecond.
pub const LOCKS_PER_OPEN: usize = 4_096;

/// The number of byte-range locks of one file, for their memory: some three megabytes.
pub const LOCKS_PER_FILE: usize = 32_768;

/// The number of requests that wait for a lock of one file: all of them are examined whenever a lock is released.
pub const WAITING_LOCKS_PER_FILE: usize = 256;

/// The number of requests of one connection that wait for a lock or a break. Each is answered with an interim response
/// and kept; the number of a client's credits is similar.
pub const WAITING_PER_CONNECTION: usize = 8_192;

/// The number of oplocks and leases under which one file is cached: all are examined when the file is opened or
/// changed. A client that requests one more gets none, and reads and writes without a cache.
pub const CACHERS_PER_FILE: usize = 1_024;

/// The number of opens of a named stream that is renamed: all of them change under one hold of the lock. A stream with
/// more is not renamed: STATUS_INSUFFICIENT_RESOURCES.
pub const OPENS_OF_RENAMED_STREAM: usize = 1_024;

/// The number of opens under one lease that replayed CREATEs may be answered with: all of them are reset when the
/// client acknowledges a break of the lease. A client has fewer CREATEs under way. One more removes the oldest open
/// from the replays: a repeated CREATE then makes another open.
pub const REPLAYABLE_PER_LEASE: usize = 1_024;

/// The number of orphans of one user: more than a client has that loses its connection in the middle of its work. One
/// more closes the oldest.
pub const ORPHANS_PER_USER: usize = 1_024;

/// The number of opens that one log keeps. One more CREATE gets a handle that is not durable.
pub const LOGGED_OPENS: usize = 16_384;

/// The number of persistent opens of a file without a client that an open of the file is compared with. With more, the
/// open is refused until the clients are back.
pub const AWAITED_LOOKED_AT: usize = 1_024;

/// The number of opens of a file whose entries in a log are renewed when a delete of the file becomes pending or is
/// withdrawn. Others learn of it when one of these ends.
pub const OPENS_TOUCHED_BY_DELETE: usize = 256;

/// The number of orphans of all users. One more closes the oldest.
pub const ORPHANS: usize = 16_384;

/// The number of opens and locks that end under one hold of the lock, and of other entries that are handled under one:
/// half a millisecond's work. A larger change is made in parts.
pub const WORK_PER_HOLD: usize = 256;

/// The number of shares: far more than an administrator defines by hand.
pub const SHARES: usize = 16_384;

/// The number of recent refusals that are remembered, to find out why a file could not be opened.
pub const REFUSALS: usize = 1_024;

/// The number of events that are kept for readers of the event stream: those of some seconds of a very busy server.
pub const EVENTS: usize = 16_384;

/// The time between two events about the locks of one open, in milliseconds. A database locks and unlocks thousands of
/// times in a second; its events would displace all others.
pub const LOCKED_EVENT_MS: u64 = 1_000;

/// The time that a client has to acknowledge a break, in milliseconds (MS-SMB2 3.3.2.1, 3.3.2.5: 35 seconds in
/// Windows).
pub const BREAK_TIMEOUT_MS: u64 = 35_000;

/// The time that an open with a version 1 durable handle waits for its client, in milliseconds. MS-SMB2 leaves this to
/// the server; Windows waits 16 minutes, but an open without a client can conflict with others.
pub const DURABLE_V1_TIMEOUT_MS: u64 = 120_000;

/// The time that an open with a version 2 durable handle waits if the client names no time, in milliseconds (MS-SMB2
/// 3.3.5.9.10: 60 seconds in Windows).
pub const DURABLE_V2_TIMEOUT_MS: u64 = 60_000;

/// The longest time that an open with a version 2 durable handle waits, in milliseconds (MS-SMB2 3.3.5.9.10: 300
/// seconds in Windows).
pub const DURABLE_V2_TIMEOUT_MAX_MS: u64 = 300_000;

/// The limits in force. The defaults are the constants of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`CONNECTIONS`].
    pub connections: usize,
    /// [`STRANGERS_PER_ADDRESS`].
    pub strangers_per_address: usize,
    /// [`SESSIONS_PER_STRANGER`].
    pub sessions_per_stranger: usize,
    /// [`TREES_PER_STRANGER`].
    pub trees_per_stranger: usize,
    /// [`SESSIONS_IN_PROGRESS`].
    pub sessions_in_progress: usize,
    /// [`SESSIONS_IN_PROGRESS_PER_ADDRESS`].
    pub sessions_in_progress_per_address: usize,
    /// [`LOGON_TIMEOUT_MS`].
    pub logon_timeout_ms: u64,
    /// [`SESSIONS`].
    pub sessions: usize,
    /// [`SESSIONS_PER_CONNECTION`].
    pub sessions_per_connection: usize,
    /// [`CHANNELS_PER_SESSION`].
    pub channels_per_session: usize,
    /// [`STRANDED_PER_SESSION`].
    pub stranded_per_session: usize,
    /// [`TREES_PER_SESSION`].
    pub trees_per_session: usize,
    /// [`TREES_PER_CONNECTION`].
    pub trees_per_connection: usize,
    /// [`TREES`].
    pub trees: usize,
    /// [`OPENS`].
    pub opens: usize,
    /// [`OPENS_PER_SESSION`].
    pub opens_per_session: usize,
    /// [`LOCKS_PER_OPEN`].
    pub locks_per_open: usize,
    /// [`LOCKS_PER_FILE`].
    pub locks_per_file: usize,
    /// [`WAITING_LOCKS_PER_FILE`].
    pub waiting_locks_per_file: usize,
    /// [`WAITING_PER_CONNECTION`].
    pub waiting_per_connection: usize,
    /// [`CACHERS_PER_FILE`].
    pub cachers_per_file: usize,
    /// [`OPENS_OF_RENAMED_STREAM`].
    pub opens_of_renamed_stream: usize,
    /// [`ORPHANS_PER_USER`].
    pub orphans_per_user: usize,
    /// [`ORPHANS`].
    pub orphans: usize,
    /// [`WORK_PER_HOLD`].
    pub work_per_hold: usize,
    /// [`SHARES`].
    pub shares: usize,
    /// [`REFUSALS`].
    pub refusals: usize,
    /// [`EVENTS`].
    pub events: usize,
    /// [`BREAK_TIMEOUT_MS`].
    pub break_timeout_ms: u64,
    /// [`DURABLE_V1_TIMEOUT_MS`].
    pub durable_v1_timeout_ms: u64,
    /// [`DURABLE_V2_TIMEOUT_MS`].
    pub durable_v2_timeout_ms: u64,
    /// [`DURABLE_V2_TIMEOUT_MAX_MS`].
    pub durable_v2_timeout_max_ms: u64,
}

/// True if one more entry fits for a client of this standing; `used` counts the entries of all clients.
pub(crate) fn has_room(limit: usize, used: usize, standing: Standing) -> bool {
    let reserve =
        if standing == Standing::Administrator { 0 } else { (limit / RESERVE_PART).min(RESERVE_MAX) };
    used < limit.saturating_sub(reserve)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            strangers_per_address: STRANGERS_PER_ADDRESS,
            sessions_per_stranger: SESSIONS_PER_STRANGER,
            trees_per_stranger: TREES_PER_STRANGER,
            sessions_in_progress: SESSIONS_IN_PROGRESS,
            sessions_in_progress_per_address: SESSIONS_IN_PROGRESS_PER_ADDRESS,
            logon_timeout_ms: LOGON_TIMEOUT_MS,
            sessions: SESSIONS,
            sessions_per_connection: SESSIONS_PER_CONNECTION,
            channels_per_session: CHANNELS_PER_SESSION,
            stranded_per_session: STRANDED_PER_SESSION,
            trees_per_session: TREES_PER_SESSION,
            trees_per_connection: TREES_PER_CONNECTION,
            trees: TREES,
            opens: OPENS,
            opens_per_session: OPENS_PER_SESSION,
            locks_per_open: LOCKS_PER_OPEN,
            locks_per_file: LOCKS_PER_FILE,
            waiting_locks_per_file: WAITING_LOCKS_PER_FILE,
            waiting_per_connection: WAITING_PER_CONNECTION,
            cachers_per_file: CACHERS_PER_FILE,
            opens_of_renamed_stream: OPENS_OF_RENAMED_STREAM,
            orphans_per_user: ORPHANS_PER_USER,
            orphans: ORPHANS,
            work_per_hold: WORK_PER_HOLD,
            shares: SHARES,
            refusals: REFUSALS,
            events: EVENTS,
            break_timeout_ms: BREAK_TIMEOUT_MS,
            durable_v1_timeout_ms: DURABLE_V1_TIMEOUT_MS,
            durable_v2_timeout_ms: DURABLE_V2_TIMEOUT_MS,
            durable_v2_timeout_max_ms: DURABLE_V2_TIMEOUT_MAX_MS,
        }
    }
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::sessions`].
    Sessions,
    /// [`Limits::sessions_per_connection`].
    SessionsPerConnection,
    /// [`Limits::channels_per_session`].
    ChannelsPerSession,
    /// [`Limits::trees_per_session`].
    TreesPerSession,
    /// [`Limits::trees_per_connection`].
    TreesPerConnection,
    /// [`Limits::trees`].
    Trees,
    /// [`Limits::opens`].
    Opens,
    /// [`Limits::opens_per_session`].
    OpensPerSession,
    /// [`Limits::locks_per_open`].
    LocksPerOpen,
    /// [`Limits::locks_per_file`].
    LocksPerFile,
    /// [`Limits::waiting_locks_per_file`].
    WaitingLocksPerFile,
    /// [`Limits::waiting_per_connection`].
    WaitingPerConnection,
    /// [`Limits::shares`].
    Shares,
}
