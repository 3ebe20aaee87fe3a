//! Somebody's tickets.

use core::fmt;
use core::time::Duration;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::native;
use crate::objects::{CredObject, NameObject};

/// Somebody's tickets, with which an [`Initiator`](crate::Initiator) can begin. Clones are the same tickets.
#[derive(Clone)]
pub struct Credential {
    /// Used by one thread at a time.
    object: Arc<Mutex<CredObject>>,
}

/// The owner of tickets, and the time that is left of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The principal, as `carol@CORP.EXAMPLE`.
    pub principal: String,
    /// The time until they end; zero if they have.
    pub lifetime: Duration,
}

impl Credential {
    /// The tickets of the user who runs this. If the user has several principals, each service gets the tickets of
    /// the principal that `~/.k5identity` and the realms say (kinit(1), k5identity(5)).
    pub fn of_user() -> Result<Self, Error> {
        Ok(Self::of(CredObject::of_caches(None)?))
    }

    /// The tickets of this principal among those of the user who runs this. Without a realm, it is the default one.
    pub fn of_principal(principal: &str) -> Result<Self, Error> {
        let name = NameObject::import(principal, native::USER_NAME)?;
        Ok(Self::of(CredObject::of_caches(Some(&name))?))
    }

    /// New tickets of this principal, which the key distribution center gives for the password. They are in a cache
    /// of their own in memory, which ends with this value; the user's caches stay as they are. Asks the key
    /// distribution center at once, so that a wrong password is an error here.
    pub fn with_password(principal: &str, password: &str) -> Result<Self, Error> {
        Self::by_password(&NameObject::import(principal, native::USER_NAME)?, password)
    }

    /// As [`with_password`](Self::with_password), for a user principal name whose suffix need not be a realm: the
    /// default realm's key distribution center looks it up (RFC 6806 5).
    pub fn with_enterprise_password(name: &str, password: &str) -> Result<Self, Error> {
        Self::by_password(&NameObject::import(name, native::ENTERPRISE_NAME)?, password)
    }

    fn by_password(name: &NameObject, password: &str) -> Result<Self, Error> {
        let made = Self::of(CredObject::by_password(name, password)?);
        made.owner()?;
        Ok(made)
    }

    /// The tickets of a principal whose key is in a keytab. They are kept in `cache`, as `MEMORY:name` or
    /// `FILE:path`, and gotten and renewed by the key as needed.
    pub fn from_keytab(principal: &str, keytab: &str, cache: &str) -> Result<Self, Error> {
        let name = NameObject::import(principal, native::USER_NAME)?;
        let text = |text: &str| {
            CString::new(text).map_err(|_| Error::local(ErrorKind::Other, "a name contains a zero byte"))
        };
        let store = [(c"client_keytab", text(keytab)?), (c"ccache", text(cache)?)];
        Ok(Self::of(CredObject::of_store(&name, &store)?))
    }

    fn of(object: CredObject) -> Self {
        Self { object: Arc::new(Mutex::new(object)) }
    }

    pub(crate) fn object(&self) -> MutexGuard<'_, CredObject> {
        // A panic elsewhere leaves the handle as it was.
        self.object.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the owner and the remaining time of the tickets. Those [of the user](Self::of_user) are those of the default cache from then on.
    pub fn owner(&self) -> Result<Owner, Error> {
        let (name, lifetime) = self.object().inquire()?;
        Ok(Owner { principal: name.text()?, lifetime })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// The default realm of this machine (`default_realm` of krb5.conf).
pub fn default_realm() -> Result<String, Error> {
    let name = NameObject::import("user", native::USER_NAME)?.canonical()?.text()?;
    match name.rsplit_once('@') {
        Some((_, realm)) if !realm.is_empty() => Ok(realm.to_owned()),
        _ => Err(Error::local(ErrorKind::UnknownRealm, "krb5.conf has no default realm")),
    }
}
