//! The limits of the journal, with their reasons.

use std::time::Duration;

/// The names that a writer remembers with their numbers, so that it need not look for them: those of a busy hour. When
/// there are more, all are forgotten.
pub const NAMES_REMEMBERED: usize = 65_536;

/// The entries that are deleted in one transaction, so that deleting delays new records by some milliseconds only.
pub const DELETED_AT_ONCE: usize = 5_000;

/// The names that are examined in one transaction for whether an entry still uses them.
pub const NAMES_EXAMINED_AT_ONCE: usize = 5_000;

/// The size of the write-ahead log at which nothing is written any more, in bytes. SQLite cannot begin it anew as long
/// as another program reads an old state of the journal, and such a program must not fill the disk.
pub const LOG_BYTES_MAX: u64 = 256 << 20;

/// The damaged journals that are kept beside the journal. Of more, the oldest are removed.
pub const DAMAGED_KEPT: usize = 3;

/// The entries of an answer if the query does not name a number.
pub const FOUND_DEFAULT: usize = 1_000;

/// The most entries of an answer.
pub const FOUND_MAX: usize = 10_000;

/// The former and later names of a file that a query follows. A file that was renamed more often is found by its last
/// names.
pub const NAMES_FOLLOWED: usize = 64;

/// The names below a directory that are looked up one by one, in some milliseconds. If there are more, the latest entries
/// of all names are read first.
pub const NAMES_BELOW_MAX: usize = 2_000;

/// The names below a directory that are looked up one by one after that. If there are more, the entries of all names are
/// read and those of other directories left out.
pub const NAMES_LOOKED_UP_MAX: usize = 25_000;

/// The entries by which a query estimates how many it would have to read, for each way to them.
pub const ESTIMATED_BY: usize = 30_000;

/// The users or clients that are looked up one by one. If the query means more, the others are left out.
pub const INDEX_VALUES_MAX: usize = 64;

/// The memory for the pages that a query reads, in KiB: an entry and its names are read again and again.
pub const READER_CACHE_KIB: usize = 32_768;

/// The time that a query may take, in which some ten million entries are read. A query that takes longer fails.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// The wait for another program that holds the journal's lock, which is a moment unless that program is stopped.
pub const BUSY: Duration = Duration::from_secs(2);

/// The time from which on an open or a session counts as long, in milliseconds. Long ones have an index of their own, so
/// that a query for one time reads only the entries of the minute before it and the long ones.
pub const LONG_MS: i64 = 60_000;

/// The brief entries of a run: opens that ended within a minute, and deletions. Its index takes some 15 ms of the processor, for which records wait, and a search looks into
/// each run.
pub const RUN_ENTRIES: usize = 65_536;

/// The brief entries that wait for an index, at which the older ones get theirs. A search reads all that wait. An open that began before the last of those with an index is written among the entries that SQLite has indices
/// for, so that some wait longer than they would have to.
pub const UNINDEXED_MAX: usize = 98_304;

/// The entries of a run that are found by user or client, up to which their names are compared one by one instead of being
/// looked up.
pub const COMPARED_MAX: usize = 256;

/// The numbers of names that are examined together for whether an entry uses them: a bit for each is in memory.
pub const NAMES_SPAN_MAX: i64 = 1 << 20;
