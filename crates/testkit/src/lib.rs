//! Servers and peers as processes, for tests of the binary that users run; nothing here links the server.
//!
//! - [`Subject`]: the server under test, ours or (`SHAREWARD_TEST_SUBJECT=samba`) Samba's, with the same [`Setup`].
//! - [`Shareward`] and [`Samba`]: one of them, for tests of a particular server.
//! - [`peer`]: smbclient, rpcclient, `net rpc`, smbtorture, impacket and the kernel client, each as one call that
//!   returns an [`Output`].
//! - [`Domain`]: an Active Directory domain with its own controller and hosts, on this machine.
//! - [`Etcd`]: a cluster of etcd on loopback, or on hosts of a network.
//! - [`Network`]: hosts with links that can be cut.
//! - [`need`]: skips a test visibly if a peer is not installed.
#![forbid(unsafe_code)]

pub mod peer;
pub mod torture;

mod cable;
mod daemon;
mod domain;
mod etcd;
mod limits;
mod need;
mod network;
mod output;
mod paths;
mod random;
mod samba;
mod setup;
mod shareward;
mod stuck;
mod subject;

pub use cable::Cable;
pub use daemon::{free_port, negotiate};
pub use domain::{Domain, FIRST_ID, Host, SambaMember, Tickets, password};
pub use etcd::{Etcd, EtcdTls};
pub use need::{TOOLS, find, is_root, need, skip};
pub use network::Network;
pub use output::{Output, run};
pub use paths::{repository, shareward_binary};
pub use random::Random;
pub use samba::Samba;
pub use setup::{RunAs, SambaRoot, Setup, Share, User};
pub use shareward::Shareward;
pub use stuck::{Operation, StuckFs};
pub use subject::Subject;
