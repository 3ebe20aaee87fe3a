//! Message integrity codes of Kerberos: RFC 4121 4.2.6.1, and RFC 4757 7.2 for RC4.

use aws_lc_rs::constant_time;

use super::crypto::{Enctype, Key, KeyUsage, rc4_mic};

/// The keys and numbers of the MICs of both sides. Each side makes one, of `mechTypes` (RFC 4178 5).
pub(crate) struct Mics {
    key: Key,
    /// The key is the acceptor's.
    is_acceptors: bool,
    sequence: u32,
}

impl Mics {
    pub(super) const fn new(key: Key, is_acceptors: bool, sequence: u32) -> Self {
        Self { key, is_acceptors, sequence }
    }

    /// `GSS_GetMIC` of the acceptor.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        if self.key.enctype() == Enctype::Rc4 {
            return rc4_mic::mic(self.key.as_bytes(), rc4_mic::Side::Acceptor, self.sequence, message);
        }
        let flags = SENT_BY_ACCEPTOR | if self.is_acceptors { ACCEPTOR_SUBKEY } else { 0 };
        let mut token = header(flags, self.sequence.into()).to_vec();
        let checksum = self.key.checksum(KeyUsage::ACCEPTOR_SIGN, &[message, &token]);
        token.extend(checksum);
        token
    }

    /// `GSS_VerifyMIC` of a MIC of the initiator. Its sequence number is not compared: one message is signed with this
    /// key, and replayed logons are found before.
    pub(crate) fn verify(&self, message: &[u8], token: &[u8]) -> bool {
        if self.key.enctype() == Enctype::Rc4 {
            return rc4_mic::verify(self.key.as_bytes(), rc4_mic::Side::Initiator, message, token);
        }
        let Some((head, checksum)) = token.split_first_chunk::<HEADER>() else { return false };
        let sequence = head.last_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
        let flags = if self.is_acceptors { ACCEPTOR_SUBKEY } else { 0 };
        constant_time::verify_slices_are_equal(head, &header(flags, sequence)).is_ok()
            && self.key.verify(KeyUsage::INITIATOR_SIGN, &[message, head], checksum).is_ok()
    }
}

#[cfg(feature = "testing")]
impl Mics {
    /// `GSS_GetMIC` of an initiator.
    pub(super) fn initiators(key: Key, is_acceptors: bool, message: &[u8]) -> Vec<u8> {
        if key.enctype() == Enctype::Rc4 {
            return rc4_mic::mic(key.as_bytes(), rc4_mic::Side::Initiator, 77, message);
        }
        let mut token = header(if is_acceptors { ACCEPTOR_SUBKEY } else { 0 }, 77).to_vec();
        let checksum = key.checksum(KeyUsage::INITIATOR_SIGN, &[message, &token]);
        token.extend(checksum);
        token
    }

    /// `GSS_VerifyMIC` of a MIC of the acceptor.
    pub(super) fn verify_acceptors(key: &Key, is_acceptors: bool, message: &[u8], token: &[u8]) -> bool {
        if key.enctype() == Enctype::Rc4 {
            return rc4_mic::verify(key.as_bytes(), rc4_mic::Side::Acceptor, message, token);
        }
        let Some((head, checksum)) = token.split_first_chunk::<HEADER>() else { return false };
        let flags = SENT_BY_ACCEPTOR | if is_acceptors { ACCEPTOR_SUBKEY } else { 0 };
        head.starts_with(&[4, 4, flags])
            && key.verify(KeyUsage::ACCEPTOR_SIGN, &[message, head], checksum).is_ok()
    }
}

/// The header of a MIC token.
fn header(flags: u8, sequence: u64) -> [u8; HEADER] {
    let mut header = [0xff; HEADER];
    let bytes = [4, 4, flags].into_iter().chain([0xff; 5]).chain(sequence.to_be_bytes());
    for (to, from) in header.iter_mut().zip(bytes) {
        *to = from;
    }
    header
}

const HEADER: usize = 16;
/// The flags of RFC 4121 4.2.2.
const SENT_BY_ACCEPTOR: u8 = 1;
const ACCEPTOR_SUBKEY: u8 = 4;
