//! Offers and requirements of a client.

use std::time::Duration;

use auth::{Cipher, InitiatorOptions, Random, SigningAlgorithm, SystemRandom};
use wire::msg::{GlobalCapabilities, SecurityMode};
use wire::{Dialect, Guid, SessionId};

use super::error::Error;
use super::limits;

/// The policy for signing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// If the server requires it.
    #[default]
    IfRequired,
    /// Always.
    Required,
}

/// The offers, requirements and time limits of a connection.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The dialects offered.
    pub dialects: Vec<Dialect>,
    /// The policy for signing.
    pub signing: Signing,
    /// True to encrypt everything after the logon; the logon fails if that is not possible.
    pub seal: bool,
    /// True to encrypt everything after the logon if possible.
    pub seal_if_possible: bool,
    /// The ciphers offered with 3.1.1, best first; if empty, the context is omitted.
    pub ciphers: Vec<Cipher>,
    /// The signing algorithms offered with 3.1.1, best first; if empty, the context is omitted.
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// True to offer the POSIX extensions with 3.1.1.
    pub posix: bool,
    /// `ClientGuid`.
    pub client_guid: Guid,
    /// `Capabilities`.
    pub capabilities: GlobalCapabilities,
    /// `ChannelSequence` of all requests with 3.x: a client that lost its connection comes back to its opens with the next
    /// number (MS-SMB2 2.2.1.2).
    pub channel_sequence: u16,
    /// The server's name: in the NETNAME context, and in the target name of the logon.
    pub server_name: String,
    /// Credits that the connection tries to hold.
    pub credits: u16,
    /// The time from connecting to the end of the negotiation.
    pub connect_timeout: Duration,
    /// Any one request.
    pub request_timeout: Duration,
}

impl ConnectOptions {
    /// The defaults, with a client GUID of their own.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { client_guid: random_guid()?, ..Self::with_guid(Guid::default()) })
    }

    /// The defaults: all dialects and algorithms, signing if the server requires it.
    pub fn with_guid(client_guid: Guid) -> Self {
        Self {
            dialects: vec![
                Dialect::SMB202,
                Dialect::SMB210,
                Dialect::SMB300,
                Dialect::SMB302,
                Dialect::SMB311,
            ],
            signing: Signing::IfRequired,
            seal: false,
            seal_if_possible: false,
            ciphers: vec![Cipher::Aes128Gcm, Cipher::Aes128Ccm, Cipher::Aes256Gcm, Cipher::Aes256Ccm],
            signing_algorithms: vec![
                SigningAlgorithm::AesGmac,
                SigningAlgorithm::AesCmac,
                SigningAlgorithm::HmacSha256,
            ],
            posix: false,
            client_guid,
            capabilities: GlobalCapabilities::LEASING
                | GlobalCapabilities::LARGE_MTU
                | GlobalCapabilities::DIRECTORY_LEASING
                | GlobalCapabilities::ENCRYPTION,
            channel_sequence: 0,
            server_name: "localhost".into(),
            credits: limits::CREDITS_WANTED,
            connect_timeout: limits::CONNECT_TIME_MAX,
            request_timeout: limits::REQUEST_TIME_MAX,
        }
    }

    /// Restricts the offer to this dialect.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialects = vec![dialect];
        self
    }

    /// `SecurityMode` of NEGOTIATE and SESSION_SETUP.
    pub(crate) fn security_mode(&self) -> SecurityMode {
        match self.signing {
            Signing::IfRequired => SecurityMode::SIGNING_ENABLED,
            Signing::Required => SecurityMode::SIGNING_ENABLED | SecurityMode::SIGNING_REQUIRED,
        }
    }

    /// The `ClientGuid` to send; zero if only 2.0.2 is offered (MS-SMB2 3.2.4.2.2.2).
    pub(crate) fn sent_client_guid(&self) -> Guid {
        if self.dialects == [Dialect::SMB202] { Guid::default() } else { self.client_guid }
    }

    /// `Capabilities`: a client of 2.0.2 only has none (MS-SMB2 3.2.4.2.2.2).
    pub(crate) fn sent_capabilities(&self) -> GlobalCapabilities {
        if self.dialects.iter().any(|dialect| *dialect >= Dialect::SMB300) {
            self.capabilities
        } else {
            GlobalCapabilities::NONE
        }
    }
}

/// The options of a logon.
#[derive(Clone, Debug, Default)]
pub struct LogonOptions {
    /// `PreviousSessionId`: the session to replace.
    pub previous_session_id: SessionId,
    /// The authentication protocol's choices.
    pub initiator: InitiatorOptions,
    /// True to accept a logon with a password that yields a guest or anonymous session, which has no keys. By default
    /// it fails with [`Error::MadeGuest`].
    pub accept_guest: bool,
}

/// 16 random bytes.
pub(crate) fn random_guid() -> Result<Guid, Error> {
    let mut guid = Guid::default();
    SystemRandom.fill(&mut guid.0)?;
    Ok(guid)
}
