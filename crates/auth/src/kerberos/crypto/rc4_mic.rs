//! The MIC tokens of RC4 (RFC 4757 7.2).

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::rc4_hmac::{apply, sixteen};
use super::same;
use crate::der::{self, Reader, element};
use crate::kerberos::KERBEROS;
use crate::ntlm::compute::hmac_md5;

/// The side that has made a MIC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kerberos) enum Side {
    Initiator,
    Acceptor,
}

/// The MIC of a message.
pub(in crate::kerberos) fn mic(key: &[u8], side: Side, sequence: u32, message: &[u8]) -> Vec<u8> {
    let key = sixteen(key);
    let checksum = checksum(&key, message);
    let mut number = sequence_field(side, sequence);
    apply(&sequence_key(&key, &checksum), &mut number);
    let oid = element(der::OBJECT_IDENTIFIER, &[KERBEROS]);
    element(der::APPLICATION_0, &[&oid, &HEAD, &number, &checksum])
}

/// Verifies the MIC of a message of this side.
pub(in crate::kerberos) fn verify(key: &[u8], side: Side, message: &[u8], token: &[u8]) -> bool {
    let key = sixteen(key);
    let Some((number, claimed)) = parse(token) else { return false };
    let checksum = checksum(&key, message);
    let mut number = number;
    apply(&sequence_key(&key, &checksum), &mut number);
    let [.., direction] = sequence_field(side, 0);
    same(claimed, &checksum).is_ok() && number.get(4..) == Some([direction; 4].as_slice())
}

fn parse(token: &[u8]) -> Option<([u8; 8], &[u8])> {
    let mut framed =
        Reader::new(Reader::new(token).element().ok().filter(|it| it.tag == der::APPLICATION_0)?.contents);
    let oid = framed.element().ok()?;
    if oid.tag != der::OBJECT_IDENTIFIER || oid.contents != KERBEROS {
        return None;
    }
    let body = framed.rest().strip_prefix(&HEAD)?;
    let (number, checksum) = body.split_first_chunk::<8>()?;
    (checksum.len() == 8).then_some((*number, checksum))
}

fn checksum(key: &[u8; 16], message: &[u8]) -> [u8; 8] {
    let key = Zeroizing::new(hmac_md5(key, &[b"signaturekey\0"]));
    let digest =
        Md5::new().chain_update(15_u32.to_le_bytes()).chain_update(HEAD).chain_update(message).finalize();
    hmac_md5(&key, &[&digest]).first_chunk().copied().unwrap_or_default()
}

fn sequence_key(key: &[u8; 16], checksum: &[u8; 8]) -> Zeroizing<[u8; 16]> {
    let key = Zeroizing::new(hmac_md5(key, &[&0_u32.to_le_bytes()]));
    Zeroizing::new(hmac_md5(&key, &[checksum]))
}

fn sequence_field(side: Side, sequence: u32) -> [u8; 8] {
    let [a, b, c, d] = sequence.to_be_bytes();
    let direction = if side == Side::Acceptor { 0xff } else { 0 };
    [a, b, c, d, direction, direction, direction, direction]
}

/// `TOK_ID`, `SGN_ALG` (HMAC) and the filler.
const HEAD: [u8; 8] = [1, 1, 0x11, 0, 0xff, 0xff, 0xff, 0xff];
