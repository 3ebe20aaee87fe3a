//! The reasons that calls fail.

use std::io;
use std::path::PathBuf;

use control::number;

/// The reason that a call failed. Every kind has a number ([`Error::number`]), which is the one that NET would show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a refusal.
    #[error("{0}")]
    Refused(#[from] control::Error),
    /// No server listens at any of the sockets.
    #[error("no server listens at {}", list(.sockets))]
    NotStarted {
        /// The sockets that were tried.
        sockets: Vec<PathBuf>,
    },
    /// The socket exists, but this user may not open it.
    #[error("permission to open {} is denied", .socket.display())]
    NotPermitted {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Broken(#[source] io::Error),
    /// The server took too long.
    #[error("no answer within {} seconds", crate::limits::REQUEST_TIME_MAX.as_secs())]
    TimedOut,
    /// The answer is not one of this API.
    #[error("the answer cannot be decoded: {0}")]
    Nonsense(String),
}

impl Error {
    /// The number, of Win32 or of NET.
    pub fn number(&self) -> u32 {
        match self {
            Self::Refused(error) => error.code,
            Self::NotStarted { .. } => number::SERVER_NOT_STARTED,
            Self::NotPermitted { .. } => number::ACCESS_DENIED,
            Self::Broken(_) => number::UNEXP_NET_ERR,
            Self::TimedOut => number::TIMEOUT,
            Self::Nonsense(_) => number::BAD_NET_RESP,
        }
    }

    /// The message of the server, if it sent one.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => Some(&error.message),
            _ => None,
        }
    }

    /// Advice, if there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(error) => error.hint.clone(),
            Self::NotStarted { .. } => {
                Some(format!("{self}; --socket names another socket, and 'shareward serve' starts a server"))
            }
            Self::NotPermitted { .. } => {
                Some(format!("{self}; run the command as root or as the user who runs the server"))
            }
            Self::Broken(_) | Self::TimedOut | Self::Nonsense(_) => Some(self.to_string()),
        }
    }
}

fn list(sockets: &[PathBuf]) -> String {
    sockets.iter().map(|socket| socket.display().to_string()).collect::<Vec<_>>().join(" or ")
}
