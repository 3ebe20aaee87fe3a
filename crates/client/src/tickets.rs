//! Kerberos tickets for logons: the user's own, those of a password, and those of a keytab.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use auth::{KerberosError, KerberosExchange, KerberosStep};
use gss::{Credential, ErrorKind, Initiator, Step};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::limits::TICKET_TIME_MAX;

/// A source of tickets for logons.
///
/// [`Tickets`] implements it with the library; tests have implementations of their own.
pub trait TicketSource: fmt::Debug + Send + Sync {
    /// Gets a ticket for the service `cifs` of `host`, and begins the exchange with it. Blocks while key distribution
    /// centers are asked.
    fn begin(&self, host: &str) -> Result<Begun, TicketError>;

    /// The principal whose tickets they are, as `carol@CORP.EXAMPLE`.
    fn principal(&self) -> String;
}

/// An exchange that has begun.
pub struct Begun {
    /// The exchange.
    pub exchange: Box<dyn KerberosExchange>,
    /// The first token, which the logon sends.
    pub token: Vec<u8>,
}

/// The reason why there is no ticket for a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The Kerberos library has the reason.
    #[error("{0}")]
    Kerberos(#[from] gss::Error),
    /// Tickets are for names, and the server was given by its address.
    #[error("a Kerberos ticket is for a server's name, and {0} is an address")]
    Address(String),
    /// The key distribution center took too long.
    #[error("no key distribution center answered within {} seconds", TICKET_TIME_MAX.as_secs())]
    TimedOut,
}

impl TicketError {
    /// The kind, for decisions and advice.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Kerberos(error) => error.kind,
            Self::Address(_) => ErrorKind::UnknownService,
            Self::TimedOut => ErrorKind::Unreachable,
        }
    }

    /// The number of Win32's error that Windows shows.
    pub const fn number(&self) -> u32 {
        match self.kind() {
            // ERROR_NOT_SUPPORTED.
            ErrorKind::NoLibrary => 50,
            // ERROR_NO_SUCH_LOGON_SESSION.
            ErrorKind::NoTicket | ErrorKind::Expired => 1312,
            // ERROR_LOGON_FAILURE.
            ErrorKind::WrongPassword | ErrorKind::UnknownUser | ErrorKind::Other => 1326,
            // ERROR_PASSWORD_EXPIRED.
            ErrorKind::PasswordExpired => 1330,
            // ERROR_ACCOUNT_DISABLED.
            ErrorKind::Revoked => 1331,
            // ERROR_WRONG_TARGET_NAME.
            ErrorKind::UnknownService | ErrorKind::NotMutual => 1396,
            // ERROR_NO_LOGON_SERVERS.
            ErrorKind::UnknownRealm | ErrorKind::Unreachable => 1311,
            // ERROR_TIME_SKEW.
            ErrorKind::ClockSkew => 1398,
        }
    }

    /// The error and how to go on, in one line.
    pub fn advice(&self) -> String {
        let how = match self.kind() {
            ErrorKind::NoTicket => "get a ticket with 'kinit USER@REALM', or use --login USER@REALM",
            ErrorKind::Expired => {
                "the ticket has ended: get a new one with 'kinit', or renew it with 'kinit -R'"
            }
            ErrorKind::PasswordExpired => "change the password first, with 'kpasswd'",
            ErrorKind::UnknownService => {
                "use the server's name that its ticket is for (its full name in the domain), or --ntlm"
            }
            ErrorKind::ClockSkew => {
                "the clocks of this machine and the domain differ by more than five minutes: set this one"
            }
            ErrorKind::UnknownRealm => "krb5.conf or the DNS must name the realm's key distribution centers",
            ErrorKind::Unreachable => "the domain's controller must be reachable from here",
            ErrorKind::NotMutual => "another machine may answer in the server's place",
            ErrorKind::NoLibrary
            | ErrorKind::WrongPassword
            | ErrorKind::UnknownUser
            | ErrorKind::Revoked
            | ErrorKind::Other => return self.to_string(),
        };
        format!("{self}; {how}")
    }

    /// True if the same password must not be tried with another protocol: the domain has said no already, and counts
    /// wrong ones.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self.kind(), ErrorKind::WrongPassword | ErrorKind::PasswordExpired | ErrorKind::Revoked)
    }
}

