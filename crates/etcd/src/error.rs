//! The errors of the client.

use std::path::PathBuf;

/// A call that has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No endpoint accepts a connection.
    #[error("no etcd endpoint can be reached: {0}")]
    Unreachable(String),
    /// etcd has refused the call.
    #[error("etcd refuses: {message}")]
    Refused {
        /// The code of gRPC.
        code: i64,
        /// The reason.
        message: String,
    },
    /// There was no answer in time, or the connection broke off.
    #[error("etcd does not answer: {0}")]
    Lost(String),
    /// The answer is not what the call has.
    #[error("etcd's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// The answer is longer than allowed.
    #[error("etcd's answer is too long")]
    TooLong,
    /// The password file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The revisions that a watch wants are compacted.
    #[error("the revisions are compacted")]
    Compacted,
}

impl Error {
    /// True if the call has certainly not been carried out, and will not be.
    pub fn is_undone(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Password { .. } | Self::Compacted => true,
            Self::Refused { code, .. } => UNDONE_CODES.contains(code),
            Self::Lost(_) | Self::Malformed(_) | Self::TooLong => false,
        }
    }

    /// True if etcd does not accept the token of the login any more.
    pub(crate) fn is_expired_token(&self) -> bool {
        matches!(self, Self::Refused { code: UNAUTHENTICATED, .. })
    }

    /// True if etcd says that the lease or the key does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: NOT_FOUND, .. })
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An endpoint is not a URL of a host and a port.
    #[error("{0:?} is not an endpoint: http://HOST:PORT or https://HOST:PORT")]
    Endpoint(String),
    /// There are none, or too many endpoints.
    #[error("there must be 1 to 16 endpoints")]
    Count,
    /// Some endpoints have TLS and others do not.
    #[error("either all endpoints begin with https:// or none does")]
    MixedTls,
    /// TLS without authorities to trust.
    #[error("endpoints with https:// need ca_file")]
    NoAuthority,
    /// A file for TLS cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The settings of TLS do not work together.
    #[error("TLS: {0}")]
    Tls(String),
}

/// NOT_FOUND of gRPC.
const NOT_FOUND: i64 = 5;
/// UNAUTHENTICATED of gRPC.
const UNAUTHENTICATED: i64 = 16;

/// INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE,
/// UNIMPLEMENTED and UNAUTHENTICATED: etcd has decided against the call. UNAVAILABLE, DEADLINE_EXCEEDED and others may
/// come after the call was proposed to the other members.
const UNDONE_CODES: &[i64] = &[3, NOT_FOUND, 6, 7, 8, 9, 11, 12, UNAUTHENTICATED];
