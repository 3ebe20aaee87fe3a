//! Signing and encryption of RPC messages in a Kerberos context: RFC 4121 4.2, in the form of MS-KILE 3.4.5.4, where all
//! that a token adds to a message stands in front of it, so that the message keeps its length.

use core::fmt;
use core::ops::Range;

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use super::crypto::{Around, Enctype, Key, KeyUsage};
use crate::random::{Random, RandomFailed};

/// The acceptor's end of a context, after [`Acceptor::for_rpc`](crate::Acceptor::for_rpc) has accepted it. Each message
/// has its number, and counts once.
pub struct KerberosSeal {
    key: Key,
    /// The key is the acceptor's.
    is_acceptors: bool,
    /// The number of the next message of the client.
    inward: u64,
    /// The number of the next message of the server.
    outward: u64,
}

impl KerberosSeal {
    /// The context with these numbers of the first messages.
    pub(super) fn new(key: Key, is_acceptors: bool, inward: u32, outward: u32) -> Self {
        Self { key, is_acceptors, inward: inward.into(), outward: outward.into() }
    }

    /// Counts a MIC that was used in the negotiation.
    pub(crate) fn count_client_mic(&mut self) {
        self.inward = self.inward.wrapping_add(1);
    }

    /// Counts an own MIC that was used in the negotiation.
    pub(crate) fn count_own_mic(&mut self) {
        self.outward = self.outward.wrapping_add(1);
    }

    /// Bytes of a signature.
    pub const fn signature_len(&self) -> usize {
        HEADER.saturating_add(self.key.enctype().checksum_len())
    }

    /// Bytes of the token of an encrypted message.
    pub const fn seal_len(&self) -> usize {
        self.signature_len()
            .saturating_add(EXTRA + HEADER)
            .saturating_add(self.key.enctype().confounder_len())
    }

