//! The declarations of libwbclient's functions and structures, as its public header names them (version 0.12 and later,
//! of Samba 4.3), and the library itself.
#![expect(unsafe_code, reason = "a library that is loaded at run time has no other interface")]

use core::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// The name of the library's ABI.
const LIBRARY: &str = "libwbclient.so.0";

/// `struct wbcContext *`: a connection to winbindd.
pub(super) type Ctx = *mut c_void;

/// `struct wbcDomainSid`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct DomainSid {
    pub(super) revision: u8,
    pub(super) count: u8,
    pub(super) authority: [u8; 6],
    pub(super) sub_authorities: [u32; 15],
}

/// `struct wbcSidWithAttr`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SidWithAttributes {
    pub(super) sid: DomainSid,
    pub(super) attributes: u32,
}

/// `struct wbcBlob`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Blob {
    pub(super) data: *mut u8,
    pub(super) length: usize,
}

/// `struct wbcInterfaceDetails`.
#[repr(C)]
pub(super) struct InterfaceDetails {
    pub(super) interface_version: u32,
    pub(super) winbind_version: *mut c_char,
    pub(super) separator: c_char,
    pub(super) netbios_name: *mut c_char,
    pub(super) netbios_domain: *mut c_char,
    pub(super) dns_domain: *mut c_char,
}

/// The member `response` of the union in `struct wbcAuthUserParams`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Response {
    pub(super) challenge: [u8; 8],
    pub(super) nt_length: u32,
    pub(super) nt_data: *mut u8,
    pub(super) lm_length: u32,
    pub(super) lm_data: *mut u8,
}

/// The union in `struct wbcAuthUserParams`; all members are there for its size.
#[repr(C)]
pub(super) union Password {
    pub(super) response: Response,
    _plaintext: *const c_char,
    _hash: [[u8; 16]; 2],
    _pac: Blob,
}

/// `struct wbcAuthUserParams`.
#[repr(C)]
pub(super) struct AuthUserParams {
    pub(super) account_name: *const c_char,
    pub(super) domain_name: *const c_char,
    pub(super) workstation_name: *const c_char,
    pub(super) flags: u32,
    pub(super) parameter_control: u32,
    pub(super) level: c_uint,
    pub(super) password: Password,
}

/// `struct wbcAuthUserInfo`.
#[repr(C)]
pub(super) struct AuthUserInfo {
    pub(super) user_flags: u32,
    pub(super) account_name: *mut c_char,
    pub(super) user_principal: *mut c_char,
    pub(super) full_name: *mut c_char,
    pub(super) domain_name: *mut c_char,
    pub(super) dns_domain_name: *mut c_char,
    pub(super) acct_flags: u32,
    pub(super) user_session_key: [u8; 16],
    pub(super) lm_session_key: [u8; 8],
    pub(super) logon_count: u16,
    pub(super) bad_password_count: u16,
    /// Logon, logoff, end of the logon hours; the password's last, earliest and latest change.
    pub(super) times: [u64; 6],
    pub(super) logon_server: *mut c_char,
    pub(super) logon_script: *mut c_char,
    pub(super) profile_path: *mut c_char,
    pub(super) home_directory: *mut c_char,
    pub(super) home_drive: *mut c_char,
    pub(super) num_sids: u32,
    pub(super) sids: *mut SidWithAttributes,
}

/// `struct wbcAuthErrorInfo`. Later versions have more behind it.
#[repr(C)]
pub(super) struct AuthErrorInfo {
    pub(super) nt_status: u32,
    pub(super) nt_string: *mut c_char,
    pub(super) pam_error: i32,
    pub(super) display_string: *mut c_char,
}

/// Declares the table of functions, and how it is filled.
macro_rules! functions {
    ($($field:ident = $name:literal: fn($($type:ty),* $(,)?) -> $result:ty;)*) => {
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($type),*) -> $result,)*
            /// Keeps the functions where they are.
            _library: Library,
        }

        impl Functions {
            fn load() -> Result<Self, String> {
                // SAFETY: the library's initialisers are those of a system library that programs such as `wbinfo`
                // run; they have no conditions.
                let library = unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_LOCAL) };
                let library = library.map_err(|error| error.to_string())?;
                $(
                    // SAFETY: the type is the function's in the library's public header.
                    let symbol = unsafe { library.get(concat!($name, "\0").as_bytes()) };
                    let $field: libloading::os::unix::Symbol<unsafe extern "C" fn($($type),*) -> $result> =
                        symbol.map_err(|error| error.to_string())?;
                    let $field = *$field;
                )*
                Ok(Self { $($field,)* _library: library })
            }
        }
    };
}

functions! {
    create = "wbcCtxCreate": fn() -> Ctx;
    free = "wbcCtxFree": fn(Ctx) -> ();
    free_memory = "wbcFreeMemory": fn(*mut c_void) -> ();
    interface_details = "wbcCtxInterfaceDetails": fn(Ctx, *mut *mut InterfaceDetails) -> c_uint;
    ping_dc = "wbcCtxPingDc2": fn(Ctx, *const c_char, *mut *mut AuthErrorInfo, *mut *mut c_char) -> c_uint;
    lookup_name = "wbcCtxLookupName": fn(Ctx, *const c_char, *const c_char, *mut DomainSid, *mut c_int) -> c_uint;
    lookup_sid = "wbcCtxLookupSid":
        fn(Ctx, *const DomainSid, *mut *mut c_char, *mut *mut c_char, *mut c_int) -> c_uint;
    authenticate = "wbcCtxAuthenticateUserEx":
        fn(Ctx, *const AuthUserParams, *mut *mut AuthUserInfo, *mut *mut AuthErrorInfo) -> c_uint;
}

/// The library, loaded once; an error is the loader's text.
pub(super) fn functions() -> Result<&'static Functions, &'static str> {
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    LOADED.get_or_init(Functions::load).as_ref().map_err(String::as_str)
}

/// `WBC_ERR_SUCCESS`.
pub(super) const SUCCESS: c_uint = 0;
/// `WBC_ERR_WINBIND_NOT_AVAILABLE`.
pub(super) const NOT_AVAILABLE: c_uint = 6;
/// `WBC_ERR_DOMAIN_NOT_FOUND`. winbindd reports names and SIDs so that nobody has.
pub(super) const DOMAIN_NOT_FOUND: c_uint = 7;

/// `WBC_AUTH_USER_LEVEL_RESPONSE`: a challenge and the responses, a network logon.
pub(super) const LEVEL_RESPONSE: c_uint = 3;
/// `WBC_MSV1_0_ALLOW_SERVER_TRUST_ACCOUNT`: domain controllers may log on with their own accounts.
pub(super) const ALLOW_SERVERS: u32 = 0x20;
/// `WBC_MSV1_0_ALLOW_WORKSTATION_TRUST_ACCOUNT`: members may log on with their own accounts.
pub(super) const ALLOW_WORKSTATIONS: u32 = 0x800;
/// `WBC_AUTH_USER_INFO_GUEST`: the controller made the unknown user a guest.
pub(super) const IS_GUEST: u32 = 1;
