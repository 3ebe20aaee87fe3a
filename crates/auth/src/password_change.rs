//! New passwords, encrypted by the client with a secret of both sides: the old password (MS-SAMR 3.2.2).
//!
//! All functions are pure functions of the old NT hash and the client's data. Only a client that knows the old
//! password can encrypt data that they decrypt. The plain text is only in the returned value.

use core::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use des::Des;
use des::cipher::{BlockCipherDecrypt, KeyInit as _};
use md4::{Digest, Md4};
use rc4::{Rc4, StreamCipher};
use zeroize::Zeroizing;

use crate::ntlm::compute::equal;

/// The reason that decryption fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The data was encrypted with another password.
    WrongPassword,
    /// The new password is not text.
    NotText,
}

/// Opens a SAMPR_ENCRYPTED_USER_PASSWORD (MS-SAMR 2.2.6.21, 3.2.2.1). `verifier` is the old hash, sealed with the new
/// one (MS-SAMR 3.1.5.10.3).
pub fn open_rc4(
    old: &[u8; 16],
    sealed: &[u8; 516],
    verifier: &[u8; 16],
) -> Result<Zeroizing<String>, NotOpened> {
    let mut buffer = Zeroizing::new(*sealed);
    let mut cipher = Rc4::new_from_slice(old).map_err(|_| NotOpened::WrongPassword)?;
    cipher.apply_keystream(&mut buffer[..]);
    let (text, length) = buffer.split_last_chunk::<4>().ok_or(NotOpened::WrongPassword)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let start = text.len().checked_sub(length).ok_or(NotOpened::WrongPassword)?;
    let new = text.get(start..).ok_or(NotOpened::WrongPassword)?;
    let new_hash = Zeroizing::new(<[u8; 16]>::from(Md4::digest(new)));
    if !equal(&open_hash(verifier, &new_hash), old) {
        return Err(NotOpened::WrongPassword);
    }
    text_of(new)
}

/// Opens the hash of a new password (MS-SAMR 3.1.5.10.1): each hash is sealed with the other.
pub fn open_des(
    old: &[u8; 16],
    old_with_new: &[u8; 16],
    new_with_old: &[u8; 16],
) -> Result<Zeroizing<[u8; 16]>, NotOpened> {
    let new = open_hash(new_with_old, old);
    if equal(&open_hash(old_with_new, &new), old) { Ok(new) } else { Err(NotOpened::WrongPassword) }
}

/// A SAMPR_ENCRYPTED_PASSWORD_AES (MS-SAMR 2.2.6.32).
#[derive(Clone, Copy, Debug)]
pub struct SealedWithAes<'a> {
    /// `AuthData`.
    pub auth_data: &'a [u8; 64],
    /// `Salt`.
    pub salt: &'a [u8; 16],
    /// `Cipher`.
    pub cipher: &'a [u8],
    /// `PBKDF2Iterations`, within [`ITERATIONS`].
    pub iterations: NonZeroU32,
}

/// The range of `PBKDF2Iterations` (MS-SAMR 3.1.5.10.4). At its upper end opening takes about a second.
pub const ITERATIONS: core::ops::RangeInclusive<u64> = 5_000..=1_000_000;

/// Opens a SAMPR_ENCRYPTED_PASSWORD_AES, whose key is derived from the old hash (MS-SAMR 3.2.2.4, 3.2.2.5).
pub fn open_aes(old: &[u8; 16], sealed: &SealedWithAes<'_>) -> Result<Zeroizing<String>, NotOpened> {
    let wrong = NotOpened::WrongPassword;
    let mut key = Zeroizing::new([0; 16]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, sealed.iterations, sealed.salt, old, &mut key[..]);
    let key = hmac::Key::new(hmac::HMAC_SHA512, &key[..]);
    let (sealing, signing) = (hmac::sign(&key, SEALING_KEY), hmac::sign(&key, SIGNING_KEY));
    let signing = hmac::Key::new(hmac::HMAC_SHA512, signing.as_ref());
    let signed = [&[VERSION], &sealed.salt[..], sealed.cipher, &[VERSION_LENGTH]].concat();
    hmac::verify(&signing, &signed, sealed.auth_data).map_err(|_| wrong)?;

    let sealing = sealing.as_ref().get(..32).ok_or(wrong)?;
    let sealing = UnboundCipherKey::new(&AES_256, sealing).map_err(|_| wrong)?;
    let sealing = PaddedBlockDecryptingKey::cbc_pkcs7(sealing).map_err(|_| wrong)?;
    let mut buffer = Zeroizing::new(sealed.cipher.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(sealed.salt));
    let plain = sealing.decrypt(&mut buffer, context).map_err(|_| wrong)?;
    // An error from here on is the client's own: it knows the old password.
    let (length, text) = plain.split_first_chunk::<2>().ok_or(NotOpened::NotText)?;
    text_of(text.get(..usize::from(u16::from_le_bytes(*length))).ok_or(NotOpened::NotText)?)
}

