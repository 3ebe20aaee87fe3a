//! Logon and message protection: SPNEGO, NTLMv2, Kerberos, key derivation, signing, encryption and the users file.
//!
//! A logon is a pure function of its input: [`Acceptor::step`] turns a token into the next token, an identity or a
//! refusal; the time is a parameter, and randomness comes from [`Random`]. Only [`users`] accesses files.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod acceptor;
mod bytes;
mod der;
mod domain_user;
mod gmac;
pub mod initiator;
pub mod kdf;
pub mod kerberos;
pub mod limits;
pub mod ntlm;
pub mod password_change;
pub mod preauth;
pub mod random;
mod refusal;
pub mod sealing;
pub mod signing;
pub mod spnego;
pub mod users;

pub use acceptor::{
    Acceptor, AcceptorConfig, AccountRecord, Accounts, Claim, Decided, Identity, IdentityKind, Logon,
    MessageContext, Outdated, PassThrough, Step,
};
pub use domain_user::{DomainUser, Method};
pub use initiator::{
    ClientStep, Credentials, Initiator, InitiatorError, InitiatorOptions, KerberosError, KerberosExchange,
    KerberosStep,
};
pub use kdf::{CipherKey, SessionKey, SessionKeys};
pub use preauth::PreauthHash;
pub use random::{Random, RandomFailed, SystemRandom};
pub use refusal::Refusal;
pub use sealing::{Cipher, SealingError, SealingKey};
pub use signing::{SigningAlgorithm, SigningError, SigningKey};
pub use users::UserDb;
