//! The limits of the server, each with its reason and the consequence when it is reached. The limits of the shared
//! tables are in the registry.

use std::time::Duration;

use registry::Limits;

/// The time from a connection to a logon. After it, the connection is closed.
pub(crate) const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(45);

/// The largest READ, WRITE and transact size from SMB 2.1 on, in bytes (MS-SMB2 3.3.5.4), as in Windows. A larger
/// request gets STATUS_INVALID_PARAMETER.
pub(crate) const MAX_IO_SIZE: u32 = 8 * 1024 * 1024;

/// The largest READ, WRITE and transact size of SMB 2.0.2, in bytes; its credits do not allow more.
pub(crate) const MAX_IO_SIZE_202: u32 = 64 * 1024;

/// The largest frame, in bytes: a WRITE of [`MAX_IO_SIZE`] with room for its headers and for other requests compounded
/// with it. A larger one ends the connection.
pub(crate) const MAX_FRAME: usize = MAX_IO_SIZE as usize + 256 * 1024;

/// The largest frame before a session is valid on the connection, in bytes: negotiations and logon tokens are small,
/// and strangers get no more memory. A larger one ends the connection.
pub(crate) const MAX_FRAME_UNAUTHENTICATED: usize = 128 * 1024;

/// The size from which a frame of a user is large, in bytes: the kernel reports it when all of it is there, and it is read
/// into memory of a pool.
pub(crate) const LARGE_FRAME: usize = 256 * 1024;

/// The size from which the data of a WRITE that is neither signed nor sealed go from the socket to the file without a copy,
/// in bytes. For 256 KiB, the kernel's work with each page costs as much as the copy.
pub(crate) const SPLICE_FROM: usize = 512 * 1024;

/// The bytes of a large frame that the kernel collects before it reports them. A longer frame is read in parts of this
/// size.
pub(crate) const LOW_WATER_MAX: usize = 1024 * 1024 + 64 * 1024;

/// The time for which the rest of a large frame is waited for as a whole: at 100 Mbit/s, 2.5 MB arrive meanwhile. After it,
/// the frame is read as it arrives.
pub(crate) const LARGE_FRAME_PATIENCE: Duration = Duration::from_millis(200);

/// The memory for large frames that is kept when no frame uses it, in bytes: a few frames of a MiB, or two of the largest.
pub(crate) const POOLED_INPUT: usize = 2 * (MAX_FRAME + 64 * 1024);

/// The number of credits of a connection (MS-SMB2 3.3.1.2). Requests beyond get no more credits.
pub(crate) const MAX_CREDITS: u16 = 8192;

/// The number of waiting requests of one connection (locks, breaks, pipe reads). One more gets
/// STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const MAX_PENDING: usize = 512;

/// The size of the changes that are collected for one watched directory between two requests, in bytes of the answer.
/// Beyond it, the client gets STATUS_NOTIFY_ENUM_DIR and has to list the directory itself.
pub(crate) const NOTIFY_BYTES: usize = 64 * 1024;

/// The number of ended sessions whose keys a connection keeps, to answer their clients. Beyond it, keys are dropped, and
/// a sealed request of such a session ends the connection.
pub(crate) const ENDED_SESSIONS: usize = 16;

/// The size of answers that wait to be written, in bytes: beyond it, the connection is not read until its client reads.
pub(crate) const OUTPUT_HIGH_WATER: usize = 2 * MAX_IO_SIZE as usize;

/// The number of requests that are handled together before their answers are written.
pub(crate) const BATCH_REQUESTS: usize = 32;

/// The size of answers that are collected before they are written, in bytes.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// The number of buffers that each connection keeps for reuse.
pub(crate) const POOLED_BUFFERS: usize = 8;

/// The largest buffer that is kept for reuse, in bytes; larger ones are freed.
pub(crate) const POOLED_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// The size from which the data of a READ are read over those of an earlier answer instead of over zeros, in bytes. Fewer
/// zeros cost less than the exchange of the buffer.
pub(crate) const FILLED_FROM: usize = 16 * 1024;

/// The size from which READ answers that are neither signed nor sealed are sent from the page cache without a copy, in
/// bytes.
pub(crate) const SENDFILE_FROM: u32 = 64 * 1024;

