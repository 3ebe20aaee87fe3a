//! Every limit of the server: its name, its reason, and what happens when it is reached. The limits
//! of the shared tables are the registry's.

use std::time::Duration;

/// How long a connection may take until somebody has logged on. Then it is closed.
pub(crate) const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(45);

/// Largest READ, WRITE and transact size offered from SMB 2.1 on, bytes (MS-SMB2 3.3.5.4): what
/// Windows offers. A larger request gets STATUS_INVALID_PARAMETER.
pub(crate) const MAX_IO_SIZE: u32 = 8 * 1024 * 1024;

/// Largest READ, WRITE and transact size of SMB 2.0.2, bytes, whose credits cannot pay for more.
pub(crate) const MAX_IO_SIZE_202: u32 = 64 * 1024;

/// Largest frame accepted, bytes: a WRITE of [`MAX_IO_SIZE`] with room for its headers and for
/// other requests compounded with it. A larger one ends the connection.
pub(crate) const MAX_FRAME: usize = MAX_IO_SIZE as usize + 256 * 1024;

/// Largest frame accepted before a session is valid on the connection, bytes: negotiations and
/// logon tokens are small, and strangers get no more memory. A larger one ends the connection.
pub(crate) const MAX_FRAME_UNAUTHENTICATED: usize = 128 * 1024;

/// Credits a connection may hold at once (MS-SMB2 3.3.1.2). Requests beyond are granted none.
pub(crate) const MAX_CREDITS: u16 = 8192;

/// Requests of one connection waiting at the same time (locks, breaks, pipe reads). One more is
/// answered STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const MAX_PENDING: usize = 512;

/// Changes gathered for one watched directory between two requests, bytes of the answer. Of more,
/// the client hears that it must look for itself (STATUS_NOTIFY_ENUM_DIR).
pub(crate) const NOTIFY_BYTES: usize = 64 * 1024;

/// Sessions that are over whose keys a connection keeps, to tell their clients so. Of more, sealed
/// requests end the connection.
pub(crate) const ENDED_SESSIONS: usize = 16;

/// Answers waiting to be written, bytes: above it the connection is not read until its client reads.
pub(crate) const OUTPUT_HIGH_WATER: usize = 2 * MAX_IO_SIZE as usize;

/// Requests handled in one go before their answers are written.
pub(crate) const BATCH_REQUESTS: usize = 32;

/// Answer bytes gathered in one go before they are written.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Buffers kept for reuse by each connection.
pub(crate) const POOLED_BUFFERS: usize = 8;

/// Largest buffer kept for reuse, bytes; larger ones go back to the allocator.
pub(crate) const POOLED_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// READ answers from this size on are sent from the page cache without a copy, where they are
/// neither signed nor sealed, bytes.
pub(crate) const SENDFILE_FROM: u32 = 64 * 1024;

/// Rounds of one logon. One more is refused: SPNEGO with NTLM takes two, a downgrade three.
pub(crate) const MAX_LOGON_ROUNDS: u32 = 6;

/// Times a CREATE looks again after something was broken, closed or removed in its way. Then STATUS_SHARING_VIOLATION.
pub(crate) const MAX_CREATE_ATTEMPTS: u32 = 16;

/// How long a CREATE waits for others' breaks before its client is told that it waits. Who has to give up what it
/// caches hears of that first, and often does in less.
pub(crate) const INTERIM_DELAY: Duration = Duration::from_millis(2);

/// How long a CREATE waits, each time it looks again, for a file of that name to be removed or replaced: longer than
/// that takes, and short enough for the requests behind it.
pub(crate) const MAX_VANISHING_WAIT: Duration = Duration::from_millis(20);

/// Times a rename or a link looks again at a new name that another file has meanwhile. Then the name counts as taken,
/// or its file as in use.
pub(crate) const MAX_NAME_ATTEMPTS: u32 = 8;

/// Chunks in one server-side copy (MS-SMB2 3.3.3, `ServerSideCopyMaxNumberofChunks`). More are refused
/// with STATUS_INVALID_PARAMETER and the limits.
pub(crate) const COPY_CHUNKS: u32 = 256;

/// Largest chunk of a server-side copy, bytes (MS-SMB2 3.3.3, `ServerSideCopyMaxChunkSize`).
pub(crate) const COPY_CHUNK_BYTES: u32 = 1024 * 1024;

