//! The log of a share's durable and persistent opens, beside the share's data: a server that was restarted, or has
//! crashed, restores the opens from it, and their clients go on.
//!
//! The log is a table of [`Entry`] values by [`Key`]: opens, their byte-range locks, and leases. A [`Change`] replaces
//! or removes one entry. [`HandleLog::commit`] appends a batch of changes as one frame, which takes effect as a whole or
//! not at all, and returns when the frame is where [`Durability`] wants it. When more than half of the file is outdated,
//! the table is written to a new file, which replaces the log.
//!
//! - `record.rs`: the entries, and their bytes.
//! - `frame.rs`: the bytes of a whole log, and what is accepted when it is read: an incomplete last frame is cut, all
//!   other damage is an error.
//! - `log.rs`: the file.
//! - `owner.rs`: the lock and the stamp by which the servers of a cluster own a share one after the other.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod frame;
mod limits;
mod log;
mod owner;
mod record;

pub use frame::{Damage, Header, Table, append_frame, decode};
pub use limits::{GROUPS_MAX, LOG_BYTES_MAX};
pub use log::{Contents, Durability, HandleLog, OpenError, StoredOpen};
pub use owner::{OwnerError, OwnerLock, OwnerStamp, Stamped, storage_token};
pub use record::{
    Actor, AppInstance, Birth, Change, Entry, Key, LeaseRecord, LockRecord, OpenFlags, OpenRecord, Owner,
};
