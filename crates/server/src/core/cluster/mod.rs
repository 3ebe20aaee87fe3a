//! The membership of this server in a cluster (`docs/cluster.md`): the shell around the state machine of `crates/cluster`.
//!
//! A server that is no member has none of this. A member has a thread of its own with a runtime of its own
//! ([`agent`]), so that renewals and fencing go on when the server's runtime hangs. The thread feeds the state machine and
//! carries out its actions: calls of etcd (`store.rs`), and attempts to serve shares (`attempt.rs`), each of which opens the
//! storage (`storage.rs`), serves the share, and stops it.
//!
//! People change the cluster by transactions (`changes.rs`) through an `operator.rs`, which a server that is a member and the
//! command both have; `share_edits.rs` changes definitions of shares, `users.rs` and `groups.rs` users and groups.
//!
//! Nothing of a share is written without its gate, which each call into its files asks by the clock ([`vfs::Gate`]): a
//! member that is stopped, or whose threads hang, is fenced when it goes on, before it writes.

mod addresses;
mod agent;
mod attempt;
mod changes;
mod definition;
mod faults;
mod fence;
mod groups;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(test), expect(clippy::unwrap_used, reason = "for tests"))]
pub mod hostile_values;
mod join;
pub mod operator;
mod overview;
mod screen;
mod sealed_change;
mod sealed_entries;
mod secret;
mod serving;
mod settings;
mod share_edits;
mod shares;
mod state;
mod storage;
mod store;
mod users;
mod witness;

pub(crate) use addresses::StartedKeeper;
pub use addresses::{KEEPER_WORD, run_keeper};
pub(crate) use agent::start;
pub(crate) use attempt::Serving;
pub(crate) use changes::Author;
pub(crate) use operator::{Refused, RefusedKind};
pub(crate) use overview::ClusterFigures;
pub(crate) use shares::DefinedShare;
pub(crate) use state::{Cluster, Elsewhere};
pub(crate) use witness::{NewRegistration, NotRegistered, WitnessKey, WitnessNotice, WitnessWait};

use std::time::Duration;

use cluster::clock::Moment;

/// The time by the clock that the protocol needs: it is never set, and counts the time in which the machine was suspended.
pub(crate) fn now() -> Moment {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default());
    let nanoseconds = Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default());
    Moment::default().after(seconds.saturating_add(nanoseconds))
}
