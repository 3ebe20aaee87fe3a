//! Sealing of SMB3 messages (MS-SMB2 3.1.4.3) under the transform header (MS-SMB2 2.2.41).

use core::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U11, U16};
use thiserror::Error;

use crate::bytes::array_at;
use crate::limits::MAX_SEALED_MESSAGES;
use crate::random::{Random, SystemRandom};

/// Bytes of the transform header: protocol id 4, signature 16, nonce 16, original size 4,
/// reserved 2, flags 2, session id 8.
pub const TRANSFORM_HEADER: usize = 52;

/// A cipher of `SMB2_ENCRYPTION_CAPABILITIES` (MS-SMB2 2.2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-128-CCM, the only one of SMB 3.0 and 3.0.2.
    Aes128Ccm,
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-CCM.
    Aes256Ccm,
    /// AES-256-GCM.
    Aes256Gcm,
}

impl Cipher {
    /// The cipher with this wire value.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            1 => Some(Self::Aes128Ccm),
            2 => Some(Self::Aes128Gcm),
            3 => Some(Self::Aes256Ccm),
            4 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// The wire value.
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes128Ccm => 1,
            Self::Aes128Gcm => 2,
            Self::Aes256Ccm => 3,
            Self::Aes256Gcm => 4,
        }
    }

    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes128Gcm => 16,
            Self::Aes256Ccm | Self::Aes256Gcm => 32,
        }
    }

    /// Bytes of the transform header's nonce field that count.
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::Aes128Ccm | Self::Aes256Ccm => 11,
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
        }
    }
}

/// The reason that a message was not encrypted or not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealingError {
    /// The message was not sealed with this key, or was changed.
    #[error("the encrypted message fails authentication")]
    BadSignature,
    /// The cryptographic library refused.
    #[error("encryption failed")]
    Failed,
    /// The key has encrypted as many messages as it may; the session must end.
    #[error("the key has no unused nonce left")]
    NoncesExhausted,
    /// The key has not the cipher's length.
    #[error("the key's length does not fit the cipher")]
    WrongKeyLength,
}

/// A cipher key with its schedule prepared, and the source of its nonces.
///
/// One per direction and session, shared by all channels: two of them over the same key would
/// repeat nonces.
pub struct SealingKey {
    inner: Inner,
    nonces: NonceSource,
}

impl SealingKey {
    /// Prepares `key`, whose nonces get a random part from the system.
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, SealingError> {
        Self::with_random(cipher, key, &mut SystemRandom)
    }

