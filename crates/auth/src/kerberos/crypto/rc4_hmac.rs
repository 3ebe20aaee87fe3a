//! RC4-HMAC (RFC 4757).

use md5::{Digest, Md5};
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

use super::{BadIntegrity, KeyUsage, same};
use crate::ntlm::compute::hmac_md5;

/// Bytes of the confounder.
pub(super) const CONFOUNDER: usize = 8;

const CHECKSUM: usize = 16;

/// Encrypts data that begin with the confounder (RFC 4757 4, without the export variant).
pub(super) fn encrypt(key: &[u8], usage: KeyUsage, data: &mut [u8]) -> Vec<u8> {
    let key = Zeroizing::new(hmac_md5(&sixteen(key), &[&message_type(usage)]));
    let checksum = hmac_md5(&key, &[data]);
    apply(&Zeroizing::new(hmac_md5(&key, &[&checksum])), data);
    [checksum.as_slice(), data].concat()
}

/// Decrypts data, which then begin with the confounder.
pub(super) fn decrypt(
    key: &[u8],
    usage: KeyUsage,
    cipher: &[u8],
) -> Result<Zeroizing<Vec<u8>>, BadIntegrity> {
    let key = Zeroizing::new(hmac_md5(&sixteen(key), &[&message_type(usage)]));
    let (checksum, data) = cipher.split_first_chunk::<CHECKSUM>().ok_or(BadIntegrity)?;
    let mut data = Zeroizing::new(data.to_vec());
    apply(&Zeroizing::new(hmac_md5(&key, &[checksum])), &mut data);
    same(checksum, &hmac_md5(&key, &[&data]))?;
    Ok(data)
}

/// The checksum HMAC-MD5 (RFC 4757 4: `CHKSUM`).
pub(super) fn checksum(key: &[u8], usage: KeyUsage, data: &[&[u8]]) -> [u8; CHECKSUM] {
    let key = Zeroizing::new(hmac_md5(&sixteen(key), &[b"signaturekey\0"]));
    let mut digest = Md5::new_with_prefix(message_type(usage));
    data.iter().for_each(|part| digest.update(part));
    hmac_md5(&key, &[&digest.finalize()])
}

/// RC4 with a key of 16 bytes.
pub(super) fn apply(key: &[u8; 16], data: &mut [u8]) {
    if let Ok(mut cipher) = Rc4::new_from_slice(key) {
        cipher.apply_keystream(data);
    }
}

/// The message type `T` of a key usage (RFC 4757 3).
fn message_type(usage: KeyUsage) -> [u8; 4] {
    let number = match usage.0 {
        3 | 9 => 8,
        23 => 13,
        other => other,
    };
    number.to_le_bytes()
}

/// The key. [`super::Key`] has no other lengths.
pub(super) fn sixteen(key: &[u8]) -> Zeroizing<[u8; 16]> {
    Zeroizing::new(key.first_chunk().copied().unwrap_or_default())
}