/// Tickets of MIT's Kerberos library.
pub struct Tickets {
    principal: String,
    /// The DNS name of the domain whose controllers they are for; `None` for other servers.
    domain: Option<String>,
    kind: Kind,
}

enum Kind {
    /// In the caches of the user who runs this. They are read again for every logon, so that renewed ones are used.
    Cached,
    /// By password.
    Password {
        password: Zeroizing<String>,
        /// True if the name is a user principal name whose suffix is not a realm.
        enterprise: bool,
        kept: Mutex<Option<Credential>>,
    },
    /// By a key in a file, with a cache for the tickets.
    Keytab { keytab: String, cache: String },
}

impl Tickets {
    /// The tickets of the user who runs this for the server `host`; of this principal, if one is named (without a
    /// realm it is the default one), else of the one that krb5.conf and `~/.k5identity` choose for the server. Gets a
    /// ticket for the server, which is in the user's cache afterwards. Blocks.
    pub fn of_user(host: &str, principal: Option<&str>) -> Result<Arc<Self>, TicketError> {
        named(host)?;
        let credential = match principal {
            Some(principal) => of_principal(principal)?,
            None => Credential::of_user()?,
        };
        let (initiator, _) = first_step(&credential, host, None)?;
        Ok(Arc::new(Self { principal: initiator.principal()?, domain: None, kind: Kind::Cached }))
    }

    /// The tickets of this principal in the caches of the user who runs this, which need not exist yet.
    pub fn of_principal(principal: &str) -> Arc<Self> {
        Arc::new(Self { principal: principal.to_owned(), domain: None, kind: Kind::Cached })
    }

    /// Tickets of a user principal name (`carol@corp.example`), by password; gotten with the first logon and kept in
    /// memory. The suffix may be a realm in any case, or any that the domain knows.
    pub fn with_password(name: &str, password: &str) -> Arc<Self> {
        let password = Zeroizing::new(password.to_owned());
        let principal = match name.rsplit_once('@') {
            // Realms are in upper case; those of Active Directory always (MS-KILE 3.1.1.9).
            Some((user, realm)) => format!("{user}@{}", realm.to_ascii_uppercase()),
            None => name.to_owned(),
        };
        let kind = Kind::Password { password, enterprise: false, kept: Mutex::default() };
        Arc::new(Self { principal, domain: None, kind })
    }

    /// Tickets of a principal whose key is in a keytab (such as a computer's, `FILES$@CORP.EXAMPLE` in
    /// `/etc/krb5.keytab`), kept in `cache`, as `MEMORY:name`.
    pub fn from_keytab(principal: &str, keytab: &str, cache: &str) -> Arc<Self> {
        let kind = Kind::Keytab { keytab: keytab.to_owned(), cache: cache.to_owned() };
        Arc::new(Self { principal: principal.to_owned(), domain: None, kind })
    }

    /// As [`from_keytab`](Self::from_keytab), for the controllers of the domain with this DNS name alone: a server
    /// that is none has no ticket, whatever its name.
    pub fn for_controllers(principal: &str, keytab: &str, cache: &str, domain: &str) -> Arc<Self> {
        let kind = Kind::Keytab { keytab: keytab.to_owned(), cache: cache.to_owned() };
        Arc::new(Self { principal: principal.to_owned(), domain: Some(domain.to_owned()), kind })
    }

    fn credential(&self) -> Result<Credential, TicketError> {
        match &self.kind {
            Kind::Cached => Ok(Credential::of_principal(&self.principal)?),
            Kind::Keytab { keytab, cache } => Ok(Credential::from_keytab(&self.principal, keytab, cache)?),
            Kind::Password { password, enterprise, kept } => {
                let mut kept = kept.lock();
                if let Some(credential) = &*kept
                    && credential.owner().is_ok_and(|owner| owner.lifetime > LIFETIME_MIN)
                {
                    return Ok(credential.clone());
                }
                let made = by_password(&self.principal, password, *enterprise)?;
                Ok(kept.insert(made).clone())
            }
        }
    }
}

impl TicketSource for Tickets {
    fn begin(&self, host: &str) -> Result<Begun, TicketError> {
        named(host)?;
        let (initiator, token) = first_step(&self.credential()?, host, self.domain.as_deref())?;
        Ok(Begun { exchange: Box::new(Exchange(initiator)), token })
    }

