//! The map on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use rustix::fs::FlockOperation;
use wire::security::Sid;

use super::error::Error;
use super::rules::Run;
use super::table::Change;
use super::{IdsOfDomain, Kind, import};

/// The file with the map.
pub(super) const FILE: &str = "domain-ids.sqlite";
/// A copy of the ranges for people. It shows that there has been a map, and a lost map can be made from it.
const COPY: &str = "domain-ids.txt";
/// The file whose lock the process with the map holds. It is not that of the map, because a process that closes a file
/// gives up SQLite's locks of it.
const LOCK: &str = "domain-ids.lock";

/// The format of the file (`PRAGMA user_version`).
const FORMAT: i64 = 1;
/// The file's owner (`PRAGMA application_id`): "ShwD".
const APPLICATION: i64 = 0x5368_7744;

/// The wait for a reader in another process: lists are read in a moment.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE domain (sid TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE range (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, first_rid INTEGER NOT NULL, domain TEXT) STRICT;
CREATE TABLE record (kind TEXT NOT NULL, sid TEXT NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (kind, sid), UNIQUE (kind, id)) WITHOUT ROWID, STRICT;
CREATE TABLE name (kind TEXT NOT NULL, sid TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, sid)) WITHOUT ROWID, STRICT;
";

#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    directory: PathBuf,
    path: PathBuf,
    /// True if there was no map.
    is_new: bool,
    /// Holds the lock.
    _lock: File,
}

impl Store {
    /// Opens the file. A missing one is made if there has never been one, or `may_be_lost`.
    pub(super) fn open(directory: &Path, may_be_lost: bool) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let failed = |error| Error::Io { path: path.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let exists = path.try_exists().map_err(failed)?;
        let copy = directory.join(COPY);
        if !exists {
            if copy.try_exists().map_err(failed)? && !may_be_lost {
                return Err(Error::Lost { path, copy });
            }
            // SQLite would take the mode from the umask.
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        }
        let connection = Connection::open_with_flags(&path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))
            .map_err(|error| damaged(&path, &error))?;
        let mut store =
            Self { connection, directory: directory.to_owned(), path, is_new: !exists, _lock: lock };
        store.connection.busy_timeout(BUSY).map_err(|error| store.broken(&error))?;
        store.prepare(exists)?;
        Ok(store)
    }

    fn prepare(&mut self, exists: bool) -> Result<(), Error> {
        // The new range is on the disk before anybody gets an id from it.
        let safe = self.connection.execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA; PRAGMA trusted_schema = OFF;",
        );
        safe.map_err(|error| self.broken(&error))?;
        // A file of no bytes is one that was being made when the machine stopped.
        let is_empty = fs::metadata(&self.path).is_ok_and(|meta| meta.len() == 0);
        if is_empty && (!exists || !self.directory.join(COPY).exists()) {
            let made = self.connection.execute_batch(&format!(
                "BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; {SCHEMA} COMMIT;"
            ));
            return made.map_err(|error| self.broken(&error));
        }
        check(&self.connection, &self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All facts of the file, in the order in which they depend on each other.
    pub(super) fn load(&self) -> Result<Vec<Change>, Error> {
        load(&self.connection).map_err(|reason| Error::Damaged { path: self.path.clone(), reason })
    }

    /// The facts of the file, without its lock; `None` if there is no file.
    pub(super) fn read(directory: &Path) -> Result<Option<Vec<Change>>, Error> {
        let path = directory.join(FILE);
        if !path.try_exists().map_err(|error| Error::Io { path: path.clone(), error })? {
            let copy = directory.join(COPY);
            return if copy.exists() { Err(Error::Lost { path, copy }) } else { Ok(None) };
        }
        let connection = Connection::open_with_flags(&path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(|error| damaged(&path, &error))?;
        connection.busy_timeout(BUSY).map_err(|error| damaged(&path, &error))?;
        check(&connection, &path)?;
        load(&connection).map(Some).map_err(|reason| Error::Damaged { path, reason })
    }

    /// Writes changes, all or none.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let path = self.path.clone();
        write(&mut self.connection, changes).map_err(|error| Error::Write { path, reason: error.to_string() })
    }

    /// Removes a map that was made for a change that failed. One that existed stays as it is.
    pub(super) fn undo(&self) -> Result<(), Error> {
        if !self.is_new {
            return Ok(());
        }
        fs::remove_file(&self.path).map_err(|error| Error::Io { path: self.path.clone(), error })
    }

    /// The text of the copy of the ranges; `None` if there is none.
    pub(super) fn copy(&self) -> Result<Option<String>, Error> {
        let path = self.directory.join(COPY);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io { path, error }),
        }
    }

    /// Replaces the copy of the ranges.
    pub(super) fn write_copy(&self, ranges: &[IdsOfDomain]) -> Result<(), Error> {
        let path = self.directory.join(COPY);
        let unfinished = self.directory.join(format!(".{COPY}.new"));
        let write = || {
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(import::text(ranges).as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| Error::Io { path: path.clone(), error })
    }

    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::Damaged { path: self.path.clone(), reason }
    }

    fn broken(&self, error: &rusqlite::Error) -> Error {
        damaged(&self.path, error)
    }
}

