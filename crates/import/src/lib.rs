//! Reads the configuration and accounts of a Samba server, and translates them into Shareward's.
//!
//! - [`smbconf`]: smb.conf, read as `testparm` reads it.
//! - [`parameters`]: an answer to every parameter of Samba.
//! - [`translate`]: `shareward.toml`, and the answers to the parameters of a configuration.
//! - [`tdb`], [`passdb`]: Samba's databases, as bytes; [`users`]: the users file.
//!
//! Everything is a function of its inputs and of a [`System`], the machine as the import sees it.
#![forbid(unsafe_code)]

pub mod parameters;
pub mod passdb;
pub mod report;
pub mod smbconf;
pub mod tdb;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod translate;
pub mod users;

mod limits;
mod share_info;
mod system;

pub use limits::ACCOUNTS_BYTES_MAX;
pub use system::System;
