//! The bounds of every table and queue of the registry. Entries beyond one are refused with
//! [`LimitReached`], which the server answers as INSUFFICIENT_RESOURCES or TOO_MANY_OPENED_FILES.

use crate::Standing;

/// Connections at once: what the default descriptor limit of a busy server sustains.
pub const CONNECTIONS: usize = 65_536;

/// The part of connections, sessions, tree connects and opens that is kept for administrators: one place in
/// this many. When users have taken all the others, an administrator can still log on and end something.
pub const RESERVE_PART: usize = 16;

/// Places kept for administrators at most, of each kind.
pub const RESERVE_MAX: usize = 1_024;

/// The part of sessions, tree connects and opens that anonymous and guest sessions may have: one in this many.
/// They have proved nothing, so they do not use up what users need.
pub const STRANGERS_PART: usize = 8;

/// The part of sessions, tree connects and opens that one user who is no administrator may have: one in this many.
/// One user cannot keep the others out. Half of a table is generous also where one service account is all users.
/// More are answered as the full table is: INSUFFICIENT_RESOURCES, or TOO_MANY_OPENED_FILES.
pub const USER_PART: usize = 2;

/// Connections without a logon from one address. Hundreds, because the users of a terminal server or behind a
/// NAT share one, and all of them connect at once when a server comes back. One more drops the oldest.
pub const STRANGERS_PER_ADDRESS: usize = 512;

/// The part of all connections that connections without a logon from one address may be: one in this many.
pub const STRANGERS_PER_ADDRESS_PART: usize = 4;

/// Sessions of a connection without a logon, in progress and anonymous ones: several users of a terminal
/// server may begin to log on before the first is done.
pub const SESSIONS_PER_STRANGER: usize = 64;

/// Tree connects of a connection without a user's logon: a guest has one for each share that takes guests, and
/// IPC$.
pub const TREES_PER_STRANGER: usize = 64;

/// Sessions in progress at once: they have a table of their own, so that they cannot use up the places of
/// valid ones. One more ends the oldest of the address that has the most.
pub const SESSIONS_IN_PROGRESS: usize = 4_096;

/// Sessions in progress from one address. One more ends the oldest of them.
pub const SESSIONS_IN_PROGRESS_PER_ADDRESS: usize = 1_024;

/// The time that a session may be in progress, in milliseconds: a logon takes two or three round trips of programs,
/// without a person in between.
pub const LOGON_TIMEOUT_MS: u64 = 30_000;

/// Sessions at once. More than one per connection on average, for terminal servers.
pub const SESSIONS: usize = 131_072;

/// Sessions of one connection: a terminal server has one for each of its users.
pub const SESSIONS_PER_CONNECTION: usize = 1_024;

/// Connections of one session: 32 in Windows (MS-SMB2 3.3.5.5.2).
pub const CHANNELS_PER_SESSION: usize = 32;

/// Connections with the GUID of a lease's client, and sessions of all of them together, that are looked at for the
/// lease's user. Any client can claim a GUID; a client has some connections of one user. The connections of the lease's
/// session are found in any case.
pub const CONNECTIONS_LOOKED_AT: usize = 256;

/// Requests of one session that wait for a break and have lost their connection.
pub const STRANDED_PER_SESSION: usize = 64;

/// Tree connects of one session: a client uses one for each share.
pub const TREES_PER_SESSION: usize = 1_024;

/// Tree connects that a connection's sessions have together: some eight for each user of a terminal server.
pub const TREES_PER_CONNECTION: usize = 8_192;

/// Tree connects at once, about a kilobyte each: as many as sessions, few of which there are at the same time.
pub const TREES: usize = 131_072;

/// Opens at once: the descriptors a process may have on a server tuned for it.
pub const OPENS: usize = 1_048_576;

/// Opens of one session: 16,384 files is Windows' own limit for one client's connection.
pub const OPENS_PER_SESSION: usize = 65_536;

/// Byte-range locks taken under one hold of the lock: a millisecond's work at most. A request may have more
/// elements, and the server takes them in parts; more in one call of [`State::lock`](crate::State::lock) are
/// refused as an invalid parameter.
pub const LOCKS_PER_CALL: usize = 256;

/// Byte-range locks of one open; a database takes some hundred. They go with the open under one hold of the
/// lock, a millisecond's work.
pub const LOCKS_PER_OPEN: usize = 4_096;

/// Byte-range locks of one file, for the memory they take: some three megabytes.
pub const LOCKS_PER_FILE: usize = 32_768;

/// Requests that wait for a lock of one file: each of them is looked at whenever a lock is given up.
pub const WAITING_LOCKS_PER_FILE: usize = 256;

/// Requests of one connection that wait (for a lock or for a break): each is answered with an
/// interim response and held; a client's credits are of this size.
pub const WAITING_PER_CONNECTION: usize = 8_192;

/// Oplocks and leases of one file in whose name something is cached: each is looked at when the file is opened or
/// changed. A client that asks for one more is granted none, and reads and writes through.
pub const CACHERS_PER_FILE: usize = 1_024;

/// Opens of a named stream that is renamed: all of them change under one hold of the lock. A stream with more is
/// not renamed: STATUS_INSUFFICIENT_RESOURCES.
pub const OPENS_OF_RENAMED_STREAM: usize = 1_024;

/// Opens under one lease that a repeated CREATE may be answered with: all of them stop being so when the client
/// acknowledges a break of the lease. A client has fewer CREATEs under way. Of more, the oldest open is no longer found
/// by its create GUID, and a repeated CREATE makes another.
pub const REPLAYABLE_PER_LEASE: usize = 1_024;

/// Durable opens of one user that wait for their clients: more than a client keeps that is cut off in the middle of
/// its work. Of more, the oldest is closed.
pub const ORPHANS_PER_USER: usize = 1_024;

/// Durable opens that wait for their clients, of all users. Of more, the oldest is closed.
pub const ORPHANS: usize = 16_384;

/// Opens and locks that end under one hold of the lock, and entries of other kinds that are handled under one: half
/// a millisecond's work. What ends with more is ended in parts.
pub const WORK_PER_HOLD: usize = 256;

/// Shares: far more than an administrator defines by hand.
pub const SHARES: usize = 16_384;

/// Recent refusals remembered for the question "why can't I open this?".
pub const REFUSALS: usize = 1_024;

/// Events kept for readers of the event stream: some seconds of a very busy server.
pub const EVENTS: usize = 16_384;

/// The time that a client has to acknowledge a break, in milliseconds (MS-SMB2 3.3.2.1, 3.3.2.5: 35 seconds in
/// Windows).
pub const BREAK_TIMEOUT_MS: u64 = 35_000;

/// The time that a durable open of the first kind waits for its client, in milliseconds. MS-SMB2 leaves this to the
/// server; Windows waits 16 minutes, but an open without a client is in the way of others.
pub const DURABLE_V1_TIMEOUT_MS: u64 = 120_000;

/// The time that a durable open of the second kind waits if the client names none, in milliseconds (MS-SMB2
/// 3.3.5.9.10: 60 seconds in Windows).
pub const DURABLE_V2_TIMEOUT_MS: u64 = 60_000;

/// The longest time a durable open of the second kind waits (MS-SMB2 3.3.5.9.10: 300 seconds in
/// Windows).
pub const DURABLE_V2_TIMEOUT_MAX_MS: u64 = 300_000;

/// The bounds in force; the default is the constants of this module.
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

/// The bound that was reached.
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