fn text_of(units: &[u8]) -> Result<Zeroizing<String>, NotOpened> {
    let (units, odd) = units.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(NotOpened::NotText);
    }
    // Room for all of it, so that no half of it is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(units.len().saturating_mul(3)));
    for character in char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))) {
        text.push(character.map_err(|_| NotOpened::NotText)?);
    }
    Ok(text)
}

/// Opens an ENCRYPTED_NT_OWF_PASSWORD (MS-SAMR 2.2.11.1): two blocks of DES, each with half of the key.
fn open_hash(sealed: &[u8; 16], key: &[u8; 16]) -> Zeroizing<[u8; 16]> {
    let mut hash = Zeroizing::new(*sealed);
    let keys = key.as_chunks::<7>().0;
    for (block, key) in hash.as_chunks_mut::<8>().0.iter_mut().zip(keys) {
        let mut opened = (*block).into();
        Des::new(&with_parity(key).into()).decrypt_block(&mut opened);
        *block = opened.into();
    }
    hash
}

/// A key of 56 bits in the form of DES, with an unused parity bit after each seven bits (MS-SAMR 2.2.11.1.2).
fn with_parity(key: &[u8; 7]) -> [u8; 8] {
    let bits = key.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    core::array::from_fn(|place| {
        let shift = 49_usize.saturating_sub(place.saturating_mul(7));
        let seven = bits.checked_shr(u32::try_from(shift).unwrap_or(0)).unwrap_or(0);
        u8::try_from(seven & 0x7f).unwrap_or(0) << 1
    })
}

/// SAM_AES256_ENC_KEY_STRING (MS-SAMR 2.2.1.18), with its terminator.
const SEALING_KEY: &[u8] = b"Microsoft SAM encryption key AEAD-AES-256-CBC-HMAC-SHA512 16\0";

/// SAM_AES256_MAC_KEY_STRING, with its terminator.
const SIGNING_KEY: &[u8] = b"Microsoft SAM MAC key AEAD-AES-256-CBC-HMAC-SHA512 16\0";

