//! The server's side of Kerberos (RFC 4120, RFC 4121, MS-KILE, MS-PAC), as pure functions: no controller is asked, no
//! clock is read, nothing waits.
//!
//! A token that a stranger sends is decrypted with a key of the [`Keytab`]; what is in the ticket then was said by the
//! domain's controller, and the [`DomainUser`](crate::DomainUser) in the PAC is who the client is.
//!
//! The ticket's own name of the service is not protected by Kerberos: it stands outside of the encryption. What protects
//! a service from tickets for others is its key. In a domain all services of a machine's account share one, the file
//! service and the web service, too; between them, the name that Windows puts into the authenticator decides.

mod ap_req;
mod asn1;
mod channel;
mod crypto;
mod keytab;
mod messages;
mod mic;
mod ndr;
mod pac;
mod refusal;
mod replay;
mod seal;
#[cfg(feature = "testing")]
pub mod testing;
mod time;

use core::fmt;
use std::sync::Arc;

use parking_lot::{MutexGuard, RwLock};
use wire::FileTime;

pub use channel::ChannelBindings;
pub use crypto::{BadIntegrity, Enctype, Key, KeyUsage};
pub use keytab::{Keytab, KeytabEntry, KeytabError, MAX_KEYTAB, ServiceKind};
pub use refusal::{KerberosRefusal, Shown, ShownEnctype, ShownVersion};
pub use replay::{ReplayJournal, UsedAuthenticator, UsedAuthenticators};
pub use seal::KerberosSeal;
pub use time::KerberosTime;

pub(crate) use ap_req::{Accepted, Purpose, Refused, Style, ThirdLeg, is_ap_req, is_framed};
pub(crate) use mic::Mics;

use crate::random::Random;
use replay::ReplayCache;

/// The options of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KerberosOptions {
    /// Accepts RC4-HMAC (RFC 4757).
    pub rc4: bool,
    /// The allowed difference between the clocks, in seconds.
    pub clock_skew: u32,
}

impl Default for KerberosOptions {
    fn default() -> Self {
        Self { rc4: false, clock_skew: 300 }
    }
}

/// The keys of a server, and the authenticators that were used with them.
pub struct KerberosService {
    keytab: RwLock<Arc<Keytab>>,
    options: KerberosOptions,
    used: UsedAuthenticators,
}

impl KerberosService {
    /// A service with the keys of a keytab, which knows the authenticators that were used.
    pub fn new(keytab: Keytab, options: KerberosOptions, used: UsedAuthenticators) -> Self {
        Self { keytab: RwLock::new(Arc::new(keytab)), options, used }
    }

    /// A copy of the service with other options, which knows the authenticators that were used.
    #[must_use]
    pub fn with_options(&self, options: KerberosOptions) -> Self {
        let keytab = RwLock::new(self.keytab());
        Self { keytab, options, used: self.used.clone() }
    }

    /// The options of the service.
    pub const fn options(&self) -> KerberosOptions {
        self.options
    }

    /// The keys in force.
    pub fn keytab(&self) -> Arc<Keytab> {
        Arc::clone(&self.keytab.read())
    }

    /// Replaces the keys, after the keytab has changed.
    pub fn replace_keytab(&self, keytab: Keytab) {
        *self.keytab.write() = Arc::new(keytab);
    }

    /// Accepts an AP-REQ.
    pub(crate) fn accept(
        &self,
        token: &[u8],
        purpose: &Purpose,
        random: &mut dyn Random,
        now: FileTime,
    ) -> Result<Accepted, Refused> {
        ap_req::accept(self, token, purpose, random, now)
    }

    fn replays(&self) -> MutexGuard<'_, ReplayCache> {
        self.used.lock()
    }
}

impl fmt::Debug for KerberosService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KerberosService").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The contents of the object identifier of Kerberos, 1.2.840.113554.1.2.2 (RFC 4121).
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
