//! The reasons that exchanges with a server fail.

use std::io;

use auth::{InitiatorError, RandomFailed, SealingError, SigningError};
use wire::{Command, DecodeError, NtStatus};

use crate::tickets::TicketError;

/// The reason that an exchange with a server failed. [`Error::Io`] and [`Error::Protocol`] end the connection; it can
/// be used after all others.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered the command with this status.
    #[error("{1:?}: {0}")]
    Status(NtStatus, Command),
    /// The connection could not be made, or broke; the server closing it is `UnexpectedEof`.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server violated the protocol.
    #[error("the server violated the protocol: {0}")]
    Protocol(&'static str),
    /// The request is impossible.
    #[error("{0}")]
    Unable(&'static str),
    /// An answer cannot be read.
    #[error("an answer cannot be decoded: {0}")]
    Malformed(#[from] DecodeError),
    /// The logon failed on this side.
    #[error(transparent)]
    Logon(#[from] InitiatorError),
    /// There is no ticket for the server, and the logon must not go on without one.
    #[error("no Kerberos ticket for the server: {0}")]
    Ticket(#[from] TicketError),
    /// The server does not offer Kerberos, and the logon must not go on without it.
    #[error("the server does not take Kerberos")]
    NoKerberos,
    /// The server refused the ticket of this principal with this status.
    #[error("the server refused the Kerberos ticket of {1}: {0}")]
    TicketRefused(NtStatus, String),
    /// The session has expired, and renewing it failed a moment ago.
    #[error("the session has expired, and could not be renewed")]
    SessionExpired,
    /// The server did not check the user's password: the session is a guest's or anonymous (MS-SMB2 3.2.5.3.1).
    #[error("the server logged the user on as a guest without checking the password")]
    MadeGuest,
    /// An answer's signature is wrong, or none could be made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A message could not be sealed or opened.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// No answer came in time.
    #[error("no answer to {0:?} in time")]
    TimedOut(Command),
    /// An RPC call failed.
    #[error(transparent)]
    Rpc(#[from] rpc::ClientError),
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] RandomFailed),
}

impl Error {
    /// The error and, of Kerberos, how to go on, in one line.
    pub fn advice(&self) -> String {
        match self {
            Self::Ticket(error) => format!("no Kerberos ticket for the server: {}", error.advice()),
            other => other.to_string(),
        }
    }

    /// The status, if the server sent one.
    pub const fn status(&self) -> Option<NtStatus> {
        match self {
            Self::Status(status, _) | Self::TicketRefused(status, _) => Some(*status),
            _ => None,
        }
    }

    /// True if the server sent this status.
    pub fn is(&self, status: NtStatus) -> bool {
        self.status() == Some(status)
    }
}

/// The end of a connection. Every request on it fails with this reason, so it can be cloned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Io(io::ErrorKind),
    Protocol(&'static str),
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Io(kind) => Self::Io(kind.into()),
            Ended::Protocol(what) => Self::Protocol(what),
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
