//! A client of etcd (3.4 and later) over its JSON gateway.
//!
//! etcd's own protocol is gRPC, whose code a generator makes that the build would need. The gateway takes the same
//! messages as JSON over HTTP/1.1, at the same address and port.
//!
//! - `client.rs`: the calls: ranges, transactions, leases. `watch.rs`: the stream of changes.
//! - `transport.rs`: connections to one of several endpoints, with TLS. `settings.rs`: the endpoints and their files.
//! - `messages.rs`: the JSON. `limits.rs`: bounds on what etcd answers.
//!
//! A call that fails says if it may have been carried out ([`Error::is_undone`]). No call is repeated that may have been.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod client;
mod error;
mod limits;
mod messages;
mod settings;
mod transport;
mod watch;

pub use client::{Client, Compare, Condition, Granted, Operation, Range, TxnAnswer};
pub use error::{Error, SettingsError};
pub use limits::VALUE_BYTES_KEPT;
pub use messages::KeyValue;
pub use settings::{Endpoint, Login, Settings, TlsFiles};
pub use watch::{Batch, Change, Watch};
