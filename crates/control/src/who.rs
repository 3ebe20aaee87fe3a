//! Who has it: the holders of a file or of all below a directory, and who was refused it.

use serde::{Deserialize, Serialize};

use crate::{OpenFile, Refusal, SCHEMA};

/// The question of `GET /v1/who`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhoQuery {
    /// The file, or the directory with all below it: a path on the server's disk (`/srv/data/x`), a path below the
    /// share that `share` names, or `\\server\share\path`; in any case, with either kind of separators.
    pub path: String,
    /// The share, where `path` is below one.
    pub share: Option<String>,
    /// Seconds to wait until nobody has it open; none to answer at once. At most [`crate::limits::WAIT_MAX`].
    pub wait: Option<u32>,
}

/// The answer to [`WhoQuery`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was understood: the share, where one has it.
    pub share: Option<String>,
    /// The path below that share.
    pub path: String,
    /// The opens of it and below it.
    pub holders: Vec<OpenFile>,
    /// The recent refusals of it and below it, the latest last; none where the server does not remember them.
    pub refusals: Option<Vec<Refusal>>,
}

impl Default for Who {
    fn default() -> Self {
        Self { schema: SCHEMA, share: None, path: String::new(), holders: Vec::new(), refusals: None }
    }
}
