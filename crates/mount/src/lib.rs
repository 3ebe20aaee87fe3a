//! A share as a directory: a FUSE file system over the SMB client.
//!
//! [`connect`] reaches a share, [`serve`] mounts it and serves the kernel until it is unmounted. [`mounted`] lists what
//! is mounted, by this or by the kernel's own client, and [`state`] asks a mount of ours how it is.
//!
//! - Nothing is cached but what the kernel keeps of names, attributes and pages for a second or until the next open;
//!   a write is answered when the server has answered it.
//! - Locks are the server's: other clients see them, whatever they run.
//! - A lost connection is made again by the next call. What was under way fails with EIO, open files are opened again,
//!   those with locks are not: what the locks guarded may have changed. What was written and not flushed may be lost:
//!   fsync says so.
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
