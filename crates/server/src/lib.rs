//! The tokio shell: listeners, connections, handlers, pipes, administration.
//!
//! The crate has four rooms. [`core`] holds the state and uses none of the others. [`smb`] serves the
//! connections: one task each, which hands requests to the handlers, one file per SMB2 command.
//! [`admin`] holds the verbs of administrators, which never touch a connection. [`fronts`] translates
//! RPC pipes and the control API into these verbs.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod admin;
mod core;
mod fronts;
mod service;
mod smb;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use core::runtime::Runtime;
pub use core::start_error::StartError;
pub use core::{config, logons};
pub use service::Service;
