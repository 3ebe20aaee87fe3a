//! The ownership of shares among several servers: one owner at a time for each share, agreed on in etcd.
//!
//! [`Node`] is the state machine of one server: events in, actions out, the time is an argument. A shell carries the
//! actions out: requests to etcd, the storage of shares, serving. `docs/cluster.md` has the protocol and the argument
//! for its safety.
//!
//! - `node`: the machine. `view`: the keys of etcd as a node knows them. `placement`: the choice of a node for a share.
//! - `protocol`: events, actions and transactions. `keys`, `records`: the contents of etcd.
//! - `settings`: times, and the arithmetic of the write permission. `gate`: the permission as the data path reads it.
//! - `simulator` (feature): etcd, network, clocks and storage as models, with faults, in which many nodes run.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod clock;
mod flaws;
mod gate;
pub mod ids;
pub mod keys;
mod node;
mod placement;
pub mod protocol;
pub mod records;
pub mod settings;
#[cfg(feature = "simulator")]
pub mod simulator;
mod view;

pub use flaws::Flaws;
pub use gate::WriteGate;
pub use node::Node;
pub use view::{Definition, Holding, Member, NODES_MAX, Owner, SHARES_MAX, View};
