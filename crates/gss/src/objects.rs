//! The library's objects, each owned by one value that releases it.
//!
//! All unsafe calls are here. What makes them sound is the same everywhere: handles are null or came from the library
//! and were not released (they are private, and released in `drop` only); buffers that the library reads are slices
//! that outlive the call; results are initialised before the call, and are released with the library's function.
//!
//! The library may be used by several threads at a time, and one object may be used by different threads one after
//! the other; so the objects are `Send`. They are not `Sync`: RFC 2744 does not allow two calls with one context at a
//! time.
#![expect(unsafe_code, reason = "the functions of a C library")]

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};
use core::time::Duration;
use std::ffi::CString;

use zeroize::Zeroize;

use crate::error::{Error, ErrorKind};
use crate::native::{
    self, BufferDesc, Cred, Ctx, Functions, KeyValue, KeyValueSet, Name, OidDesc, OidSetDesc,
};

/// The library, or the error that tells how to install it.
fn functions() -> Result<&'static Functions, Error> {
    native::functions().map_err(Error::no_library)
}

/// A buffer that the library allocated. It is wiped before it is released, because some hold keys.
struct Buffer {
    functions: &'static Functions,
    desc: BufferDesc,
}

impl Buffer {
    const fn empty(functions: &'static Functions) -> Self {
        Self { functions, desc: BufferDesc { length: 0, value: null_mut() } }
    }

    fn bytes(&self) -> &[u8] {
        bytes_of(&self.desc)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).trim_end_matches('\0').to_owned()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut minor = 0;
        if !self.desc.value.is_null() {
            // SAFETY: the library allocated `length` bytes at `value` for the caller, who alone has them.
            unsafe { core::slice::from_raw_parts_mut(self.desc.value.cast::<u8>(), self.desc.length) }
                .zeroize();
        }
        // SAFETY: the buffer is empty or the library's; it is not used afterwards.
        unsafe { (self.functions.release_buffer)(&raw mut minor, &raw mut self.desc) };
    }
}

/// The bytes of a buffer of the library.
const fn bytes_of(desc: &BufferDesc) -> &[u8] {
    if desc.value.is_null() || desc.length == 0 {
        return &[];
    }
    // SAFETY: the library allocated `length` bytes at `value`, which live as long as the descriptor's owner.
    unsafe { core::slice::from_raw_parts(desc.value.cast::<u8>(), desc.length) }
}

/// A descriptor of bytes that the library reads only.
fn reading(bytes: &[u8]) -> BufferDesc {
    BufferDesc { length: bytes.len(), value: bytes.as_ptr().cast::<c_void>().cast_mut() }
}

/// A descriptor of an object identifier that the library reads only.
fn oid(contents: &'static [u8]) -> OidDesc {
    let length = u32::try_from(contents.len()).unwrap_or(0);
    OidDesc { length, elements: contents.as_ptr().cast::<c_void>().cast_mut() }
}

/// The result of a call, with the library's texts if it is an error. To be called by the thread that made the call,
/// right after it: the library keeps the texts of minor statuses for each thread.
fn check(functions: &'static Functions, major: u32, minor: u32) -> Result<u32, Error> {
    if major & native::ERROR_MASK == 0 {
        return Ok(major);
    }
    let general = status_text(functions, major, native::GSS_CODE);
    let special = if minor == 0 { String::new() } else { status_text(functions, minor, native::MECH_CODE) };
    // The particular text says all; the general one is only there for errors without another.
    let text = if special.is_empty() { general } else { special };
    Err(Error::new(major, minor, text))
}

fn status_text(functions: &'static Functions, status: u32, kind: core::ffi::c_int) -> String {
    let kerberos = oid(native::KERBEROS);
    let mut texts: Vec<String> = Vec::new();
    let mut more = 0;
    // The library has at most a few texts for one status; a bound in case that it never ends.
    for _ in 0..8 {
        let mut minor = 0;
        let mut text = Buffer::empty(functions);
        // SAFETY: see the head of the file; `more` is the library's place in the list of texts, 0 at first.
        let major = unsafe {
            (functions.display_status)(
                &raw mut minor,
                status,
                kind,
                &raw const kerberos,
                &raw mut more,
                &raw mut text.desc,
            )
        };
        if major & native::ERROR_MASK != 0 {
            break;
        }
        texts.push(text.text());
        if more == 0 {
            break;
        }
    }
    texts.retain(|text| !text.is_empty());
    texts.join("; ")
}

/// A name of a user or a service.
pub(crate) struct NameObject {
    functions: &'static Functions,
    name: Name,
}

