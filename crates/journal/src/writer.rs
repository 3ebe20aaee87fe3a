//! Writing: batches of records, each in one transaction.

use std::path::{Path, PathBuf};

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::chain::{self, Head};
use crate::error::Error;
use crate::expiry::{self, Bounds, Expired};
use crate::files::{self, Opened};
use crate::intern::Interned;
use crate::limits::{LOG_BYTES_MAX, LONG_MS, RUN_ENTRIES, UNINDEXED_MAX};
use crate::record::{Act, Entry, EntryId, Finish, Kind, PER_MS};
use crate::runs::{self, Unindexed};
use crate::schema::{IS_LONG, class_of};
use crate::sweep::Sweep;

/// The writer of a journal. There is one for each journal.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    path: PathBuf,
    interned: Interned,
    last: EntryId,
    sweep: Sweep,
    unindexed: Unindexed,
    runs: Runs,
}

/// The sizes of runs of brief entries.
#[derive(Clone, Copy, Debug)]
struct Runs {
    entries: usize,
    unindexed: usize,
}

impl Writer {
    /// Opens the journal of a directory, and gives an end to what an earlier server left without one. A missing journal
    /// is made, a damaged one is moved aside and made anew. Fails if a newer version has written it, or if the files
    /// cannot be used.
    pub fn open(directory: &Path, now_ms: i64) -> Result<(Self, Opened), Error> {
        let (connection, path, mut opened) = files::open(directory, now_ms)?;
        let mut writer = Self {
            connection,
            path,
            interned: Interned::default(),
            last: EntryId::default(),
            sweep: Sweep::default(),
            unindexed: Unindexed::default(),
            runs: Runs { entries: RUN_ENTRIES, unindexed: UNINDEXED_MAX },
        };
        opened.unfinished = match writer.finish_all() {
            Err(Error::Damaged { reason, .. }) => {
                drop(writer.connection);
                opened.moved_aside = Some((files::move_aside(directory, now_ms)?, reason));
                (writer.connection, writer.path, _) = files::open(directory, now_ms)?;
                0
            }
            finished => finished?,
        };
        writer.last = writer.last_entry()?;
        writer.count_unindexed()?;
        Ok((writer, opened))
    }

    /// Makes runs of other sizes than [`RUN_ENTRIES`] and [`UNINDEXED_MAX`], for tests.
    #[doc(hidden)]
    pub fn set_runs(&mut self, entries: usize, unindexed: usize) {
        self.runs = Runs { entries, unindexed };
    }

    /// Moves a journal aside that has turned out to be damaged, and begins a new one. The writer of it must have been
    /// dropped.
    pub fn replace_damaged(directory: &Path, now_ms: i64, damage: &Error) -> Result<(Self, Opened), Error> {
        let aside = files::move_aside(directory, now_ms)?;
        let (writer, opened) = Self::open(directory, now_ms)?;
        Ok((writer, Opened { moved_aside: Some((aside, damage.to_string())), ..opened }))
    }