/// Removes the map, its copy and what is left of an unfinished change. Fails if a process has it open.
pub(super) fn remove(directory: &Path) -> Result<bool, Error> {
    let _lock = lock(directory)?;
    let mut removed = false;
    // The copy is last: without the map it says that the map is lost.
    for name in [format!("{FILE}-journal"), FILE.to_owned(), COPY.to_owned()] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Ok(()) => removed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Io { path, error }),
        }
    }
    Ok(removed)
}

fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let failed = |error| Error::Io { path: path.clone(), error };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { path: directory.join(FILE) }),
        Err(error) => Err(failed(error.into())),
    }
}

fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

fn damaged(path: &Path, error: &rusqlite::Error) -> Error {
    Error::Damaged { path: path.to_owned(), reason: error.to_string() }
}

/// Checks the whole file: it is small.
fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, i64>(0));
    let broken = |error: rusqlite::Error| damaged(path, &error);
    if ask("PRAGMA application_id").map_err(broken)? != APPLICATION {
        return Err(Error::Damaged { path: path.to_owned(), reason: String::from("it is not a map of ids") });
    }
    let version = ask("PRAGMA user_version").map_err(broken)?;
    if version != FORMAT {
        return Err(Error::Newer { path: path.to_owned(), version });
    }
    let report: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(broken)?;
    if report != "ok" {
        return Err(Error::Damaged { path: path.to_owned(), reason: report });
    }
    Ok(())
}

fn load(connection: &Connection) -> Result<Vec<Change>, String> {
    let mut changes = rows(connection, "SELECT sid, name FROM domain", |row| {
        Ok(Change::Domain { sid: sid(&text(row, 0)?)?, name: text(row, 1)? })
    })?;
    changes.extend(rows(connection, "SELECT first, last, first_rid, domain FROM range", |row| {
        let domain: Option<String> = row.get(3).map_err(|error| error.to_string())?;
        let run = Run { first: number(row, 0)?, last: number(row, 1)?, first_rid: number(row, 2)? };
        Ok(Change::Range { run, domain: domain.as_deref().map(sid).transpose()? })
    })?);
    changes.extend(rows(connection, "SELECT kind, sid, id FROM record", |row| {
        Ok(Change::Record { kind: kind(&text(row, 0)?)?, sid: sid(&text(row, 1)?)?, id: number(row, 2)? })
    })?);
    changes.extend(rows(connection, "SELECT kind, sid, name FROM name", |row| {
        Ok(Change::Name { kind: kind(&text(row, 0)?)?, sid: sid(&text(row, 1)?)?, name: text(row, 2)? })
    })?);
    Ok(changes)
}

fn rows(
    connection: &Connection,
    question: &str,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<Change, String>,
) -> Result<Vec<Change>, String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(question).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn text(row: &rusqlite::Row<'_>, column: usize) -> Result<String, String> {
    row.get(column).map_err(|error| error.to_string())
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> Result<u32, String> {
    row.get(column).map_err(|error| error.to_string())
}

fn sid(text: &str) -> Result<Sid, String> {
    text.parse().map_err(|_| format!("{text:?} is no SID"))
}

fn kind(text: &str) -> Result<Kind, String> {
    match text {
        "user" => Ok(Kind::User),
        "group" => Ok(Kind::Group),
        _ => Err(format!("{text:?} is no kind of id")),
    }
}

fn write(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        match change {
            Change::Domain { name, sid } => transaction.execute(
                "INSERT INTO domain (sid, name) VALUES (?1, ?2) ON CONFLICT (sid) DO UPDATE SET name = ?2",
                params![sid.to_string(), name],
            ),
            Change::Range { run, domain } => transaction.execute(
                "INSERT INTO range (first, last, first_rid, domain) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (first) DO UPDATE SET last = ?2",
                params![run.first, run.last, run.first_rid, domain.map(|sid| sid.to_string())],
            ),
            Change::Record { sid, kind, id } => transaction.execute(
                "INSERT INTO record (kind, sid, id) VALUES (?1, ?2, ?3)",
                params![kind.to_string(), sid.to_string(), id],
            ),
            Change::Name { sid, kind, name } => transaction.execute(
                "INSERT INTO name (kind, sid, name) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (kind, sid) DO UPDATE SET name = ?3",
                params![kind.to_string(), sid.to_string(), name],
            ),
        }?;
    }
    transaction.commit()
}
