//! The encryption types of Kerberos: RFC 3962 (AES with SHA-1), RFC 8009 (AES with SHA-2) and RFC 4757 (RC4).

mod cts;
mod derive;
mod hmac_sha;
mod rc4_hmac;
pub(super) mod rc4_mic;

use core::fmt;
use core::ops::Range;

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use crate::random::Random;
use cts::AES_BLOCK;

/// An encryption type, with its number in protocols (RFC 3961 8, RFC 8009 8, RFC 4757 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Enctype {
    /// aes128-cts-hmac-sha1-96 (17).
    Aes128Sha1,
    /// aes256-cts-hmac-sha1-96 (18).
    Aes256Sha1,
    /// aes128-cts-hmac-sha256-128 (19).
    Aes128Sha256,
    /// aes256-cts-hmac-sha384-192 (20).
    Aes256Sha384,
    /// rc4-hmac (23).
    Rc4,
}

impl Enctype {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Aes128Sha1, Self::Aes256Sha1, Self::Aes128Sha256, Self::Aes256Sha384, Self::Rc4];

    /// The encryption type with this number; `None` if it is not supported.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    /// The number of the encryption type.
    pub const fn number(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 17,
            Self::Aes256Sha1 => 18,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
            Self::Rc4 => 23,
        }
    }

    /// The name in the registry of IANA.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Sha1 => "aes128-cts-hmac-sha1-96",
            Self::Aes256Sha1 => "aes256-cts-hmac-sha1-96",
            Self::Aes128Sha256 => "aes128-cts-hmac-sha256-128",
            Self::Aes256Sha384 => "aes256-cts-hmac-sha384-192",
            Self::Rc4 => "rc4-hmac",
        }
    }

    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes128Sha256 | Self::Rc4 => 16,
            Self::Aes256Sha1 | Self::Aes256Sha384 => 32,
        }
    }

    /// The number of the checksum type that belongs to it (RFC 3962 7, RFC 8009 8, RFC 4757 4).
    pub const fn checksum_type(self) -> i32 {
        match self {
            Self::Aes128Sha1 => 15,
            Self::Aes256Sha1 => 16,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
            Self::Rc4 => -138,
        }
    }

    /// Bytes of a checksum.
    pub const fn checksum_len(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => 12,
            Self::Aes128Sha256 | Self::Rc4 => 16,
            Self::Aes256Sha384 => 24,
        }
    }

    /// True if the MAC is that of the ciphertext (RFC 8009 5), and not of the plaintext (RFC 3962).
    const fn encrypts_before_mac(self) -> bool {
        matches!(self, Self::Aes128Sha256 | Self::Aes256Sha384)
    }

    /// Bytes of the confounder of encrypted data.
    pub(super) const fn confounder_len(self) -> usize {
        match self {
            Self::Rc4 => rc4_hmac::CONFOUNDER,
            _ => AES_BLOCK,
        }
    }
}

impl fmt::Display for Enctype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The purpose of an encryption or a checksum (RFC 4120 7.5.1, RFC 4121 2, MS-PAC 2.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u32);

impl KeyUsage {
    /// The encrypted part of a ticket.
    pub const TICKET: Self = Self(2);
    /// The checksum of the application's data in an authenticator.
    pub const AP_REQ_CHECKSUM: Self = Self(10);
    /// The authenticator of an AP-REQ.
    pub const AP_REQ: Self = Self(11);
    /// The encrypted part of an AP-REP.
    pub const AP_REP: Self = Self(12);
    /// The signatures of a PAC.
    pub const PAC: Self = Self(17);
    /// The encrypted messages of the acceptor.
    pub const ACCEPTOR_SEAL: Self = Self(22);
    /// The MICs of the acceptor.
    pub const ACCEPTOR_SIGN: Self = Self(23);
    /// The encrypted messages of the initiator.
    pub const INITIATOR_SEAL: Self = Self(24);
    /// The MICs of the initiator.
    pub const INITIATOR_SIGN: Self = Self(25);
}

/// The data around a part of encrypted data, which are protected with them and stay as they are.
pub(super) struct Around<'a> {
    /// The part.
    pub(super) part: Range<usize>,
    pub(super) before: &'a [u8],
    pub(super) behind: &'a [u8],
}