/// Most a server-side copy copies in one request, bytes (MS-SMB2 3.3.3, `ServerSideCopyMaxDataSize`).
pub(crate) const COPY_BYTES: u32 = 16 * 1024 * 1024;

/// Largest list of users' SIDs, bytes: more than ten thousand users. A larger one is not read.
pub(crate) const USER_SIDS_BYTES_MAX: u64 = 1024 * 1024;

/// Addresses told to a client that asks for the server's (MS-SMB2 3.3.5.15.11). More are left out: no
/// client connects to as many.
pub(crate) const MAX_INTERFACES: usize = 64;

/// How long requests go on whose connection is lost: longer than the breaks they may wait for. What is
/// not done by then is given up.
pub(crate) const ABANDONED_TIMEOUT: Duration = Duration::from_secs(120);

/// Directories that the kernel is asked to report changes of, for all clients: about a kilobyte of its memory
/// each, and below what Linux grants a process by default. Of more, changes by local processes are not told and
/// directory leases are not granted.
pub(crate) const OBSERVED_DIRECTORIES: usize = 16_384;

/// Directories that the kernel reports on for one user's watches and leases: a quarter of all, so that no user takes
/// them from the others. Of more, that user is told of the server's own changes only, or to look for himself, and gets
/// no directory leases.
pub(crate) const OBSERVED_PER_USER: usize = OBSERVED_DIRECTORIES / 4;

/// Directories below one that is watched with all below (SMB2_WATCH_TREE) that are observed. Of a larger tree
/// the client hears once that it must look for itself, and the log says so.
pub(crate) const OBSERVED_TREE: usize = 4_096;

/// How long the kernel's reports lie before they are looked at: time for the server to note what of it was its
/// own doing, and the pace at which a storm of changes is taken in.
pub(crate) const OBSERVATION_DELAY: Duration = Duration::from_millis(40);

/// Reports of the kernel taken in at once, bytes. The rest waits in the kernel, whose own limit is
/// `fs.inotify.max_queued_events`; what is lost there makes every watch say STATUS_NOTIFY_ENUM_DIR.
pub(crate) const OBSERVATION_BYTES: usize = 128 * 1024;

/// Changes of its own that the server remembers until the kernel has reported them. Of more, clients hear of
/// some twice.
pub(crate) const OWN_CHANGES: usize = 8_192;

/// How long they are remembered: longer than the kernel's reports can lie.
pub(crate) const OWN_CHANGE_LIFETIME: Duration = Duration::from_secs(10);

/// How often the kernel is asked whether a break is on its way still, while it is awaited and could be sent on
/// another connection.
pub(crate) const BREAK_REVIEW: Duration = Duration::from_millis(500);

/// Times that the kernel has sent something again without an answer, at intervals that double, after which what
/// is sent counts as lost: 1.4 seconds on a fast network, more where answers take long.
pub(crate) const STALLED_RETRANSMISSIONS: u8 = 3;

/// How long data may be on their way to a client that was sent a break without its acknowledgment
/// (TCP_USER_TIMEOUT): less than it has to answer, so that the break can go by another of its connections. Then
/// this connection is over.
pub(crate) const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client's request waits for a lock that a local program has until the machine is asked again: the first
/// time, and doubled each time up to [`HOST_LOCK_LAST_RETRY`]. The kernel tells nobody that such a lock is given up but a
/// thread that it has kept, which is more than a waiting client is to cost; the request keeps its place among clients'.
pub(crate) const HOST_LOCK_FIRST_RETRY: Duration = Duration::from_millis(20);

/// The longest time between two such questions: each is a system call, and on a network file system an exchange with its
/// server.
pub(crate) const HOST_LOCK_LAST_RETRY: Duration = Duration::from_secs(1);

/// Named pipes that one session has open: clients have a handful. For one more: STATUS_PIPE_NOT_AVAILABLE.
pub(crate) const PIPES_PER_SESSION: usize = 64;

/// What the named pipes of one session keep, bytes: parts of requests, and answers that are not read. It has room for
/// the longest list twice. Beyond, a WRITE is refused with STATUS_INSUFFICIENT_RESOURCES, and a call with the fault
/// nca_s_server_too_busy, or nca_s_fault_remote_no_memory where its answer is too long.
pub(crate) const PIPE_BYTES_PER_SESSION: usize = 16 << 20;

/// The same for all sessions together.
pub(crate) const PIPE_BYTES: usize = 128 << 20;

