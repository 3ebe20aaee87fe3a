//! The calls into libwbclient.
//!
//! All unsafe calls are here. What makes them sound is the same everywhere: the context came from the library and is
//! freed in `drop` only; texts and buffers that the library reads outlive the call; results are null before the call,
//! and those that it sets belong to an [`Allocated`], which frees them with the library's function. A context is used by
//! one thread at a time (`&mut self`), but by different threads one after the other, so it is `Send`.
#![expect(unsafe_code, reason = "the functions of a C library")]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr::{null, null_mut};
use std::ffi::CString;

use auth::DomainUser;
use wire::NtStatus;
use wire::security::Sid;
use zeroize::Zeroize;

use super::native::{
    self, AuthErrorInfo, AuthUserInfo, AuthUserParams, Ctx, DomainSid, Functions, InterfaceDetails, Password,
    Response, SidWithAttributes,
};
use super::{Error, NtlmLogon, PassedThrough, Refusal, Running};
use crate::{Named, NamedKind};

/// The groups of a user that are read: MS-NRPC and Windows have at most 1015 in a token; more is a broken answer.
const MAX_SIDS: u32 = 10_000;

/// A connection to winbindd.
pub(super) struct Context {
    functions: &'static Functions,
    ctx: Ctx,
}

// SAFETY: see the head of the file; a context is memory and a descriptor, which no thread owns.
unsafe impl Send for Context {}

/// Something that the library allocated; null if it set nothing.
struct Allocated<T> {
    functions: &'static Functions,
    at: *mut T,
}

impl<T> Allocated<T> {
    const fn none(functions: &'static Functions) -> Self {
        Self { functions, at: null_mut() }
    }

    fn get(&self) -> Option<&T> {
        // SAFETY: the library sets it to a whole structure of this type, which lives until it is freed.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Drop for Allocated<T> {
    fn drop(&mut self) {
        if !self.at.is_null() {
            // SAFETY: the library allocated it, and it is not used afterwards.
            unsafe { (self.functions.free_memory)(self.at.cast::<c_void>()) };
        }
    }
}

impl Context {
    pub(super) fn new() -> Result<Self, Error> {
        let functions = native::functions().map_err(|text| Error::NoLibrary(text.to_owned()))?;
        // SAFETY: it has no conditions.
        let ctx = unsafe { (functions.create)() };
        if ctx.is_null() {
            return Err(Error::Failed("libwbclient has no memory".to_owned()));
        }
        Ok(Self { functions, ctx })
    }

    pub(super) fn running(&mut self) -> Result<Running, Error> {
        let mut details = Allocated::<InterfaceDetails>::none(self.functions);
        // SAFETY: see the head of the file.
        check(unsafe { (self.functions.interface_details)(self.ctx, &raw mut details.at) })?;
        let details = details.get().ok_or_else(|| Error::Failed("winbindd said nothing".to_owned()))?;
        Ok(Running {
            version: text(details.winbind_version),
            host: text(details.netbios_name),
            domain: text(details.netbios_domain),
            dns_domain: text(details.dns_domain),
        })
    }

    pub(super) fn controller(&mut self) -> Result<String, Refusal> {
        let mut error = Allocated::<AuthErrorInfo>::none(self.functions);
        let mut controller = Allocated::<c_char>::none(self.functions);
        // SAFETY: see the head of the file; a null domain is the machine's.
        let code =
            unsafe { (self.functions.ping_dc)(self.ctx, null(), &raw mut error.at, &raw mut controller.at) };
        refusal(code, error.get())?;
        Ok(text(controller.at))
    }

    pub(super) fn name_of(&mut self, sid: Sid) -> Result<Option<Named>, Error> {
        let mut domain = Allocated::<c_char>::none(self.functions);
        let mut name = Allocated::<c_char>::none(self.functions);
        let mut kind: c_int = 0;
        let wanted = to_native(sid);
        // SAFETY: see the head of the file.
        let code = unsafe {
            (self.functions.lookup_sid)(
                self.ctx,
                &raw const wanted,
                &raw mut domain.at,
                &raw mut name.at,
                &raw mut kind,
            )
        };
        if code == native::DOMAIN_NOT_FOUND {
            return Ok(None);
        }
        check(code)?;
        let kind = NamedKind::of(kind.unsigned_abs());
        Ok(Some(Named { sid, domain: text(domain.at), name: text(name.at), kind }))
    }

