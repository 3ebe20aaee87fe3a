//! NTSTATUS (MS-ERREF 2.3): the values that SMB2 servers and clients use, by their names in the specification without
//! `STATUS_`.

use core::fmt;

/// An NTSTATUS value; unknown ones survive.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtStatus(pub u32);

impl NtStatus {
    /// True if the severity is "success" or "informational" (MS-ERREF 2.3): `NT_SUCCESS`.
    pub const fn is_success(self) -> bool {
        self.0 & 0x8000_0000 == 0
    }

    /// True if the severity is "warning", for example `BUFFER_OVERFLOW` and `NO_MORE_FILES`.
    pub const fn is_warning(self) -> bool {
        self.0 >> 30 == 2
    }

    /// True if the severity is "error".
    pub const fn is_error(self) -> bool {
        self.0 >> 30 == 3
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "STATUS_{name}"),
            None => write!(f, "NTSTATUS {:#010x}", self.0),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "NtStatus({:#010x})", self.0),
        }
    }
}

impl core::error::Error for NtStatus {}

macro_rules! statuses {
    ($($name:ident = $value:literal,)*) => {
        impl NtStatus {
            $(
                #[doc = concat!("STATUS_", stringify!($name), " (MS-ERREF 2.3.1).")]
                pub const $name: Self = Self($value);
            )*

            /// The name of a known value, without `STATUS_`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000,
    PENDING = 0x0000_0103,
    NOTIFY_CLEANUP = 0x0000_010b,
    NOTIFY_ENUM_DIR = 0x0000_010c,
    OPLOCK_BREAK_IN_PROGRESS = 0x0000_0108,
    REPARSE = 0x0000_0104,
    MORE_ENTRIES = 0x0000_0105,
    SOME_NOT_MAPPED = 0x0000_0107,
    OPLOCK_SWITCHED_TO_NEW_HANDLE = 0x0000_0215,
    OPLOCK_HANDLE_CLOSED = 0x0000_0216,
    OBJECT_NAME_EXISTS = 0x4000_0000,
    GUARD_PAGE_VIOLATION = 0x8000_0001,
    BUFFER_OVERFLOW = 0x8000_0005,
    NO_MORE_FILES = 0x8000_0006,
    PARTIAL_COPY = 0x8000_000d,
    INVALID_EA_NAME = 0x8000_0013,
    EA_LIST_INCONSISTENT = 0x8000_0014,
    INVALID_EA_FLAG = 0x8000_0015,
    NO_MORE_ENTRIES = 0x8000_001a,
    EXTRANEOUS_INFORMATION = 0x8000_0017,
    STOPPED_ON_SYMLINK = 0x8000_002d,
    UNSUCCESSFUL = 0xc000_0001,
    NOT_IMPLEMENTED = 0xc000_0002,
    INVALID_INFO_CLASS = 0xc000_0003,
    INFO_LENGTH_MISMATCH = 0xc000_0004,
    ACCESS_VIOLATION = 0xc000_0005,
    INVALID_HANDLE = 0xc000_0008,
    INVALID_PARAMETER = 0xc000_000d,
    NO_SUCH_DEVICE = 0xc000_000e,
    NO_SUCH_FILE = 0xc000_000f,
    INVALID_DEVICE_REQUEST = 0xc000_0010,
    END_OF_FILE = 0xc000_0011,
    WRONG_VOLUME = 0xc000_0012,
    NO_MEDIA_IN_DEVICE = 0xc000_0013,
    MORE_PROCESSING_REQUIRED = 0xc000_0016,
    NO_MEMORY = 0xc000_0017,
    ALREADY_COMMITTED = 0xc000_0021,
    ACCESS_DENIED = 0xc000_0022,
    BUFFER_TOO_SMALL = 0xc000_0023,
    OBJECT_TYPE_MISMATCH = 0xc000_0024,
    NOT_LOCKED = 0xc000_002a,
    INVALID_PARAMETER_MIX = 0xc000_0030,
    OBJECT_NAME_INVALID = 0xc000_0033,
    OBJECT_NAME_NOT_FOUND = 0xc000_0034,
    OBJECT_NAME_COLLISION = 0xc000_0035,
    PORT_DISCONNECTED = 0xc000_0037,
    OBJECT_PATH_INVALID = 0xc000_0039,
    OBJECT_PATH_NOT_FOUND = 0xc000_003a,
    OBJECT_PATH_SYNTAX_BAD = 0xc000_003b,
    DATA_ERROR = 0xc000_003e,
    CRC_ERROR = 0xc000_003f,
    PORT_CONNECTION_REFUSED = 0xc000_0041,
    SHARING_VIOLATION = 0xc000_0043,
    QUOTA_EXCEEDED = 0xc000_0044,
    EAS_NOT_SUPPORTED = 0xc000_004f,
    EA_TOO_LARGE = 0xc000_0050,
    NONEXISTENT_EA_ENTRY = 0xc000_0051,
    NO_EAS_ON_FILE = 0xc000_0052,
    NO_MORE_EAS = 0x8000_0012,
    EA_CORRUPT_ERROR = 0xc000_0053,
    FILE_LOCK_CONFLICT = 0xc000_0054,
    LOCK_NOT_GRANTED = 0xc000_0055,
    DELETE_PENDING = 0xc000_0056,
    CTL_FILE_NOT_SUPPORTED = 0xc000_0057,
    UNKNOWN_REVISION = 0xc000_0058,
    REVISION_MISMATCH = 0xc000_0059,
    INVALID_OWNER = 0xc000_005a,
    NO_SUCH_LOGON_SESSION = 0xc000_005f,
    NO_SUCH_PRIVILEGE = 0xc000_0060,
    PRIVILEGE_NOT_HELD = 0xc000_0061,
    INVALID_ACCOUNT_NAME = 0xc000_0062,
    USER_EXISTS = 0xc000_0063,
    GROUP_EXISTS = 0xc000_0065,
    NO_SUCH_USER = 0xc000_0064,
    WRONG_PASSWORD = 0xc000_006a,
    PASSWORD_RESTRICTION = 0xc000_006c,
    LOGON_FAILURE = 0xc000_006d,
    ACCOUNT_RESTRICTION = 0xc000_006e,
    INVALID_LOGON_HOURS = 0xc000_006f,
    INVALID_WORKSTATION = 0xc000_0070,
    PASSWORD_EXPIRED = 0xc000_0071,
    ACCOUNT_DISABLED = 0xc000_0072,
    NONE_MAPPED = 0xc000_0073,
    INVALID_ACL = 0xc000_0077,
    INVALID_SID = 0xc000_0078,
    INVALID_SECURITY_DESCR = 0xc000_0079,
    RANGE_NOT_LOCKED = 0xc000_007e,
    DISK_FULL = 0xc000_007f,
    INSUFFICIENT_RESOURCES = 0xc000_009a,
    MEDIA_WRITE_PROTECTED = 0xc000_00a2,
    DEVICE_NOT_READY = 0xc000_00a3,
    BAD_IMPERSONATION_LEVEL = 0xc000_00a5,
    INSTANCE_NOT_AVAILABLE = 0xc000_00ab,
    PIPE_NOT_AVAILABLE = 0xc000_00ac,
    INVALID_PIPE_STATE = 0xc000_00ad,
    PIPE_BUSY = 0xc000_00ae,
    PIPE_DISCONNECTED = 0xc000_00b0,
    PIPE_CLOSING = 0xc000_00b1,
    INVALID_READ_MODE = 0xc000_00b4,
    IO_TIMEOUT = 0xc000_00b5,
    FILE_FORCED_CLOSED = 0xc000_00b6,
    FILE_IS_A_DIRECTORY = 0xc000_00ba,
    NOT_SUPPORTED = 0xc000_00bb,
    REMOTE_NOT_LISTENING = 0xc000_00bc,
    DUPLICATE_NAME = 0xc000_00bd,
    BAD_NETWORK_PATH = 0xc000_00be,
    NETWORK_BUSY = 0xc000_00bf,
    INVALID_NETWORK_RESPONSE = 0xc000_00c3,
    UNEXPECTED_NETWORK_ERROR = 0xc000_00c4,
    NETWORK_NAME_DELETED = 0xc000_00c9,
    NETWORK_ACCESS_DENIED = 0xc000_00ca,
    BAD_DEVICE_TYPE = 0xc000_00cb,
    BAD_NETWORK_NAME = 0xc000_00cc,
    TOO_MANY_SESSIONS = 0xc000_00ce,
    SHARING_PAUSED = 0xc000_00cf,
    REQUEST_NOT_ACCEPTED = 0xc000_00d0,
    NO_SUCH_DOMAIN = 0xc000_00df,
    REDIRECTOR_NOT_STARTED = 0xc000_00fb,
    PIPE_EMPTY = 0xc000_00d9,
    NOT_SAME_DEVICE = 0xc000_00d4,
    FILE_RENAMED = 0xc000_00d5,
    VIRTUAL_CIRCUIT_CLOSED = 0xc000_00d6,
    NO_SECURITY_ON_OBJECT = 0xc000_00d7,
    CANT_WAIT = 0xc000_00d8,
    OPLOCK_NOT_GRANTED = 0xc000_00e2,
    INVALID_OPLOCK_PROTOCOL = 0xc000_00e3,
    INTERNAL_ERROR = 0xc000_00e5,
    GENERIC_NOT_MAPPED = 0xc000_00e6,
    BAD_DESCRIPTOR_FORMAT = 0xc000_00e7,
    UNEXPECTED_IO_ERROR = 0xc000_00e9,
    DIRECTORY_NOT_EMPTY = 0xc000_0101,
    FILE_CORRUPT_ERROR = 0xc000_0102,
    NOT_A_DIRECTORY = 0xc000_0103,
    NAME_TOO_LONG = 0xc000_0106,
    FILES_OPEN = 0xc000_0107,
    TOO_MANY_OPENED_FILES = 0xc000_011f,
    CANCELLED = 0xc000_0120,
    CANNOT_DELETE = 0xc000_0121,
    INVALID_COMPUTER_NAME = 0xc000_0122,
    FILE_DELETED = 0xc000_0123,
    SPECIAL_ACCOUNT = 0xc000_0124,
    FILE_CLOSED = 0xc000_0128,
    PIPE_BROKEN = 0xc000_014b,
    NO_SUCH_ALIAS = 0xc000_0151,
    MEMBER_NOT_IN_ALIAS = 0xc000_0152,
    MEMBER_IN_ALIAS = 0xc000_0153,
    ALIAS_EXISTS = 0xc000_0154,
    NO_SUCH_MEMBER = 0xc000_017a,
    INVALID_MEMBER = 0xc000_017b,
    TOO_MANY_CONTEXT_IDS = 0xc000_015a,
    LOGON_TYPE_NOT_GRANTED = 0xc000_015b,
    NT_CROSS_ENCRYPTION_REQUIRED = 0xc000_015d,
    INVALID_DEVICE_STATE = 0xc000_0184,
    IO_DEVICE_ERROR = 0xc000_0185,
    TRUSTED_DOMAIN_FAILURE = 0xc000_018c,
    ACCOUNT_EXPIRED = 0xc000_0193,
    USER_SESSION_DELETED = 0xc000_0203,
    DUPLICATE_OBJECTID = 0xc000_022a,
    NOT_A_REPARSE_POINT = 0xc000_0275,
    REPARSE_ATTRIBUTE_CONFLICT = 0xc000_02b2,
    IO_REPARSE_TAG_INVALID = 0xc000_0276,
    IO_REPARSE_TAG_MISMATCH = 0xc000_0277,
    IO_REPARSE_DATA_INVALID = 0xc000_0278,
    IO_REPARSE_TAG_NOT_HANDLED = 0xc000_0279,
    REPARSE_POINT_NOT_RESOLVED = 0xc000_0280,
    DIRECTORY_IS_A_REPARSE_POINT = 0xc000_0281,
    INSUFF_SERVER_RESOURCES = 0xc000_0205,
    INVALID_BUFFER_SIZE = 0xc000_0206,
    CONNECTION_DISCONNECTED = 0xc000_020c,
    CONNECTION_RESET = 0xc000_020d,
    NOT_FOUND = 0xc000_0225,
    PATH_NOT_COVERED = 0xc000_0257,
    PASSWORD_MUST_CHANGE = 0xc000_0224,
    ACCOUNT_LOCKED_OUT = 0xc000_0234,
    CONNECTION_REFUSED = 0xc000_0236,
    GRACEFUL_DISCONNECT = 0xc000_0237,
    CONNECTION_ABORTED = 0xc000_0241,
    RETRY = 0xc000_022d,
    DFS_EXIT_PATH_FOUND = 0xc000_009b,
    DFS_UNAVAILABLE = 0xc000_026d,
    VOLUME_DISMOUNTED = 0xc000_026e,
    TOO_MANY_LINKS = 0xc000_0265,
    NETWORK_SESSION_EXPIRED = 0xc000_035c,
    FILE_NOT_AVAILABLE = 0xc000_0467,
    SHARE_UNAVAILABLE = 0xc000_0480,
    DISK_QUOTA_EXCEEDED = 0xc000_0802,
    SERVER_UNAVAILABLE = 0xc000_0466,
    HASH_NOT_SUPPORTED = 0xc000_a100,
    HASH_NOT_PRESENT = 0xc000_a101,
    INVALID_LOCK_RANGE = 0xc000_01a1,
    FILE_SYSTEM_LIMITATION = 0xc000_0427,
    VIRUS_INFECTED = 0xc000_0906,
    ENCRYPTION_FAILED = 0xc000_028a,
    SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP = 0xc05d_0000,
    SMB_BAD_CLUSTER_DIALECT = 0xc05d_0001,
    SMB_GUEST_LOGON_BLOCKED_SIGNING_REQUIRED = 0xc05d_0002,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_is_read_from_the_top_bits() {
        for status in
            [NtStatus::SUCCESS, NtStatus::PENDING, NtStatus::NOTIFY_ENUM_DIR, NtStatus::OBJECT_NAME_EXISTS]
        {
            assert!(status.is_success() && !status.is_warning() && !status.is_error(), "{status}");
        }
        for status in [NtStatus::BUFFER_OVERFLOW, NtStatus::NO_MORE_FILES, NtStatus::STOPPED_ON_SYMLINK] {
            assert!(!status.is_success() && status.is_warning() && !status.is_error(), "{status}");
        }
        for status in
            [NtStatus::ACCESS_DENIED, NtStatus::MORE_PROCESSING_REQUIRED, NtStatus::HASH_NOT_PRESENT]
        {
            assert!(!status.is_success() && !status.is_warning() && status.is_error(), "{status}");
        }
    }

    #[test]
    fn names_are_shown_and_unknown_values_survive() {
        assert_eq!(NtStatus::FILE_CLOSED.to_string(), "STATUS_FILE_CLOSED");
        assert_eq!(format!("{:?}", NtStatus(0xc000_0034)), "OBJECT_NAME_NOT_FOUND");
        assert_eq!(NtStatus(0xdead_beef).to_string(), "NTSTATUS 0xdeadbeef");
    }
}
