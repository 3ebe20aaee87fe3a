//! The named limits of the API.

/// Entries of a page when the request names no limit: a screen or two, well below a megabyte of JSON.
pub const PAGE_DEFAULT: u32 = 500;

/// Entries of a page at most, whatever the request asks for, so that one answer stays a few megabytes.
pub const PAGE_MAX: u32 = 2_000;

/// Bytes of a request body at most; the largest request is [`crate::CloseSessions`].
pub const REQUEST_BODY_MAX: usize = 64 * 1024;

/// Bytes of an answer's body that a client accepts: [`PAGE_MAX`] open files with paths of 32 KiB
/// would be more, and then the server makes the page shorter.
pub const ANSWER_BODY_MAX: usize = 64 * 1024 * 1024;

/// Lock ranges of one open that an answer carries; `locks` still counts all of them.
pub const LOCK_RANGES_MAX: usize = 64;

/// Seconds that a close may give a client to write back, at most: the time after which a break that is not answered ends
/// by itself is 35 seconds (MS-SMB2 3.3.2.1).
pub const GRACE_MAX: u32 = 35;

/// Seconds that one request may wait for something to happen; who wants to wait longer asks again.
pub const WAIT_MAX: u32 = 20;

/// Bytes of one line of an event stream at most.
pub const EVENT_LINE_MAX: usize = 256 * 1024;
