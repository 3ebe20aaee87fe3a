//! Limits of the log.

/// Bytes of one frame. A batch of a busy server has some dozens of kilobytes; a larger one is written in several frames.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of a log that are read: the records of 16,384 opens, each with a thousand locks, and as much again before the
/// log is written anew. A longer log is refused as damaged.
pub const LOG_BYTES_MAX: u64 = 1 << 30;

/// Bytes of a log from which on it is written anew when half of them are outdated. A smaller one costs nothing.
pub(crate) const COMPACT_BYTES_MIN: u64 = 256 << 10;

/// Bytes that are allocated ahead of the end of the log, so that the end of an open can be recorded on a full disk.
pub(crate) const RESERVED_BYTES: u64 = 256 << 10;

/// Supplementary groups of a user in a record: as many as a process can have (NGROUPS_MAX).
pub const GROUPS_MAX: usize = 65_536;

/// Bytes of a text in a record: the longest path, 32,767 UTF-16 units of up to three bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 3 * 32_767;

/// The buckets of lock sequences (MS-SMB2 3.3.5.14).
pub(crate) const SEQUENCES_MAX: usize = 64;
