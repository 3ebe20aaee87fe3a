//! The proof to a service, and the service's proof.

use core::fmt;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::error::{Error, ErrorKind};
use crate::native;
use crate::objects::{self, ContextObject, NameObject};

/// One exchange with a service: `step(None)`, then a step for every token of the service.
pub struct Initiator {
    credential: Credential,
    target: NameObject,
    context: ContextObject,
    done: bool,
}

/// The result of a step.
#[derive(Debug)]
pub enum Step {
    /// Send this token, and bring the service's answer.
    Token(Vec<u8>),
    /// The exchange is complete, and the service has proved that it has the key of its name. A token, if there is
    /// one, is still to be sent.
    Done(Option<Vec<u8>>),
}

/// The key that both sides have.
#[derive(Clone)]
pub struct SessionKey {
    /// The key: of the service's subkey if it sent one, else of the initiator's (RFC 4121 2).
    pub bytes: Zeroizing<Vec<u8>>,
    /// The encryption type (RFC 3961 8), such as 18 for AES with 256 bits.
    pub encryption_type: u32,
}

impl Initiator {
    /// An exchange with the service `service` (such as `cifs`) of `host`.
    ///
    /// The ticket is for the host's name as it is given, in lower case: neither a name server nor
    /// `dns_canonicalize_hostname` and `rdns` of `krb5.conf` can put another name in its place, with whose key another
    /// machine would prove itself. The realm is that of `[domain_realm]`; without an entry the user's own realm knows
    /// it (RFC 6806 8).
    pub fn new(credential: Credential, service: &str, host: &str) -> Result<Self, Error> {
        let host = host_name(host);
        let realm = objects::configured_realm(&host);
        Self::for_principal(credential, &principal(&[service, &host], &realm))
    }

    /// An exchange with the service of a host that is a controller of the domain with this DNS name: only controllers
    /// may have names with three parts (MS-ADTS 3.1.1.5.3.1.1.4), so one of another machine has no ticket.
    pub fn for_controller(
        credential: Credential,
        service: &str,
        host: &str,
        domain: &str,
    ) -> Result<Self, Error> {
        let host = host_name(host);
        let (domain, realm) = (domain.to_ascii_lowercase(), domain.to_ascii_uppercase());
        // The names of the controllers in the directory are full ones.
        let host = if host.contains('.') { host } else { format!("{host}.{domain}") };
        Self::for_principal(credential, &principal(&[service, &host, &domain], &realm))
    }

    fn for_principal(credential: Credential, principal: &str) -> Result<Self, Error> {
        let target = NameObject::import(principal, native::PRINCIPAL_NAME)?;
        Ok(Self { credential, target, context: ContextObject::new()?, done: false })
    }

    /// Processes the service's token (`None` at first) and returns the next one. The first step may ask key
    /// distribution centers.
    pub fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        if self.done {
            return Err(Error::local(ErrorKind::Other, "the exchange had already ended"));
        }
        let wanted = native::MUTUAL | native::REPLAY | native::SEQUENCE | native::INTEGRITY;
        let progress = self.context.initiate(&self.credential.object(), &self.target, wanted, token)?;
        if progress.needs_more {
            return Ok(Step::Token(progress.token));
        }
        let proved = native::MUTUAL | native::INTEGRITY;
        if progress.flags & proved != proved {
            return Err(Error::not_mutual());
        }
        self.done = true;
        Ok(Step::Done(Some(progress.token).filter(|token| !token.is_empty())))
    }

    /// The principal of the initiator, as `carol@CORP.EXAMPLE`. To be asked after the first step, which chooses the
    /// user's tickets for the service.
    pub fn principal(&self) -> Result<String, Error> {
        if self.done {
            return self.context.source()?.text();
        }
        Ok(self.credential.owner()?.principal)
    }

    /// The time until the context ends, which is the end of the service's ticket.
    pub fn lifetime(&self) -> Result<Duration, Error> {
        self.context.lifetime()
    }

    /// The session key, once the exchange is complete (MS-KILE 3.1.1.2).
    pub fn session_key(&self) -> Result<SessionKey, Error> {
        if !self.done {
            return Err(Error::local(ErrorKind::Other, "the exchange is not complete"));
        }
        self.context.property(native::SESSION_KEY, session_key)?
    }

    /// A message integrity code over `message` (RFC 4121 4.2.6.1).
    pub fn get_mic(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.context.get_mic(message)
    }

    /// Verifies the service's message integrity code.
    pub fn verify_mic(&mut self, message: &[u8], mic: &[u8]) -> Result<(), Error> {
        self.context.verify_mic(message, mic)
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator").field("done", &self.done).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").field("encryption_type", &self.encryption_type).finish_non_exhaustive()
    }
}