    /// As [`SealingKey::new`] with the caller's random source.
    pub fn with_random(cipher: Cipher, key: &[u8], random: &mut dyn Random) -> Result<Self, SealingError> {
        let wrong = |_| SealingError::WrongKeyLength;
        let inner = match cipher {
            Cipher::Aes128Ccm => Inner::Aes128Ccm(Box::new(
                Ccm128::new_from_slice(key).map_err(|_| SealingError::WrongKeyLength)?,
            )),
            Cipher::Aes256Ccm => Inner::Aes256Ccm(Box::new(
                Ccm256::new_from_slice(key).map_err(|_| SealingError::WrongKeyLength)?,
            )),
            Cipher::Aes128Gcm => {
                Inner::Aes128Gcm(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).map_err(wrong)?))
            }
            Cipher::Aes256Gcm => {
                Inner::Aes256Gcm(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(wrong)?))
            }
        };
        Ok(Self { inner, nonces: NonceSource::new(random)? })
    }

    /// The cipher the key was made for.
    pub const fn cipher(&self) -> Cipher {
        match self.inner {
            Inner::Aes128Ccm(_) => Cipher::Aes128Ccm,
            Inner::Aes128Gcm(_) => Cipher::Aes128Gcm,
            Inner::Aes256Ccm(_) => Cipher::Aes256Ccm,
            Inner::Aes256Gcm(_) => Cipher::Aes256Gcm,
        }
    }

    /// Encrypts `payload` and fills in the nonce and the signature of `header`, whose other fields
    /// must be final: they are authenticated.
    pub fn seal_in_place(
        &self,
        header: &mut [u8; TRANSFORM_HEADER],
        payload: &mut [u8],
    ) -> Result<(), SealingError> {
        let nonce = self.nonces.next(self.cipher().nonce_len())?;
        header.get_mut(NONCE).ok_or(SealingError::Failed)?.copy_from_slice(&nonce);
        let aad = header.get(AUTHENTICATED).ok_or(SealingError::Failed)?;
        let signature = match &self.inner {
            Inner::Aes128Gcm(key) | Inner::Aes256Gcm(key) => {
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(&nonce)?, Aad::from(aad), payload)
                    .map_err(|_| SealingError::Failed)?;
                array_at::<16>(tag.as_ref(), 0).ok_or(SealingError::Failed)?
            }
            Inner::Aes128Ccm(key) => key
                .encrypt_inout_detached(&ccm_nonce(&nonce)?.into(), aad, payload.into())
                .map_err(|_| SealingError::Failed)?
                .into(),
            Inner::Aes256Ccm(key) => key
                .encrypt_inout_detached(&ccm_nonce(&nonce)?.into(), aad, payload.into())
                .map_err(|_| SealingError::Failed)?
                .into(),
        };
        header.get_mut(SIGNATURE).ok_or(SealingError::Failed)?.copy_from_slice(&signature);
        Ok(())
    }

    /// Checks `header` and `payload` and decrypts `payload`, whose content counts only on success.
    pub fn open_in_place(
        &self,
        header: &[u8; TRANSFORM_HEADER],
        payload: &mut [u8],
    ) -> Result<(), SealingError> {
        let nonce = array_at::<16>(header, NONCE.start).ok_or(SealingError::Failed)?;
        let signature = array_at::<16>(header, SIGNATURE.start).ok_or(SealingError::Failed)?;
        let aad = header.get(AUTHENTICATED).ok_or(SealingError::Failed)?;
        match &self.inner {
            Inner::Aes128Gcm(key) | Inner::Aes256Gcm(key) => key
                .open_in_place_separate_tag(gcm_nonce(&nonce)?, Aad::from(aad), &signature, payload)
                .map(|_| ())
                .map_err(|_| SealingError::BadSignature),
            Inner::Aes128Ccm(key) => key
                .decrypt_inout_detached(&ccm_nonce(&nonce)?.into(), aad, payload.into(), &signature.into())
                .map_err(|_| SealingError::BadSignature),
            Inner::Aes256Ccm(key) => key
                .decrypt_inout_detached(&ccm_nonce(&nonce)?.into(), aad, payload.into(), &signature.into())
                .map_err(|_| SealingError::BadSignature),
        }
    }
}

impl core::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("SealingKey").field(&self.cipher()).finish()
    }
}

/// Nonces that never repeat for one key: a counter, then a random part so that even a key that came
/// back would hardly meet an old nonce.
struct NonceSource {
    counter: AtomicU64,
    salt: [u8; 4],
}

impl NonceSource {
    fn new(random: &mut dyn Random) -> Result<Self, SealingError> {
        let mut salt = [0; 4];
        random.fill(&mut salt).map_err(|_| SealingError::Failed)?;
        Ok(Self { counter: AtomicU64::new(0), salt })
    }

    /// The nonce field: `len` bytes that count, zeros after them.
    fn next(&self, len: usize) -> Result<[u8; 16], SealingError> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        if counter >= MAX_SEALED_MESSAGES {
            self.counter.store(MAX_SEALED_MESSAGES, Ordering::Relaxed);
            return Err(SealingError::NoncesExhausted);
        }
        let mut nonce = [0; 16];
        let bytes = counter.to_le_bytes().into_iter().chain(self.salt);
        for (to, from) in nonce.iter_mut().zip(bytes.take(len)) {
            *to = from;
        }
        Ok(nonce)
    }
}

type Ccm128 = Ccm<aes::Aes128, U16, U11>;
type Ccm256 = Ccm<aes::Aes256, U16, U11>;

enum Inner {
    Aes128Ccm(Box<Ccm128>),
    Aes128Gcm(LessSafeKey),
    Aes256Ccm(Box<Ccm256>),
    Aes256Gcm(LessSafeKey),
}

fn gcm_nonce(field: &[u8; 16]) -> Result<Nonce, SealingError> {
    array_at::<12>(field, 0).map(Nonce::assume_unique_for_key).ok_or(SealingError::Failed)
}

fn ccm_nonce(field: &[u8; 16]) -> Result<[u8; 11], SealingError> {
    array_at::<11>(field, 0).ok_or(SealingError::Failed)
}

const SIGNATURE: core::ops::Range<usize> = 4..20;
const NONCE: core::ops::Range<usize> = 20..36;
const AUTHENTICATED: core::ops::Range<usize> = 20..TRANSFORM_HEADER;

#[cfg(test)]
mod tests;
