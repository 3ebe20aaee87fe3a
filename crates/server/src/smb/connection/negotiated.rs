//! The properties of a connection that NEGOTIATE determines (MS-SMB2 3.3.1.7).

use auth::sealing::Cipher;
use auth::signing::SigningAlgorithm;
use wire::msg::{GlobalCapabilities, SecurityMode};
use wire::{Dialect, Guid};

/// The properties of a connection that NEGOTIATE determines (MS-SMB2 3.3.1.7).
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) dialect: Dialect,
    /// The lowest and the highest dialect that the server accepted at that time.
    pub(crate) served_dialects: (Dialect, Dialect),
    /// `Connection.ClientGuid`.
    pub(crate) client_guid: Guid,
    /// `Connection.ClientCapabilities`.
    pub(crate) client_capabilities: GlobalCapabilities,
    /// `Connection.ClientSecurityMode`.
    pub(crate) client_security_mode: SecurityMode,
    /// `Connection.ServerCapabilities`.
    pub(crate) capabilities: GlobalCapabilities,
    /// `Connection.ServerSecurityMode`.
    pub(crate) security_mode: SecurityMode,
    /// `Connection.CipherId`; `None` if the connection cannot encrypt.
    pub(crate) cipher: Option<Cipher>,
    /// `Connection.SigningAlgorithmId`.
    pub(crate) signing: SigningAlgorithm,
    /// True if the POSIX extensions were negotiated, which POSIX opens require.
    pub(crate) posix: bool,
    /// `Connection.MaxReadSize` and its siblings, bytes.
    pub(crate) max_io: u32,
}