/// Named pipes that a session of a guest or of an anonymous caller has open: one for the list of shares and one to
/// change a password, twice. For one more: STATUS_PIPE_NOT_AVAILABLE.
pub(crate) const STRANGERS_PIPES_PER_SESSION: usize = 4;

/// The bytes of [`PIPE_BYTES`] that the pipes of all guests and anonymous callers keep together: these cannot use up the
/// pipes of users. The refusals are the same.
pub(crate) const STRANGERS_PIPE_BYTES: usize = PIPE_BYTES / 16;

/// What is reserved for the answer to a call before it is executed, bytes: any answer but a list. So no call is
/// executed whose answer cannot be kept.
pub(crate) const PIPE_ANSWER_BYTES: usize = 64 << 10;

/// Names looked up with one call of MS-LSAT, which is what it allows (MS-LSAT 3.1.4.6). Beyond:
/// STATUS_INVALID_PARAMETER.
pub(crate) const LOOKUP_NAMES_MAX: usize = 1000;

/// SIDs looked up with one call of MS-LSAT, which is what it allows (MS-LSAT 2.2.18). Beyond:
/// STATUS_INVALID_PARAMETER.
pub(crate) const LOOKUP_SIDS_MAX: usize = 20_480;

/// Handles to objects of MS-SAMR that one open of a pipe has: clients open accounts one after the other. Beyond:
/// STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const SAM_HANDLES_MAX: usize = 256;

/// Names or RIDs looked up with one call of MS-SAMR, which is what it allows (MS-SAMR 3.1.5.11.2). Beyond:
/// STATUS_INVALID_PARAMETER.
pub(crate) const SAM_LOOKUPS_MAX: usize = 1000;

/// Bytes of accounts that one call of MS-SAMR lists, as far as the client wants as many; more with the next call.
pub(crate) const SAM_LIST_BYTES_MAX: usize = 1 << 20;

/// Handles to the policy that one open of a pipe has. Clients have one or two. Beyond: STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const POLICY_HANDLES_MAX: usize = 64;

/// How often the watchdog looks for calls into file systems that last. One that it sees twice has lasted: at least
/// this long, and at most twice that.
pub(crate) const CALL_TICK: Duration = Duration::from_millis(20);

/// Ticks without any call after which the watchdog sleeps until there is one.
pub(crate) const QUIET_TICKS: u32 = 50;

/// How long it sleeps at most.
pub(crate) const WATCHDOG_NAP: Duration = Duration::from_millis(500);

/// Ticks without a stuck worker after which those that stood in for one sleep again.
pub(crate) const CALM_TICKS: u32 = 100;

/// How long the start of the runtime waits for its reserve to be there. Without it no call runs on a worker.
pub(crate) const RESERVE_WAIT: Duration = Duration::from_secs(10);

/// Threads that may be stuck in calls into one share's files once calls last, and in its flushes and reads from disk.
/// Further requests wait for one of them: only those who use the share notice.
pub(crate) const PLACES: usize = 32;

/// Requests that copy from one share to another, for each share. One more waits: if one of the two hangs, the other
/// still has most of its places.
pub(crate) const CROSSINGS: usize = PLACES / 4;

/// Ticks for which calls into one share's files have lasted until the log says so: five seconds.
pub(crate) const HANG_TICKS: u32 = 250;

/// Threads that may be stuck in the calls of pipes, most of which ask for names.
pub(crate) const PIPE_PLACES: usize = 64;

/// Threads that may be stuck in logons, where the name service hangs.
pub(crate) const LOGON_PLACES: usize = 32;

/// Threads that may be stuck in looking up who asks over the control API, where the name service hangs. Further
/// requests wait for one of them, but for root's, whose name is known.
pub(crate) const CALLER_PLACES: usize = 32;

/// Threads of the runtime besides its workers: [`PLACES`] for fifteen shares that hang, and as many for all else. With
/// more shares that hang, reads from disk and flushes of the others wait.
pub(crate) const BLOCKING_THREADS: usize = 1024;

/// How long an answer waits for what its request has caused to be done to files elsewhere: a session that ends closes
/// files of other shares. What takes longer is done later.
pub(crate) const JOBS_WAIT: Duration = Duration::from_secs(3);

/// How long one of these jobs may take before nobody waits any more for it and for those behind it: less than
/// [`JOBS_WAIT`], so that who has waited is the last.
pub(crate) const JOB_OVERDUE: Duration = Duration::from_secs(2);

