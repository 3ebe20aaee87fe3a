//! An Active Directory domain as a member sees it.
//!
//! [`ids`] gives SIDs Unix ids and keeps them.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod ids;
