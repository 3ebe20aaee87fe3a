//! A share as a directory: a FUSE file system based on the SMB client.
//!
//! [`connect`] connects to a share, [`serve`] mounts it and serves the kernel until it is unmounted.
//! [`mounted`] lists the mounted shares, of this program and of the kernel's client, and [`state`] queries
//! the state of a mount of this program.
//!
//! - Only the kernel caches: names and attributes for a second, pages until the next open. A write is
//!   answered when the server has answered it.
//! - Locks are the server's, so all clients see them.
//! - After a connection is lost, the next call reconnects. Calls in progress fail with EIO. Open files are
//!   reopened unless they have locks, because data under the locks may have changed. Written data that was not
//!   flushed may be lost; fsync reports that.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod append;
mod attributes;
mod change;
mod errno;
mod files;
mod filesystem;
mod identity;
mod inodes;
mod journals;
mod limits;
mod listing;
mod locks;
mod log;
mod modes;
mod names;
mod open_lifetime;
mod pending_cleanup;
mod remote;
mod rename;
mod replies;
mod session;
mod state;
mod symlinks;
mod unflushed;
mod volume;
mod xattrs;

pub use remote::{ConnectError, ShareAddress, Status, connect};
pub use session::{Options, serve, unmount};
pub use state::{FILE_SYSTEM_TYPE, Mounted, STATE_ATTRIBUTE, State, Via, mounted, state};
