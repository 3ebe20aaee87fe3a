//! The limits of names and information buffers.

/// UTF-16 code units in one component of a path (MS-FSCC 2.1.5.2), and in a stream's name (2.1.5.3).
pub const COMPONENT_LENGTH_MAX: usize = 255;

/// The most UTF-16 code units of a path (MS-FSCC 2.1.5), as the length field of a UNICODE_STRING limits it.
pub const PATH_LENGTH_MAX: usize = 32_760;

/// Elements of a search pattern: every character of the longest name, each with a `*` before it, and one after.
pub const PATTERN_LENGTH_MAX: usize = 2 * COMPONENT_LENGTH_MAX + 1;

/// Entries a reader takes from one chained buffer (directory listings, streams, EAs, changes): the
/// shortest entry of 12 bytes in the largest payload of 8 MiB.
pub const CHAIN_ENTRIES_MAX: usize = 8 * 1024 * 1024 / 12;

/// Extended attributes in one list: NTFS keeps at most 64 KiB of them on a file, each at least 9 bytes.
pub const EA_COUNT_MAX: usize = 65_536 / 9;

/// SIDs in one quota query: Windows asks for one, or for a page of its dialog.
pub const QUOTA_SIDS_MAX: usize = 1024;
