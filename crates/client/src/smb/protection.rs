//! Signing and sealing of one session's messages (MS-SMB2 3.2.4.1.1, 3.2.4.1.8, 3.2.5.1.1, 3.2.5.1.3).

use auth::sealing::TRANSFORM_HEADER;
use auth::{SealingError, SealingKey, SessionKeys, SigningKey};
use wire::header::TransformHeader;
use wire::msg::SessionFlags;
use wire::{NtStatus, SessionId};

use super::error::Error;
use super::negotiate::Negotiated;
use super::renewal::Renewal;

/// A session that is logged on, and its keys.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(crate) id: SessionId,
    pub(crate) flags: SessionFlags,
    pub(crate) signing: Option<SigningKey>,
    sealing: Option<SealingKey>,
    opening: Option<SealingKey>,
    /// `None` if the session cannot be renewed.
    pub(crate) renewal: Option<Renewal>,
}

impl SessionState {
    /// A session without a key, of a guest or an anonymous user (MS-SMB2 3.2.5.3.1).
    pub(crate) const fn keyless(id: SessionId, flags: SessionFlags) -> Self {
        Self { id, flags, signing: None, sealing: None, opening: None, renewal: None }
    }

    pub(crate) fn new(
        id: SessionId,
        flags: SessionFlags,
        negotiated: &Negotiated,
        keys: &SessionKeys,
    ) -> Result<Self, Error> {
        let signing = SigningKey::new(negotiated.signing_algorithm, &keys.signing)?;
        let (mut sealing, mut opening) = (None, None);
        if let (Some(cipher), Some(outward), Some(inward)) =
            (negotiated.cipher, &keys.client_to_server, &keys.server_to_client)
        {
            sealing = Some(SealingKey::new(cipher, outward.as_bytes())?);
            opening = Some(SealingKey::new(cipher, inward.as_bytes())?);
        }
        Ok(Self { id, flags, signing: Some(signing), sealing, opening, renewal: None })
    }

    /// True if messages can be encrypted.
    pub(crate) const fn can_seal(&self) -> bool {
        self.sealing.is_some()
    }

    /// Seals `message`; the header to send before it.
    pub(crate) fn seal(&self, message: &mut [u8]) -> Result<[u8; TRANSFORM_HEADER], Error> {
        let key = self.sealing.as_ref().ok_or(Error::Unable("the connection has no cipher"))?;
        let original_message_size =
            u32::try_from(message.len()).map_err(|_| Error::Unable("the message is too long"))?;
        let header = TransformHeader {
            original_message_size,
            flags: TransformHeader::ENCRYPTED,
            session_id: self.id,
            ..TransformHeader::default()
        };
        let mut header = header.to_bytes();
        key.seal_in_place(&mut header, message)?;
        Ok(header)
    }

    /// Opens a sealed message in its place.
    pub(crate) fn open(
        &self,
        header: &[u8; TRANSFORM_HEADER],
        message: &mut [u8],
    ) -> Result<(), SealingError> {
        self.opening.as_ref().ok_or(SealingError::Failed)?.open_in_place(header, message)
    }
}

/// Checks that an answer has the required protection.
pub(crate) fn verify(
    session: Option<&SessionState>,
    expected: Expected,
    answer: &super::Response,
) -> Result<(), Error> {
    let Some(key) = session.and_then(|session| session.signing.as_ref()) else { return Ok(()) };
    if answer.sealed {
        return Ok(());
    }
    // A server that has forgotten the session has forgotten its keys.
    let keyless = answer.status() == NtStatus::USER_SESSION_DELETED;
    if expected.sealed && !keyless {
        return Err(Error::Protocol("an answer that had to be sealed is not"));
    }
    if answer.header.is_signed() && !keyless {
        return Ok(key.verify(&answer.message)?);
    }
    if expected.signed && !keyless {
        return Err(Error::Protocol("an answer that had to be signed is not"));
    }
    Ok(())
}

/// The required protection of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) signed: bool,
    pub(crate) sealed: bool,
}
