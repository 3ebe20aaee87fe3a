//! Signing of SMB2 messages (MS-SMB2 3.1.4.1): HMAC-SHA256, AES-128-CMAC, AES-128-GMAC.

use aws_lc_rs::{cmac, constant_time, hmac};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::bytes::{array_at, u16_at, u32_at};
use crate::gmac::Gmac;

/// `SigningAlgorithmId` (MS-SMB2 2.2.3.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// HMAC-SHA256, the only one of SMB 2.0.2 and 2.1.
    HmacSha256,
    /// AES-128-CMAC, the default of SMB 3.
    AesCmac,
    /// AES-128-GMAC, negotiated in SMB 3.1.1.
    AesGmac,
}

impl SigningAlgorithm {
    /// The algorithm with this wire value.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0 => Some(Self::HmacSha256),
            1 => Some(Self::AesCmac),
            2 => Some(Self::AesGmac),
            _ => None,
        }
    }

    /// The wire value.
    pub const fn id(self) -> u16 {
        match self {
            Self::HmacSha256 => 0,
            Self::AesCmac => 1,
            Self::AesGmac => 2,
        }
    }
}

/// The reason that a message was not signed, or its signature not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SigningError {
    /// The signature does not belong to this message and key.
    #[error("the signature is wrong")]
    BadSignature,
    /// The cryptographic library refused.
    #[error("signing failed")]
    Failed,
    /// The first slice does not hold a whole SMB2 header.
    #[error("the message is shorter than an SMB2 header")]
    TooShort,
}

/// A signing key with its schedule prepared.
///
/// The parts of the GMAC nonce (message id, direction, CANCEL) are read from the signed header.
pub struct SigningKey {
    inner: Inner,
}

impl SigningKey {
    /// Prepares `key` for `algorithm`.
    pub fn new(algorithm: SigningAlgorithm, key: &[u8; 16]) -> Result<Self, SigningError> {
        let inner = match algorithm {
            SigningAlgorithm::HmacSha256 => {
                Inner::HmacSha256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
            }
            SigningAlgorithm::AesCmac => {
                Inner::AesCmac(cmac::Key::new(cmac::AES_128, key).map_err(|_| SigningError::Failed)?)
            }
            SigningAlgorithm::AesGmac => {
                Inner::AesGmac(Box::new(Gmac::new(key).map_err(|_| SigningError::Failed)?))
            }
        };
        Ok(Self { inner })
    }

    /// The algorithm the key was made for.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self.inner {
            Inner::HmacSha256(_) => SigningAlgorithm::HmacSha256,
            Inner::AesCmac(_) => SigningAlgorithm::AesCmac,
            Inner::AesGmac(_) => SigningAlgorithm::AesGmac,
        }
    }

    /// Sets SMB2_FLAGS_SIGNED and the signature in `message`, one message of a chain with its padding.
    pub fn sign(&self, message: &mut [u8]) -> Result<(), SigningError> {
        self.sign_parts(message, &[])
    }

    /// As [`SigningKey::sign`] for a message in `head`, which begins with the header, and the slices of `rest`.
    pub fn sign_parts(&self, head: &mut [u8], rest: &[&[u8]]) -> Result<(), SigningError> {
        let header = head.first_chunk_mut::<HEADER>().ok_or(SigningError::TooShort)?;
        if let Some(flags) = header.get_mut(16) {
            *flags |= FLAGS_SIGNED;
        }
        let mut zeroed = *header;
        clear_signature(&mut zeroed);
        let signature = self.compute(&zeroed, head.get(HEADER..).unwrap_or_default(), rest)?;
        head.get_mut(SIGNATURE).ok_or(SigningError::TooShort)?.copy_from_slice(signature.as_slice());
        Ok(())
    }

    /// Checks the signature of `message`, one message of a chain with its padding.
    pub fn verify(&self, message: &[u8]) -> Result<(), SigningError> {
        self.verify_parts(message, &[])
    }

    /// As [`SigningKey::verify`] for a message in `head` and the slices of `rest`.
    pub fn verify_parts(&self, head: &[u8], rest: &[&[u8]]) -> Result<(), SigningError> {
        let mut header = *head.first_chunk::<HEADER>().ok_or(SigningError::TooShort)?;
        let claimed = array_at::<16>(&header, SIGNATURE.start).ok_or(SigningError::TooShort)?;
        clear_signature(&mut header);
        let expected = self.compute(&header, head.get(HEADER..).unwrap_or_default(), rest)?;
        constant_time::verify_slices_are_equal(expected.as_slice(), &claimed)
            .map_err(|_| SigningError::BadSignature)
    }

    fn compute(
        &self,
        header: &[u8; HEADER],
        body: &[u8],
        rest: &[&[u8]],
    ) -> Result<Zeroizing<[u8; 16]>, SigningError> {
        let parts = || [header.as_slice(), body].into_iter().chain(rest.iter().copied());
        let signature = match &self.inner {
            Inner::HmacSha256(key) => {
                let mut context = hmac::Context::with_key(key);
                parts().for_each(|part| context.update(part));
                array_at(context.sign().as_ref(), 0)
            }
            Inner::AesCmac(key) => {
                let mut context = cmac::Context::with_key(key);
                for part in parts() {
                    context.update(part).map_err(|_| SigningError::Failed)?;
                }
                array_at(context.sign().map_err(|_| SigningError::Failed)?.as_ref(), 0)
            }
            Inner::AesGmac(key) => {
                Some(key.sign(&gmac_nonce(header), parts()).map_err(|_| SigningError::Failed)?)
            }
        };
        signature.map(Zeroizing::new).ok_or(SigningError::Failed)
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.algorithm()).finish()
    }
}

enum Inner {
    HmacSha256(Box<hmac::Key>),
    AesCmac(cmac::Key),
    AesGmac(Box<Gmac>),
}

/// The nonce of MS-SMB2 3.1.4.1: the message id, then bits for the sender and for CANCEL.
fn gmac_nonce(header: &[u8; HEADER]) -> [u8; 12] {
    let message_id = array_at::<8>(header, 24).unwrap_or_default();
    let from_server = u32_at(header, 16).is_some_and(|flags| flags & FLAGS_SERVER_TO_REDIR != 0);
    let is_cancel = u16_at(header, 12) == Some(COMMAND_CANCEL);
    let role = u8::from(from_server) | (u8::from(is_cancel) << 1);
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().zip(message_id.into_iter().chain([role])) {
        *to = from;
    }
    nonce
}

fn clear_signature(header: &mut [u8; HEADER]) {
    if let Some(signature) = header.get_mut(SIGNATURE) {
        signature.fill(0);
    }
}

const HEADER: usize = 64;
const SIGNATURE: core::ops::Range<usize> = 48..64;
const FLAGS_SERVER_TO_REDIR: u32 = 0x1;
const FLAGS_SIGNED: u8 = 0x8;
const COMMAND_CANCEL: u16 = 0x000c;

#[cfg(test)]
mod tests;
