//! Limits of the log.

/// Bytes of a frame of a log that is written anew, so that not all of it is in memory twice. A batch of changes is one
/// frame of any length.
pub(crate) const WHOLE_FRAME_BYTES: usize = 512 << 10;

/// Bytes of a log that are read and written: the records of 16,384 opens, each with a thousand locks. A longer log is
/// refused as damaged, and changes that would make it longer are refused.
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