    pub(super) fn sid_of(&mut self, domain: &str, name: &str) -> Result<Option<Named>, Error> {
        let (Ok(c_domain), Ok(c_name)) = (CString::new(domain), CString::new(name)) else { return Ok(None) };
        let mut sid = DomainSid::default();
        let mut kind: c_int = 0;
        // SAFETY: see the head of the file.
        let code = unsafe {
            (self.functions.lookup_name)(
                self.ctx,
                c_domain.as_ptr(),
                c_name.as_ptr(),
                &raw mut sid,
                &raw mut kind,
            )
        };
        if code == native::DOMAIN_NOT_FOUND {
            return Ok(None);
        }
        check(code)?;
        let Some(sid) = from_native(&sid) else { return Ok(None) };
        let kind = NamedKind::of(kind.unsigned_abs());
        Ok(Some(Named { sid, domain: domain.to_owned(), name: name.to_owned(), kind }))
    }

    pub(super) fn authenticate(&mut self, logon: &NtlmLogon) -> Result<PassedThrough, Refusal> {
        let c_text = |text: &str| CString::new(text).map_err(|_| Refusal::NoSuchUser);
        let (user, domain) = (c_text(&logon.user)?, c_text(&logon.domain)?);
        let workstation = c_text(&logon.workstation)?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Refusal::WrongPassword);
        let params = AuthUserParams {
            account_name: user.as_ptr(),
            domain_name: domain.as_ptr(),
            workstation_name: workstation.as_ptr(),
            flags: 0,
            parameter_control: native::ALLOW_SERVERS | native::ALLOW_WORKSTATIONS,
            level: native::LEVEL_RESPONSE,
            password: Password {
                response: Response {
                    challenge: logon.challenge,
                    nt_length: length(&logon.nt_response)?,
                    nt_data: logon.nt_response.as_ptr().cast_mut(),
                    lm_length: length(&logon.lm_response)?,
                    lm_data: logon.lm_response.as_ptr().cast_mut(),
                },
            },
        };
        let mut info = Allocated::<AuthUserInfo>::none(self.functions);
        let mut error = Allocated::<AuthErrorInfo>::none(self.functions);
        // SAFETY: see the head of the file; the library only reads what the parameters point to.
        let code = unsafe {
            (self.functions.authenticate)(self.ctx, &raw const params, &raw mut info.at, &raw mut error.at)
        };
        match refusal(code, error.get()) {
            // The library says the same if it may not open the directory of the privileged socket.
            Err(Refusal::Unavailable(Error::NotRunning)) if self.running().is_ok() => {
                return Err(Refusal::NotPrivileged);
            }
            refused => refused?,
        }
        // SAFETY: the library set it to a whole structure, which nobody else has.
        let Some(info) = (unsafe { info.at.as_mut() }) else { return Err(Refusal::BadAnswer) };
        let passed = passed_through(info);
        // The library frees without wiping.
        info.user_session_key.zeroize();
        info.lm_session_key.zeroize();
        passed
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context came from `wbcCtxCreate` and is not used afterwards.
        unsafe { (self.functions.free)(self.ctx) };
    }
}

