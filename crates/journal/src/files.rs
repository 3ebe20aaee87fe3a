//! The files of the journal: opening them, and moving damaged ones aside.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::Error;
use crate::limits::{BUSY, DAMAGED_KEPT, READER_CACHE_KIB};
use crate::schema::{APPLICATION, FORMAT, FORMAT_OF_ONE_TABLE, SCHEMA, SCHEMA_OF_OPENS, VIEWS, indices};

/// The name of the journal in the state directory.
pub const FILE: &str = "history.sqlite";

/// The files that SQLite has beside a journal.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The result of opening a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The name that a damaged journal was given, and the damage. The journal is a new one.
    pub moved_aside: Option<(PathBuf, String)>,
    /// The sessions and opens that had no end, because the server that wrote them did not stop in order.
    pub unfinished: usize,
}

/// Opens the journal of a directory for writing. A missing one is made; a damaged one is moved aside and made anew.
pub(crate) fn open(directory: &Path, now_ms: i64) -> Result<(Connection, PathBuf, Opened), Error> {
    let path = directory.join(FILE);
    match open_or_make(directory, &path) {
        Ok(connection) => Ok((connection, path, Opened::default())),
        Err(Error::Damaged { reason, .. }) => {
            let aside = move_aside(directory, now_ms)?;
            let connection = open_or_make(directory, &path)?;
            Ok((connection, path, Opened { moved_aside: Some((aside, reason)), unfinished: 0 }))
        }
        Err(error) => Err(error),
    }
}

/// Opens the journal of a directory for reading. It may have an older format, which only a writer changes.
pub(crate) fn open_to_read(directory: &Path) -> Result<(Connection, PathBuf), Error> {
    let path = directory.join(FILE);
    if !path.try_exists().map_err(|error| Error::Io { path: path.clone(), error })? {
        return Err(Error::Missing { path });
    }
    let connection = Connection::open_with_flags(&path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(|error| Error::of(&path, &error))?;
    connection.busy_timeout(BUSY).map_err(|error| Error::of(&path, &error))?;
    let cache = format!("PRAGMA cache_size = -{READER_CACHE_KIB}");
    connection.execute_batch(&cache).map_err(|error| Error::of(&path, &error))?;
    check(&connection, &path)?;
    Ok((connection, path))
}

fn open_or_make(directory: &Path, path: &Path) -> Result<Connection, Error> {
    let failed = |error| Error::Io { path: path.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    // SQLite would take the mode from the umask.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let broken = |error: rusqlite::Error| Error::of(path, &error);
    let connection =
        Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE)).map_err(broken)?;
    connection.busy_timeout(BUSY).map_err(broken)?;
    // The pages of a batch are in the log, so that a reader never waits for the writer.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; \
             PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 33554432; PRAGMA cache_size = -16384;",
        )
        .map_err(broken)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(broken)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(broken)?;
    if version == 0 && tables == 0 {
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; {SCHEMA} \
                 {SCHEMA_OF_OPENS} COMMIT;"
            ))
            .map_err(broken)?;
    }
    if check(&connection, path)? == FORMAT_OF_ONE_TABLE {
        let changed = connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {SCHEMA_OF_OPENS} PRAGMA user_version = {FORMAT}; COMMIT;"
        ));
        if changed.is_err() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        changed.map_err(broken)?;
    }
    make_derived(&connection).map_err(broken)?;
    Ok(connection)
}

/// Makes the indices and views that are missing, and makes those anew that an older version made otherwise.
fn make_derived(connection: &Connection) -> rusqlite::Result<()> {
    let mut made: HashMap<String, String> = connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'view') AND sql IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut changes = String::new();
    let indices = indices().into_iter().map(|(name, on)| ("INDEX", name, format!("ON {on}")));
    let views = VIEWS.iter().map(|(name, select)| ("VIEW", *name, format!("AS {select}")));
    for (what, name, definition) in indices.chain(views) {
        let wanted = format!("CREATE {what} {name} {definition}");
        match made.remove(name) {
            Some(is) if is == wanted => {}
            is => {
                if is.is_some() {
                    let _ = write!(changes, "DROP {what} {name}; ");
                }
                let _ = write!(changes, "{wanted}; ");
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let changed = connection.execute_batch(&format!("BEGIN IMMEDIATE; {changes} COMMIT;"));
    if changed.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    changed
}

/// Fails if the file is no journal of a known format; returns the format.
fn check(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let ask = |question: &str| {
        connection
            .query_row(question, [], |row| row.get::<_, i64>(0))
            .map_err(|error| Error::of(path, &error))
    };
    let damaged = |reason: &str| Error::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    if ask("PRAGMA application_id")? != APPLICATION {
        return Err(damaged("it is not a history"));
    }
    let version = ask("PRAGMA user_version")?;
    if version > FORMAT {
        return Err(Error::Newer { path: path.to_owned(), version });
    }
    if version < FORMAT_OF_ONE_TABLE {
        return Err(damaged("it has no format"));
    }
    // A glance at each table: the whole file is too large to be checked at each start.
    let tables = ["meta", "text", "person", "share", "place", "entry", "act"];
    let of_opens =
        ["lasting", "brief", "run", "posting"].into_iter().filter(|_| version > FORMAT_OF_ONE_TABLE);
    for table in tables.into_iter().chain(of_opens) {
        let glance = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)");
        ask(&glance).map_err(|error| match error {
            Error::Sqlite { path, reason } => Error::Damaged { path, reason },
            other => other,
        })?;
    }
    Ok(version)
}

/// Gives the files of a damaged journal another name, and removes the oldest of such files.
pub(crate) fn move_aside(directory: &Path, now_ms: i64) -> Result<PathBuf, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    };
    let aside = directory.join(format!("{FILE}{DAMAGED}{now_ms}"));
    for companion in COMPANIONS {
        let from = beside(&directory.join(FILE), companion);
        match fs::rename(&from, beside(&aside, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&from)(error)),
            _ => {}
        }
    }
    let path = directory.join(FILE);
    fs::rename(&path, &aside).map_err(failed(&path))?;
    let mut damaged: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(failed(directory))?
        .filter_map(Result::ok)
        .filter(|it| {
            let name = it.file_name();
            let number = name.to_str().and_then(|it| it.strip_prefix(FILE)?.strip_prefix(DAMAGED));
            number.is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(|it| it.path())
        .collect();
    damaged.sort();
    for old in damaged.iter().rev().skip(DAMAGED_KEPT) {
        for path in COMPANIONS.map(|it| beside(old, it)).into_iter().chain([old.clone()]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
                _ => {}
            }
        }
    }
    Ok(aside)
}

/// The part of a damaged journal's name behind the journal's; the time in milliseconds follows.
const DAMAGED: &str = ".damaged-";

/// The path of a file beside the journal.
pub(crate) fn beside(path: &Path, companion: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(companion);
    name.into()
}

fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}
