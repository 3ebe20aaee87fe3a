//! Signing and sealing of messages with NTLM's own keys (MS-NLMP 3.4), for `mechListMIC` and for RPC.

use core::fmt;
use core::ops::Range;

use aws_lc_rs::constant_time;
use md5::{Digest, Md5};
use rc4::{KeyInit, Rc4, StreamCipher};

use super::compute::hmac_md5;
use super::message::NegotiateFlags;
use crate::bytes::array_at;

/// The side whose messages a key protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Client to server.
    Client,
    /// Server to client.
    Server,
}

/// One direction of a security context: its keys, its cipher's state and its sequence number.
pub struct NtlmSeal {
    sign_key: [u8; 16],
    cipher: Rc4,
    sequence: u32,
    encrypts_checksum: bool,
}

impl NtlmSeal {
    /// The context for the messages of `sender`; `None` without extended session security, because the older checksum
    /// protects nothing.
    pub fn new(flags: NegotiateFlags, exported_session_key: &[u8; 16], sender: Sender) -> Option<Self> {
        if !flags.contains(NegotiateFlags::EXTENDED_SESSION_SECURITY) {
            return None;
        }
        let (sign_magic, seal_magic) = match sender {
            Sender::Client => (CLIENT_SIGN, CLIENT_SEAL),
            Sender::Server => (SERVER_SIGN, SERVER_SEAL),
        };
        let strength = if flags.contains(NegotiateFlags::KEY_128) {
            16
        } else if flags.contains(NegotiateFlags::KEY_56) {
            7
        } else {
            5
        };
        let seal_seed = exported_session_key.get(..strength)?;
        let seal_key: [u8; 16] =
            Md5::new().chain_update(seal_seed).chain_update(seal_magic).finalize().into();
        Some(Self {
            sign_key: Md5::new()
                .chain_update(exported_session_key)
                .chain_update(sign_magic)
                .finalize()
                .into(),
            cipher: Rc4::new_from_slice(&seal_key).ok()?,
            sequence: 0,
            encrypts_checksum: flags.contains(NegotiateFlags::KEY_EXCHANGE),
        })
    }

    /// The context after the `mechListMIC` of SPNEGO: that was message 0, and the cipher begins anew (MS-SPNG 3.3.5.1).
    #[must_use]
    pub fn after_list_mic(self) -> Self {
        Self { sequence: 1, ..self }
    }

    /// `GSS_GetMIC`: the signature of `message` (MS-NLMP 3.4.4.2).
    pub fn sign(&mut self, message: &[u8]) -> [u8; 16] {
        let sequence = self.sequence.to_le_bytes();
        let mac = hmac_md5(&self.sign_key, &[&sequence, message]);
        self.finish(mac)
    }

    /// `GSS_VerifyMIC`.
    pub fn verify(&mut self, message: &[u8], signature: &[u8]) -> bool {
        let expected = self.sign(message);
        constant_time::verify_slices_are_equal(&expected, signature).is_ok()
    }

    /// `GSS_Wrap`: encrypts `message` and returns its signature (MS-NLMP 3.4.3).
    pub fn seal(&mut self, message: &mut [u8]) -> [u8; 16] {
        let mac = hmac_md5(&self.sign_key, &[&self.sequence.to_le_bytes(), message]);
        self.cipher.apply_keystream(message);
        self.finish(mac)
    }

    /// `GSS_Unwrap`: decrypts `message` and returns true if the signature is correct.
    pub fn open(&mut self, message: &mut [u8], signature: &[u8]) -> bool {
        self.cipher.apply_keystream(message);
        self.verify(message, signature)
    }

    /// As [`seal`](Self::seal) for a part of the signed data; the header before it is not encrypted.
    pub fn seal_part(&mut self, message: &mut [u8], part: Range<usize>) -> [u8; 16] {
        let mac = hmac_md5(&self.sign_key, &[&self.sequence.to_le_bytes(), message]);
        if let Some(part) = message.get_mut(part) {
            self.cipher.apply_keystream(part);
        }
        self.finish(mac)
    }

    /// As [`open`](Self::open) for a part of the signed data. Returns false if `part` is out of range.
    pub fn open_part(&mut self, message: &mut [u8], part: Range<usize>, signature: &[u8]) -> bool {
        let Some(part) = message.get_mut(part) else { return false };
        self.cipher.apply_keystream(part);
        self.verify(message, signature)
    }

    fn finish(&mut self, mac: [u8; 16]) -> [u8; 16] {
        let mut checksum = array_at::<8>(&mac, 0).unwrap_or_default();
        if self.encrypts_checksum {
            self.cipher.apply_keystream(&mut checksum);
        }
        let mut signature = [0; 16];
        let bytes = 1_u32.to_le_bytes().into_iter().chain(checksum).chain(self.sequence.to_le_bytes());
        for (to, from) in signature.iter_mut().zip(bytes) {
            *to = from;
        }
        self.sequence = self.sequence.wrapping_add(1);
        signature
    }
}

impl fmt::Debug for NtlmSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NtlmSeal").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

const CLIENT_SIGN: &[u8] = b"session key to client-to-server signing key magic constant\0";
const CLIENT_SEAL: &[u8] = b"session key to client-to-server sealing key magic constant\0";
const SERVER_SIGN: &[u8] = b"session key to server-to-client signing key magic constant\0";
const SERVER_SEAL: &[u8] = b"session key to server-to-client sealing key magic constant\0";