    /// Writes a batch, all of it or nothing.
    pub fn write(
        &mut self,
        now_ms: i64,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), Error>,
    ) -> Result<Written, Error> {
        let log = files::beside(&self.path, "-wal");
        if std::fs::metadata(log).is_ok_and(|it| it.len() > LOG_BYTES_MAX) {
            // The log begins anew if nobody holds it open any more.
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            let is_held: i64 = self
                .connection
                .query_row(checkpoint, [], |row| row.get(0))
                .map_err(|error| self.broken(&error))?;
            if is_held != 0 {
                return Err(Error::HeldOpen { path: self.path.clone() });
            }
        }
        let unindexed = self.unindexed;
        let written = self.transaction(now_ms, fill);
        if written.is_err() {
            self.interned.forget();
            self.unindexed = unindexed;
            // It fails if SQLite has ended the transaction already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written
    }

    /// Gives the older ones of the brief entries their index, if [`UNINDEXED_MAX`] have none. Returns true if it has. The
    /// caller calls it between batches, which wait meanwhile.
    pub fn index(&mut self) -> Result<bool, Error> {
        if self.unindexed.count < self.runs.unindexed {
            return Ok(false);
        }
        let made = runs::make(&self.connection, self.unindexed.after, self.runs.entries);
        if made.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let after = made.map_err(|error| self.broken(&error))?;
        let is_made = after > self.unindexed.after;
        self.unindexed = Unindexed { after, count: self.unindexed.count.saturating_sub(self.runs.entries) };
        Ok(is_made)
    }

    fn count_unindexed(&mut self) -> Result<(), Error> {
        self.unindexed = Unindexed::of(&self.connection).map_err(|error| self.broken(&error))?;
        Ok(())
    }

    fn transaction(
        &mut self,
        now_ms: i64,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), Error>,
    ) -> Result<Written, Error> {
        let path = &self.path;
        let broken = |error: rusqlite::Error| Error::of(path, &error);
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(broken)?;
        let mut batch = Batch {
            connection: &self.connection,
            path: &self.path,
            interned: &mut self.interned,
            last: &mut self.last,
            unindexed: &mut self.unindexed,
            brief: None,
            acts: Vec::new(),
            inserted: 0,
        };
        fill(&mut batch)?;
        let acts = std::mem::take(&mut batch.acts);
        let records = batch.inserted.saturating_add(acts.len());
        let head = chain::append(&self.connection, &acts).map_err(broken)?;
        self.connection
            .prepare_cached("INSERT INTO meta (name, value) VALUES ('written_ms', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1")
            .and_then(|mut it| it.execute([now_ms]))
            .map_err(broken)?;
        self.connection.execute_batch("COMMIT").map_err(broken)?;
        if head.is_some() {
            // Acts are on the disk before anything else is written.
            self.connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").map_err(broken)?;
        }
        Ok(Written { head, records })
    }

    /// Deletes what is older than the bounds allow, a part at a time. The caller calls again while there is more.
    pub fn expire(&mut self, bounds: Bounds, now_ms: i64) -> Result<Expired, Error> {
        let expired = expiry::expire(&self.connection, bounds, now_ms, &mut self.sweep)
            .map_err(|error| Error::of(&self.path, &error));
        if expired.as_ref().map_or(true, |it| it.names > 0) {
            self.interned.forget();
        }
        if expired.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        if expired.as_ref().is_ok_and(|it| it.entries > 0) {
            self.count_unindexed()?;
        }
        expired
    }

    /// The bytes that the journal uses on the disk, without its write-ahead log.
    pub fn size(&self) -> Result<u64, Error> {
        expiry::used_bytes(&self.connection).map_err(|error| self.broken(&error))
    }

    /// The time of the oldest entry, in milliseconds since the Unix epoch; `None` if there is none.
    pub fn oldest_ms(&self) -> Result<Option<i64>, Error> {
        expiry::first_entry(&self.connection).map_err(|error| self.broken(&error))
    }

    /// Gives an end to all sessions and opens that have none: the time at which something was last written.
    fn finish_all(&self) -> Result<usize, Error> {
        let finish = || {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.connection.execute("INSERT OR IGNORE INTO text (text) VALUES (?1)", [SERVER_LOST])?;
            let ending = "max(id / 1000, coalesce((SELECT value FROM meta WHERE name = 'written_ms'), 0)), \
                (SELECT id FROM text WHERE text = ?1)";
            let moved = self.connection.execute(
                &format!(
                    "INSERT INTO entry (id, kind, place, person, client, session, file, access, finish, reason) \
                     SELECT id, kind, place, person, client, session, file, access, {ending} FROM lasting"
                ),
                [SERVER_LOST],
            )?;
            self.connection.execute("DELETE FROM lasting", [])?;
            // Those of a journal that had one table for all.
            let is_lasting = format!("{IS_LONG} AND {} = 0", class_of(""));
            let of_entry = self.connection.execute(
                &format!(
                    "UPDATE entry SET (finish, reason) = (SELECT {ending}) \
                     WHERE id IN (SELECT id FROM entry INDEXED BY entry_class WHERE {is_lasting})"
                ),
                [SERVER_LOST],
            )?;
            self.connection.execute_batch("COMMIT")?;
            Ok(moved.saturating_add(of_entry))
        };
        let finished: rusqlite::Result<usize> = finish();
        if finished.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        finished.map_err(|error| self.broken(&error))
    }

    fn last_entry(&self) -> Result<EntryId, Error> {
        let last = self.connection.query_row(
            "SELECT max(id) FROM (SELECT max(id) AS id FROM entry UNION ALL SELECT max(id) FROM brief)",
            [],
            |row| row.get::<_, Option<i64>>(0),
        );
        Ok(EntryId(last.map_err(|error| self.broken(&error))?.unwrap_or_default()))
    }

    fn broken(&self, error: &rusqlite::Error) -> Error {
        Error::of(&self.path, error)
    }
}