// SAFETY: see the head of the file; a name is plain memory, which no thread owns.
unsafe impl Send for NameObject {}

impl NameObject {
    /// The name in `text`, of the type with this object identifier.
    pub(crate) fn import(text: &str, kind: &'static [u8]) -> Result<Self, Error> {
        let functions = functions()?;
        let mut made = Self { functions, name: null_mut() };
        let mut minor = 0;
        let (text, kind) = (reading(text.as_bytes()), oid(kind));
        // SAFETY: see the head of the file.
        let major = unsafe {
            (functions.import_name)(&raw mut minor, &raw const text, &raw const kind, &raw mut made.name)
        };
        check(functions, major, minor)?;
        Ok(made)
    }

    /// The name as Kerberos writes it, with its realm.
    pub(crate) fn canonical(&self) -> Result<Self, Error> {
        let mut made = Self { functions: self.functions, name: null_mut() };
        let mut minor = 0;
        let kerberos = oid(native::KERBEROS);
        // SAFETY: see the head of the file.
        let major = unsafe {
            (self.functions.canonicalize_name)(
                &raw mut minor,
                self.name,
                &raw const kerberos,
                &raw mut made.name,
            )
        };
        check(self.functions, major, minor)?;
        Ok(made)
    }

    /// The name's text.
    pub(crate) fn text(&self) -> Result<String, Error> {
        let mut text = Buffer::empty(self.functions);
        let mut minor = 0;
        // SAFETY: see the head of the file. The type of the name is not asked for.
        let major = unsafe {
            (self.functions.display_name)(&raw mut minor, self.name, &raw mut text.desc, null_mut())
        };
        check(self.functions, major, minor)?;
        Ok(text.text())
    }
}

impl Drop for NameObject {
    fn drop(&mut self) {
        let mut minor = 0;
        if !self.name.is_null() {
            // SAFETY: see the head of the file; nothing uses the name afterwards.
            unsafe { (self.functions.release_name)(&raw mut minor, &raw mut self.name) };
        }
    }
}

/// The realm that `krb5.conf` gives a host (`[domain_realm]`); empty if it gives none. No name server is asked, except
/// with `dns_lookup_realm`, which is off by default.
pub(crate) fn configured_realm(host: &str) -> String {
    let (Some(functions), Ok(host)) = (native::realm_functions(), CString::new(host)) else {
        return String::new();
    };
    let mut context = null_mut();
    // SAFETY: see the head of the file; with an error there is no context.
    if unsafe { (functions.init_context)(&raw mut context) } != 0 {
        // The next call of the library reports what is wrong with krb5.conf.
        return String::new();
    }
    let mut realms = null_mut();
    // SAFETY: see the head of the file; the host's name is read only.
    let status = unsafe { (functions.get_host_realm)(context, host.as_ptr(), &raw mut realms) };
    let mut realm = String::new();
    if status == 0 && !realms.is_null() {
        // SAFETY: the list is the library's; it ends with a null pointer, and holds strings that end with a zero.
        unsafe {
            if !(*realms).is_null() {
                realm = CStr::from_ptr(*realms).to_string_lossy().into_owned();
            }
            (functions.free_host_realm)(context, realms);
        }
    }
    // SAFETY: the context is not used afterwards.
    unsafe { (functions.free_context)(context) };
    realm
}

/// Credentials of an initiator.
pub(crate) struct CredObject {
    functions: &'static Functions,
    cred: Cred,
}

// SAFETY: see the head of the file.
unsafe impl Send for CredObject {}

impl CredObject {
    /// The credentials that `call` makes. It gets the place of the minor status, the set of mechanisms that has
    /// Kerberos alone, and the place of the handle.
    fn acquire(
        functions: &'static Functions,
        call: impl FnOnce(*mut u32, *mut OidSetDesc, *mut Cred) -> u32,
    ) -> Result<Self, Error> {
        let mut made = Self { functions, cred: null_mut() };
        let mut minor = 0;
        let mut kerberos = oid(native::KERBEROS);
        let mut mechanisms = OidSetDesc { count: 1, elements: &raw mut kerberos };
        let major = call(&raw mut minor, &raw mut mechanisms, &raw mut made.cred);
        check(functions, major, minor)?;
        Ok(made)
    }

