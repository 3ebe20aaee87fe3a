//! DCE/RPC PDUs, NDR20 and the interfaces srvsvc, wkssvc, lsarpc and samr: pure.
//!
//! From the outside in: [`association`] is the server's end of a pipe and [`client`] the other; both
//! speak [`pdu`]s. What a call carries is a stub, which [`ndr`] reads and writes; the calls themselves
//! are declared once, for both directions, in [`srvsvc`], [`wkssvc`], [`lsarpc`] and [`samr`].
//!
//! Nothing here knows sessions, files or sockets, waits, or tells the time.
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
pub mod fault;
pub mod limits;
pub mod lsarpc;
pub mod pdu;
pub mod revision;
pub mod samr;
pub mod srvsvc;
pub mod uuid;
pub mod win32;
pub mod wkssvc;

pub use association::{Association, Broken, Dispatch, Endpoint, IncomingCall, ReadOutcome};
pub use call::{Call, DecodeError, RefusedCall, Response, Stub, WithLevel};
pub use client::{ClientAssociation, ClientError};
pub use fault::Fault;
pub use ndr::NdrError;
pub use uuid::{InterfaceId, Uuid};
pub use win32::Win32Error;
