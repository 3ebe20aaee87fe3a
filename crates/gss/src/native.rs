//! The declarations of the library's functions (RFC 2744; MIT's extensions as its public headers name them), and the
//! library itself.
//!
//! On Linux the structures have the C compiler's usual layout; only on macOS they are packed.
#![expect(unsafe_code, reason = "a library that is loaded at run time has no other interface")]

use core::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// The name of the library's ABI, which has been the same since 1997.
const LIBRARY: &str = "libgssapi_krb5.so.2";

/// The name of the library under it, which `libgssapi_krb5` loads itself.
const KERBEROS_LIBRARY: &str = "libkrb5.so.3";

/// `gss_name_t`.
pub(crate) type Name = *mut c_void;
/// `gss_cred_id_t`.
pub(crate) type Cred = *mut c_void;
/// `gss_ctx_id_t`.
pub(crate) type Ctx = *mut c_void;

/// `gss_buffer_desc` (RFC 2744 3.2).
#[repr(C)]
pub(crate) struct BufferDesc {
    pub(crate) length: usize,
    pub(crate) value: *mut c_void,
}

/// `gss_OID_desc` (RFC 2744 3.3).
#[repr(C)]
pub(crate) struct OidDesc {
    pub(crate) length: u32,
    pub(crate) elements: *mut c_void,
}

/// `gss_OID_set_desc` (RFC 2744 3.4).
#[repr(C)]
pub(crate) struct OidSetDesc {
    pub(crate) count: usize,
    pub(crate) elements: *mut OidDesc,
}

/// `gss_buffer_set_desc`, of MIT's `gssapi_ext.h`.
#[repr(C)]
pub(crate) struct BufferSetDesc {
    pub(crate) count: usize,
    pub(crate) elements: *mut BufferDesc,
}

/// `gss_key_value_element_desc`, of MIT's `gssapi_ext.h`.
#[repr(C)]
pub(crate) struct KeyValue {
    pub(crate) key: *const c_char,
    pub(crate) value: *const c_char,
}

/// `gss_key_value_set_desc`, of MIT's `gssapi_ext.h`.
#[repr(C)]
pub(crate) struct KeyValueSet {
    pub(crate) count: u32,
    pub(crate) elements: *mut KeyValue,
}

/// Declares the table of functions, and how it is filled.
macro_rules! functions {
    ($($name:ident($($type:ty),* $(,)?);)*) => {
        /// The functions of the library. Each returns the major status.
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($type),*) -> u32,)*
            /// Keeps the functions where they are.
            _library: Library,
        }

        impl Functions {
            fn load() -> Result<Self, String> {
                // SAFETY: the library's initialisers are those of a system library that every program of the machine
                // that uses Kerberos runs; they have no conditions.
                let library = unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_LOCAL) };
                let library = library.map_err(|error| error.to_string())?;
                $(
                    // SAFETY: the type is the function's in RFC 2744 and in MIT's public header, with pointers for
                    // handles and `u32` for `OM_uint32`.
                    let symbol = unsafe { library.get(concat!("gss_", stringify!($name), "\0").as_bytes()) };
                    let $name: libloading::os::unix::Symbol<unsafe extern "C" fn($($type),*) -> u32> =
                        symbol.map_err(|error| error.to_string())?;
                    let $name = *$name;
                )*
                Ok(Self { $($name,)* _library: library })
            }
        }
    };
}

functions! {
    acquire_cred(*mut u32, Name, u32, *mut OidSetDesc, c_int, *mut Cred, *mut *mut OidSetDesc, *mut u32);
    acquire_cred_from(
        *mut u32, Name, u32, *mut OidSetDesc, c_int, *const KeyValueSet, *mut Cred, *mut *mut OidSetDesc, *mut u32,
    );
    acquire_cred_with_password(
        *mut u32, Name, *const BufferDesc, u32, *mut OidSetDesc, c_int, *mut Cred, *mut *mut OidSetDesc, *mut u32,
    );
    canonicalize_name(*mut u32, Name, *const OidDesc, *mut Name);
    context_time(*mut u32, Ctx, *mut u32);
    delete_sec_context(*mut u32, *mut Ctx, *mut BufferDesc);
    display_name(*mut u32, Name, *mut BufferDesc, *mut *mut OidDesc);
    display_status(*mut u32, u32, c_int, *const OidDesc, *mut u32, *mut BufferDesc);
    get_mic(*mut u32, Ctx, u32, *const BufferDesc, *mut BufferDesc);
    import_name(*mut u32, *const BufferDesc, *const OidDesc, *mut Name);
    init_sec_context(
        *mut u32, Cred, *mut Ctx, Name, *const OidDesc, u32, u32, *mut c_void, *const BufferDesc, *mut *mut OidDesc,
        *mut BufferDesc, *mut u32, *mut u32,
    );
    inquire_context(
        *mut u32, Ctx, *mut Name, *mut Name, *mut u32, *mut *mut OidDesc, *mut u32, *mut c_int, *mut c_int,
    );
    inquire_cred(*mut u32, Cred, *mut Name, *mut u32, *mut c_int, *mut *mut OidSetDesc);
    inquire_sec_context_by_oid(*mut u32, Ctx, *const OidDesc, *mut *mut BufferSetDesc);
    release_buffer(*mut u32, *mut BufferDesc);
    release_buffer_set(*mut u32, *mut *mut BufferSetDesc);
    release_cred(*mut u32, *mut Cred);
    release_name(*mut u32, *mut Name);
    verify_mic(*mut u32, Ctx, *const BufferDesc, *const BufferDesc, *mut u32);
}