/// The number of rounds of one logon. One more is refused: SPNEGO with NTLM takes two, a downgrade three.
pub(crate) const MAX_LOGON_ROUNDS: u32 = 6;

/// The number of times a CREATE looks its name up again after a break, a close or a removal. Then it gets
/// STATUS_SHARING_VIOLATION.
pub(crate) const MAX_CREATE_ATTEMPTS: u32 = 16;

/// The time for which a CREATE waits for the breaks of others before its client gets an interim response. The break is
/// sent first, and often acknowledged in less time.
pub(crate) const INTERIM_DELAY: Duration = Duration::from_millis(2);

/// The time for which a CREATE waits, each time it looks again, for a file of that name to be removed or replaced:
/// longer than that takes, and short enough for the requests behind it.
pub(crate) const MAX_VANISHING_WAIT: Duration = Duration::from_millis(20);

/// The number of times a rename or a link looks again at a new name that another file has meanwhile. Then the name
/// counts as taken, or its file as in use.
pub(crate) const MAX_NAME_ATTEMPTS: u32 = 8;

/// The number of chunks in one server-side copy (MS-SMB2 3.3.3, `ServerSideCopyMaxNumberofChunks`). More are refused
/// with STATUS_INVALID_PARAMETER and the limits.
pub(crate) const COPY_CHUNKS: u32 = 256;

/// The largest chunk of a server-side copy, in bytes (MS-SMB2 3.3.3, `ServerSideCopyMaxChunkSize`).
pub(crate) const COPY_CHUNK_BYTES: u32 = 1024 * 1024;

/// The largest server-side copy in one request, in bytes (MS-SMB2 3.3.3, `ServerSideCopyMaxDataSize`).
pub(crate) const COPY_BYTES: u32 = 16 * 1024 * 1024;

/// The largest list of users' SIDs, in bytes: more than ten thousand users. A larger one is not read.
pub(crate) const USER_SIDS_BYTES_MAX: u64 = 1024 * 1024;

/// The number of the server's addresses in an answer to a client (MS-SMB2 3.3.5.15.11). More are left out: no client
/// connects to as many.
pub(crate) const MAX_INTERFACES: usize = 64;

/// The time for which requests continue after their connection is lost: longer than the breaks that they may wait for.
/// After it, they are abandoned.
pub(crate) const ABANDONED_TIMEOUT: Duration = Duration::from_secs(120);

/// The time for a look whether the directory of a share is still in its place, when a directory above it was exchanged.
pub(crate) const WATCH_ROOT_LOOK: Duration = Duration::from_secs(1);

/// The number of directories on which the kernel reports changes, for all clients: about a kilobyte of its memory each,
/// and below the default limit of Linux for a process. Beyond it, changes by local processes are not reported to
/// clients, and directory leases are not granted.
pub(crate) const OBSERVED_DIRECTORIES: usize = 16_384;

/// The number of directories on which the kernel reports for one user's watches and leases: a quarter of all, so that
/// other users have theirs. Beyond it, that user gets only the server's own changes, or STATUS_NOTIFY_ENUM_DIR, and no
/// directory leases.
pub(crate) const OBSERVED_PER_USER: usize = OBSERVED_DIRECTORIES / 4;

/// The number of observed directories below a recursively watched one (SMB2_WATCH_TREE). For a larger tree the client
/// gets STATUS_NOTIFY_ENUM_DIR once, and the server logs it.
pub(crate) const OBSERVED_TREE: usize = 4_096;

/// The delay before the kernel's reports are processed: time for the server to record its own changes, and a limit on
/// the rate at which many changes are processed.
pub(crate) const OBSERVATION_DELAY: Duration = Duration::from_millis(40);

/// The size of the kernel's reports that are processed at once, in bytes. The rest waits in the kernel, whose own limit
/// is `fs.inotify.max_queued_events`; if reports are lost there, every watch returns STATUS_NOTIFY_ENUM_DIR.
pub(crate) const OBSERVATION_BYTES: usize = 128 * 1024;

/// The names that do not match a listing's pattern and that are passed over for one answer which has entries already:
/// some milliseconds. The client asks for the next answer, so that a rare name in a directory of a million does not hold
/// back those that were found.
pub(crate) const LISTING_PASSED_NAMES: usize = 4096;

