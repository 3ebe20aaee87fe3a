//! The tokio shell: listeners, connections, handlers, pipes, administration.
//!
//! One task serves each connection ([`connection`]); it hands requests to the handlers, one file per
//! SMB2 command, which ask the registry and act on files. What the registry's decisions oblige the
//! server to do is done in `shell.rs`. Administrators come in through `admin/`, by RPC pipes or the
//! control API, and never touch a connection.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod acting;
mod admin;
mod blocking;
mod bulkhead;
pub mod config;
mod connection;
mod guesses;
mod handlers;
mod http;
mod identity;
mod limits;
pub mod logons;
mod notify;
mod open;
mod opening;
mod pipes;
mod quota;
mod random;
mod replay;
mod running;
mod runtime;
mod security;
mod server;
mod service;
mod session;
mod shell;
mod state_file;
mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod times;
mod tree;

pub use runtime::Runtime;
pub use service::{Service, StartError};