/// The library, loaded once; an error is the loader's text.
pub(crate) fn functions() -> Result<&'static Functions, &'static str> {
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    LOADED.get_or_init(Functions::load).as_ref().map_err(String::as_str)
}

/// The functions of `krb5.h` that find the realm of a host. Each error is a `krb5_error_code`, 0 for success.
pub(crate) struct RealmFunctions {
    pub(crate) init_context: unsafe extern "C" fn(*mut *mut c_void) -> i32,
    pub(crate) free_context: unsafe extern "C" fn(*mut c_void),
    pub(crate) get_host_realm: unsafe extern "C" fn(*mut c_void, *const c_char, *mut *mut *mut c_char) -> i32,
    pub(crate) free_host_realm: unsafe extern "C" fn(*mut c_void, *const *mut c_char) -> i32,
    /// Keeps the functions where they are.
    _library: Library,
}

impl RealmFunctions {
    fn load() -> Option<Self> {
        // SAFETY: as for the other library, which has loaded this one already.
        let library = unsafe { Library::open(Some(KERBEROS_LIBRARY), RTLD_NOW | RTLD_LOCAL) }.ok()?;
        // SAFETY: the types are those of the functions in MIT's public header, with pointers for `krb5_context`, and
        // `i32` for `krb5_error_code`.
        unsafe {
            Some(Self {
                init_context: *library.get(b"krb5_init_context\0").ok()?,
                free_context: *library.get(b"krb5_free_context\0").ok()?,
                get_host_realm: *library.get(b"krb5_get_host_realm\0").ok()?,
                free_host_realm: *library.get(b"krb5_free_host_realm\0").ok()?,
                _library: library,
            })
        }
    }
}

/// The library under it, loaded once.
pub(crate) fn realm_functions() -> Option<&'static RealmFunctions> {
    static LOADED: OnceLock<Option<RealmFunctions>> = OnceLock::new();
    LOADED.get_or_init(RealmFunctions::load).as_ref()
}

/// `GSS_S_CONTINUE_NEEDED` (RFC 2744 3.9.1).
pub(crate) const CONTINUE_NEEDED: u32 = 1;
/// The part of a major status that is an error: calling errors and routine errors.
pub(crate) const ERROR_MASK: u32 = 0xffff_0000;
/// `GSS_C_INDEFINITE`.
pub(crate) const INDEFINITE: u32 = u32::MAX;
/// `GSS_C_INITIATE`.
pub(crate) const INITIATE: c_int = 1;
/// `GSS_C_GSS_CODE`.
pub(crate) const GSS_CODE: c_int = 1;
/// `GSS_C_MECH_CODE`.
pub(crate) const MECH_CODE: c_int = 2;

/// `GSS_C_MUTUAL_FLAG` (RFC 2744 appendix A): the service proves who it is.
pub(crate) const MUTUAL: u32 = 2;
/// `GSS_C_REPLAY_FLAG`.
pub(crate) const REPLAY: u32 = 4;
/// `GSS_C_SEQUENCE_FLAG`.
pub(crate) const SEQUENCE: u32 = 8;
/// `GSS_C_INTEG_FLAG`.
pub(crate) const INTEGRITY: u32 = 32;

/// 1.2.840.113554.1.2.2, Kerberos (RFC 4121).
pub(crate) const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// 1.2.840.113554.1.2.1.1, `GSS_C_NT_USER_NAME`.
pub(crate) const USER_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x01";
/// 1.2.840.113554.1.2.2.1, `GSS_KRB5_NT_PRINCIPAL_NAME` (RFC 1964 2.1.1).
pub(crate) const PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";
/// 1.2.840.113554.1.2.2.6, `GSS_KRB5_NT_ENTERPRISE_NAME`.
pub(crate) const ENTERPRISE_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x06";
/// 1.2.840.113554.1.2.2.5.5, `GSS_C_INQ_SSPI_SESSION_KEY`.
pub(crate) const SESSION_KEY: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x05";
/// 1.2.840.113554.1.2.2.4, under which the type of a session key stands: one more number, the encryption type.
pub(crate) const SESSION_ENCTYPE: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x04";
