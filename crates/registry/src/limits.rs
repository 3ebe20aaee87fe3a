//! Every table and queue of the registry has a bound. What does not fit is refused with
//! [`LimitReached`], which the server answers as INSUFFICIENT_RESOURCES or TOO_MANY_OPENED_FILES.

/// Connections at once: what the default descriptor limit of a busy server sustains.
pub const CONNECTIONS: usize = 65_536;

/// Sessions at once. More than one per connection on average, for terminal servers.
pub const SESSIONS: usize = 131_072;

/// Sessions of one connection: a terminal server has one for each of its users.
pub const SESSIONS_PER_CONNECTION: usize = 1_024;

/// Connections of one session: 32 in Windows (MS-SMB2 3.3.5.5.2).
pub const CHANNELS_PER_SESSION: usize = 32;

/// Connections with the GUID of a lease's client, and sessions of each, that are looked at for the lease's user. Anybody
/// can make up a GUID; a client has some connections of one user. The lease's session is told in any case.
pub const CONNECTIONS_LOOKED_AT: usize = 256;

/// Requests of one session that wait for a break and have lost their connection.
pub const STRANDED_PER_SESSION: usize = 64;

/// Tree connects of one session: a client uses one for each share.
pub const TREES_PER_SESSION: usize = 1_024;

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
/// changed. Who asks for one more is granted none, and reads and writes through.
pub const CACHERS_PER_FILE: usize = 1_024;

/// Opens of a named stream that is renamed: all of them change under one hold of the lock. A stream with more is
/// not renamed: STATUS_INSUFFICIENT_RESOURCES.
pub const OPENS_OF_RENAMED_STREAM: usize = 1_024;

/// Durable opens of one user that wait for their clients: more than a client keeps that is cut off in the middle of
/// its work. Of more, the oldest is closed.
pub const ORPHANS_PER_USER: usize = 1_024;

/// Durable opens that wait for their clients, of all users. Of more, the oldest is closed.
pub const ORPHANS: usize = 16_384;

/// Opens and locks that end under one hold of the lock, and entries of other kinds that are handled under one: half
/// a millisecond's work. What ends with more is ended in parts.
pub const WORK_PER_HOLD: usize = 256;

/// Shares: an administrator's list, far beyond what anybody defines by hand.
pub const SHARES: usize = 16_384;

/// Recent refusals remembered for the question "why can't I open this?".
pub const REFUSALS: usize = 1_024;

/// Events kept for readers of the event stream: some seconds of a very busy server.
pub const EVENTS: usize = 16_384;

/// How long a client has to acknowledge a break (MS-SMB2 3.3.2.1, 3.3.2.5: 35 seconds in Windows).
pub const BREAK_TIMEOUT_MS: u64 = 35_000;

/// How long a durable open of the first kind waits for its client. MS-SMB2 leaves this to the server;
/// Windows waits 16 minutes, but a file nobody uses is in the way for everybody else.
pub const DURABLE_V1_TIMEOUT_MS: u64 = 120_000;

/// How long a durable open of the second kind waits when the client names no time (MS-SMB2
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            sessions: SESSIONS,
            sessions_per_connection: SESSIONS_PER_CONNECTION,
            channels_per_session: CHANNELS_PER_SESSION,
            stranded_per_session: STRANDED_PER_SESSION,
            trees_per_session: TREES_PER_SESSION,
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

/// The bound that stood in the way.
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
