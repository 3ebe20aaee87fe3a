//! The errors that prevent a server from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server cannot listen on an address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: io::Error,
    },
    /// The directory of a new share cannot be served.
    #[error("cannot share {path:?} as {name}: {error}")]
    Share {
        /// The share's name.
        name: String,
        /// The directory of the share.
        path: PathBuf,
        /// The error.
        error: vfs::Error,
    },
    /// The control socket cannot be created.
    #[error("cannot create the control socket {path:?}: {error}")]
    ControlSocket {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The certificate of the web console, or the token of the metrics, cannot be used.
    #[error("cannot start the web console: {0}")]
    Console(crate::core::certificate::CertificateError),
    /// The process that runs the commands of notices cannot be started.
    #[error("cannot start the process that runs the commands of notices: {0}")]
    Notices(io::Error),
    /// The server cannot be a member of its cluster.
    #[error("cannot take part in the cluster: {0}")]
    Cluster(String),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random,
    /// There is no address to listen on.
    #[error("there is no address to listen on")]
    NoAddress,
}