/// The number of its own changes that the server remembers until the kernel has reported them. Beyond it, clients get
/// some changes twice.
pub(crate) const OWN_CHANGES: usize = 8_192;

/// The time for which its own changes are remembered: longer than the kernel's reports can wait.
pub(crate) const OWN_CHANGE_LIFETIME: Duration = Duration::from_secs(10);

/// The interval at which the server checks with the kernel if a break is still on its way, while it is not acknowledged
/// and could be sent on another connection.
pub(crate) const BREAK_REVIEW: Duration = Duration::from_millis(500);

/// The number of retransmissions without an answer, at intervals that double, after which a message counts as lost: 1.4
/// seconds on a fast network, more on a slow one.
pub(crate) const STALLED_RETRANSMISSIONS: u8 = 3;

/// The time for which data to a client that was sent a break may stay unacknowledged (TCP_USER_TIMEOUT): less than the
/// break timeout, so that the break can be sent on another of its connections. After it, the connection ends.
pub(crate) const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(20);

/// The first interval after which a request that waits for a local program's lock tries the host again; it doubles each
/// time up to [`HOST_LOCK_LAST_RETRY`]. The kernel reports the release of such a lock only to a thread that waits for
/// it, which would cost too much for a waiting client. The request keeps its place among clients.
pub(crate) const HOST_LOCK_FIRST_RETRY: Duration = Duration::from_millis(20);

/// The longest interval between two such attempts: each is a system call, and on a network file system a request to its
/// server.
pub(crate) const HOST_LOCK_LAST_RETRY: Duration = Duration::from_secs(1);

/// The number of named pipes that one session has open; clients have a handful. One more gets
/// STATUS_PIPE_NOT_AVAILABLE.
pub(crate) const PIPES_PER_SESSION: usize = 64;

/// The memory of the named pipes of one session, in bytes: parts of requests, and answers that are not read yet. The
/// longest list fits twice. Beyond it, a WRITE is refused with STATUS_INSUFFICIENT_RESOURCES, and a call with the fault
/// nca_s_server_too_busy, or nca_s_fault_remote_no_memory if its answer is too long.
pub(crate) const PIPE_BYTES_PER_SESSION: usize = 16 << 20;

/// The memory of the named pipes of all sessions, in bytes.
pub(crate) const PIPE_BYTES: usize = 128 << 20;

/// The number of named pipes that a guest's or anonymous session has open: one for the list of shares and one to change
/// a password, twice. One more gets STATUS_PIPE_NOT_AVAILABLE.
pub(crate) const STRANGERS_PIPES_PER_SESSION: usize = 4;

/// The part of [`PIPE_BYTES`] for the pipes of all guests and anonymous callers, so that they cannot use up the pipes
/// of users. The refusals are the same.
pub(crate) const STRANGERS_PIPE_BYTES: usize = PIPE_BYTES / 16;

/// The memory that is reserved for the answer to a call before it is executed, in bytes: any answer but a list. So no
/// call is executed whose answer cannot be kept.
pub(crate) const PIPE_ANSWER_BYTES: usize = 64 << 10;

/// The number of names in one call of MS-LSAT, as the protocol allows (MS-LSAT 3.1.4.6). Beyond it:
/// STATUS_INVALID_PARAMETER.
pub(crate) const LOOKUP_NAMES_MAX: usize = 1000;

/// The number of SIDs in one call of MS-LSAT, as the protocol allows (MS-LSAT 2.2.18). Beyond it:
/// STATUS_INVALID_PARAMETER.
pub(crate) const LOOKUP_SIDS_MAX: usize = 20_480;

/// The number of handles to MS-SAMR objects of one open of a pipe: clients open accounts one after the other. Beyond
/// it: STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const SAM_HANDLES_MAX: usize = 256;

/// The number of names or RIDs in one call of MS-SAMR, as the protocol allows (MS-SAMR 3.1.5.11.2). Beyond it:
/// STATUS_INVALID_PARAMETER.
pub(crate) const SAM_LOOKUPS_MAX: usize = 1000;

/// The size of the accounts that one call of MS-SAMR lists, in bytes, if the client accepts as many; the next call
/// continues.
pub(crate) const SAM_LIST_BYTES_MAX: usize = 1 << 20;

