//! Backends that hold the files: local directories and memory.
//!
//! A [`Backend`] is the tree of one share; it opens names and returns [`Handle`]s. Every call is synchronous
//! and may block unless its documentation says otherwise, so callers use a blocking pool. This crate does not
//! know sessions, share modes, locks of clients or NTSTATUS. Opening has no side effects; the caller decides
//! which access an open is granted (MS-SMB2 3.3.5.9).
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod backend;
mod bin;
pub mod error;
#[cfg(feature = "testing")]
pub mod faulty;
pub mod fold;
mod gated;
pub mod handle;
pub mod limits;
#[cfg(target_os = "linux")]
pub mod local;
pub mod mem;
mod name_rules;
pub mod path;
pub mod short_name;
pub mod stat;
mod volume;

pub use backend::{
    Actor, Backend, Bin, BinLimits, Capabilities, Complete, Found, Identity, NamedIn, New, OpenHow, Opened,
    Parent, Permits, Root, Space, Symlink, SymlinkTarget, Trimmed, Volume, Wanted,
};
pub use error::{Error, Result};
pub use fold::Forms;
pub use gated::{Gate, GatedBackend};
pub use handle::{
    DirectoryCursor, Entry, EntryWanted, Handle, PosixPermissions, RangeLock, ReparsePoint, SetTimes,
    StreamInfo, Xattr,
};
#[cfg(target_os = "linux")]
pub use local::{LocalBackend, LocalOptions, Modes, Streams};
pub use mem::MemBackend;
pub use name_rules::NameRules;
pub use path::RelativePath;
pub use stat::{Kind, Stat};