/// How long a stop waits for the next file to be flushed and closed. A file system that takes longer hangs.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of requests of one connection that wait for a share whose calls last. With more its client is not read from
/// until some are done.
pub(crate) const APART_BYTES: usize = 2 * MAX_IO_SIZE as usize;

/// Requests of one connection that wait for a share whose calls last. With more its client is not read from.
pub(crate) const APART_REQUESTS: usize = 256;

/// How long the directory of a share may take to be opened. A share whose file system takes longer is not there until
/// it answers; the others are.
pub(crate) const SHARE_OPEN_WAIT: Duration = Duration::from_secs(3);

/// How long a list of shares waits to learn whether their directories are there, all of them together.
pub(crate) const SHARE_LOOK_WAIT: Duration = Duration::from_secs(1);

/// How long an answer of the name service is waited for. Then who was asked for counts as unknown.
pub(crate) const NAME_WAIT: Duration = Duration::from_secs(5);

/// The same where nobody's logon depends on it and the name service hangs: what is on this machine is found by then.
pub(crate) const NAME_WAIT_SHORT: Duration = Duration::from_millis(100);

/// Threads that ask the name service at the same time. More questions wait, and are given up with the others where
/// it hangs; half of the threads are then for logons alone.
pub(crate) const NAME_THREADS: usize = 16;

/// How long its answers hold.
pub(crate) const NAME_LIFETIME: Duration = Duration::from_secs(10);

/// How long it holds that there is nobody called so.
pub(crate) const NO_NAME_LIFETIME: Duration = Duration::from_secs(1);

/// Answers kept. Then all are forgotten.
pub(crate) const NAMES_KEPT: usize = 4096;

/// Jobs of one share that may wait when the kernel reports more of its files. Then who watches there hears that they
/// must look for themselves.
pub(crate) const REPORTS_WAITING: usize = 256;

/// Directories that an open remembers for its next FLUSH because a rename or a link through it has changed them. With one
/// more, the first of them is flushed at once.
pub(crate) const UNFLUSHED_DIRECTORIES: usize = 16;

/// Room made for each read of a connection without a logon, bytes: a negotiation and a logon fit. What is larger
/// grows with what has arrived, at most twofold at a time.
pub(crate) const STRANGER_READ: usize = 4 * 1024;

/// Credits a connection without a logon may hold at once. A logon takes a few; each that is granted is remembered.
pub(crate) const STRANGER_CREDITS: u16 = 128;

/// Input that connections without a logon hold together beyond [`STRANGER_READ`] each, bytes. Of more, the oldest
/// of those that hold some is closed.
pub(crate) const STRANGERS_INPUT: usize = 16 * 1024 * 1024;

/// The same of connections of guests, whose WRITEs are as large as users': thirty-two at the same time.
pub(crate) const GUESTS_INPUT: usize = 32 * MAX_FRAME;

/// Answers waiting to be written on a connection without a logon, bytes: above it the connection is not read.
pub(crate) const STRANGER_OUTPUT_HIGH_WATER: usize = 64 * 1024;

/// Connections that were dropped to make room and whose tasks have not ended yet. With more, no connection is
/// accepted until one has.
pub(crate) const LEAVING_CONNECTIONS: usize = 256;

/// How often the log says that connections without a logon are dropped.
pub(crate) const EVICTION_NOTICE: Duration = Duration::from_secs(60);

/// How long the refusal of a logon is held back: what Windows' SMB server does
/// (`InvalidAuthenticationDelayTimeInMs`).
pub(crate) const REFUSED_LOGON_DELAY: Duration = Duration::from_secs(2);

/// How long a logon waits for its turn. Then it is refused without having been judged, well before clients give up.
pub(crate) const GUESS_PATIENCE: Duration = Duration::from_secs(10);

/// Logons of one connection that wait, for their turn or for their refusal. One more is answered
/// STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const HELD_BACK_PER_CONNECTION: usize = 32;

/// Logons of all connections that wait, each with its request in memory, which is at most
/// [`MAX_FRAME_UNAUTHENTICATED`] of a stranger. One more lets the oldest go.
pub(crate) const HELD_BACK: usize = 512;

/// How often something may be wrong: so many times at once, and once in each interval from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuessRate {
    pub(crate) at_once: u32,
    pub(crate) interval_ms: u64,
}

