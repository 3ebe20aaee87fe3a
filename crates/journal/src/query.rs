//! Questions to the journal.

use crate::record::{EntryId, Kind, PersonKind};

/// A file or directory in a share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The share.
    pub share: String,
    /// The path in the share, with backslashes; empty for its root.
    pub path: String,
}

/// The places of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Within {
    /// All entries, also those that are not about a file.
    #[default]
    Everything,
    /// Entries about these files, and about everything below these directories.
    Places(Vec<Place>),
}

/// A set of kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// The kinds; gaps are found with every kind.
    pub entries: Vec<Kind>,
    /// True for acts of administration, if the query is not about places.
    pub acts: bool,
}

impl Kinds {
    /// Every kind.
    pub fn all() -> Self {
        Self { entries: Kind::ALL.to_vec(), acts: true }
    }
}

/// The entries that the asking user may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    /// True for all entries.
    pub everything: bool,
    /// The shares whose entries the user may see.
    pub shares: Vec<String>,
    /// The account whose own entries the user may see, and its SID if it has one.
    pub own: Option<(String, Option<String>)>,
}

/// A condition for users, by domain and name.
pub type UserCondition = Box<dyn Fn(&str, &str) -> bool + Send>;

/// A condition for clients, by address or name.
pub type ClientCondition = Box<dyn Fn(&str) -> bool + Send>;

/// A query.
pub struct Query {
    /// The places.
    pub within: Within,
    /// The kinds of entries.
    pub kinds: Kinds,
    /// Only sessions and opens that lasted at this time, in milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
    /// Only entries that had not ended at this time.
    pub since_ms: Option<i64>,
    /// Only entries that had begun at this time.
    pub until_ms: Option<i64>,
    /// Only entries of these users.
    pub user: Option<UserCondition>,
    /// Only entries of these clients.
    pub client: Option<ClientCondition>,
    /// The entries that the asking user may see.
    pub visible: Visible,
    /// The most entries of the answer: the latest ones.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            within: Within::Everything,
            kinds: Kinds::all(),
            at_ms: None,
            since_ms: None,
            until_ms: None,
            user: None,
            client: None,
            visible: Visible { everything: true, ..Visible::default() },
            limit: crate::limits::FOUND_DEFAULT,
        }
    }
}

/// An entry or an act that was found. Fields that do not apply to its kind are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The number of the entry; the number in the chain of an act.
    pub id: EntryId,
    /// The kind; `None` for an act.
    pub kind: Option<Kind>,
    /// The time of the beginning, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The time of the end.
    pub end_ms: Option<i64>,
    /// The share.
    pub share: Option<String>,
    /// The path in the share; the old one of a rename.
    pub path: Option<String>,
    /// The new path of a rename; of a deletion, the path of the file that took the name.
    pub to: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The domain or server that the client named.
    pub domain: Option<String>,
    /// The kind of user.
    pub user_kind: PersonKind,
    /// The client; the origin of an act.
    pub client: Option<String>,
    /// `Session.SessionGlobalId`.
    pub session: Option<u32>,
    /// `Open.FileGlobalId`.
    pub file: Option<u32>,
    /// The granted or requested access.
    pub access: Option<u32>,
    /// The reason of the end, of the refusal or of the deletion; the step of a drain.
    pub reason: Option<String>,
    /// The bytes that were read.
    pub read: Option<u64>,
    /// The bytes that were written.
    pub written: Option<u64>,
    /// The user whose open stood in the way.
    pub blocker_user: Option<String>,
    /// The client whose open stood in the way.
    pub blocker_client: Option<String>,
    /// The open that stood in the way.
    pub blocker_file: Option<u32>,
    /// The number of missing entries, of a gap; of a drain, that of the opens that were closed.
    pub count: Option<u64>,
    /// The act.
    pub act: Option<String>,
    /// The object of an act.
    pub object: Option<String>,
    /// The outcome of an act.
    pub outcome: Option<String>,
}