fn passed_through(info: &AuthUserInfo) -> Result<PassedThrough, Refusal> {
    if info.user_flags & native::IS_GUEST != 0 {
        return Err(Refusal::Guest);
    }
    let given: &[SidWithAttributes] = if info.sids.is_null() || info.num_sids > MAX_SIDS {
        &[]
    } else {
        // SAFETY: the library allocated so many with the structure, and they live as long.
        unsafe { core::slice::from_raw_parts(info.sids, info.num_sids as usize) }
    };
    // The user, the primary group, the other groups.
    let mut sids = given.iter().map(|it| from_native(&it.sid));
    let (Some(Some(sid)), Some(Some(primary_group))) = (sids.next(), sids.next()) else {
        return Err(Refusal::BadAnswer);
    };
    let mut groups = vec![primary_group];
    let mut seen = std::collections::HashSet::from([primary_group]);
    for group in sids {
        let group = group.ok_or(Refusal::BadAnswer)?;
        if seen.insert(group) {
            groups.push(group);
        }
    }
    let user = DomainUser {
        name: text(info.account_name),
        domain: text(info.domain_name),
        dns_domain: text(info.dns_domain_name),
        principal_name: Some(text(info.user_principal)).filter(|name| !name.is_empty()),
        full_name: text(info.full_name),
        sid,
        primary_group,
        groups,
    };
    // Without a key the session could not be signed.
    if user.name.is_empty() || user.domain.is_empty() || info.user_session_key == [0; 16] {
        return Err(Refusal::BadAnswer);
    }
    Ok(PassedThrough { session_base_key: info.user_session_key.into(), user })
}

fn check(code: c_uint) -> Result<(), Error> {
    match code {
        native::SUCCESS => Ok(()),
        native::NOT_AVAILABLE => Err(Error::NotRunning),
        code => Err(Error::Failed(format!("winbind error {code}"))),
    }
}

fn refusal(code: c_uint, error: Option<&AuthErrorInfo>) -> Result<(), Refusal> {
    match (code, error) {
        (native::SUCCESS, _) => Ok(()),
        (_, Some(error)) if error.nt_status != 0 => Err(Refusal::of_status(NtStatus(error.nt_status))),
        (code, _) => Err(check(code).map_or_else(Refusal::from, |()| Refusal::BadAnswer)),
    }
}

/// A text of the library; empty if there is none.
fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: the library's texts end with 0 and live as long as the structure that they are in, which the caller has.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

fn to_native(sid: Sid) -> DomainSid {
    let mut native = DomainSid { revision: 1, ..DomainSid::default() };
    for (to, from) in native.authority.iter_mut().zip(sid.authority().to_be_bytes().iter().skip(2)) {
        *to = *from;
    }
    for (to, from) in native.sub_authorities.iter_mut().zip(sid.sub_authorities()) {
        *to = *from;
        native.count = native.count.saturating_add(1);
    }
    native
}

fn from_native(native: &DomainSid) -> Option<Sid> {
    if native.revision != 1 {
        return None;
    }
    let used = native.sub_authorities.get(..usize::from(native.count))?;
    // In the layout of MS-DTYP 2.4.2.2, which differs only in the order of bytes.
    let mut bytes = vec![native.revision, native.count];
    bytes.extend(native.authority);
    bytes.extend(used.iter().flat_map(|part| part.to_le_bytes()));
    Sid::decode(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that a C compiler gives the structures of the public header on 64-bit machines.
    #[test]
    fn structures_have_the_sizes_of_the_header() {
        assert_eq!(size_of::<DomainSid>(), 68);
        assert_eq!(size_of::<SidWithAttributes>(), 72);
        if size_of::<usize>() == 8 {
            assert_eq!(size_of::<AuthUserParams>(), 80);
            assert_eq!(size_of::<AuthUserInfo>(), 184);
            assert_eq!(core::mem::offset_of!(AuthUserInfo, user_session_key), 52);
            assert_eq!(core::mem::offset_of!(AuthUserInfo, sids), 176);
            assert_eq!(core::mem::offset_of!(AuthUserParams, password), 40);
            assert_eq!(size_of::<AuthErrorInfo>(), 32);
            assert_eq!(size_of::<InterfaceDetails>(), 48);
        }
    }

    #[test]
    fn sids_come_back_as_they_went() {
        for text in ["S-1-5-21-1-2-4294967295-500", "S-1-1-0", "S-1-0xffffffffffff-1", "S-1-5-32-544"] {
            let sid: Sid = text.parse().unwrap();
            assert_eq!(from_native(&to_native(sid)), Some(sid));
        }
        assert_eq!(from_native(&DomainSid { revision: 1, count: 16, ..DomainSid::default() }), None);
    }
}