    fn principal(&self) -> String {
        self.principal.clone()
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

/// Gets a ticket within a time limit. The call goes on in its thread when the time is over; as long as it does, no other
/// one begins for the same principal, so that key distribution centers that hang hold one thread and not one for every
/// attempt.
pub(crate) async fn begin(source: &Arc<dyn TicketSource>, host: &str) -> Result<Begun, TicketError> {
    begin_within(source, host, TICKET_TIME_MAX).await
}

async fn begin_within(
    source: &Arc<dyn TicketSource>,
    host: &str,
    limit: Duration,
) -> Result<Begun, TicketError> {
    let (source, host) = (Arc::clone(source), host.to_owned());
    let begun = async {
        // The semaphore is never closed, so the error cannot occur.
        let turn = turn_of(&source.principal()).acquire_owned().await.ok();
        let begun = tokio::task::spawn_blocking(move || {
            let begun = source.begin(&host);
            drop(turn);
            begun
        });
        begun.await
    };
    match tokio::time::timeout(limit, begun).await {
        Ok(Ok(begun)) => begun,
        // The task panicked, or the runtime ends.
        Ok(Err(_)) | Err(_) => Err(TicketError::TimedOut),
    }
}

/// The turn of a principal's exchanges. It exists as long as one of them is under way.
fn turn_of(principal: &str) -> Arc<Semaphore> {
    static TURNS: Mutex<BTreeMap<String, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());
    let mut turns = TURNS.lock();
    turns.retain(|_, turn| turn.strong_count() > 0);
    if let Some(turn) = turns.get(principal).and_then(Weak::upgrade) {
        return turn;
    }
    let turn = Arc::new(Semaphore::new(1));
    turns.insert(principal.to_owned(), Arc::downgrade(&turn));
    turn
}

/// An error if `host` is an address: no service has one in its name.
fn named(host: &str) -> Result<(), TicketError> {
    let address = host.split('%').next().unwrap_or_default().parse::<IpAddr>().is_ok();
    if address || host.to_ascii_lowercase().ends_with(".ipv6-literal.net") {
        return Err(TicketError::Address(host.to_owned()));
    }
    Ok(())
}

/// The cached tickets of a principal. Names of Active Directory are the same in any case, those of Kerberos are not, so
/// the default cache may be this principal's, too.
fn of_principal(principal: &str) -> Result<Credential, gss::Error> {
    let mut error = match Credential::of_principal(principal) {
        Err(error) if error.kind != ErrorKind::NoLibrary => error,
        outcome => return outcome,
    };
    let default = Credential::of_user()?;
    let owner = default.owner()?.principal;
    let (user, realm) = owner.rsplit_once('@').unwrap_or((&owner, ""));
    let same = match principal.rsplit_once('@') {
        Some((name, domain)) => user.eq_ignore_ascii_case(name) && realm.eq_ignore_ascii_case(domain),
        None => {
            user.eq_ignore_ascii_case(principal) && gss::default_realm().is_ok_and(|default| default == realm)
        }
    };
    // Whatever the library says about the name, such as that there is no default realm: there is no ticket.
    error.kind = ErrorKind::NoTicket;
    if same { Ok(default) } else { Err(error) }
}

/// The realm may be a suffix that only the domain knows; its controller looks it up then.
fn by_password(principal: &str, password: &str, enterprise: bool) -> Result<Credential, gss::Error> {
    if enterprise {
        return Credential::with_enterprise_password(principal, password);
    }
    match Credential::with_password(principal, password) {
        Err(error) if error.kind == ErrorKind::UnknownRealm => {
            Credential::with_enterprise_password(principal, password).map_err(|_| error)
        }
        made => made,
    }
}

/// Begins an exchange with the host, which must be a controller of `domain` if one is given.
fn first_step(
    credential: &Credential,
    host: &str,
    domain: Option<&str>,
) -> Result<(Initiator, Vec<u8>), gss::Error> {
    if let Some(domain) = domain {
        return begin_with(Initiator::for_controller(credential.clone(), SERVICE, host, domain)?);
    }
    let begin_for = |host: &str| begin_with(Initiator::new(credential.clone(), SERVICE, host)?);
    match begin_for(host) {
        Err(error) if error.kind == ErrorKind::UnknownService && !host.contains('.') => {
            // Active Directory knows the short names of its members; other realms know full names alone.
            let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            let full = search_domain(&text).map(|domain| format!("{host}.{domain}"));
            full.and_then(|full| begin_for(&full).ok()).ok_or(error)
        }
        begun => begun,
    }
}

fn begin_with(mut initiator: Initiator) -> Result<(Initiator, Vec<u8>), gss::Error> {
    match initiator.step(None)? {
        Step::Token(token) => Ok((initiator, token)),
        // The service has not answered yet, so it cannot have proved anything.
        Step::Done(_) => Err(gss::Error::not_mutual()),
    }
}

/// The first domain in which this machine looks up short names: that of the last `search` or `domain` (resolv.conf(5)).
fn search_domain(resolv_conf: &str) -> Option<&str> {
    let domain = resolv_conf.lines().rev().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next(), Some("search" | "domain")).then(|| words.next())?
    })?;
    Some(domain.trim_matches('.')).filter(|domain| !domain.is_empty())
}

