//! A small asynchronous SMB2/3 client for scripted tests, the load generator and calls over pipes.
//!
//! From the outside in: a [`ClientConnection`] negotiates and carries many requests at a time; [`ClientSession`]s are logged on
//! over it, [`ClientTree`]s are connected in sessions, [`File`]s are opened in trees, and a [`Pipe`] makes RPC calls
//! through a file. All of them build requests in the same way: encode a body, wait for the [`Response`], decode it.
//! [`ClientConnection::submit`] sends any body, and [`ClientConnection::raw_send`] any bytes.
//!
//! Nothing here reconnects or caches: one call is one exchange (a few for logons and listings), and the caller interprets
//! the server's answer. Only a request that the server refuses because the session has expired is sent again, after
//! another logon.

mod accounts;
mod breaks;
mod connection;
mod credentials;
mod credits;
mod directory;
mod error;
mod file;
mod limits;
mod negotiate;
mod options;
mod pipe;
mod posix;
mod protection;
mod receive;
mod renewal;
mod request;
mod send;
mod session;
mod tree;

#[cfg(test)]
mod tests;

pub use breaks::{Break, Breaks};
pub use connection::{ClientConnection, InFlight};
pub use credentials::LogonCredentials;
pub use directory::{Listing, OwnedEntry};
pub use error::Error;
pub use file::{
    CreateParameters, Created, File, close_part, query_info_data, query_info_part, read_data, read_part,
    write_part,
};
pub use negotiate::Negotiated;
pub use options::{ConnectOptions, LogonOptions, Signing};
pub use pipe::Pipe;
pub use request::{Part, Response, Scope};
pub use session::ClientSession;
pub use tree::{ClientTree, SharePlace};
