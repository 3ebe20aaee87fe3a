//! The computations of NTLMv2 (MS-NLMP 3.3.2, 3.4.5.1).

use aws_lc_rs::constant_time;
use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use rc4::{Rc4, StreamCipher};
use zeroize::Zeroizing;

use super::message::MIC_OFFSET;
use crate::bytes::utf16le;

/// `NTOWFv1`: the NT hash, MD4 over the password in UTF-16LE.
pub fn nt_hash(password: &str) -> [u8; 16] {
    let password = Zeroizing::new(utf16le(password));
    Md4::digest(password.as_slice()).into()
}

/// `NTOWFv2`: the response key, from the user in upper case and the domain as the client wrote it.
pub fn response_key(nt_hash: &[u8; 16], user: &str, domain: &str) -> [u8; 16] {
    hmac_md5(nt_hash, &[&utf16le(&wire::names::upper(user)), &utf16le(domain)])
}

/// `NTProofStr` over the server's challenge and the client's blob.
pub fn proof(response_key: &[u8; 16], server_challenge: &[u8; 8], blob: &[u8]) -> [u8; 16] {
    hmac_md5(response_key, &[server_challenge, blob])
}

/// `LMv2_RESPONSE` (MS-NLMP 2.2.2.4), which only old servers look at.
pub fn lm_response(
    response_key: &[u8; 16],
    server_challenge: &[u8; 8],
    client_challenge: &[u8; 8],
) -> [u8; 24] {
    let proof = hmac_md5(response_key, &[server_challenge, client_challenge]);
    let mut out = [0; 24];
    for (to, from) in out.iter_mut().zip(proof.iter().chain(client_challenge)) {
        *to = *from;
    }
    out
}

/// `SessionBaseKey`, which is the key exchange key of NTLMv2.
pub fn session_base_key(response_key: &[u8; 16], proof: &[u8; 16]) -> [u8; 16] {
    hmac_md5(response_key, &[proof])
}

/// RC4 of `data` under the key exchange key: its own inverse, so it wraps and unwraps the exported key.
pub fn exchange_key(key_exchange_key: &[u8; 16], data: &[u8; 16]) -> [u8; 16] {
    let mut data = *data;
    if let Ok(mut cipher) = Rc4::new_from_slice(key_exchange_key) {
        cipher.apply_keystream(&mut data);
    }
    data
}

/// The `MIC` over the three messages, with the MIC's own place taken as zeros.
pub fn mic(
    exported_session_key: &[u8; 16],
    negotiate: &[u8],
    challenge: &[u8],
    authenticate: &[u8],
) -> [u8; 16] {
    let before = authenticate.get(..MIC_OFFSET).unwrap_or(authenticate);
    let after = authenticate.get(MIC_OFFSET + 16..).unwrap_or_default();
    hmac_md5(exported_session_key, &[negotiate, challenge, before, &[0; 16], after])
}

/// True if `a` and `b` are equal. The time does not depend on the position of a difference.
pub fn equal(a: &[u8; 16], b: &[u8; 16]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

pub(crate) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new(&block_key(key).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key at the length of MD5's block: HMAC pads with zeros, so this is the same key, and the
/// constructor for it cannot fail.
fn block_key(key: &[u8; 16]) -> [u8; 64] {
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}