    /// The tickets of `name` in the user's caches; without a name, those that the library chooses for each service.
    pub(crate) fn of_caches(name: Option<&NameObject>) -> Result<Self, Error> {
        let functions = functions()?;
        let name = name.map_or(null_mut(), |name| name.name);
        Self::acquire(functions, |minor, mechanisms, cred| {
            // SAFETY: see the head of the file; the mechanisms are read only. What is not asked for is null.
            unsafe {
                (functions.acquire_cred)(
                    minor,
                    name,
                    native::INDEFINITE,
                    mechanisms,
                    native::INITIATE,
                    cred,
                    null_mut(),
                    null_mut(),
                )
            }
        })
    }

    /// New tickets of `name`, by password, in a cache in memory that nobody else has.
    pub(crate) fn by_password(name: &NameObject, password: &str) -> Result<Self, Error> {
        let functions = functions()?;
        let password = reading(password.as_bytes());
        Self::acquire(functions, |minor, mechanisms, cred| {
            // SAFETY: see the head of the file; the password and the mechanisms are read only.
            unsafe {
                (functions.acquire_cred_with_password)(
                    minor,
                    name.name,
                    &raw const password,
                    native::INDEFINITE,
                    mechanisms,
                    native::INITIATE,
                    cred,
                    null_mut(),
                    null_mut(),
                )
            }
        })
    }

    /// The tickets of `name` that the store has: pairs of a kind and a place.
    pub(crate) fn of_store(name: &NameObject, store: &[(&CStr, CString)]) -> Result<Self, Error> {
        let functions = functions()?;
        let mut pairs: Vec<KeyValue> =
            store.iter().map(|(key, value)| KeyValue { key: key.as_ptr(), value: value.as_ptr() }).collect();
        let count = u32::try_from(pairs.len()).unwrap_or(0);
        let store = KeyValueSet { count, elements: pairs.as_mut_ptr() };
        Self::acquire(functions, |minor, mechanisms, cred| {
            // SAFETY: see the head of the file; the pairs, their strings and the mechanisms are read only.
            unsafe {
                (functions.acquire_cred_from)(
                    minor,
                    name.name,
                    native::INDEFINITE,
                    mechanisms,
                    native::INITIATE,
                    &raw const store,
                    cred,
                    null_mut(),
                    null_mut(),
                )
            }
        })
    }

    /// Returns the owner of the credentials and their remaining time. Without a name so far, the library chooses its default cache.
    pub(crate) fn inquire(&self) -> Result<(NameObject, Duration), Error> {
        let mut name = NameObject { functions: self.functions, name: null_mut() };
        let (mut minor, mut lifetime) = (0, 0);
        // SAFETY: see the head of the file. What is not asked for is null.
        let major = unsafe {
            (self.functions.inquire_cred)(
                &raw mut minor,
                self.cred,
                &raw mut name.name,
                &raw mut lifetime,
                null_mut(),
                null_mut(),
            )
        };
        check(self.functions, major, minor)?;
        Ok((name, Duration::from_secs(lifetime.into())))
    }
}

impl Drop for CredObject {
    fn drop(&mut self) {
        let mut minor = 0;
        if !self.cred.is_null() {
            // SAFETY: see the head of the file; nothing uses the credentials afterwards.
            unsafe { (self.functions.release_cred)(&raw mut minor, &raw mut self.cred) };
        }
    }
}

/// A security context of an initiator.
pub(crate) struct ContextObject {
    functions: &'static Functions,
    context: Ctx,
}

// SAFETY: see the head of the file.
unsafe impl Send for ContextObject {}

/// The result of one call for a context.
pub(crate) struct Progress {
    /// The token to send; may be empty.
    pub(crate) token: Vec<u8>,
    /// True if another token of the service is needed.
    pub(crate) needs_more: bool,
    /// The features of the context (RFC 2744 appendix A).
    pub(crate) flags: u32,
}

