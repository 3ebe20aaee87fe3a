//! Errors of the journal.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

/// An error of the journal.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or directory cannot be used.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// There is no journal.
    #[error("{path}: there is no history", path = path.display())]
    Missing {
        /// The place of the journal.
        path: PathBuf,
    },
    /// A newer version of the program has written the journal.
    #[error("{path} has format {version}, which a newer version of shareward has written; this one knows format {known}", path = path.display(), known = crate::schema::FORMAT)]
    Newer {
        /// The journal.
        path: PathBuf,
        /// The format of the file.
        version: i64,
    },
    /// The file is damaged, or is no journal.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The message of SQLite.
        reason: String,
    },
    /// The disk is full.
    #[error("{path}: no space left on the device", path = path.display())]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// The write-ahead log has reached [`crate::limits::LOG_BYTES_MAX`].
    #[error("{path}: the write-ahead log has reached its limit because another program keeps an old state of the history open", path = path.display())]
    HeldOpen {
        /// The journal.
        path: PathBuf,
    },
    /// A query took longer than [`crate::limits::QUERY_TIME_MAX`].
    #[error("the search took too long; name a file, or a shorter time with --since and --until")]
    TooLong,
    /// Any other error of SQLite.
    #[error("{path}: {reason}", path = path.display())]
    Sqlite {
        /// The journal.
        path: PathBuf,
        /// The message of SQLite.
        reason: String,
    },
}

impl Error {
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, reason: error.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::OperationInterrupted) => Self::TooLong,
            _ => Self::Sqlite { path, reason: error.to_string() },
        }
    }
}
