//! The Win32 and network management error numbers (`NET_API_STATUS`, MS-ERREF 2.2) of the calls of MS-SRVS and MS-WKST, of
//! the control API, and of the commands.

use core::fmt;

macro_rules! win32_errors {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $symbol:literal;)*) => {
        impl Win32Error {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// All constants above.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The symbol in the Windows headers, if it is one of the constants above.
            pub const fn symbol(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($symbol),)*
                    _ => None,
                }
            }
        }

        /// The errors as bare numbers, as the control API and the commands have them.
        pub mod number {
            $($(#[$doc])* pub const $name: u32 = $value;)*
        }
    };
}

/// A Win32 or network management error code; 0 is success.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Win32Error(pub u32);

win32_errors! {
    /// Done.
    SUCCESS = 0, "NERR_Success";
    /// The server does not have this function.
    INVALID_FUNCTION = 1, "ERROR_INVALID_FUNCTION";
    /// The file or the object is not there.
    FILE_NOT_FOUND = 2, "ERROR_FILE_NOT_FOUND";
    /// The caller may not.
    ACCESS_DENIED = 5, "ERROR_ACCESS_DENIED";
    /// The handle is invalid.
    INVALID_HANDLE = 6, "ERROR_INVALID_HANDLE";
    /// Memory ran out.
    NOT_ENOUGH_MEMORY = 8, "ERROR_NOT_ENOUGH_MEMORY";
    /// The data is invalid.
    INVALID_DATA = 13, "ERROR_INVALID_DATA";
    /// The file cannot be written.
    WRITE_FAULT = 29, "ERROR_WRITE_FAULT";
    /// The request is not supported.
    NOT_SUPPORTED = 50, "ERROR_NOT_SUPPORTED";
    /// The network path was not found.
    BAD_NETPATH = 53, "ERROR_BAD_NETPATH";
    /// The network resource is no longer available.
    DEV_NOT_EXIST = 55, "ERROR_DEV_NOT_EXIST";
    /// The server did not answer as it should.
    BAD_NET_RESP = 58, "ERROR_BAD_NET_RESP";
    /// The network failed.
    UNEXP_NET_ERR = 59, "ERROR_UNEXP_NET_ERR";
    /// The network name cannot be found.
    BAD_NET_NAME = 67, "ERROR_BAD_NET_NAME";
    /// The password is wrong.
    INVALID_PASSWORD = 86, "ERROR_INVALID_PASSWORD";
    /// A parameter is wrong.
    INVALID_PARAMETER = 87, "ERROR_INVALID_PARAMETER";
    /// The call is not implemented.
    CALL_NOT_IMPLEMENTED = 120, "ERROR_CALL_NOT_IMPLEMENTED";
    /// The name is not valid.
    INVALID_NAME = 123, "ERROR_INVALID_NAME";
    /// The information level does not exist.
    INVALID_LEVEL = 124, "ERROR_INVALID_LEVEL";
    /// Too many requests of the same kind wait.
    BUSY = 170, "ERROR_BUSY";
    /// More data exists than fits.
    MORE_DATA = 234, "ERROR_MORE_DATA";
    /// The enumeration is complete.
    NO_MORE_ITEMS = 259, "ERROR_NO_MORE_ITEMS";
    /// The file was changed meanwhile.
    FILE_INVALID = 1006, "ERROR_FILE_INVALID";
    /// The user cancelled the act.
    CANCELLED = 1223, "ERROR_CANCELLED";
    /// The caller may not choose this owner.
    INVALID_OWNER = 1307, "ERROR_INVALID_OWNER";
    /// The process lacks a privilege.
    PRIVILEGE_NOT_HELD = 1314, "ERROR_PRIVILEGE_NOT_HELD";
    /// The account does not exist.
    NONE_MAPPED = 1332, "ERROR_NONE_MAPPED";
    /// The data is not a security descriptor.
    INVALID_SECURITY_DESCR = 1338, "ERROR_INVALID_SECURITY_DESCR";
    /// The account is one that every machine has.
    SPECIAL_ACCOUNT = 1371, "ERROR_SPECIAL_ACCOUNT";
    /// The local group does not exist.
    NO_SUCH_ALIAS = 1376, "ERROR_NO_SUCH_ALIAS";
    /// The account is not in the local group.
    MEMBER_NOT_IN_ALIAS = 1377, "ERROR_MEMBER_NOT_IN_ALIAS";
    /// The account is in the local group already.
    MEMBER_IN_ALIAS = 1378, "ERROR_MEMBER_IN_ALIAS";
    /// The local group exists already.
    ALIAS_EXISTS = 1379, "ERROR_ALIAS_EXISTS";
    /// The member of a local group does not exist.
    NO_SUCH_MEMBER = 1387, "ERROR_NO_SUCH_MEMBER";
    /// Such an account cannot be in a local group.
    INVALID_MEMBER = 1388, "ERROR_INVALID_MEMBER";
    /// The system has no resources left.
    NO_SYSTEM_RESOURCES = 1450, "ERROR_NO_SYSTEM_RESOURCES";
    /// The time limit was reached.
    TIMEOUT = 1460, "ERROR_TIMEOUT";
    /// The account is locked.
    ACCOUNT_LOCKED_OUT = 1909, "ERROR_ACCOUNT_LOCKED_OUT";
    /// The workstation service is not running.
    NET_NOT_STARTED = 2102, "NERR_NetNotStarted";
    /// The server is not known.
    UNKNOWN_SERVER = 2103, "NERR_UnknownServer";
    /// The server service is not running.
    SERVER_NOT_STARTED = 2114, "NERR_ServerNotStarted";
    /// The device is not shared.
    UNKNOWN_DEV_DIR = 2116, "NERR_UnknownDevDir";
    /// The share exists already.
    DUPLICATE_SHARE = 2118, "NERR_DuplicateShare";
    /// The buffer is too small for one entry.
    BUF_TOO_SMALL = 2123, "NERR_BufTooSmall";
    /// The server failed.
    INTERNAL_ERROR = 2140, "NERR_InternalError";
    /// The service is running already.
    SERVICE_INSTALLED = 2182, "NERR_ServiceInstalled";
    /// No service has this name.
    BAD_SERVICE_NAME = 2185, "NERR_BadServiceName";
    /// The service does not respond.
    SERVICE_CTL_TIMEOUT = 2186, "NERR_ServiceCtlTimeout";
    /// The name of the user is not valid.
    BAD_USERNAME = 2202, "NERR_BadUsername";
    /// The password is not valid.
    BAD_PASSWORD = 2203, "NERR_BadPassword";
    /// The user is not known.
    USER_NOT_FOUND = 2221, "NERR_UserNotFound";
    /// The user exists already.
    USER_EXISTS = 2224, "NERR_UserExists";
    /// The user may not change the password.
    PASSWORD_CANT_CHANGE = 2243, "NERR_PasswordCantChange";
    /// The password was used before.
    PASSWORD_HIST_CONFLICT = 2244, "NERR_PasswordHistConflict";
    /// The password is too short.
    PASSWORD_TOO_SHORT = 2245, "NERR_PasswordTooShort";
    /// The password was changed a short time ago.
    PASSWORD_TOO_RECENT = 2246, "NERR_PasswordTooRecent";
    /// The connection does not exist.
    USE_NOT_FOUND = 2250, "NERR_UseNotFound";
    /// No such share.
    NET_NAME_NOT_FOUND = 2310, "NERR_NetNameNotFound";
    /// The device is not shared.
    DEVICE_NOT_SHARED = 2311, "NERR_DeviceNotShared";
    /// No session from that client.
    CLIENT_NAME_NOT_FOUND = 2312, "NERR_ClientNameNotFound";
    /// No open with that id.
    FILE_ID_NOT_FOUND = 2314, "NERR_FileIdNotFound";
    /// The computer name is not valid.
    INVALID_COMPUTER = 2351, "NERR_InvalidComputer";
    /// No list of servers is available.
    NO_BROWSER_SERVERS_FOUND = 6118, "ERROR_NO_BROWSER_SERVERS_FOUND";
}

impl Win32Error {
    /// True for success.
    pub const fn is_success(self) -> bool {
        self.0 == 0
    }

    /// Success, or the code as an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => write!(f, "{symbol} ({})", self.0),
            None => write!(f, "system error {}", self.0),
        }
    }
}

impl fmt::Debug for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Win32Error {}