/// The number of policy handles of one open of a pipe. Clients have one or two. Beyond it:
/// STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const POLICY_HANDLES_MAX: usize = 64;

/// The interval at which the watchdog looks for long calls into file systems. A call that it sees twice has taken
/// between one and two intervals.
pub(crate) const CALL_TICK: Duration = Duration::from_millis(20);

/// The number of ticks without a call after which the watchdog sleeps until there is one.
pub(crate) const QUIET_TICKS: u32 = 50;

/// The longest sleep of the watchdog.
pub(crate) const WATCHDOG_NAP: Duration = Duration::from_millis(500);

/// The number of ticks without a stuck worker after which the workers of the reserve sleep again.
pub(crate) const CALM_TICKS: u32 = 100;

/// The time for which the start of the runtime waits for its reserve. Without a reserve, no call runs on a worker.
pub(crate) const RESERVE_WAIT: Duration = Duration::from_secs(10);

/// The number of threads that may be stuck in calls into one share's files when calls take too long, and in its flushes
/// and reads from disk. Further requests wait for one of them, so only users of the share are affected.
pub(crate) const PLACES: usize = 32;

/// The number of requests that copy between shares, for each share. One more waits: if one of the two shares hangs, the
/// other still has most of its places.
pub(crate) const CROSSINGS: usize = PLACES / 4;

/// The number of ticks after which a hanging call is logged: five seconds.
pub(crate) const HANG_TICKS: u32 = 250;

/// The number of threads that may be stuck in the calls of pipes, most of which look up names.
pub(crate) const PIPE_PLACES: usize = 64;

/// The number of threads that may be stuck in logons while the name service hangs.
pub(crate) const LOGON_PLACES: usize = 32;

/// The number of threads that may be stuck in lookups of callers of the control API while the name service hangs.
/// Further requests wait for one of them, except those of root, whose name is known.
pub(crate) const CALLER_PLACES: usize = 32;

/// The number of threads of the runtime besides its workers: [`PLACES`] for fifteen shares that hang, and as many for
/// all else. If more shares hang, reads from disk and flushes of the others wait.
pub(crate) const BLOCKING_THREADS: usize = 1024;

/// The time for which an answer waits for the jobs that its request has caused: a session that ends closes files of
/// other shares. Jobs that take longer are done later.
pub(crate) const JOBS_WAIT: Duration = Duration::from_secs(3);

/// The time after which requests no longer wait for such a job and for those behind it: less than [`JOBS_WAIT`], so
/// that the first request that waits is also the last.
pub(crate) const JOB_OVERDUE: Duration = Duration::from_secs(2);

/// The time for which a stop waits for the next file to be flushed and closed. A file system that takes longer hangs.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The size of the requests of one connection that wait for a stalled share, in bytes. Beyond it, the connection is not
/// read until some are done.
pub(crate) const APART_BYTES: usize = 2 * MAX_IO_SIZE as usize;

/// The number of requests of one connection that wait for a stalled share. Beyond it, the connection is not read.
pub(crate) const APART_REQUESTS: usize = 256;

/// The time for which the open of a share's directory may take. If its file system takes longer, the share is not
/// available until it responds; other shares are.
pub(crate) const SHARE_OPEN_WAIT: Duration = Duration::from_secs(3);

/// The time after which a change of an open that outlives the server is in its log, if no request of the open itself made
/// the change: short, because a crash before that gives the client back what it had lost.
pub(crate) const UNLOGGED_MAX: Duration = Duration::from_millis(250);

/// The time for which a list of shares waits for the checks of all their directories.
pub(crate) const SHARE_LOOK_WAIT: Duration = Duration::from_secs(1);

/// The time for which a caller waits for an answer of the name service. After it, the account counts as unknown.
pub(crate) const NAME_WAIT: Duration = Duration::from_secs(5);

/// The time for which other callers than logons wait while the name service hangs: enough for accounts on this machine.
pub(crate) const NAME_WAIT_SHORT: Duration = Duration::from_millis(100);

/// The number of threads that query the name service. More queries wait, and fail with the others if it hangs; half of
/// the threads are then for logons only.
pub(crate) const NAME_THREADS: usize = 16;

