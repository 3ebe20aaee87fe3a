//! An Active Directory domain as a member sees it.
//!
//! [`ids`] gives SIDs Unix ids and keeps them. [`winbind`] passes logons with NTLM to a controller.
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod ids;
pub mod winbind;
