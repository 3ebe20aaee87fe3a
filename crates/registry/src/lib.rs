//! The shared state of a server: connections, sessions, tree connects, opens, files, shares. It is synchronous and does
//! no I/O; the caller passes in the time.
//!
//! [`State`] is a plain structure that one thread uses, so its policy is tested without tasks. [`Registry`] puts it
//! behind a lock, beside which plain opens and closes go on in several threads. A change returns, in [`Effects`], the work that the caller has to do outside of that lock: handles
//! to drop, breaks to send, requests to answer.
//!
//! The terms are those of the specifications (MS-SMB2 3.3.1, MS-SRVS 3.1.1); files behave as in MS-FSA.
//!
//! The calls in the order in which a server makes them:
//! - a connection is added, negotiated, and finally disconnected ([`State::add_connection`],
//!   [`State::connection_negotiated`], [`State::disconnect`]);
//! - a session is created in progress, becomes valid, and ends in [`State::close_session`], for every reason;
//! - CREATE resolves a name without side effects, calls [`State::admit`], and creates or truncates the file only if the
//!   open is granted;
//! - READ and WRITE check [`OpenShared`] and, if the file has byte-range locks, call [`State::check_io`];
//! - every open ends in [`State::close_open`], for every reason;
//! - the server calls [`State::handle_timeout`] at the time that [`State::poll_timeout`] returns.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod acknowledge;
mod admit;
mod announced;
mod announced_closes;
mod caching;
mod close;
mod concurrent;
mod connection;
mod cost;
#[cfg(test)]
mod cost_tests;
mod deadlines;
mod deletion;
mod drains;
mod durable;
mod effects;
mod events;
mod few;
mod file;
mod gate;
mod handover;
mod holds;
mod ids;
mod intervals;
mod invariants;
mod lease;
pub mod limits;
mod links;
mod lock;
mod locks;
mod logging;
mod moves;
mod open;
mod opens;
mod order;
mod orphans;
mod owed;
mod parts;
mod path_index;
mod ranges;
mod refusals;
mod remaining_work;
mod repeated_breaks;
mod report;
mod restore;
mod session;
mod share;
mod shared;
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
    reason = "helpers of tests: names document them, and an unexpected result panics"
)]
pub mod testing;
mod time;
mod tree;
mod user_counts;
mod waiting;
mod write_back;

pub use acknowledge::{AcknowledgeLeaseError, AcknowledgeOplockError};
pub use admit::{Admission, AdmitRequest, AppInstance, GrantedOpen, LeaseRequest, Refused};
pub use announced_closes::{ANNOUNCED_CLOSES, AnnounceError, AnnouncedClose};
pub use connection::{ConnectionDetails, ConnectionInfo, Standing};
pub use deadlines::AwaitedBreak;
pub use deletion::{Forgotten, Removal, Replacing};
pub use drains::{CLIENT_DRAINS, Drain, DrainPhase, DrainScope, Drained, SHARE_DRAINS, TooManyDrains};
pub use durable::{
    DurableGranted, DurableRequest, Reconnect, ReconnectError, Reconnected, Replay, ReplayError,
};
pub use effects::{
    BreakKind, BreakNotice, Cancelled, CloseReason, Dropped, Effects, EndReason, Outcome, SessionEnded,
    TreeEnded,
};
pub use events::{DrainEvent, DrainStep, Event, EventKind, EventOpen, EventUse, Events};
pub use file::{FileKey, FileShared, FileSummary, OpenTarget};
pub use holds::{HOLDS, Hold, HoldId, HoldPlace, HoldRefused};
pub use ids::{ConnectionId, LeaseId, RequestKey};
pub use limits::{LimitReached, Limits};
pub use lock::{Guard, Registry};
pub use locks::{IoRefused, LockError, LockOutcome, RangeLock};
pub use logging::{KeptOpen, LogChanges, LogId, LoggedLease, LoggedLock, LoggedOpen};
pub use moves::{InTheWay, MoveCount, MoveNames, Moving};
pub use open::{NotFound, OpenInfo, OpenRef, OpenShared, Owner};
pub use path_index::{PathPosition, RenameRest, Renamed};
pub use ranges::LockElement;
pub use refusals::{Refusal, RefusalKind, RefusalOpen};
pub use remaining_work::Rest;
#[cfg(feature = "lock-report")]
pub use report::{Held, take_holds};
pub use restore::{RestoreRefused, RestoredLease, RestoredOpen};
pub use session::{
    BindError, EstablishError, Identity, SessionFlags, SessionInfo, SessionShared, SessionState, UserKind,
};
pub use share::{ShareDefinition, ShareExists, ShareKind};
pub use snapshot::{ClientName, FileSnapshot, Filter, Part, SessionSnapshot, ShareSnapshot, TreeSnapshot};
pub use state::{State, TableSizes};
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
