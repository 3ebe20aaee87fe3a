//! The HMACs of the encryption types with AES.

use aws_lc_rs::hmac;

use super::Enctype;

/// The HMAC over the concatenation of `data`, in full length.
pub(super) fn hmac(enctype: Enctype, key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    let algorithm = match enctype {
        Enctype::Aes128Sha256 => hmac::HMAC_SHA256,
        Enctype::Aes256Sha384 => hmac::HMAC_SHA384,
        // RFC 3962. RFC 4757 has an HMAC of its own.
        Enctype::Aes128Sha1 | Enctype::Aes256Sha1 | Enctype::Rc4 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    };
    let mut mac = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    data.iter().for_each(|part| mac.update(part));
    mac.sign().as_ref().to_vec()
}
