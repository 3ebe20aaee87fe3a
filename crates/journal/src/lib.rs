//! The history: sessions, opens, deletions, renames, refusals and acts of administration, in one SQLite file
//! (`docs/history.md` has its format).
//!
//! [`Writer`] adds records in batches, [`Reader`] answers questions, [`verify`] checks the chain of the acts. The
//! caller passes the time in, and decides on which thread the disk is waited for.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod chain;
mod error;
mod expiry;
mod files;
mod intern;
pub mod limits;
mod names;
mod postings;
mod query;
mod reader;
mod record;
mod runs;
mod schema;
mod search;
mod sweep;
mod writer;

pub use chain::{Fault, Head, Verified, verify};
pub use error::Error;
pub use expiry::{Bounds, Expired};
pub use files::{FILE, Opened};
pub use names::FormerName;
pub use query::{ClientCondition, Found, Kinds, Place, Query, UserCondition, Visible, Within};
pub use reader::{Answer, Reader};
pub use record::{Act, Blocker, Entry, EntryId, Finish, Kind, Person, PersonKind};
pub use writer::{Batch, Writer, Written};
