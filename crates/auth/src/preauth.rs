//! The preauthentication integrity hash (MS-SMB2 3.3.5.4, 3.3.5.5): a chain of SHA-512.

use aws_lc_rs::digest;

/// `PreauthIntegrityHashValue`: `H(n) = SHA-512(H(n-1) || message n)`, starting from zeros.
///
/// The connection chains its NEGOTIATE request and response; each session set-up continues a copy
/// with its own requests and responses, the final success response excepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreauthHash([u8; 64]);

impl PreauthHash {
    /// The start of a chain.
    pub const fn new() -> Self {
        Self([0; 64])
    }

    #[cfg(test)]
    pub(crate) const fn from_value(value: [u8; 64]) -> Self {
        Self(value)
    }

    /// Adds a message as on the wire, from the SMB2 header on.
    pub fn update(&mut self, message: &[u8]) {
        self.update_parts(&[message]);
    }

    /// Appends one message that lies in several slices.
    pub fn update_parts(&mut self, parts: &[&[u8]]) {
        let mut context = digest::Context::new(&digest::SHA512);
        context.update(&self.0);
        for part in parts {
            context.update(part);
        }
        let digest = context.finish();
        if let Some(value) = digest.as_ref().first_chunk::<64>() {
            self.0 = *value;
        }
    }

    /// The value, the context of the key derivation of SMB 3.1.1.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl Default for PreauthHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_sha512_of_previous_value_and_message() {
        let mut chain = PreauthHash::new();
        chain.update(b"negotiate");
        let mut input = vec![0_u8; 64];
        input.extend_from_slice(b"negotiate");
        let first = digest::digest(&digest::SHA512, &input);
        assert_eq!(chain.as_bytes().as_slice(), first.as_ref());

        let mut split = chain;
        chain.update(b"session setup");
        split.update_parts(&[b"session", b" ", b"setup"]);
        assert_eq!(chain, split);
    }
}
