//! Errors of the map of ids.

use std::path::PathBuf;

use wire::security::Sid;

use super::Kind;

/// The map cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ranges of the settings are wrong.
    #[error("the ranges of ids are wrong: {0}")]
    Rules(String),
    /// There was a map, and its file is gone.
    #[error(
        "{} is missing, but {} shows that there was one: without it users of the domain could get other ids; restore it \
         from a backup, or make it anew with `shareward domain ids import {}`",
        path.display(), copy.display(), copy.display()
    )]
    Lost {
        /// The missing file.
        path: PathBuf,
        /// The copy of the ranges.
        copy: PathBuf,
    },
    /// The file does not have what it must have.
    #[error("{} is damaged: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first finding.
        reason: String,
    },
    /// The file is of a later version of this program.
    #[error("{} has the format {version}, which this version does not know", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        version: i64,
    },
    /// Another process has the map open.
    #[error("{} is in use by another process: stop the server first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
    /// SQLite refuses to write.
    #[error("{} cannot be changed: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// SQLite's message.
        reason: String,
    },
    /// The settings give a domain other ids than it had.
    #[error(
        "the settings would give {domain} other ids: it had {had}, now {now}; files keep the old ids, so restore the \
         range in the settings, or give the files to their new owners and remove the map with `shareward domain ids forget`"
    )]
    Changed {
        /// The domain's name or SID.
        domain: String,
        /// The range that it had.
        had: String,
        /// The range of the settings.
        now: String,
    },
    /// The SID of a domain is not `S-1-5-21-a-b-c`, or its name is empty or too long.
    #[error("{name:?} with the SID {sid} cannot be a domain")]
    NoDomain {
        /// The name.
        name: String,
        /// The SID.
        sid: Box<Sid>,
    },
    /// A domain has the name or the SID of another.
    #[error("the domain {name} has the SID {sid}, but {known}")]
    OtherDomain {
        /// The domain's name.
        name: String,
        /// The domain's SID.
        sid: Box<Sid>,
        /// The other domain.
        known: String,
    },
    /// A recorded id would make the map ambiguous.
    #[error("the id {id} of the {kind} {sid} is not recorded: {conflict}")]
    Conflict {
        /// The user or group.
        sid: Box<Sid>,
        /// The kind of id.
        kind: Kind,
        /// The refused id.
        id: u32,
        /// The reason.
        conflict: Box<Conflict>,
    },
    /// A table is full.
    #[error("no room for {what}")]
    Full {
        /// The thing that does not fit.
        what: String,
    },
    /// A line of an imported text is not understood.
    #[error("line {line} is not understood: {text:?}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
}

/// The reason why an id is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// 0 is root, and 4294967295 means "no id" to the system.
    #[error("it is never a user's or a group's of a domain")]
    Reserved,
    /// The SID has another recorded id.
    #[error("the recorded one is {0}")]
    OtherId(u32),
    /// Another SID has the id.
    #[error("it is that of {0}")]
    OtherSid(Sid),
    /// The id is in a range of the settings that is not given to a domain yet.
    #[error("it is in a range that the rules of the settings give to other users")]
    InRange,
}
