//! The channel that a logon is made in, to which a client can bind its request (RFC 5056; RFC 4121 4.1.1.2).

use md5::{Digest, Md5};

/// The hash of a channel's bindings, as it stands in the authenticator's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelBindings([u8; 16]);

impl ChannelBindings {
    /// The bindings `tls-server-end-point` of a TLS connection (RFC 5929 4); `certificate_hash` is the hash of the server's
    /// certificate, by the function that RFC 5929 4.1 names.
    pub fn tls_server_end_point(certificate_hash: &[u8]) -> Self {
        let length = PREFIX.len().saturating_add(certificate_hash.len());
        // A hash has some dozens of bytes.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        // No addresses: two types and two lengths that are zero (RFC 4121 4.1.1.2; RFC 2744 3.11).
        let mut hash = Md5::new_with_prefix([0; 16]);
        hash.update(length.to_le_bytes());
        hash.update(PREFIX);
        hash.update(certificate_hash);
        Self(hash.finalize().into())
    }

    /// The bytes in the checksum.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The prefix of the bindings (RFC 5929 4.1).
const PREFIX: &[u8] = b"tls-server-end-point:";