/// A host's name as services have it: in lower case, without the dot of the root.
fn host_name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The text of a principal (RFC 1964 2.1.1): characters that separate parts are escaped. An empty realm is left to the
/// key distribution centers.
fn principal(parts: &[&str], realm: &str) -> String {
    let escaped = |part: &str| {
        let mut text = String::with_capacity(part.len());
        for character in part.chars() {
            if matches!(character, '/' | '@' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text
    };
    let parts: Vec<_> = parts.iter().map(|part| escaped(part)).collect();
    format!("{}@{}", parts.join("/"), escaped(realm))
}

/// The key in the two elements of the library's answer: its bytes, and an object identifier whose last number is the
/// encryption type.
fn session_key(elements: &[&[u8]]) -> Result<SessionKey, Error> {
    let missing = || Error::local(ErrorKind::Other, "the library gives no session key");
    let (key, kind) = match elements {
        [key, kind, ..] if !key.is_empty() => (key, kind),
        _ => return Err(missing()),
    };
    let number = kind.strip_prefix(native::SESSION_ENCTYPE).filter(|number| number.len() <= 4);
    let encryption_type =
        number.ok_or_else(missing)?.iter().fold(0_u32, |number, byte| (number << 7) | u32::from(byte & 0x7f));
    Ok(SessionKey { bytes: Zeroizing::new(key.to_vec()), encryption_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encryption_type_is_the_last_number_of_the_object_identifier() {
        for (number, expected) in [(&[18][..], 18), (&[0x81, 0x00], 128)] {
            let kind = [native::SESSION_ENCTYPE, number].concat();
            let key = session_key(&[&[7; 32], &kind]).unwrap();
            assert_eq!((key.bytes.as_slice(), key.encryption_type), (&[7; 32][..], expected));
        }
        for elements in [&[][..], &[&[1; 16][..]], &[&[][..], native::SESSION_ENCTYPE], &[&[1; 16], &[1, 2]]]
        {
            assert!(session_key(elements).is_err());
        }
    }

    #[test]
    fn principal_has_the_given_host_and_no_more_parts_than_meant() {
        assert_eq!(host_name("Files.Corp.Example."), "files.corp.example");
        assert_eq!(principal(&["cifs", "files"], ""), "cifs/files@");
        assert_eq!(
            principal(&["cifs", "dc1.corp.example", "corp.example"], "CORP.EXAMPLE"),
            "cifs/dc1.corp.example/corp.example@CORP.EXAMPLE"
        );
        assert_eq!(principal(&["cifs", r"a/b@c\d"], ""), r"cifs/a\/b\@c\\d@");
    }

    #[test]
    fn names_of_services_are_not_looked_up() {
        let Ok(credential) = Credential::of_user() else { return };
        // With HOSTBASED_SERVICE the library asks name servers for this one, and takes what they say.
        let text = |made: Initiator| made.target.canonical().unwrap().text().unwrap();
        let made = Initiator::new(credential.clone(), "cifs", "LOCALHOST").unwrap();
        assert!(text(made).starts_with("cifs/localhost@"));
        let made = Initiator::for_controller(credential, "cifs", "DC1", "Corp.Example").unwrap();
        assert_eq!(text(made), "cifs/dc1.corp.example/corp.example@CORP.EXAMPLE");
    }

    #[test]
    fn nothing_can_be_asked_of_an_exchange_that_has_not_begun() {
        let Ok(credential) = Credential::of_user() else { return };
        let mut initiator = Initiator::new(credential, "cifs", "host.invalid").unwrap();
        assert!(initiator.session_key().is_err());
        assert!(initiator.get_mic(b"list").is_err());
        assert!(initiator.lifetime().is_err());
    }
}
