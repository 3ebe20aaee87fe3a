//! The keys of a session (MS-SMB2 3.1.4.2): SP800-108 in counter mode over HMAC-SHA256.

use aws_lc_rs::hmac;
use wire::Dialect;
use zeroize::Zeroizing;

use crate::preauth::PreauthHash;
use crate::sealing::Cipher;

/// The key that the authentication protocol exported: `Session.FullSessionKey` (MS-SMB2 3.3.1.8). It is wiped when
/// dropped.
///
/// It has 16 bytes for NTLM, and 16 or 32 for Kerberos: those of the GSS-API context's key.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<Vec<u8>>);

impl SessionKey {
    /// The key with these bytes.
    pub fn new(full: &[u8]) -> Self {
        Self(Zeroizing::new(full.to_vec()))
    }

    /// `Session.FullSessionKey`: all bytes.
    pub fn full(&self) -> &[u8] {
        &self.0
    }

    /// `Session.SessionKey`: the first 16 bytes, zeros after a shorter key (MS-SMB2 3.3.5.5.3).
    pub fn first_16(&self) -> [u8; 16] {
        first_16(&self.0)
    }
}

impl From<[u8; 16]> for SessionKey {
    fn from(key: [u8; 16]) -> Self {
        Self::new(&key)
    }
}

impl core::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SessionKey").finish_non_exhaustive()
    }
}

/// The keys of an authenticated session.
pub struct SessionKeys {
    /// `Session.SigningKey` (and the first channel's `Channel.SigningKey`).
    pub signing: [u8; 16],
    /// `Session.ApplicationKey`.
    pub application: [u8; 16],
    /// The server's `Session.EncryptionKey`, the client's `Session.DecryptionKey`; `None` before SMB 3.
    pub server_to_client: Option<CipherKey>,
    /// The server's `Session.DecryptionKey`, the client's `Session.EncryptionKey`; `None` before SMB 3.
    pub client_to_server: Option<CipherKey>,
}

impl SessionKeys {
    /// Derives all keys of a session.
    ///
    /// `full_session_key` is the key that the authentication protocol exported: 16 bytes for NTLM, up to 32 for
    /// Kerberos; `Session.SessionKey` is its first 16 bytes. `preauth` is used for SMB 3.1.1 only. `cipher`
    /// determines the length of the cipher keys; without one they have 128 bits.
    pub fn derive(
        dialect: Dialect,
        full_session_key: &[u8],
        preauth: &PreauthHash,
        cipher: Option<Cipher>,
    ) -> Self {
        let session_key = first_16(full_session_key);
        let cipher = cipher.unwrap_or(Cipher::Aes128Ccm);
        let cipher_keys = has_kdf(dialect).then(|| {
            (
                server_to_client_key(dialect, full_session_key, preauth, cipher),
                client_to_server_key(dialect, full_session_key, preauth, cipher),
            )
        });
        let (server_to_client, client_to_server) = cipher_keys.unzip();
        Self {
            signing: signing_key(dialect, &session_key, preauth),
            application: application_key(dialect, &session_key, preauth),
            server_to_client,
            client_to_server,
        }
    }
}

/// A cipher key of 128 or 256 bits, wiped when dropped.
#[derive(Clone)]
pub struct CipherKey {
    bytes: Zeroizing<[u8; 32]>,
    len: usize,
}

impl CipherKey {
    /// The key's bytes: 16 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// `Session.SigningKey`. Before SMB 3 it is the session key itself.
pub fn signing_key(dialect: Dialect, session_key: &[u8; 16], preauth: &PreauthHash) -> [u8; 16] {
    match dialect {
        Dialect::SMB311 => derive_16(session_key, b"SMBSigningKey\0", preauth.as_bytes()),
        dialect if has_kdf(dialect) => derive_16(session_key, b"SMB2AESCMAC\0", b"SmbSign\0"),
        _ => *session_key,
    }
}

/// `Channel.SigningKey` of a bound channel (MS-SMB2 3.3.5.5.3): as [`signing_key`], from the session
/// key and the hash of the exchange that binds.
pub fn channel_signing_key(dialect: Dialect, session_key: &[u8; 16], preauth: &PreauthHash) -> [u8; 16] {
    signing_key(dialect, session_key, preauth)
}

/// `Session.ApplicationKey`. Before SMB 3 it is the session key itself.
pub fn application_key(dialect: Dialect, session_key: &[u8; 16], preauth: &PreauthHash) -> [u8; 16] {
    match dialect {
        Dialect::SMB311 => derive_16(session_key, b"SMBAppKey\0", preauth.as_bytes()),
        dialect if has_kdf(dialect) => derive_16(session_key, b"SMB2APP\0", b"SmbRpc\0"),
        _ => *session_key,
    }
}

/// The key for messages of the server. A 256-bit cipher uses the full session key.
pub fn server_to_client_key(
    dialect: Dialect,
    full_session_key: &[u8],
    preauth: &PreauthHash,
    cipher: Cipher,
) -> CipherKey {
    match dialect {
        Dialect::SMB311 => cipher_key(full_session_key, b"SMBS2CCipherKey\0", preauth.as_bytes(), cipher),
        _ => cipher_key(full_session_key, b"SMB2AESCCM\0", b"ServerOut\0", cipher),
    }
}

/// The key for messages of the client. A 256-bit cipher uses the full session key.
pub fn client_to_server_key(
    dialect: Dialect,
    full_session_key: &[u8],
    preauth: &PreauthHash,
    cipher: Cipher,
) -> CipherKey {
    match dialect {
        Dialect::SMB311 => cipher_key(full_session_key, b"SMBC2SCipherKey\0", preauth.as_bytes(), cipher),
        _ => cipher_key(full_session_key, b"SMB2AESCCM\0", b"ServerIn \0", cipher),
    }
}

/// The first 16 bytes of an exported key, zeros after a shorter one: `Session.SessionKey`.
pub fn first_16(full_session_key: &[u8]) -> [u8; 16] {
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(full_session_key) {
        *to = *from;
    }
    key
}

fn has_kdf(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::SMB300 | Dialect::SMB302 | Dialect::SMB311)
}

fn cipher_key(full_session_key: &[u8], label: &[u8], context: &[u8], cipher: Cipher) -> CipherKey {
    let len = cipher.key_len();
    let session_key = Zeroizing::new(first_16(full_session_key));
    let input = if len == 32 { full_session_key } else { session_key.as_slice() };
    let derived = counter_mode(input, label, context, if len == 32 { 256 } else { 128 });
    CipherKey { bytes: derived, len }
}

fn derive_16(key: &[u8], label: &[u8], context: &[u8]) -> [u8; 16] {
    first_16(counter_mode(key, label, context, 128).as_slice())
}

/// One round of SP800-108 5.1: with `r` 32 and at most 256 bits wanted the counter never passes 1.
fn counter_mode(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut prf = hmac::Context::with_key(&key);
    prf.update(&1_u32.to_be_bytes());
    prf.update(label);
    prf.update(&[0]);
    prf.update(context);
    prf.update(&bits.to_be_bytes());
    let tag = prf.sign();
    let mut out = Zeroizing::new([0; 32]);
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests;
