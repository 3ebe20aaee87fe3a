//! The limits of the API.

/// The entries of a page if the request sets no limit: one or two screens, well below a megabyte of JSON.
pub const PAGE_DEFAULT: u32 = 500;

/// The most entries of a page, so that one answer is a few megabytes at most.
pub const PAGE_MAX: u32 = 2_000;

/// The most bytes of a request body; the largest request is [`crate::CloseSessions`].
pub const REQUEST_BODY_MAX: usize = 64 * 1024;

/// The most bytes of an answer's body that a client accepts. [`PAGE_MAX`] open files with paths of 32 KiB would be
/// more; the server makes such a page shorter.
pub const ANSWER_BODY_MAX: usize = 64 * 1024 * 1024;

/// The most lock ranges of one open in an answer; `locks` counts all of them.
pub const LOCK_RANGES_MAX: usize = 64;

/// The most seconds that a close can give a client to write back: a break that is not acknowledged ends after 35
/// seconds anyway (MS-SMB2 3.3.2.1).
pub const GRACE_MAX: u32 = 35;

/// The most seconds that one request can wait; to wait longer, a client repeats it.
pub const WAIT_MAX: u32 = 20;

/// The most bytes of one line of an event stream.
pub const EVENT_LINE_MAX: usize = 256 * 1024;

/// The most seconds until the deadline of a drain or an announced close: a week.
pub const DRAIN_SECONDS_MAX: u64 = 7 * 86_400;

/// The most users that a drain names; `files` counts all of their files.
pub const DRAIN_USERS_MAX: usize = 64;

/// The most characters of a message for users, or of a hold's purpose.
pub const NOTICE_TEXT_MAX: usize = 1_000;

/// The most opens in one line about a hold, and for one connection of a recheck, so that a line stays below
/// [`EVENT_LINE_MAX`].
pub const HOLDERS_SHOWN_MAX: usize = 50;

/// The entries of an answer of the history if the query does not name a number.
pub const HISTORY_DEFAULT: u32 = 1_000;

/// The most entries of an answer of the history: an answer of some megabytes, below [`ANSWER_BODY_MAX`].
pub const HISTORY_MAX: u32 = 5_000;
