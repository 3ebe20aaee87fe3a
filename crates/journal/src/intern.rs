//! The numbers of names: each name is in the file once.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use wire::{AccountName, FoldedName};

use crate::limits::NAMES_REMEMBERED;
use crate::record::{Person, PersonKind};

/// The numbers of names that are remembered. They are forgotten when a transaction fails, and when names are deleted.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    texts: HashMap<Box<str>, i64>,
    shares: HashMap<Box<str>, i64>,
    /// By name.
    persons: HashMap<Box<str>, Vec<KnownPerson>>,
    /// By share.
    places: BTreeMap<i64, HashMap<Box<str>, i64>>,
    count: usize,
}

/// A person whose number is remembered.
#[derive(Debug)]
struct KnownPerson {
    kind: PersonKind,
    domain: Box<str>,
    sid: Box<str>,
    id: i64,
}

impl Interned {
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn make_room(&mut self) {
        self.count = self.count.saturating_add(1);
        if self.count > NAMES_REMEMBERED {
            self.forget();
            self.count = 1;
        }
    }

    pub(crate) fn text(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.texts.get(text) {
            return Ok(*id);
        }
        connection.prepare_cached("INSERT OR IGNORE INTO text (text) VALUES (?1)")?.execute([text])?;
        let id = connection
            .prepare_cached("SELECT id FROM text WHERE text = ?1")?
            .query_row([text], |row| row.get(0))?;
        self.make_room();
        self.texts.insert(text.into(), id);
        Ok(id)
    }

    fn share(&mut self, connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.shares.get(name) {
            return Ok(*id);
        }
        let key = FoldedName::new(name);
        connection
            .prepare_cached(
                "INSERT INTO share (share_key, name) VALUES (?1, ?2) ON CONFLICT (share_key) DO UPDATE SET name = ?2",
            )?
            .execute([key.as_str(), name])?;
        let id = connection
            .prepare_cached("SELECT id FROM share WHERE share_key = ?1")?
            .query_row([key.as_str()], |row| row.get(0))?;
        self.make_room();
        self.shares.insert(name.into(), id);
        Ok(id)
    }

    pub(crate) fn place(
        &mut self,
        connection: &Connection,
        share: &str,
        path: &str,
    ) -> rusqlite::Result<i64> {
        let share = self.share(connection, share)?;
        if let Some(id) = self.places.get(&share).and_then(|it| it.get(path)) {
            return Ok(*id);
        }
        let key = FoldedName::new(path);
        let known = connection
            .prepare_cached("SELECT id, path = ?3 FROM place WHERE share = ?1 AND path_key = ?2")?
            .query_row(params![share, key.as_str(), path], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let id = match known {
            Some((id, true)) => id,
            Some((id, false)) => {
                connection
                    .prepare_cached("UPDATE place SET path = ?2 WHERE id = ?1")?
                    .execute(params![id, path])?;
                id
            }
            None => {
                connection
                    .prepare_cached("INSERT INTO place (share, path_key, path) VALUES (?1, ?2, ?3)")?
                    .execute(params![share, key.as_str(), path])?;
                connection.last_insert_rowid()
            }
        };
        self.make_room();
        self.places.entry(share).or_default().insert(path.into(), id);
        Ok(id)
    }

    pub(crate) fn person(&mut self, connection: &Connection, person: &Person<'_>) -> rusqlite::Result<i64> {
        let Person { kind, name, domain, sid } = *person;
        let is_same = |it: &&KnownPerson| it.kind == kind && &*it.domain == domain && &*it.sid == sid;
        if let Some(known) = self.persons.get(name).and_then(|all| all.iter().find(is_same)) {
            return Ok(known.id);
        }
        let key = AccountName::new(name);
        let values = params![kind as i64, domain, name, sid, key.as_str()];
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO person (kind, domain, name, sid, name_key) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(values)?;
        let id = connection
            .prepare_cached(
                "SELECT id FROM person WHERE kind = ?1 AND domain = ?2 AND name = ?3 AND sid = ?4 AND name_key = ?5",
            )?
            .query_row(values, |row| row.get(0))?;
        self.make_room();
        let known = KnownPerson { kind, domain: domain.into(), sid: sid.into(), id };
        self.persons.entry(name.into()).or_default().push(known);
        Ok(id)
    }
}