/// The lifetime of an answer.
pub(crate) const NAME_LIFETIME: Duration = Duration::from_secs(10);

/// The lifetime of the answer that an account does not exist.
pub(crate) const NO_NAME_LIFETIME: Duration = Duration::from_secs(1);

/// The number of cached answers. Beyond it, all are removed.
pub(crate) const NAMES_KEPT: usize = 4096;

/// The time for which a caller waits for names of the domain. After it, those without an answer are unknown for now.
pub(crate) const DOMAIN_NAME_WAIT: Duration = Duration::from_secs(3);

/// The threads that find out Unix ids of users and groups of the domain. A domain or a name service that hangs keeps
/// them; other requests for such ids then do without.
pub(crate) const ID_LOOKUPS: usize = 4;

/// The time for which a request waits until Unix ids are found out: the domain and the name service may both be slow.
pub(crate) const ID_LOOKUP_WAIT: Duration = Duration::from_secs(8);

/// The lifetime of the answer that the name service does not know a user or group of the domain.
pub(crate) const ID_ANSWER_LIFETIME: Duration = Duration::from_secs(60);

/// The number of such answers that are kept, some hundred bytes each. Beyond it, all are removed.
pub(crate) const ID_ANSWERS_KEPT: usize = 16_384;

/// The groups of a user whose Unix ids are found out after the logon; others follow when they are needed.
pub(crate) const GROUPS_LOOKED_UP: usize = 256;

/// The time for which a question to the domain waits for its answer, longer than a controller takes to be found.
pub(crate) const DOMAIN_QUESTION_WAIT: Duration = Duration::from_secs(10);

/// The names in one question to the domain, which LSARPC servers answer at once.
pub(crate) const DOMAIN_NAMES_AT_ONCE: usize = 100;

/// The lifetime of a name of the domain. Names change rarely, and an old one is used until there is an answer.
pub(crate) const DOMAIN_NAME_LIFETIME: Duration = Duration::from_secs(3600);

/// The lifetime of the answer that the domain has no such name: it may be created.
pub(crate) const NO_DOMAIN_NAME_LIFETIME: Duration = Duration::from_secs(60);

/// The time after which a domain that did not answer is asked again.
pub(crate) const DOMAIN_NAME_RETRY: Duration = Duration::from_secs(10);

/// The questions to the domain that wait: those of a few requests with as many names as LSARPC permits. Beyond it, names
/// are unknown for now.
pub(crate) const DOMAIN_QUESTIONS_MAX: usize = 4096;

/// The names of the domain that are kept, some hundred bytes each. Beyond it, old ones are removed.
pub(crate) const DOMAIN_NAMES_KEPT: usize = 16_384;

/// The number of waiting jobs of one share up to which the kernel's reports on its files are processed. Beyond it, its
/// watches return STATUS_NOTIFY_ENUM_DIR.
pub(crate) const REPORTS_WAITING: usize = 256;

/// The number of directories that an open keeps for its next FLUSH because a rename or a link through it has changed
/// them. One more flushes the first of them at once.
pub(crate) const UNFLUSHED_DIRECTORIES: usize = 16;

/// The buffer for each read of a connection without a logon, in bytes: a negotiation and a logon fit. For larger
/// requests it grows with the data that have arrived, at most twofold at a time.
pub(crate) const STRANGER_READ: usize = 4 * 1024;

/// The number of credits of a connection without a logon. A logon takes a few; each granted credit takes memory.
pub(crate) const STRANGER_CREDITS: u16 = 128;

/// The input that connections without a logon hold together, beyond [`STRANGER_READ`] each, in bytes. Beyond it, the
/// oldest of those with input is closed.
pub(crate) const STRANGERS_INPUT: usize = 16 * 1024 * 1024;

/// The input that connections of guests hold together, in bytes: thirty-two WRITEs of the largest size.
pub(crate) const GUESTS_INPUT: usize = 32 * MAX_FRAME;

/// The size of answers that wait to be written on a connection without a logon, in bytes: beyond it, the connection is
/// not read.
pub(crate) const STRANGER_OUTPUT_HIGH_WATER: usize = 64 * 1024;

/// The number of connections that were closed to make room and whose tasks have not ended yet. Beyond it, no connection
/// is accepted until one has.
pub(crate) const LEAVING_CONNECTIONS: usize = 256;

