//! What a net command talks through: the control API and MS-SRVS, and the small SMB client that reaches pipes.
//!
//! A command holds a `Box<dyn` [`Administration`]`>` and does not know which kind of server is
//! behind it. [`ControlClient`] speaks the control API of our own server.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod administration;
mod control_client;
mod error;
mod http;
pub mod limits;
pub mod smb;

pub use administration::{Administration, Answer, Events};
pub use control_client::ControlClient;
pub use error::Error;
