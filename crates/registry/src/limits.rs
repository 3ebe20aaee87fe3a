//! Every table and queue of the registry has a bound. What does not fit is refused with
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

/// How long a session may be in progress: two or three round trips of programs, no person is asked in between.
pub const LOGON_TIMEOUT_MS: u64 = 30_000;

/// Sessions at once. More than one per connection on average, for terminal servers.
pub const SESSIONS: usize = 131_072;

/// Sessions of one connection: a terminal server has one for each of its users.
pub const SESSIONS_PER_CONNECTION: usize = 1_024;

/// Connections of one session: 32 in Windows (MS-SMB2 3.3.5.5.2).
pub const CHANNELS_PER_SESSION: usize = 32;

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

/// Byte-range locks of one open; a database takes some hundred.
pub const LOCKS_PER_OPEN: usize = 8_192;

/// Byte-range locks of one file: a lock is compared with each of them.
pub const LOCKS_PER_FILE: usize = 32_768;

/// Requests that wait for a lock of one file: each is compared with those before it.
pub const WAITING_LOCKS_PER_FILE: usize = 1_024;

/// Requests of one connection that wait (for a lock or for a break): each is answered with an
/// interim response and held; a client's credits are of this size.
pub const WAITING_PER_CONNECTION: usize = 8_192;

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

/// How much of `limit` somebody of this standing may use up; `used` counts everybody's.
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
