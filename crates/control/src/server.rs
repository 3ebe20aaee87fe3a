//! The server itself (`SERVER_INFO_102`, MS-SRVS 2.2.4.43).

use serde::{Deserialize, Serialize};

use crate::{SCHEMA, Timestamp};

/// What the server says of itself.
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
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// The addresses it listens at, as "192.0.2.1:445" or "[::]:445".
    #[serde(default)]
    pub listening: Vec<String>,
    /// Connections now (tree connects).
    pub connections: Option<u32>,
    /// Sessions now.
    pub sessions: Option<u32>,
    /// Opens now.
    pub files: Option<u32>,
    /// Shares now.
    pub shares: Option<u32>,
}

impl ServerInfo {
    /// A server of this schema with nothing told yet.
    pub fn new(name: String) -> Self {
        Self { schema: SCHEMA, name, ..Self::default() }
    }
}
