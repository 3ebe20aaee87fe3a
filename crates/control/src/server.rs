//! The server itself (`SERVER_INFO_102`, MS-SRVS 2.2.4.43).

use serde::{Deserialize, Serialize};

use crate::{SCHEMA, Timestamp};

/// A description of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The server's name, without backslashes.
    pub name: String,
    /// The remark.
    pub comment: String,
    /// The version of its software.
    pub version: String,
    /// The time of its start.
    pub started_at: Option<Timestamp>,
    /// The addresses on which it listens, for example "192.0.2.1:445" or "[::]:445".
    #[serde(default)]
    pub listening: Vec<String>,
    /// The current number of connections to shares (tree connects).
    pub connections: Option<u32>,
    /// The current number of sessions.
    pub sessions: Option<u32>,
    /// The current number of opens.
    pub files: Option<u32>,
    /// The current number of shares.
    pub shares: Option<u32>,
}

impl ServerInfo {
    /// A server of this schema of which only the name is known.
    pub fn new(name: String) -> Self {
        Self { schema: SCHEMA, name, ..Self::default() }
    }
}
