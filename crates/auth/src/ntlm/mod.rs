//! NTLM (MS-NLMP), version 2 responses only.

pub mod av_pair;
pub mod compute;
pub mod message;
pub mod seal;

pub use av_pair::{AvFlags, AvId, AvPairs};
pub use message::{Authenticate, Challenge, Negotiate, NegotiateFlags, NtlmError};
pub use seal::{NtlmSeal, Sender};

/// True if `token` is an NTLM message without SPNEGO.
pub fn is_raw(token: &[u8]) -> bool {
    token.starts_with(message::SIGNATURE)
}

#[cfg(test)]
mod tests;