/// The interval at which the log reports that connections without a logon are closed.
pub(crate) const EVICTION_NOTICE: Duration = Duration::from_secs(60);

/// The time for a controller to decide about a logon with NTLM: clients give up after some 30 seconds or more.
pub(crate) const DOMAIN_LOGON_WAIT: Duration = Duration::from_secs(20);

/// The delay of the refusal of a logon, as in Windows' SMB server (`InvalidAuthenticationDelayTimeInMs`).
pub(crate) const REFUSED_LOGON_DELAY: Duration = Duration::from_secs(2);

/// The time for which a logon waits for its turn. After it, the logon is refused without a check, well before clients
/// give up.
pub(crate) const GUESS_PATIENCE: Duration = Duration::from_secs(10);

/// The number of logons of one connection that wait, for their turn or for their refusal. One more gets
/// STATUS_INSUFFICIENT_RESOURCES.
pub(crate) const HELD_BACK_PER_CONNECTION: usize = 32;

/// The number of logons of all connections that wait, each with its request in memory, which is at most
/// [`MAX_FRAME_UNAUTHENTICATED`] for a stranger. One more releases the oldest.
pub(crate) const HELD_BACK: usize = 512;

/// A rate of events: a number at once, and one in each interval from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuessRate {
    pub(crate) at_once: u32,
    pub(crate) interval_ms: u64,
}

/// Wrong passwords of one account from one address: [`REFUSED_LOGON_DELAY`] apart, however many are sent at once.
pub(crate) const GUESSES_OF_PAIR: GuessRate = GuessRate { at_once: 1, interval_ms: 2_000 };

/// Wrong passwords of one account from all addresses from which it has not logged on before: one a second is a twelfth
/// of a million in a day, which is too few for a password of some length. Addresses that have recently failed with the
/// account share one such rate, and all other addresses share another.
pub(crate) const GUESSES_OF_ACCOUNT: GuessRate = GuessRate { at_once: 20, interval_ms: 1_000 };

/// Wrong passwords from one address for all accounts: hundreds of users behind a NAT make fewer errors.
pub(crate) const GUESSES_OF_ADDRESS: GuessRate = GuessRate { at_once: 50, interval_ms: 500 };

/// The time for which a failure of an address with an account is remembered, in milliseconds. After it, an attacker
/// counts as a new address again.
pub(crate) const FAILED_MS: u64 = 3_600 * 1_000;

/// The number of pairs, accounts and addresses with wrong passwords that are remembered, a hundred bytes each. Beyond
/// it, those whose wait ends first are removed.
pub(crate) const GUESSES: usize = 65_536;

/// The number of accounts whose wrong passwords and locks are remembered, whether they exist or not. Beyond it, those
/// that end first are removed.
pub(crate) const GUESSED_ACCOUNTS: usize = 65_536;

/// The number of pairs of an account and an address with a successful logon that are remembered. Beyond it, the oldest
/// are removed.
pub(crate) const FAMILIAR_ADDRESSES: usize = 16_384;

/// The time for which these pairs are remembered, in milliseconds: longer than a holiday.
pub(crate) const FAMILIAR_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Entries in the log about logons from one address.
pub(crate) const LOGON_LINES_OF_ADDRESS: GuessRate = GuessRate { at_once: 50, interval_ms: 10_000 };

/// Entries in the log about logons from all addresses: a few megabytes a day at most.
pub(crate) const LOGON_LINES: GuessRate = GuessRate { at_once: 500, interval_ms: 2_000 };

/// The number of addresses whose rate of log entries is remembered, a hundred bytes each. Beyond it, those that may
/// have an entry first are removed.
pub(crate) const LOGON_LOG_ADDRESSES: usize = 4_096;

/// The time after the first entry that was left out at which a summary is logged.
pub(crate) const LOGON_SUMMARY: Duration = Duration::from_secs(60);

/// The number of addresses that a summary names; the others are one count.
pub(crate) const LOGON_SUMMARY_ADDRESSES: usize = 8;

/// The difference of a client's clock that is logged, in hundreds of nanoseconds: the 36 hours of `MaxLifetime`
/// (MS-NLMP 3.1.1.1), at which other servers refuse the logon.
pub(crate) const CLOCK_SKEW: u64 = 36 * 3_600 * 10_000_000;

