//! The opens of a file, or of everything below a directory, and the recent refusals.

use serde::{Deserialize, Serialize};

use crate::{OpenFile, Refusal, SCHEMA};

/// The query of `GET /v1/who`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhoQuery {
    /// The file, or the directory with everything below it: a path on the server's disk (`/srv/data/x`), a path below
    /// `share`, or `\\server\share\path`. Case is ignored; `/` is the same as `\`.
    pub path: String,
    /// The share that `path` is relative to.
    pub share: Option<String>,
    /// The seconds to wait until nobody has it open, at most [`crate::limits::WAIT_MAX`]; `None` to answer at once.
    pub wait: Option<u32>,
}

/// The answer to [`WhoQuery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The share that contains the path; `None` if none does.
    pub share: Option<String>,
    /// The path below that share.
    pub path: String,
    /// The opens of the path and below it.
    pub holders: Vec<OpenFile>,
    /// The recent refusals for the path and below it, the latest last; `None` if the server does not record them.
    pub refusals: Option<Vec<Refusal>>,
    /// The holds of commands on the path, above it or below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<crate::Hold>,
}

impl Default for Who {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            share: None,
            path: String::new(),
            holders: Vec::new(),
            refusals: None,
            holds: Vec::new(),
        }
    }
}
