//! Kerberos tickets of this machine's users: MIT's GSS-API (RFC 2743, RFC 2744), loaded at run time.
//!
//! The library has what a client needs and what should not be written twice: the ticket caches (files, directories,
//! the kernel's keyrings, KCM), `krb5.conf`, and the search for key distribution centers. It reads `KRB5_CONFIG`,
//! `KRB5CCNAME` and `KRB5_TRACE` from the environment, as its own programs do. A machine without it has no Kerberos:
//! every call fails with [`ErrorKind::NoLibrary`].
//!
//! A [`Credential`] is somebody's tickets; an [`Initiator`] proves to a service who that is, and makes the service
//! prove what it is.
//!
//! All calls block, because the library talks to key distribution centers over the network: call them on a thread
//! that may wait. They have no deadline of their own; the caller leaves the thread alone when it has waited enough.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod credential;
mod error;
mod initiator;
mod native;
mod objects;

pub use credential::{Credential, Owner, default_realm};
pub use error::{Error, ErrorKind};
pub use initiator::{Initiator, SessionKey, Step};
