//! Why a server does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A new share's directory cannot be served.
    #[error("cannot share {path:?} as {name}: {error}")]
    Share {
        /// The share's name.
        name: String,
        /// Its directory.
        path: PathBuf,
        /// What went wrong.
        error: vfs::Error,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path:?}: {error}")]
    ControlSocket {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random,
    /// There is nothing to listen on.
    #[error("there is no address to listen on")]
    NoAddress,
}