impl ContextObject {
    /// A context without a beginning.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { functions: functions()?, context: null_mut() })
    }

    /// One step of the context's establishment.
    pub(crate) fn initiate(
        &mut self,
        credential: &CredObject,
        target: &NameObject,
        flags: u32,
        input: Option<&[u8]>,
    ) -> Result<Progress, Error> {
        let kerberos = oid(native::KERBEROS);
        let input = input.map(reading);
        let mut token = Buffer::empty(self.functions);
        let (mut minor, mut have) = (0, 0);
        // SAFETY: see the head of the file. The library makes the context with the first call, and releases none by
        // itself. What is not given or asked for is null.
        let major = unsafe {
            (self.functions.init_sec_context)(
                &raw mut minor,
                credential.cred,
                &raw mut self.context,
                target.name,
                &raw const kerberos,
                flags,
                0,
                null_mut(),
                input.as_ref().map_or(null(), |input| &raw const *input),
                null_mut(),
                &raw mut token.desc,
                &raw mut have,
                null_mut(),
            )
        };
        let major = check(self.functions, major, minor)?;
        let needs_more = major & native::CONTINUE_NEEDED != 0;
        Ok(Progress { token: token.bytes().to_vec(), needs_more, flags: have })
    }

    /// The initiator's name.
    pub(crate) fn source(&self) -> Result<NameObject, Error> {
        self.begun()?;
        let mut name = NameObject { functions: self.functions, name: null_mut() };
        let mut minor = 0;
        // SAFETY: see the head of the file. What is not asked for is null.
        let major = unsafe {
            (self.functions.inquire_context)(
                &raw mut minor,
                self.context,
                &raw mut name.name,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        };
        check(self.functions, major, minor)?;
        Ok(name)
    }

    /// The time that is left of the context.
    pub(crate) fn lifetime(&self) -> Result<Duration, Error> {
        self.begun()?;
        let (mut minor, mut seconds) = (0, 0);
        // SAFETY: see the head of the file.
        let major = unsafe { (self.functions.context_time)(&raw mut minor, self.context, &raw mut seconds) };
        check(self.functions, major, minor)?;
        Ok(Duration::from_secs(seconds.into()))
    }

    /// Passes the elements of the context's property with this object identifier to `read`.
    pub(crate) fn property<T>(
        &self,
        property: &'static [u8],
        read: impl FnOnce(&[&[u8]]) -> T,
    ) -> Result<T, Error> {
        self.begun()?;
        let property = oid(property);
        let (mut minor, mut set) = (0, null_mut());
        // SAFETY: see the head of the file.
        let major = unsafe {
            (self.functions.inquire_sec_context_by_oid)(
                &raw mut minor,
                self.context,
                &raw const property,
                &raw mut set,
            )
        };
        let checked = check(self.functions, major, minor);
        let read = checked.map(|_| {
            // SAFETY: after a success the set is null, or has `count` descriptors at `elements`.
            let elements: &[BufferDesc] = unsafe {
                match set.as_ref() {
                    Some(set) if !set.elements.is_null() => {
                        core::slice::from_raw_parts(set.elements, set.count)
                    }
                    _ => &[],
                }
            };
            read(&elements.iter().map(bytes_of).collect::<Vec<_>>())
        });
        if !set.is_null() {
            // SAFETY: the library made the set for this caller; the library wipes and releases its buffers.
            unsafe { (self.functions.release_buffer_set)(&raw mut minor, &raw mut set) };
        }
        read
    }

    /// A message integrity code over `message` (RFC 2743 2.3.1).
    pub(crate) fn get_mic(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.begun()?;
        let message = reading(message);
        let mut mic = Buffer::empty(self.functions);
        let mut minor = 0;
        // SAFETY: see the head of the file.
        let major = unsafe {
            (self.functions.get_mic)(&raw mut minor, self.context, 0, &raw const message, &raw mut mic.desc)
        };
        check(self.functions, major, minor)?;
        Ok(mic.bytes().to_vec())
    }

    /// Verifies a message integrity code of the service (RFC 2743 2.3.2).
    pub(crate) fn verify_mic(&self, message: &[u8], mic: &[u8]) -> Result<(), Error> {
        self.begun()?;
        let (message, mic) = (reading(message), reading(mic));
        let mut minor = 0;
        // SAFETY: see the head of the file. The quality of protection is not asked for.
        let major = unsafe {
            (self.functions.verify_mic)(
                &raw mut minor,
                self.context,
                &raw const message,
                &raw const mic,
                null_mut(),
            )
        };
        // The supplementary bits say that the message is old, repeated or out of order.
        match check(self.functions, major, minor)? {
            0 => Ok(()),
            _ => Err(Error::local(ErrorKind::Other, "a message integrity code is a repeated or late one")),
        }
    }

    /// An error unless the context has begun; the library's other functions need one.
    fn begun(&self) -> Result<(), Error> {
        if self.context.is_null() {
            return Err(Error::local(ErrorKind::Other, "the exchange has not begun"));
        }
        Ok(())
    }
}

impl Drop for ContextObject {
    fn drop(&mut self) {
        let mut minor = 0;
        if !self.context.is_null() {
            // SAFETY: see the head of the file; nothing uses the context afterwards. No token is asked for.
            unsafe { (self.functions.delete_sec_context)(&raw mut minor, &raw mut self.context, null_mut()) };
        }
    }
}
