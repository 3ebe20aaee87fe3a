//! The limits of a connection, each with its reason and consequence.

use std::time::Duration;

/// Bytes of one message from the server. A longer one ends the connection.
pub(crate) const FRAME_MAX: usize = wire::limits::FRAME_SIZE_MAX + (256 << 10);

/// The bytes read from the socket if no large message is in progress: enough for many small answers, and cheap to
/// move before a large one.
pub(crate) const READ_CHUNK: usize = 64 << 10;

/// The most messages waiting to be written. More senders wait.
pub(crate) const SEND_QUEUE: usize = 256;

/// Messages written with one call of the system.
pub(crate) const SEND_BATCH: usize = 32;

/// The most break notifications kept for a slow reader. Older ones are dropped, which the reader gets as an error.
pub(crate) const BREAKS_KEPT: usize = 1024;

/// Answers kept for [`raw_recv`](super::ClientConnection::raw_recv). The newest are dropped beyond.
pub(crate) const RAW_KEPT: usize = 64;

/// The most credits held; further grants are not used.
pub(crate) const CREDITS_MAX: usize = 65_535;

/// Credits that a connection tries to hold by default: 32 MiB of data under way.
pub(crate) const CREDITS_WANTED: u16 = 512;

/// Rounds of one logon: SPNEGO with NTLM takes two or three. One more and the logon fails.
pub(crate) const LOGON_ROUNDS_MAX: u32 = 6;

/// Sessions of one connection. The logon fails beyond.
pub(crate) const SESSIONS_MAX: usize = 65_536;

/// The time from connecting to the first answer.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The time of one request, unless set otherwise: locks and breaks can delay an answer for half a minute.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// The time after a failed renewal of a session during which requests fail without another attempt, so that not every
/// one of a thousand requests asks the key distribution center.
pub(crate) const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a listing asked for with one request.
pub(crate) const LISTING_BYTES: u32 = 64 << 10;

/// Bytes taken from a pipe with one request.
pub(crate) const PIPE_BYTES: u32 = 64 << 10;

/// One call through a pipe, all its fragments: a list of a million entries takes a slow server a while. The call fails
/// beyond, whatever still comes.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(120);

/// Bytes of the answer to a bind: one PDU, whose length is 16 bits. A longer one ends the attempt.
pub(crate) const BIND_ANSWER_MAX: usize = 64 << 10;

/// Bytes that one credit pays for (MS-SMB2 3.1.5.2).
pub(crate) const CREDIT_BYTES: u32 = 64 << 10;