/// The reason of an end that nobody has recorded: the server was killed, or the machine stopped.
const SERVER_LOST: &str = "server_lost";

/// A batch that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The head of the chain of acts, if the batch has acts.
    pub head: Option<Head>,
    /// The number of entries and acts that were added.
    pub records: usize,
}

/// A batch that is being written.
pub struct Batch<'a> {
    connection: &'a Connection,
    path: &'a Path,
    interned: &'a mut Interned,
    last: &'a mut EntryId,
    unindexed: &'a mut Unindexed,
    /// The statement that adds a brief entry, once there is one.
    brief: Option<CachedStatement<'a>>,
    acts: Vec<Act>,
    /// The number of entries that were added.
    inserted: usize,
}

impl Batch<'_> {
    /// The number of the next entry, which begins at this time.
    pub fn next_id(&mut self, time_ms: i64) -> EntryId {
        *self.last = self.last.next(time_ms);
        *self.last
    }

    /// A free number for an entry that began at this time, before others that have numbers.
    pub fn earlier_id(&mut self, time_ms: i64) -> Result<EntryId, Error> {
        let find = || {
            // From the end of the millisecond, whose beginning may be in use by entries that are not written yet.
            let first = EntryId::at(time_ms).0;
            let mut is_used = self.connection.prepare_cached(
                "SELECT 1 FROM entry WHERE id = ?1 UNION ALL SELECT 1 FROM brief WHERE id = ?1 \
                 UNION ALL SELECT 1 FROM lasting WHERE id = ?1",
            )?;
            for id in (first..first.saturating_add(PER_MS)).rev() {
                if !is_used.exists([id])? {
                    return Ok(Some(EntryId(id)));
                }
            }
            Ok(None)
        };
        let found: rusqlite::Result<Option<EntryId>> = find();
        let found = found.map_err(|error| Error::of(self.path, &error))?;
        Ok(found.unwrap_or_else(|| self.next_id(time_ms)))
    }

    /// Adds an entry.
    pub fn insert(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        self.try_insert(entry).map_err(|error| Error::of(self.path, &error))?;
        self.inserted = self.inserted.saturating_add(1);
        Ok(())
    }

    fn try_insert(&mut self, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let (connection, names) = (self.connection, &mut *self.interned);
        let place = entry.place.map(|(share, path)| names.place(connection, share, path)).transpose()?;
        let to = entry
            .place
            .zip(entry.to)
            .map(|((share, _), to)| names.place(connection, share, to))
            .transpose()?;
        let person = entry.person.map(|it| names.person(connection, &it)).transpose()?;
        let client = entry.client.map(|it| names.text(connection, it)).transpose()?;
        let finish = entry.finish;
        let reason = finish.map(|it| it.reason).or(entry.reason);
        let reason = reason.map(|it| names.text(connection, it)).transpose()?;
        let open = Row {
            id: entry.id.0,
            kind: entry.kind as i64,
            place,
            person,
            client,
            session: entry.session,
            file: entry.file,
            access: entry.access,
        };
        match (entry.kind, finish) {
            (Kind::Open | Kind::Session, None) => return open.insert_lasting(connection),
            (Kind::Open, Some(finish)) => return self.insert_ended(&open, &finish, reason),
            (Kind::Deleted, None) if to.is_none() && open.id > self.unindexed.after => {
                return self.insert_brief(&open, None, reason);
            }
            _ => {}
        }
        let by_person = entry.blocker.map(|it| names.person(connection, &it.person)).transpose()?;
        let by_client = entry.blocker.map(|it| names.text(connection, it.client)).transpose()?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO entry (id, kind, place, to_place, person, client, session, file, access, finish, reason, \
             by_person, by_client, by_file, count) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?;
        insert.execute(params![
            open.id,
            open.kind,
            place,
            to,
            person,
            client,
            open.session,
            open.file,
            open.access,
            finish.map(|it| it.at_ms),
            reason,
            by_person,
            by_client,
            entry.blocker.map(|it| it.file),
            entry.count.map(saturated),
        ])?;
        Ok(())
    }

    /// Adds a session or an open that has ended: a brief open among those, unless it is before the last that has an index.
    fn insert_ended(&mut self, open: &Row, finish: &Finish<'_>, reason: Option<i64>) -> rusqlite::Result<()> {
        let is_open = open.kind == Kind::Open as i64;
        let is_brief = finish.at_ms.saturating_sub(EntryId(open.id).time_ms()) < LONG_MS;
        if is_open && is_brief && open.id > self.unindexed.after {
            return self.insert_brief(open, Some(finish), reason);
        }
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO entry (id, kind, place, person, client, session, file, access, finish, reason, read, written) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        insert.execute(params![
            open.id,
            open.kind,
            open.place,
            open.person,
            open.client,
            open.session,
            open.file,
            open.access,
            finish.at_ms,
            reason,
            is_open.then(|| saturated(finish.read)),
            is_open.then(|| saturated(finish.written)),
        ])?;
        Ok(())
    }

    fn insert_brief(
        &mut self,
        row: &Row,
        finish: Option<&Finish<'_>>,
        reason: Option<i64>,
    ) -> rusqlite::Result<()> {
        let insert = match &mut self.brief {
            Some(insert) => insert,
            // To find it among the others for each entry would take a quarter of the time.
            none => none.insert(self.connection.prepare_cached(
                "INSERT INTO brief (id, kind, place, person, client, session, file, access, finish, reason, read, written) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?),
        };
        insert.execute(params![
            row.id,
            row.kind,
            row.place,
            row.person,
            row.client,
            row.session,
            row.file,
            row.access,
            finish.map(|it| it.at_ms),
            reason,
            finish.map(|it| saturated(it.read)),
            finish.map(|it| saturated(it.written)),
        ])?;
        self.unindexed.count = self.unindexed.count.saturating_add(1);
        Ok(())
    }

    /// Records the end of an entry that was added without one. Returns false if there is no such entry.
    pub fn finish(&mut self, id: EntryId, finish: &Finish<'_>) -> Result<bool, Error> {
        self.try_finish(id, finish).map_err(|error| Error::of(self.path, &error))
    }

    fn try_finish(&mut self, id: EntryId, finish: &Finish<'_>) -> rusqlite::Result<bool> {
        let lasting = self
            .connection
            .prepare_cached("DELETE FROM lasting WHERE id = ?1 RETURNING kind, place, person, client, session, file, access")?
            .query_row([id.0], |row| {
                Ok(Row {
                    id: id.0,
                    kind: row.get(0)?,
                    place: row.get(1)?,
                    person: row.get(2)?,
                    client: row.get(3)?,
                    session: row.get(4)?,
                    file: row.get(5)?,
                    access: row.get(6)?,
                })
            })
            .optional()?;
        let Some(lasting) = lasting else { return Ok(false) };
        let reason = self.interned.text(self.connection, finish.reason)?;
        self.insert_ended(&lasting, finish, Some(reason))?;
        Ok(true)
    }

    /// Adds an act of administration at the end of the chain.
    pub fn act(&mut self, act: Act) {
        self.acts.push(act);
    }
}

/// A session or an open, with the numbers of its names.
struct Row {
    id: i64,
    kind: i64,
    place: Option<i64>,
    person: Option<i64>,
    client: Option<i64>,
    session: Option<u32>,
    file: Option<u32>,
    access: Option<u32>,
}

impl Row {
    fn insert_lasting(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO lasting (id, kind, place, person, client, session, file, access) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        insert.execute(params![
            self.id,
            self.kind,
            self.place,
            self.person,
            self.client,
            self.session,
            self.file,
            self.access
        ])?;
        Ok(())
    }
}

fn saturated(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
