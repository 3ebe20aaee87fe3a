//! A small asynchronous SMB2/3 client: what scripted tests, the load generator and calls over pipes use.
//!
//! From the outside in: a [`Connection`] negotiates and carries requests, many at a time; [`Session`]s are
//! logged on over it, [`Tree`]s connected in those, [`File`]s opened in these, and a [`Pipe`] makes RPC calls
//! through one. Each of the four gives the same requests: encode a body, wait for the [`Response`], decode it.
//! Where that is not enough, [`Connection::submit`] sends any body at all and [`Connection::raw_send`] any bytes.
//!
//! Nothing here retries, reconnects or caches: one call is one exchange (a few for logons and listings), and what
//! the server says is the caller's to judge.

mod breaks;
mod connection;
mod credits;
mod directory;
mod error;
mod file;
mod limits;
mod negotiate;
mod options;
mod pipe;
mod protection;
mod receive;
mod send;
mod session;
mod tree;

#[cfg(test)]
mod tests;

pub use breaks::{Break, Breaks};
pub use connection::{Connection, InFlight, Part, Response, Scope};
pub use directory::{Listing, OwnedEntry};
pub use error::Error;
pub use file::{
    CreateParameters, Created, File, close_part, query_info_data, query_info_part, read_data, read_part,
    write_part,
};
pub use negotiate::Negotiated;
pub use options::{ConnectOptions, LogonOptions, Signing};
pub use pipe::Pipe;
pub use session::Session;
pub use tree::Tree;
