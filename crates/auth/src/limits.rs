//! The bounds of this crate, each with its reason.

use core::time::Duration;

/// Bytes of one security token: the buffer's length field in SESSION_SETUP is 16 bits wide
/// (MS-SMB2 2.2.5), so nothing longer can arrive.
pub const MAX_TOKEN: usize = 0xffff;

/// The most bytes of a NEGOTIATE message: 40, and the names of a domain and a workstation (MS-NLMP 2.2.1.1). The
/// message is stored until the logon ends, because the MIC covers it, and anybody can begin logons. A longer one is
/// malformed.
pub const MAX_NEGOTIATE: usize = 2048;

/// The most bytes of a `MechTypeList`, which is stored as long for the same reason; [`MAX_MECHANISMS`] object
/// identifiers take some hundred bytes. A longer one is malformed.
pub const MAX_MECHANISM_LIST: usize = 2048;

/// Mechanisms in one `MechTypeList`; Windows offers four.
pub const MAX_MECHANISMS: usize = 32;

/// AV pairs in one list; MS-NLMP 2.2.2.1 defines eleven.
pub const MAX_AV_PAIRS: usize = 64;

/// UTF-16 units of a user, domain or workstation name: Windows' longest account name form is 104
/// (a UPN 1024), and an unbounded one would be copied into every session record.
pub const MAX_NAME: usize = 1024;

/// Messages sealed with one key. The counter in the nonce is 64 bits wide; stopping well before it
/// wraps leaves room for every thread that is sealing at that moment.
pub const MAX_SEALED_MESSAGES: u64 = u64::MAX - 0xffff_ffff;

/// Bytes of a users file: about half a million accounts, and a bound for a path given by mistake.
pub const MAX_USERS_FILE: u64 = 64 * 1024 * 1024;

/// Characters of an account name in the users file (MS-SAMR 3.1.1.8.4 allows 20; Samba more).
pub const MAX_ACCOUNT_NAME: usize = 256;

/// Old passwords of an account that are remembered, as in Windows.
pub const OLD_PASSWORDS_MAX: usize = 24;

/// The time that a change of the users file waits for another change, which takes milliseconds: a process that holds
/// the lock longer is suspended.
pub const USERS_LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two attempts.
pub const USERS_LOCK_RETRY: Duration = Duration::from_millis(10);
