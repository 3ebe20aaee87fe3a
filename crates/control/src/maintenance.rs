//! Maintenance: drains, holds, announced closes, and the check of connections after a change of grants.

use serde::{Deserialize, Serialize};

use crate::{Connection, OpenFile, Timestamp};

/// The part of the server that a drain is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainScope {
    /// The whole server.
    #[default]
    Server,
    /// One share.
    Share,
    /// The sessions of one client.
    Client,
}

/// The progress of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainPhase {
    /// The users finish their work.
    #[default]
    Waiting,
    /// The deadline is over, or no file is open any more; the rest is being closed.
    Ending,
    /// Nothing is open any more. New opens are refused until the drain is ended.
    Done,
}

/// A drain: no new opens, so that the present users come to an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The part of the server that it is about.
    pub scope: DrainScope,
    /// The share, for [`DrainScope::Share`].
    pub share: Option<String>,
    /// The client, for [`DrainScope::Client`].
    pub client: Option<String>,
    /// The progress.
    pub phase: DrainPhase,
    /// The time of its beginning.
    pub begun_at: Option<Timestamp>,
    /// The time at which the remaining opens are closed; `None` to wait for their users.
    pub deadline: Option<Timestamp>,
    /// True if sessions that have files open cannot open more either.
    pub strict: bool,
    /// True if the server stops when nothing is open any more.
    pub then_stop: bool,
    /// The administrator.
    pub by: String,
    /// The number of files that are open there. Directories are not counted.
    pub files: u32,
    /// The users of these files, each once, at most [`crate::limits::DRAIN_USERS_MAX`].
    pub users: Vec<String>,
    /// The time when nothing was open any more.
    pub done_at: Option<Timestamp>,
    /// The number of opens that were closed without unwritten data.
    pub clean: u32,
    /// The number of opens that were closed after their clients had written.
    pub flushed: u32,
    /// The number of opens that were closed although their clients had not answered in time.
    pub forced: u32,
}

/// The body of `POST /v1/drains`. Without `share` and `client` it is about the whole server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewDrain {
    /// The share.
    pub share: Option<String>,
    /// The client's address or name.
    pub client: Option<String>,
    /// The seconds until the remaining opens are closed, at most [`crate::limits::DRAIN_SECONDS_MAX`]; `None` to wait
    /// for their users.
    pub seconds: Option<u64>,
    /// See [`Drain::strict`].
    pub strict: bool,
    /// See [`Drain::then_stop`]; for the whole server only.
    pub then_stop: bool,
}

/// The body of `POST /v1/drains/end`: the scope, as in [`NewDrain`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndDrain {
    /// The share.
    pub share: Option<String>,
    /// The client's address or name.
    pub client: Option<String>,
}

/// The announcement of a close ([`OpenFile::closing`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedClose {
    /// The time of the close.
    pub at: Timestamp,
    /// The message for the user.
    pub text: String,
    /// The administrator.
    pub by: String,
}

/// The body of `PUT /v1/files/{id}/closing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnnounceClose {
    /// The seconds until the close, at most [`crate::limits::DRAIN_SECONDS_MAX`].
    pub seconds: u64,
    /// The message for the user, at most [`crate::limits::NOTICE_TEXT_MAX`] characters.
    pub text: String,
    /// See [`crate::CloseFile::grace`].
    pub grace: Option<u32>,
    /// See [`crate::CloseFile::expect_user`].
    pub expect_user: Option<String>,
    /// See [`crate::CloseFile::expect_path`].
    pub expect_path: Option<String>,
}

/// A path that nobody can open while a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The number of the hold.
    pub id: u64,
    /// The share.
    pub share: String,
    /// The path below that share; everything below a directory is held as well.
    pub path: String,
    /// True if others may open it meanwhile.
    pub lets_in: bool,
    /// The user of the hold.
    pub by: String,
    /// The client of the hold.
    pub from: String,
    /// The purpose in words: the name of the command.
    pub purpose: String,
    /// The time at which it was taken.
    pub since: Option<Timestamp>,
}

/// The body of `POST /v1/holds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewHold {
    /// The path, as [`crate::WhoQuery::path`].
    pub path: String,
    /// The share that `path` is relative to.
    pub share: Option<String>,
    /// See [`Hold::lets_in`].
    pub lets_in: bool,
    /// See [`Hold::purpose`], at most [`crate::limits::NOTICE_TEXT_MAX`] characters.
    pub purpose: String,
}

/// One line of the answer to `POST /v1/holds`. The hold ends with the connection that carries the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    /// The hold, once it is taken; `None` while others have the path.
    pub held: Option<Hold>,
    /// The share of the path.
    pub share: Option<String>,
    /// The path below that share.
    pub path: String,
    /// The opens in the way, at most [`crate::limits::HOLDERS_SHOWN_MAX`].
    pub holders: Vec<OpenFile>,
    /// The other holds in the way.
    pub holds: Vec<Hold>,
}

/// The body of `POST /v1/shares/{name}/recheck`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recheck {
    /// True to end the connections that are not allowed any more; false to list them only.
    pub end: bool,
}

/// The answer to [`Recheck`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rechecked {
    /// The share.
    pub share: String,
    /// The connections with rights that the share does not give any more.
    pub connections: Vec<RecheckedConnection>,
    /// True if these rights were taken away.
    pub ended: bool,
}

/// A connection with rights that the share does not give any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecheckedConnection {
    /// The connection.
    pub connection: Connection,
    /// True if the user may still connect: the connection stays, with fewer rights. Otherwise it ends.
    pub may_return: bool,
    /// The open files that have more rights than that, which are closed, at most [`crate::limits::HOLDERS_SHOWN_MAX`].
    pub files: Vec<OpenFile>,
}
