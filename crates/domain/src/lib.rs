//! An Active Directory domain as a member sees it.
//!
//! [`ids`] gives SIDs Unix ids and keeps them. [`winbind`] passes logons with NTLM to a controller.
//! [`names`] knows the owners of SIDs, and [`controllers`] finds the domain's controllers.
//! [`status`] checks a membership, and [`tool`] makes and ends one.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod controllers;
pub mod ids;
pub mod keytab;
mod named;
pub mod names;
pub mod problems;
pub mod status;
pub mod tool;
pub mod winbind;

pub use named::{Named, NamedKind};
