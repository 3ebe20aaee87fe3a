//! The server on tokio: listeners, connections, handlers, pipes, administration.
//!
//! The crate has four rooms. [`core`] has the state and uses none of the others. [`smb`] serves the connections: each
//! has a task that passes requests to the handlers, which have one file for each SMB2 command. [`admin`] has the
//! operations of administrators, which never access a connection. [`fronts`] translates calls on RPC pipes and requests
//! to the control API into these operations.
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

pub use core::certificate::{Certificate, CertificateError};
pub use core::cluster::operator as cluster_operator;
pub use core::cluster::{KEEPER_WORD, run_keeper};
pub use core::console::read_token;
pub use core::notices::{HELPER_WORD, run_helper};
pub use core::runtime::Runtime;
pub use core::sandbox::{enter as enter_sandbox, trial as try_sandbox};
pub use core::start_error::StartError;
pub use core::{config, logons};
pub use service::{Service, Sockets};