/// Wrong passwords of one account from one address: [`REFUSED_LOGON_DELAY`] apart, however many are tried at once.
pub(crate) const GUESSES_OF_PAIR: GuessRate = GuessRate { at_once: 1, interval_ms: 2_000 };

/// Wrong passwords of one account from all addresses from which it has not logged on before: one a second is a
/// twelfth of a million in a day, which no password of some length falls to. Addresses that have failed with the
/// account lately and those that have not each have that many together.
pub(crate) const GUESSES_OF_ACCOUNT: GuessRate = GuessRate { at_once: 20, interval_ms: 1_000 };

/// Wrong passwords from one address for all accounts: hundreds of users behind a NAT mistype less often.
pub(crate) const GUESSES_OF_ADDRESS: GuessRate = GuessRate { at_once: 50, interval_ms: 500 };

/// How long it is remembered that an address has failed with an account, milliseconds: as long as somebody who guesses
/// would have to wait to come as a newcomer again.
pub(crate) const FAILED_MS: u64 = 3_600 * 1_000;

/// Pairs, accounts and addresses with wrong passwords that are remembered, a hundred bytes each. Of more, those that
/// are due first are forgotten.
pub(crate) const GUESSES: usize = 65_536;

/// Accounts whose wrong passwords are counted, and their locks, whether they exist or not. Of more, those that end
/// first are forgotten.
pub(crate) const GUESSED_ACCOUNTS: usize = 65_536;

/// Pairs of an account and an address from which it has logged on that are remembered. Of more, the oldest are
/// forgotten.
pub(crate) const FAMILIAR_ADDRESSES: usize = 16_384;

/// How long they are, milliseconds: over a holiday.
pub(crate) const FAMILIAR_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Lines in the log about logons from one address.
pub(crate) const LOGON_LINES_OF_ADDRESS: GuessRate = GuessRate { at_once: 50, interval_ms: 10_000 };

/// The same from all addresses: a few megabytes a day at most.
pub(crate) const LOGON_LINES: GuessRate = GuessRate { at_once: 500, interval_ms: 2_000 };

/// Addresses of which it is known how much the log has been told of them, a hundred bytes each. Of more, those that
/// may be told of again first are forgotten.
pub(crate) const LOGON_LOG_ADDRESSES: usize = 4_096;

/// How long after the first line that was left out the log has the count of all.
pub(crate) const LOGON_SUMMARY: Duration = Duration::from_secs(60);

/// Addresses that this names; the others are one count.
pub(crate) const LOGON_SUMMARY_ADDRESSES: usize = 8;

/// By how much a client's clock differs before the log says so, hundreds of nanoseconds: the 36 hours of `MaxLifetime`
/// (MS-NLMP 3.1.1.1), at which other servers refuse it.
pub(crate) const CLOCK_SKEW: u64 = 36 * 3_600 * 10_000_000;

/// How long the log says no more of that, milliseconds: a server runs for months.
pub(crate) const CLOCK_TOLD_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// How long a users file that was changed may be changed again without looking another one: the coarsest times of a
/// file system are two seconds apart (FAT).
pub(crate) const USERS_FILE_SETTLES: Duration = Duration::from_secs(3);
/// How much longer a pair has to be familiar than was kept of it before it is kept again, milliseconds: once a day.
pub(crate) const FAMILIAR_KEPT_MS: u64 = 24 * 3_600 * 1_000;

/// How far apart the file is written that keeps wrong passwords and familiar addresses, of which a server that is killed
/// forgets as much.
pub(crate) const GUESSES_KEPT_EVERY: Duration = Duration::from_secs(60);

/// The same where an account was locked or unlocked: much shorter than it takes to lock one again.
pub(crate) const GUESSES_LOCK_KEPT_EVERY: Duration = Duration::from_secs(2);

/// Bytes of that file at most, when it is read: a line of [`GUESSED_ACCOUNTS`] and [`FAMILIAR_ADDRESSES`] is no longer
/// than a hundred.
pub(crate) const GUESSES_FILE_MAX: u64 = 16 << 20;

/// Characters of a client's name in the log. What is longer is cut.
pub(crate) const LOGGED_NAME_MAX: usize = 64;

/// Minutes and wrong passwords that the settings of a lockout may name: what Windows' policy allows.
pub(crate) const LOCKOUT_MINUTES_MAX: i64 = 99_999;

/// See [`LOCKOUT_MINUTES_MAX`].
pub(crate) const LOCKOUT_THRESHOLD_MAX: i64 = 999;
