//! The limits of decoding, each with its reason. Beyond one, decoding fails with [`crate::DecodeError::TooMany`] or
//! [`crate::DecodeError::TooLong`].

/// The largest `MaxTransactSize`, `MaxReadSize` and `MaxWriteSize` to offer: 8 MiB, as Windows does;
/// larger transfers gain nothing and hold memory per credit.
pub const TRANSACT_SIZE_MAX: usize = 8 << 20;

/// The largest message: the largest transfer with room for headers, a transform, names, contexts
/// and the other requests of its compound.
pub const FRAME_SIZE_MAX: usize = TRANSACT_SIZE_MAX + (64 << 10);

/// The largest message before a session exists: a NEGOTIATE or SESSION_SETUP with its token;
/// strangers get no megabytes.
pub const FRAME_SIZE_STRANGER_MAX: usize = 128 << 10;

/// Requests in one compound: Windows clients send up to 3, Samba's tests and smbtorture up to about
/// ten, macOS about five.
pub const COMPOUND_MAX: usize = 64;

/// `DialectCount`: there are five dialects; the rest is room for the future.
pub const DIALECTS_MAX: usize = 64;

/// Negotiate contexts: seven types are defined.
pub const NEGOTIATE_CONTEXTS_MAX: usize = 32;

/// Identifiers (ciphers, hashes, ...) in one negotiate context.
pub const ALGORITHMS_MAX: usize = 64;

/// Create contexts of one CREATE: eleven types are defined, each may appear once.
pub const CREATE_CONTEXTS_MAX: usize = 32;

/// `LockCount`. Windows' clients send one element, and Linux as many as fit into a page: 170, or 2,730 on machines
/// with 64 KiB pages. Other servers accept as many as the field and the message can hold. More is refused with
/// STATUS_INVALID_PARAMETER.
pub const LOCKS_MAX: usize = 2730;

/// Error contexts of one ERROR response: two types are defined.
pub const ERROR_CONTEXTS_MAX: usize = 8;

/// Addresses of one share redirect: a server with more tells clients the first ones, and a client refuses more.
pub const REDIRECT_ADDRESSES_MAX: usize = 32;

/// Dialect strings in an SMB1 NEGOTIATE: the longest list known has a dozen.
pub const SMB1_DIALECTS_MAX: usize = 64;

/// The largest offset of WRITE's data (MS-SMB2 3.3.5.13: a `DataOffset` greater than 0x100 is refused).
pub const WRITE_DATA_OFFSET_MAX: usize = 0x100;

/// Bytes of `NameLength` of a CREATE: 32,767 code units are the longest path of Windows.
pub const NAME_BYTES_MAX: usize = 65_534;