impl Around<'_> {
    /// All that the MAC protects, in its order.
    fn signed<'b>(&'b self, first: &'b [u8], data: &'b [u8]) -> [&'b [u8]; 6] {
        let (head, rest) = data.split_at_checked(self.part.start).unwrap_or((data, &[]));
        let (part, tail) = rest.split_at_checked(self.part.len()).unwrap_or((rest, &[]));
        [first, head, self.before, part, self.behind, tail]
    }
}

/// The data cannot be decrypted: they were changed, or the key is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIntegrity;

/// A key, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    enctype: Enctype,
    bytes: Zeroizing<Vec<u8>>,
}

impl Key {
    /// A key of this type; `None` if the length is wrong.
    pub fn new(enctype: Enctype, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == enctype.key_len()).then(|| Self { enctype, bytes: Zeroizing::new(bytes.to_vec()) })
    }

    /// A random key.
    pub fn random(enctype: Enctype, random: &mut dyn Random) -> Result<Self, crate::RandomFailed> {
        let mut bytes = Zeroizing::new(vec![0; enctype.key_len()]);
        random.fill(&mut bytes)?;
        Ok(Self { enctype, bytes })
    }

    /// The encryption type of the key.
    pub const fn enctype(&self) -> Enctype {
        self.enctype
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Encrypts `plain` with a random confounder.
    pub fn encrypt(
        &self,
        usage: KeyUsage,
        plain: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, crate::RandomFailed> {
        let confounder = self.enctype.confounder_len();
        // Room for the padding of the last block: memory that moves is not wiped.
        let room = confounder.saturating_add(plain.len()).saturating_add(AES_BLOCK);
        let mut data = Zeroizing::new(Vec::with_capacity(room));
        data.resize(confounder, 0);
        random.fill(&mut data)?;
        data.extend_from_slice(plain);
        Ok(self.encrypt_confounded(usage, data))
    }

    /// Encrypts data that begin with the confounder.
    fn encrypt_confounded(&self, usage: KeyUsage, mut data: Zeroizing<Vec<u8>>) -> Vec<u8> {
        match self.enctype {
            Enctype::Rc4 => rc4_hmac::encrypt(&self.bytes, usage, &mut data),
            Enctype::Aes128Sha1 | Enctype::Aes256Sha1 => {
                let mac = self.mac(&self.derived(usage, INTEGRITY), &[&data]);
                cts::encrypt(&self.derived(usage, ENCRYPTION), &mut data);
                [data.as_slice(), &mac].concat()
            }
            Enctype::Aes128Sha256 | Enctype::Aes256Sha384 => {
                cts::encrypt(&self.derived(usage, ENCRYPTION), &mut data);
                let mac = self.mac(&self.derived(usage, INTEGRITY), &[&ZERO_IV, &data]);
                [data.as_slice(), &mac].concat()
            }
        }
    }

    /// Decrypts data, and checks that they were encrypted with this key for this purpose.
    pub fn decrypt(&self, usage: KeyUsage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadIntegrity> {
        let mut plain = match self.enctype {
            Enctype::Rc4 => rc4_hmac::decrypt(&self.bytes, usage, cipher)?,
            Enctype::Aes128Sha1 | Enctype::Aes256Sha1 => {
                let (data, mac) = self.split_mac(cipher)?;
                let mut data = Zeroizing::new(data.to_vec());
                cts::decrypt(&self.derived(usage, ENCRYPTION), &mut data)?;
                same(mac, &self.mac(&self.derived(usage, INTEGRITY), &[&data]))?;
                data
            }
            Enctype::Aes128Sha256 | Enctype::Aes256Sha384 => {
                let (data, mac) = self.split_mac(cipher)?;
                same(mac, &self.mac(&self.derived(usage, INTEGRITY), &[&ZERO_IV, data]))?;
                let mut data = Zeroizing::new(data.to_vec());
                cts::decrypt(&self.derived(usage, ENCRYPTION), &mut data)?;
                data
            }
        };
        let confounder = self.enctype.confounder_len();
        if plain.len() < confounder {
            return Err(BadIntegrity);
        }
        plain.drain(..confounder);
        Ok(plain)
    }

    /// Encrypts `data` in place, which begin with the confounder, and returns their MAC (RFC 4121 4.2.4). The MAC also
    /// protects what is around a part of the data (MS-KILE 3.4.5.4.1). Not for RC4.
    pub(super) fn seal(&self, usage: KeyUsage, data: &mut Vec<u8>, around: &Around<'_>) -> Vec<u8> {
        let (encryption, integrity) = (self.derived(usage, ENCRYPTION), self.derived(usage, INTEGRITY));
        if self.enctype.encrypts_before_mac() {
            cts::encrypt(&encryption, data);
            return self.mac(&integrity, &around.signed(&ZERO_IV, data));
        }
        let mac = self.mac(&integrity, &around.signed(&[], data));
        cts::encrypt(&encryption, data);
        mac
    }

    /// Decrypts in place what [`seal`](Self::seal) has encrypted.
    pub(super) fn unseal(
        &self,
        usage: KeyUsage,
        data: &mut [u8],
        around: &Around<'_>,
        mac: &[u8],
    ) -> Result<(), BadIntegrity> {
        let (encryption, integrity) = (self.derived(usage, ENCRYPTION), self.derived(usage, INTEGRITY));
        if self.enctype.encrypts_before_mac() {
            same(mac, &self.mac(&integrity, &around.signed(&ZERO_IV, data)))?;
            return cts::decrypt(&encryption, data);
        }
        cts::decrypt(&encryption, data)?;
        same(mac, &self.mac(&integrity, &around.signed(&[], data)))
    }

    /// The checksum of `data` of the type [`Enctype::checksum_type`].
    pub fn checksum(&self, usage: KeyUsage, data: &[&[u8]]) -> Vec<u8> {
        match self.enctype {
            Enctype::Rc4 => rc4_hmac::checksum(&self.bytes, usage, data).to_vec(),
            _ => self.mac(&self.derived(usage, CHECKSUM), data),
        }
    }

    /// Checks a checksum. The time does not depend on the position of a difference.
    pub fn verify(&self, usage: KeyUsage, data: &[&[u8]], checksum: &[u8]) -> Result<(), BadIntegrity> {
        same(checksum, &self.checksum(usage, data))
    }

    /// The truncated HMAC of the encryption type.
    fn mac(&self, key: &[u8], data: &[&[u8]]) -> Vec<u8> {
        let mut mac = hmac_sha::hmac(self.enctype, key, data);
        mac.truncate(self.enctype.checksum_len());
        mac
    }

    fn split_mac<'a>(&self, cipher: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), BadIntegrity> {
        let at = cipher.len().checked_sub(self.enctype.checksum_len()).ok_or(BadIntegrity)?;
        cipher.split_at_checked(at).filter(|(data, _)| data.len() >= AES_BLOCK).ok_or(BadIntegrity)
    }

    /// `Ke`, `Ki` or `Kc` (RFC 3961 5.3, RFC 8009 3).
    fn derived(&self, usage: KeyUsage, purpose: u8) -> Zeroizing<Vec<u8>> {
        let [a, b, c, d] = usage.0.to_be_bytes();
        let constant = [a, b, c, d, purpose];
        match self.enctype {
            Enctype::Aes128Sha1 | Enctype::Aes256Sha1 => derive::simplified(&self.bytes, &constant),
            // The keys of HMACs are as long as the HMACs (RFC 8009 5).
            _ if purpose == ENCRYPTION => {
                derive::sha2(self.enctype, &self.bytes, &constant, self.enctype.key_len())
            }
            _ => derive::sha2(self.enctype, &self.bytes, &constant, self.enctype.checksum_len()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("enctype", &self.enctype).finish_non_exhaustive()
    }
}

fn same(a: &[u8], b: &[u8]) -> Result<(), BadIntegrity> {
    constant_time::verify_slices_are_equal(a, b).map_err(|_| BadIntegrity)
}

/// The last byte of the constants that keys are derived with (RFC 3961 5.3).
const ENCRYPTION: u8 = 0xaa;
const INTEGRITY: u8 = 0x55;
const CHECKSUM: u8 = 0x99;

/// The cipher state before the first message, which RFC 8009 5 puts before the ciphertext.
const ZERO_IV: [u8; AES_BLOCK] = [0; AES_BLOCK];

#[cfg(test)]
mod tests;
