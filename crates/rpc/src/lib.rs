//! DCE/RPC PDUs, NDR20 and the interfaces srvsvc, wkssvc, lsarpc, samr and witness, as pure functions.
//!
//! From the outside in: [`association`] is the server's end of a pipe, and [`client`] is the other; both use
//! [`pdu`]s. A call carries a stub, which [`ndr`] reads and writes. The calls are declared once, for both directions,
//! in [`srvsvc`], [`wkssvc`], [`lsarpc`], [`samr`] and [`witness`]; [`epm`] is the part of the endpoint mapper that clients of
//! the latter need.
//!
//! Nothing in this crate uses sessions, files, sockets or the clock, and nothing waits.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(test)]
#[macro_use]
mod entropy;
#[macro_use]
pub mod ndr;

pub mod association;
pub mod call;
pub mod client;
pub mod epm;
pub mod fault;
pub mod limits;
pub mod lsarpc;
pub mod pdu;
pub mod revision;
pub mod samr;
pub mod srvsvc;
pub mod uuid;
pub mod witness;
pub mod wkssvc;

pub use association::{Association, Broken, Dispatch, Endpoint, IncomingCall, ReadOutcome};
pub use call::{Call, DecodeError, RefusedCall, Response, Stub, WithLevel};
pub use client::{ClientAssociation, ClientError};
pub use fault::Fault;
pub use ndr::NdrError;
pub use uuid::{InterfaceId, Uuid};
pub use wire::Win32Error;
