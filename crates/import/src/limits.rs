//! The limits of this crate.

/// The most bytes of a configuration file: 10,000 shares with all their parameters take less than a tenth.
pub(crate) const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// The depth of `include`, as in Samba.
pub(crate) const INCLUDE_DEPTH_MAX: usize = 100;

/// The most files that a configuration may consist of. Files that include each other twice would double at each depth.
pub(crate) const INCLUDES_MAX: usize = 1000;

/// The most faults that are reported.
pub(crate) const FAULTS_MAX: usize = 100;

/// The most bytes of an accounts file: the records of a million accounts.
pub const ACCOUNTS_BYTES_MAX: u64 = 512 << 20;

/// The most bytes of the database of the permissions of shares: those of 10,000 shares take less than a tenth.
pub(crate) const SHARE_INFO_BYTES_MAX: u64 = 64 << 20;

/// The most names that a list of users is expanded to.
pub(crate) const USERS_MAX: usize = 10_000;