/// The time for which a difference is not logged again, in milliseconds: a server runs for months.
pub(crate) const CLOCK_TOLD_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// The time during which a changed users file or keytab may change again without a visible difference: the coarsest file times
/// are two seconds apart (FAT).
pub(crate) const USERS_FILE_SETTLES: Duration = Duration::from_secs(3);
/// The difference between the present and the saved lifetime of a familiar pair at which it is saved again, in
/// milliseconds: once a day.
pub(crate) const FAMILIAR_KEPT_MS: u64 = 24 * 3_600 * 1_000;

/// The interval at which wrong passwords and familiar addresses are saved. A server that is killed loses as much.
pub(crate) const GUESSES_KEPT_EVERY: Duration = Duration::from_secs(60);

/// The interval at which locks of accounts are saved: much shorter than the time to lock an account again.
pub(crate) const GUESSES_LOCK_KEPT_EVERY: Duration = Duration::from_secs(2);

/// The maximal size of that file when it is read, in bytes: a line for each of [`GUESSED_ACCOUNTS`] and
/// [`FAMILIAR_ADDRESSES`] has at most a hundred.
pub(crate) const GUESSES_FILE_MAX: u64 = 16 << 20;

/// The number of characters of a client's name in the log. Longer names are cut.
pub(crate) const LOGGED_NAME_MAX: usize = 64;

/// The maximal minutes in the settings of a lockout, as in Windows' policy.
pub(crate) const LOCKOUT_MINUTES_MAX: i64 = 99_999;

/// The server's own groups.
pub(crate) const LOCAL_GROUPS_MAX: usize = 1000;

/// The members of one of them: each logon compares its user with all.
pub(crate) const LOCAL_GROUP_MEMBERS_MAX: usize = 1000;

/// The longest name of one, in characters, as in Windows.
pub(crate) const LOCAL_GROUP_NAME_MAX: usize = 256;

/// The longest password, in characters, as in Windows.
pub(crate) const PASSWORD_LENGTH_MAX: i64 = 256;

/// The maximal ages of passwords in days, as in Windows' policy.
pub(crate) const PASSWORD_DAYS_MAX: i64 = 999;

/// The maximal number of old passwords that are remembered, as in Windows' policy.
pub(crate) const PASSWORD_HISTORY_MAX: i64 = auth::limits::OLD_PASSWORDS_MAX as i64;

/// The maximal number of wrong passwords in the settings of a lockout, as in Windows' policy.
pub(crate) const LOCKOUT_THRESHOLD_MAX: i64 = 999;

/// The registry's limits, reduced to the descriptors that the process may open, so that one session cannot take the
/// descriptors that others and new connections need.
pub(crate) fn of_registry() -> Limits {
    let defaults = Limits::default();
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match descriptors.and_then(|count| usize::try_from(count).ok()) {
        Some(descriptors) => within(descriptors, defaults),
        None => defaults,
    }
}

/// These limits, reduced to a number of descriptors. A connection and an open take one each. Nine sixteenths are for
/// opens, five for connections (most clients have no more than two opens at a time), and two for requests under way,
/// watches, logs and listeners.
fn within(descriptors: usize, defaults: Limits) -> Limits {
    let part = descriptors / 16;
    let opens = part.saturating_mul(9).min(defaults.opens);
    Limits {
        opens,
        opens_per_session: (opens / 2).min(defaults.opens_per_session),
        connections: part.saturating_mul(5).min(defaults.connections),
        orphans: (opens / 4).min(defaults.orphans),
        orphans_per_user: (opens / 16).min(defaults.orphans_per_user),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_opens_leave_descriptors_for_the_rest() {
        for descriptors in [0, 1_024, 20_000, 1 << 20, usize::MAX] {
            let Limits { opens, connections, .. } = within(descriptors, Limits::default());
            assert!(opens.saturating_add(connections) <= descriptors - descriptors / 8, "{descriptors}");
        }
        let limits = within(20_000, Limits::default());
        assert!(limits.connections - limits.connections / 16 > 5_100 && limits.opens > 11_000, "{limits:?}");
        assert_eq!(within(usize::MAX, Limits::default()), Limits::default());
    }
}