/// `versionbyte` and `versionbyte_length` (MS-SAMR 3.2.2.4).
const VERSION: u8 = 1;
const VERSION_LENGTH: u8 = 1;

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};
    use des::cipher::BlockCipherEncrypt;

    use super::*;
    use crate::bytes::utf16le;
    use crate::users::nt_hash;

    fn seal_hash(hash: &[u8; 16], key: &[u8; 16]) -> [u8; 16] {
        let mut sealed = *hash;
        for (block, key) in sealed.as_chunks_mut::<8>().0.iter_mut().zip(key.as_chunks::<7>().0) {
            let mut closed = (*block).into();
            Des::new(&with_parity(key).into()).encrypt_block(&mut closed);
            *block = closed.into();
        }
        sealed
    }

    fn seal_rc4(old: &str, new: &[u8]) -> ([u8; 516], [u8; 16]) {
        let mut buffer = [0x41; 516];
        buffer[512 - new.len()..512].copy_from_slice(new);
        buffer[512..].copy_from_slice(&u32::try_from(new.len()).unwrap().to_le_bytes());
        Rc4::new_from_slice(&nt_hash(old)).unwrap().apply_keystream(&mut buffer);
        (buffer, seal_hash(&nt_hash(old), &Md4::digest(new).into()))
    }

    fn seal_aes(old: &str, plain: &[u8], salt: &[u8; 16], iterations: NonZeroU32) -> (Vec<u8>, [u8; 64]) {
        let mut key = [0; 16];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, &nt_hash(old), &mut key);
        let key = hmac::Key::new(hmac::HMAC_SHA512, &key);
        let sealing = hmac::sign(&key, SEALING_KEY);
        let sealing = UnboundCipherKey::new(&AES_256, &sealing.as_ref()[..32]).unwrap();
        let mut cipher = plain.to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(salt));
        PaddedBlockEncryptingKey::cbc_pkcs7(sealing)
            .unwrap()
            .less_safe_encrypt(&mut cipher, context)
            .unwrap();
        let signing = hmac::Key::new(hmac::HMAC_SHA512, hmac::sign(&key, SIGNING_KEY).as_ref());
        let signed = [&[1][..], salt, &cipher, &[1]].concat();
        let auth_data = <[u8; 64]>::try_from(hmac::sign(&signing, &signed).as_ref()).unwrap();
        (cipher, auth_data)
    }

    #[test]
    fn seven_octets_are_spread_over_eight() {
        assert_eq!(with_parity(&[0xff; 7]), [0xfe; 8]);
        assert_eq!(with_parity(&[0x80, 0, 0, 0, 0, 0, 1]), [0x80, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(with_parity(b"SECRET0"), [0x52, 0xa2, 0x50, 0x6a, 0x24, 0x2a, 0x50, 0x60]);
    }

    #[test]
    fn data_encrypted_with_the_old_password_is_decrypted() {
        let (sealed, verifier) = seal_rc4("old", &utf16le("nëw 🦀"));
        assert_eq!(open_rc4(&nt_hash("old"), &sealed, &verifier).unwrap().as_str(), "nëw 🦀");
        let longest = "x".repeat(256);
        let (sealed, verifier) = seal_rc4("old", &utf16le(&longest));
        assert_eq!(open_rc4(&nt_hash("old"), &sealed, &verifier).unwrap().as_str(), longest);
        assert_eq!(open_rc4(&nt_hash("other"), &sealed, &verifier), Err(NotOpened::WrongPassword));
        assert_eq!(open_rc4(&nt_hash("old"), &sealed, &[0; 16]), Err(NotOpened::WrongPassword));
        for not_text in [&[0, 0xd8][..], b"odd"] {
            let (sealed, verifier) = seal_rc4("old", not_text);
            assert_eq!(open_rc4(&nt_hash("old"), &sealed, &verifier), Err(NotOpened::NotText));
        }
    }

    #[test]
    fn hashes_are_encrypted_with_each_other() {
        let (old, new) = (nt_hash("old"), nt_hash("new"));
        let (old_with_new, new_with_old) = (seal_hash(&old, &new), seal_hash(&new, &old));
        assert_eq!(open_des(&old, &old_with_new, &new_with_old).map(|it| *it), Ok(new));
        let other = nt_hash("other");
        assert_eq!(open_des(&other, &old_with_new, &new_with_old), Err(NotOpened::WrongPassword));
    }

    #[test]
    fn aes_decrypts_only_intact_data() {
        let (salt, iterations) = ([9; 16], NonZeroU32::new(5_000).unwrap());
        let mut plain = 6_u16.to_le_bytes().to_vec();
        plain.extend(utf16le("new"));
        plain.resize(514, 0x5a);
        let (cipher, auth_data) = seal_aes("old", &plain, &salt, iterations);
        assert_eq!(cipher.len(), 528);
        let sealed = SealedWithAes { auth_data: &auth_data, salt: &salt, cipher: &cipher, iterations };
        assert_eq!(open_aes(&nt_hash("old"), &sealed).unwrap().as_str(), "new");
        assert_eq!(open_aes(&nt_hash("other"), &sealed), Err(NotOpened::WrongPassword));
        let short = SealedWithAes { cipher: &cipher[..512], ..sealed };
        assert_eq!(open_aes(&nt_hash("old"), &short), Err(NotOpened::WrongPassword));
        // A length beyond the buffer, from a client that knows the old password.
        plain[..2].copy_from_slice(&600_u16.to_le_bytes());
        let (cipher, auth_data) = seal_aes("old", &plain, &salt, iterations);
        let sealed = SealedWithAes { auth_data: &auth_data, salt: &salt, cipher: &cipher, iterations };
        assert_eq!(open_aes(&nt_hash("old"), &sealed), Err(NotOpened::NotText));
    }
}
