//! The state: connections, sessions, tree connects, opens, files, shares. Synchronous; time is
//! passed in; no I/O.
//!
//! [`State`] is a plain structure that contains no synchronization of its own: its policy is tested
//! without tasks. [`Registry`] puts it behind one lock. The work that a change leaves to the caller,
//! outside that lock (handles to drop, breaks to send, requests to answer), is in the [`Effects`] that
//! it returns.
//!
//! The vocabulary is the specification's (MS-SMB2 3.3.1, MS-SRVS 3.1.1); how files behave is MS-FSA.
//!
//! How a request goes through here:
//! - a connection is added, negotiated, and in the end disconnected ([`State::add_connection`],
//!   [`State::connection_negotiated`], [`State::disconnect`]);
//! - a session is created in progress, becomes valid, and ends in [`State::close_session`], for
//!   every reason;
//! - CREATE resolves a name without side effects, then asks [`State::admit`], and only when granted
//!   creates or truncates;
//! - READ and WRITE look at [`OpenShared`] and, where the file has byte-range locks, ask
//!   [`State::check_io`];
//! - every open ends in [`State::close_open`], for every reason;
//! - time passes through [`State::poll_timeout`] and [`State::handle_timeout`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod acknowledge;
mod admit;
mod caching;
mod close;
mod connection;
mod cost;
#[cfg(test)]
mod cost_tests;
mod deadlines;
mod deletion;
mod durable;
mod effects;
mod events;
mod file;
mod ids;
mod intervals;
mod invariants;
mod lease;
pub mod limits;
mod links;
mod lock;
mod locks;
mod moves;
mod open;
mod orphans;
mod path_index;
mod ranges;
mod refusals;
mod remaining_work;
mod repeated_breaks;
mod session;
mod share;
mod snapshot;
mod state;
mod statistics;
mod strangers;
mod streams;
#[cfg(any(test, feature = "testing"))]
#[allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests: names say what a helper does, and what is not as it should be ends them"
)]
pub mod testing;
mod time;
mod tree;
mod user_counts;
mod waiting;
mod write_back;

pub use acknowledge::{AcknowledgeLeaseError, AcknowledgeOplockError};
pub use admit::{Admission, AdmitRequest, AppInstance, GrantedOpen, LeaseRequest, Refused};
pub use connection::{ConnectionDetails, ConnectionInfo, Standing};
pub use deadlines::AwaitedBreak;
pub use deletion::{Forgotten, Removal, Replacing};
pub use durable::{
    DurableGranted, DurableRequest, Reconnect, ReconnectError, Reconnected, Replay, ReplayError,
};
pub use effects::{
    BreakKind, BreakNotice, Cancelled, CloseReason, Dropped, Effects, EndReason, Outcome, SessionEnded,
    TreeEnded,
};
pub use events::{Event, EventKind, EventOpen, Events};
pub use file::{FileKey, FileShared, FileSummary, OpenTarget};
pub use ids::{ConnectionId, LeaseId, RequestKey};
pub use limits::{LimitReached, Limits};
pub use lock::{Guard, Registry};
pub use locks::{IoRefused, LockError, LockOutcome, RangeLock};
pub use moves::{InTheWay, MoveCount, MoveNames, Moving};
pub use open::{NotFound, OpenInfo, OpenRef, OpenShared};
pub use path_index::{PathPosition, RenameRest, Renamed};
pub use ranges::LockElement;
pub use refusals::{Refusal, RefusalKind, RefusalOpen};
pub use remaining_work::Rest;
pub use session::{
    BindError, EstablishError, Identity, SessionFlags, SessionInfo, SessionShared, SessionState, UserKind,
};
pub use share::{ShareDefinition, ShareExists, ShareKind};
pub use snapshot::{
    FileFilter, FileSnapshot, Part, SessionFilter, SessionSnapshot, ShareSnapshot, TreeFilter, TreeSnapshot,
};
pub use state::State;
pub use statistics::{Statistics, StatisticsSnapshot};
pub use strangers::AddressGroup;
pub use time::Time;
pub use tree::{TreeConnectError, TreeInfo};
pub use waiting::Readiness;
pub use write_back::WriteCaching;

/// The server's parts of the objects. The registry stores them and returns them, and does not read them.
///
/// Each type should be cheap to clone (an `Arc`, the sender of a channel).
pub trait Shell: 'static {
    /// The server's part of a connection: a way to reach its task.
    type Connection: Clone;
    /// The server's part of a session: its keys and identity.
    type Session: Clone;
    /// The server's part of a tree connect: the share it reaches.
    type Tree: Clone;
    /// The server's part of an open: `Open.LocalOpen` of MS-SMB2 3.3.1.10, the handle of the store.
    type Open: Clone;
}
