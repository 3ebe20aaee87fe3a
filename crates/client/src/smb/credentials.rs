//! The ways in which a user can prove who it is.

use std::sync::Arc;

use auth::{Credentials, Initiator, InitiatorError};
use wire::Command;

use super::error::Error;
use crate::tickets::TicketSource;

/// The ways in which a user can prove who it is: Kerberos tickets, a password for NTLM, or both.
///
/// Tickets come first. With both, NTLM follows if there is no ticket for the server, or if the server does not take
/// Kerberos; with tickets alone the logon fails then. A server that refuses a ticket ends the logon in any case.
#[derive(Clone, Debug)]
pub struct LogonCredentials {
    /// `None` if the logon must not use NTLM.
    pub(super) ntlm: Option<Credentials>,
    /// `None` if it must not use Kerberos.
    pub(super) tickets: Option<Arc<dyn TicketSource>>,
}

impl LogonCredentials {
    /// Tickets, and what follows them if it may.
    pub fn with_tickets(tickets: Arc<dyn TicketSource>, fallback: Option<Credentials>) -> Self {
        Self { ntlm: fallback, tickets: Some(tickets) }
    }

    /// The user's name, as the user gave it or as the tickets have it; empty for the anonymous logon.
    pub fn user(&self) -> String {
        match (&self.ntlm, &self.tickets) {
            (_, Some(tickets)) => tickets.principal(),
            (Some(ntlm), None) => ntlm.user().to_owned(),
            (None, None) => String::new(),
        }
    }

    /// The error of a logon that these credentials made.
    pub(super) fn explain(&self, error: Error, initiator: &Initiator) -> Error {
        match error {
            Error::Status(status, Command::SESSION_SETUP) if initiator.is_kerberos() => {
                Error::TicketRefused(status, self.user())
            }
            Error::Logon(InitiatorError::NoCommonMechanism) if self.tickets.is_some() => Error::NoKerberos,
            error => error,
        }
    }

    /// True for the anonymous logon, which has nothing that a server could check.
    pub(super) fn is_anonymous(&self) -> bool {
        self.tickets.is_none() && self.ntlm.as_ref().is_some_and(Credentials::is_anonymous)
    }
}

impl From<Credentials> for LogonCredentials {
    /// A logon with NTLM alone.
    fn from(ntlm: Credentials) -> Self {
        Self { ntlm: Some(ntlm), tickets: None }
    }
}
