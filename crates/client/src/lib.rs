//! The clients of net commands: for the control API and for MS-SRVS, and the SMB client that reaches pipes.
//!
//! A command uses a `Box<dyn` [`Administration`]`>` without knowing the kind of server. [`ControlClient`] uses the
//! control API of our own server, [`SrvsClient`] uses MS-SRVS with any server, and [`RemoteClient`] uses the better
//! one of both with a server on another machine. [`HereClient`] is the server of this machine: ours, or those of other
//! makes that run here ([`LocalServer`]).
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod administration;
mod control_client;
mod error;
mod here_client;
mod http;
pub mod limits;
mod local;
mod remote;
mod remote_client;
pub mod smb;
mod srvs;
mod tickets;

pub use administration::{Administration, Answer, Events, HoldStates};
pub use control_client::{ControlClient, Sockets, Transport};
pub use error::Error;
pub use gss::{ErrorKind, default_realm};
pub use here_client::HereClient;
pub use local::{AllLocal, LocalServer, Make, NotALocalServer, running_makes};
pub use remote::{
    NamedServer, NotAServerAddress, PipeStream, Remote, ServerAddress, ServerWord, servers_of_file,
    servers_of_list,
};
pub use remote_client::RemoteClient;
pub use srvs::{CallError, Rpc, SrvsClient};
pub use tickets::{Begun, TicketError, TicketSource, Tickets};