    /// `GSS_GetMICEx`: the signature of a message.
    pub fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        let header = Header {
            id: MIC,
            flags: SENT_BY_ACCEPTOR,
            extra: FILLER,
            rotation: FILLER,
            number: self.outward,
        };
        let mut token = self.bytes(&header).to_vec();
        let checksum = self.key.checksum(KeyUsage::ACCEPTOR_SIGN, &[message, &token]);
        token.extend(checksum);
        self.count_own_mic();
        token
    }

    /// `GSS_VerifyMICEx`: true if this is the signature of the client's next message.
    pub fn verify(&mut self, message: &[u8], token: &[u8]) -> bool {
        let header = Header { id: MIC, flags: 0, extra: FILLER, rotation: FILLER, number: self.inward };
        let header = self.bytes(&header);
        let Some((head, checksum)) = token.split_first_chunk::<HEADER>() else { return false };
        let is_right = equal(head, &header)
            && self.key.verify(KeyUsage::INITIATOR_SIGN, &[message, head], checksum).is_ok();
        self.inward = self.inward.wrapping_add(u64::from(is_right));
        is_right
    }

    /// `GSS_WrapEx`: encrypts a part of a message, protects all of it, and returns the token. If `part` is out of range,
    /// the whole message is encrypted.
    pub fn seal_part(
        &mut self,
        message: &mut [u8],
        part: Range<usize>,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, RandomFailed> {
        let part = if message.get(part.clone()).is_some() { part } else { 0..message.len() };
        let confounder = self.key.enctype().confounder_len();
        let header = Header {
            id: WRAP,
            flags: SENT_BY_ACCEPTOR | SEALED,
            extra: EXTRA as u16,
            rotation: 0,
            number: self.outward,
        };
        let mut data = Zeroizing::new(Vec::with_capacity(
            confounder.saturating_add(part.len()).saturating_add(3 * HEADER),
        ));
        data.resize(confounder, 0);
        random.fill(&mut data)?;
        let plain = message.get(part.clone()).unwrap_or_default();
        data.extend_from_slice(plain);
        data.extend_from_slice(&[0xff; EXTRA]);
        data.extend_from_slice(&self.bytes(&header));
        let around = Around {
            part: confounder..confounder.saturating_add(plain.len()),
            before: message.get(..part.start).unwrap_or_default(),
            behind: message.get(part.end..).unwrap_or_default(),
        };
        let mac = self.key.seal(KeyUsage::ACCEPTOR_SEAL, &mut data, &around);
        self.count_own_mic();
        let (confounder, rest) = data.split_at_checked(confounder).unwrap_or_default();
        let (sealed, behind) = rest.split_at_checked(part.len()).unwrap_or_default();
        let rotation = u16::try_from(HEADER.saturating_add(mac.len())).unwrap_or(u16::MAX);
        let token =
            [self.bytes(&Header { rotation, ..header }).as_slice(), behind, &mac, confounder].concat();
        if let Some(place) = message.get_mut(part) {
            place.copy_from_slice(sealed);
        }
        Ok(token)
    }

    /// `GSS_UnwrapEx`: decrypts a part of the client's next message in place. Returns false if the message, which then has
    /// no meaning, is not the client's next one, was altered, or has no such part.
    pub fn open_part(&mut self, message: &mut [u8], part: Range<usize>, token: &[u8]) -> bool {
        let is_right = self.opened(message, part, token).is_some();
        self.inward = self.inward.wrapping_add(u64::from(is_right));
        is_right
    }

    fn opened(&self, message: &mut [u8], part: Range<usize>, token: &[u8]) -> Option<()> {
        let (enctype, mac) = (self.key.enctype(), self.key.enctype().checksum_len());
        let (head, rest) = token.split_first_chunk::<HEADER>()?;
        let extra = usize::from(u16::from_be_bytes([*head.get(4)?, *head.get(5)?]));
        let rotation = HEADER.checked_add(mac)?;
        let header = Header {
            id: WRAP,
            flags: SEALED,
            extra: u16::try_from(extra).ok()?,
            rotation: u16::try_from(rotation).ok()?,
            number: self.inward,
        };
        if extra > EXTRA_MAX || !equal(head, &self.bytes(&header)) {
            return None;
        }
        let (behind, rest) = rest.split_at_checked(extra.checked_add(HEADER)?)?;
        let (mac, confounder) = rest.split_at_checked(mac)?;
        if confounder.len() != enctype.confounder_len() {
            return None;
        }
        let sealed = message.get(part.clone())?;
        let mut data = Zeroizing::new([confounder, sealed, behind].concat());
        let place = confounder.len()..confounder.len().checked_add(sealed.len())?;
        let around = Around {
            part: place.clone(),
            before: message.get(..part.start)?,
            behind: message.get(part.end..)?,
        };
        self.key.unseal(KeyUsage::INITIATOR_SEAL, &mut data, &around, mac).ok()?;
        // The header is encrypted, too, so that the one in front is protected.
        if !equal(data.last_chunk::<HEADER>()?, &self.bytes(&Header { rotation: 0, ..header })) {
            return None;
        }
        message.get_mut(part)?.copy_from_slice(data.get(place)?);
        Some(())
    }

    fn bytes(&self, header: &Header) -> [u8; HEADER] {
        let flags = header.flags | if self.is_acceptors { ACCEPTOR_SUBKEY } else { 0 };
        let mut bytes = [0xff; HEADER];
        let fields = header.id.into_iter().chain([flags, 0xff]).chain(header.extra.to_be_bytes());
        let fields = fields.chain(header.rotation.to_be_bytes()).chain(header.number.to_be_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }
}

impl fmt::Debug for KerberosSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inward, outward, .. } = self;
        f.debug_struct("KerberosSeal")
            .field("inward", inward)
            .field("outward", outward)
            .finish_non_exhaustive()
    }
}

/// The header of a token (RFC 4121 4.2.6), without the flag of the key.
#[derive(Clone, Copy)]
struct Header {
    /// `TOK_ID`.
    id: [u8; 2],
    flags: u8,
    /// `EC`.
    extra: u16,
    /// `RRC`.
    rotation: u16,
    /// `SND_SEQ`.
    number: u64,
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// True if messages can be protected with keys of this type here. RC4 has other tokens (RFC 4757 7), which no current
/// client of RPC needs.
pub(super) fn is_supported(enctype: Enctype) -> bool {
    enctype != Enctype::Rc4
}

const MIC: [u8; 2] = [4, 4];
const WRAP: [u8; 2] = [5, 4];
const HEADER: usize = 16;
/// The fields of a MIC that a wrap token has for its sizes.
const FILLER: u16 = 0xffff;
/// The flags of RFC 4121 4.2.2.
const SENT_BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTOR_SUBKEY: u8 = 4;
/// Bytes of padding behind a message: a block (MS-KILE 3.4.5.4.1).
const EXTRA: usize = 16;
/// Bytes of padding that a client may send. Clients send none, or fill the last block.
const EXTRA_MAX: usize = 16;
