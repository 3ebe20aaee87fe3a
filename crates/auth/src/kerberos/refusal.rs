//! The reasons that tickets are refused.

use core::fmt;

use thiserror::Error;

use super::keytab::ServiceKind;
use super::time::KerberosTime;

/// The reason that a ticket is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum KerberosRefusal {
    /// The client is bound to another channel than that of the logon.
    #[error(
        "the client's request is bound to a TLS connection with another certificate than the server's (a proxy is between, or the request was passed on)"
    )]
    AnotherChannel,
    /// The client wanted another service than that which the ticket names.
    #[error("the client wants {0}, which is not a {1} of this server's keytab; its request was passed on")]
    AnotherTarget(Shown, ServiceKind),
    /// KRB_AP_ERR_MODIFIED for the authenticator: it is not encrypted in the ticket's session key.
    #[error("the authenticator was altered")]
    AuthenticatorAltered,
    /// Authorization data that restrict the ticket in a way that the server does not know (RFC 4120 5.2.6).
    #[error("the ticket is restricted by authorization data of type {0}, which this server does not know")]
    CriticalData(i32),
    /// The client asks for channel bindings or for a style of the exchange that the server does not know.
    #[error("the client demands {0}, which this server does not support")]
    Demands(&'static str),
    /// The encryption type is not supported, or RC4 and not allowed.
    #[error("the encryption type {0} of the ticket is not accepted (see rc4 in [domain] for rc4-hmac)")]
    Enctype(ShownEnctype),
    /// KRB_AP_ERR_TKT_EXPIRED.
    #[error("the ticket has ended at {end}; the server's clock says {now}")]
    Expired {
        /// The ticket's end.
        end: KerberosTime,
        /// The server's time.
        now: KerberosTime,
    },
    /// KRB_AP_ERR_NOKEY or KRB_AP_ERR_BADKEYVER: the keytab has no key of this version and encryption type.
    #[error(
        "the keytab has no key for {service} with version {version} and {enctype} (the keytab is older or newer than the machine's password, or the ticket is)"
    )]
    NoKey {
        /// The service of the ticket.
        service: Shown,
        /// The key version of the ticket.
        version: ShownVersion,
        /// The encryption type of the ticket.
        enctype: ShownEnctype,
    },
    /// The ticket has no PAC, so nothing says which user and which groups it means.
    #[error("the ticket has no PAC")]
    NoPac,
    /// KRB_AP_ERR_BADMATCH: the authenticator names another client than the ticket.
    #[error("the authenticator names another client than the ticket")]
    NotTheClient,
    /// KRB_AP_ERR_NOT_US: the ticket is for another service, or for another host.
    #[error("the ticket is for {0}, which is not a {1} of this server's keytab")]
    NotUs(Shown, ServiceKind),
    /// KRB_AP_ERR_TKT_NYV.
    #[error("the ticket is not valid before {start}; the server's clock says {now}")]
    NotYetValid {
        /// The ticket's start.
        start: KerberosTime,
        /// The server's time.
        now: KerberosTime,
    },
    /// A postdated ticket that was not validated.
    #[error("the ticket is postdated and was not validated")]
    Postdated,
    /// The PAC's structure is wrong.
    #[error("the ticket's PAC is malformed: {0}")]
    PacMalformed(&'static str),
    /// The PAC's signature is wrong.
    #[error("the signature of the ticket's PAC is wrong")]
    PacSignature,
    /// The PAC belongs to another client or another ticket.
    #[error("the ticket's PAC is of another user or ticket: {0}")]
    PacOfAnother(&'static str),
    /// KRB_AP_ERR_REPEAT.
    #[error("the authenticator was used before")]
    Replayed,
    /// The table of authenticators in use is full.
    #[error("too many logons within the clock skew; the table of used authenticators is full")]
    ReplaysFull,
    /// The third message of the DCE style is not the client's.
    #[error("the client's last reply is malformed, or is not encrypted in the ticket's session key")]
    ReplyAltered,
    /// KRB_AP_ERR_SKEW.
    #[error(
        "the client's clock says {client} and the server's {server}, which is more than the allowed clock skew of {allowed} s (see clock_skew in [domain])"
    )]
    Skew {
        /// The client's time.
        client: KerberosTime,
        /// The server's time.
        server: KerberosTime,
        /// The allowed difference in seconds.
        allowed: u32,
    },
    /// KRB_AP_ERR_MODIFIED for the ticket: it is not encrypted in the keytab's key.
    #[error("the ticket for {0} was altered, or the keytab's key is not that of the service")]
    TicketAltered(Shown),
    /// The token is not an AP-REQ in the framing of RFC 4121 4.1.
    #[error("the Kerberos token is malformed")]
    TokenMalformed,
    /// The client binds its requests to channels, but not this one to that of the logon.
    #[error(
        "the client's request is not bound to its TLS connection, although the client knows channel bindings"
    )]
    Unbound,
    /// No random bytes.
    #[error("the server cannot get random bytes")]
    Internal,
}

impl KerberosRefusal {
    /// The error code for the client (RFC 4120 7.5.9), if a client that knows it may try again with another ticket,
    /// another authenticator or another time.
    ///
    /// A ticket of a key that is not in the keytab is "modified", as a server of MS-KILE 3.4.5 says, and not "bad key
    /// version".
    pub(super) const fn retry_code(&self) -> Option<i32> {
        Some(match self {
            Self::Expired { .. } => KRB_AP_ERR_TKT_EXPIRED,
            Self::NotYetValid { .. } | Self::Postdated => KRB_AP_ERR_TKT_NYV,
            Self::Replayed => KRB_AP_ERR_REPEAT,
            Self::Skew { .. } => KRB_AP_ERR_SKEW,
            Self::AuthenticatorAltered | Self::NoKey { .. } | Self::TicketAltered(_) => KRB_AP_ERR_MODIFIED,
            _ => return None,
        })
    }
}

/// A name that a client chose, in a form for messages: cut, and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown(Box<str>);

impl Shown {
    pub(super) fn new(name: impl fmt::Display) -> Self {
        let plain =
            |c: char| if c.is_ascii_graphic() || c.is_alphanumeric() || c == ' ' { c } else { '\u{fffd}' };
        Self(name.to_string().chars().take(SHOWN_MAX).map(plain).collect())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An encryption type by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShownEnctype(pub i32);

impl fmt::Display for ShownEnctype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match super::Enctype::from_number(self.0) {
            Some(enctype) => enctype.fmt(f),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A key version; `None` if the ticket has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShownVersion(pub Option<u32>);

impl fmt::Display for ShownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => version.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// The error codes (RFC 4120 7.5.9).
const KRB_AP_ERR_TKT_EXPIRED: i32 = 32;
const KRB_AP_ERR_TKT_NYV: i32 = 33;
const KRB_AP_ERR_REPEAT: i32 = 34;
pub(super) const KRB_AP_ERR_SKEW: i32 = 37;
const KRB_AP_ERR_MODIFIED: i32 = 41;
/// Characters of a client's name in a message.
const SHOWN_MAX: usize = 128;