/// The exchange in the form that the logon takes.
struct Exchange(Initiator);

impl KerberosExchange for Exchange {
    fn step(&mut self, token: &[u8]) -> Result<KerberosStep, KerberosError> {
        Ok(match self.0.step(Some(token))? {
            Step::Token(token) => KerberosStep::Token(token),
            Step::Done(token) => KerberosStep::Done(token),
        })
    }

    fn session_key(&mut self) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        Ok(self.0.session_key()?.bytes)
    }

    fn get_mic(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        Ok(self.0.get_mic(message)?)
    }

    fn verify_mic(&mut self, message: &[u8], mic: &[u8]) -> Result<(), KerberosError> {
        Ok(self.0.verify_mic(message, mic)?)
    }
}

/// The service of SMB servers (MS-SMB2 3.2.4.2.3.1).
const SERVICE: &str = "cifs";

/// The place of the domain of short names.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Tickets of a password that end sooner are replaced by new ones.
const LIFETIME_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_no_tickets() {
        for address in ["10.0.0.1", "::1", "fe80::1%eth0", "fe80--1s4.ipv6-literal.net"] {
            assert_eq!(named(address), Err(TicketError::Address(address.to_owned())), "{address}");
        }
        for name in ["files", "files.corp.example", "10.0.0.1.example"] {
            assert_eq!(named(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn short_names_are_those_of_the_first_domain_that_is_searched() {
        let text = "domain old.example\nsearch corp.example. eu.example\nnameserver 10.0.0.1\n";
        assert_eq!(search_domain(text), Some("corp.example"));
        assert_eq!(search_domain("nameserver 10.0.0.1\nsearch .\n"), None);
    }

    /// A source whose calls hang until the test lets them go.
    #[derive(Debug)]
    struct Hanging {
        begun: std::sync::atomic::AtomicUsize,
        gate: Mutex<std::sync::mpsc::Receiver<()>>,
    }

    impl TicketSource for Hanging {
        fn begin(&self, host: &str) -> Result<Begun, TicketError> {
            self.begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            _ = self.gate.lock().recv();
            Err(TicketError::Address(host.to_owned()))
        }

        fn principal(&self) -> String {
            String::from("hanging@CORP.EXAMPLE")
        }
    }

    #[tokio::test]
    async fn exchanges_that_hang_hold_one_thread() {
        let (open, gate) = std::sync::mpsc::channel();
        let hanging = Arc::new(Hanging { begun: Default::default(), gate: Mutex::new(gate) });
        let source: Arc<dyn TicketSource> = Arc::clone(&hanging) as _;
        for _ in 0..5 {
            let outcome = begin_within(&source, "files", Duration::from_millis(20)).await;
            assert_eq!(outcome.unwrap_err(), TicketError::TimedOut);
        }
        assert_eq!(hanging.begun.load(std::sync::atomic::Ordering::SeqCst), 1);
        drop(open);
        let outcome = begin_within(&source, "files", Duration::from_secs(60)).await;
        assert_eq!(outcome.unwrap_err(), TicketError::Address(String::from("files")));
    }

    #[test]
    fn the_realm_of_a_user_principal_name_is_in_upper_case() {
        assert_eq!(Tickets::with_password("carol@corp.example", "x").principal(), "carol@CORP.EXAMPLE");
        assert_eq!(Tickets::with_password("carol", "x").principal(), "carol");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", Tickets::with_password("carol@A", "secret")).contains("secret"));
    }
}
