//! Answers to queries. A reader has a connection of its own, which never waits for the writer.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, params};
use wire::{AccountName, FoldedName};

use crate::error::Error;
use crate::expiry;
use crate::files;
use crate::limits::{FOUND_MAX, QUERY_TIME_MAX};
use crate::names::{self, Direction, FormerName, Span};
use crate::query::{Found, Place, Query, Visible, Within};
use crate::record::{EntryId, Kind, PersonKind};
use crate::schema::{BRIEF, FORMAT_OF_ONE_TABLE, LASTING};
use crate::search::{Conditions, Search, list};

/// A reader of a journal.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The entries, in the order of their beginnings.
    pub found: Vec<Found>,
    /// The other names of the file, if the query is about one.
    pub names: Vec<FormerName>,
    /// True if there are earlier entries than these.
    pub has_earlier: bool,
    /// The time from which on the journal has entries, in milliseconds since the Unix epoch; `None` if it is empty.
    pub begins_ms: Option<i64>,
}

impl Reader {
    /// Opens the journal of a directory.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let (connection, path) = files::open_to_read(directory)?;
        Ok(Self { connection, path })
    }

    /// Answers a query with the latest of its entries.
    pub fn answer(&mut self, query: &Query) -> Result<Answer, Error> {
        let begin = Instant::now();
        let failed = |error: rusqlite::Error| Error::of(&self.path, &error);
        self.connection
            .progress_handler(STEPS_BETWEEN_LOOKS, Some(move || begin.elapsed() > QUERY_TIME_MAX))
            .map_err(failed)?;
        // One state of the journal for all parts of the answer.
        self.connection.execute_batch("BEGIN").map_err(failed)?;
        let answer = self.find(query).map_err(failed);
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        answer
    }

    fn find(&self, query: &Query) -> rusqlite::Result<Answer> {
        let limit = query.limit.clamp(1, FOUND_MAX);
        let is_of_one_table = self
            .connection
            .query_row("PRAGMA user_version", [], |row| Ok(row.get::<_, i64>(0)? == FORMAT_OF_ONE_TABLE))?;
        let conditions = self.conditions(query, limit, is_of_one_table)?;
        let mut answer = Answer { begins_ms: self.begins(is_of_one_table)?, ..Answer::default() };
        let mut ids = BTreeSet::new();
        if let Some(conditions) = conditions {
            let own = match &query.visible {
                Visible { everything: true, .. } => None,
                Visible { own, .. } => Some(self.own(own.as_ref())?),
            };
            let mut search = Search::new(&self.connection, &conditions);
            match &query.within {
                Within::Everything => self.find_everywhere(&query.visible, own.as_deref(), &mut search)?,
                Within::Places(places) => {
                    for place in places {
                        self.find_at(place, &query.visible, own.as_deref(), &mut search, &mut answer.names)?;
                    }
                }
            }
            ids = search.into_ids();
        }
        answer.has_earlier = ids.len() > limit;
        let mut names = Names::default();
        for id in ids.into_iter().rev().take(limit) {
            answer.found.extend(self.entry(id, &mut names, is_of_one_table)?);
        }
        answer.found.reverse();
        if query.kinds.acts
            && query.within == Within::Everything
            && query.visible.everything
            && query.at_ms.is_none()
        {
            let acts = self.acts(query, limit)?;
            answer.has_earlier |= acts.len() > limit;
            answer.found.extend(acts);
            answer.found.sort_by_key(|it| it.at_ms);
            let more = answer.found.len().saturating_sub(limit);
            answer.has_earlier |= more > 0;
            answer.found.drain(..more);
        }
        Ok(answer)
    }

    /// The conditions of a query; `None` if no entry can fulfil them.
    fn conditions(
        &self,
        query: &Query,
        limit: usize,
        is_of_one_table: bool,
    ) -> rusqlite::Result<Option<Conditions>> {
        let mut kinds = query.kinds.entries.clone();
        if query.at_ms.is_some() {
            kinds.retain(|kind| matches!(kind, Kind::Session | Kind::Open));
        }
        if kinds.is_empty() {
            return Ok(None);
        }
        let mut sql = String::new();
        let persons = match &query.user {
            Some(is_meant) => Some(self.persons(|_, domain, name, _| is_meant(domain, name))?),
            None => None,
        };
        if let Some(persons) = &persons {
            let ids = listed(persons);
            let _ = write!(sql, " AND (e.person IN ({ids}) OR e.by_person IN ({ids}))");
        }
        let clients = match &query.client {
            Some(is_meant) => Some(self.clients(is_meant)?),
            None => None,
        };
        if let Some(clients) = &clients {
            let ids = listed(clients);
            let _ = write!(sql, " AND (e.client IN ({ids}) OR e.by_client IN ({ids}))");
        }
        if let Some(since) = query.since_ms {
            let _ = write!(
                sql,
                " AND (e.id >= {} OR e.finish >= {since} OR (e.kind <= 2 AND e.finish IS NULL))",
                EntryId::at(since).0
            );
        }
        let last = [query.until_ms, query.at_ms].into_iter().flatten().min();
        let last = last.map_or(i64::MAX, |time| EntryId::at(time.saturating_add(1)).0.saturating_sub(1));
        Ok(Some(Conditions {
            kinds,
            sql,
            last,
            lasting_ms: query.at_ms.max(query.since_ms),
            is_at: query.at_ms.is_some(),
            most: limit.saturating_add(1),
            persons,
            clients,
            is_of_one_table,
        }))
    }

    /// The persons that an asking user is.
    fn own(&self, own: Option<&(String, Option<String>)>) -> rusqlite::Result<Vec<i64>> {
        let Some((name, sid)) = own else { return Ok(Vec::new()) };
        let name = AccountName::new(name);
        self.persons(|kind, _, other, other_sid| {
            let is_same = match sid {
                Some(sid) => other_sid == sid,
                None => other_sid.is_empty() && AccountName::new(other) == name,
            };
            kind == PersonKind::Account && is_same
        })
    }

    fn persons(&self, is_meant: impl Fn(PersonKind, &str, &str, &str) -> bool) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.connection.prepare("SELECT id, kind, domain, name, sid FROM person")?;
        let mut rows = statement.query([])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            let (domain, name, sid): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
            if is_meant(PersonKind::of(row.get(1)?), &domain, &name, &sid) {
                ids.push(row.get(0)?);
            }
        }
        Ok(ids)
    }

    fn clients(&self, is_meant: impl Fn(&str) -> bool) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.connection.prepare("SELECT id, text FROM text")?;
        let mut rows = statement.query([])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            if is_meant(&row.get::<_, String>(1)?) {
                ids.push(row.get(0)?);
            }
        }
        Ok(ids)
    }

    fn share(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached("SELECT id FROM share WHERE share_key = ?1")?
            .query_row([FoldedName::new(name).as_str()], |row| row.get(0))
            .optional()
    }

    fn find_everywhere(
        &self,
        visible: &Visible,
        own: Option<&[i64]>,
        search: &mut Search<'_>,
    ) -> rusqlite::Result<()> {
        let Some(own) = own else { return search.everywhere("", None) };
        let mut shares = Vec::new();
        for share in &visible.shares {
            shares.extend(self.share(share)?);
        }
        if shares.is_empty() {
            return search.everywhere(&format!(" AND e.person IN ({})", listed(own)), Some(own));
        }
        let condition = format!(" AND (p.share IN ({}) OR e.person IN ({}))", listed(&shares), listed(own));
        search.everywhere(&condition, None)
    }

    fn find_at(
        &self,
        place: &Place,
        visible: &Visible,
        own: Option<&[i64]>,
        search: &mut Search<'_>,
        other_names: &mut Vec<FormerName>,
    ) -> rusqlite::Result<()> {
        let Some(share) = self.share(&place.share)? else { return Ok(()) };
        let sees_share = visible.shares.iter().any(|it| wire::eq_ignore_case(it, &place.share));
        let own = own.filter(|_| !sees_share);
        let condition = own.map(|own| format!(" AND e.person IN ({})", listed(own))).unwrap_or_default();
        // The root of a share has no other name.
        let spans = match place.path.is_empty() {
            true => vec![Span {
                share,
                key: String::new(),
                path: String::new(),
                first: 0,
                last: i64::MAX,
                direction: Direction::Asked,
            }],
            false => names::follow(&self.connection, share, &place.path, search.is_of_one_table())?,
        };
        if own.is_none() {
            let others = spans.iter().filter(|it| it.direction != Direction::Asked);
            other_names.extend(others.map(|it| it.shown(&place.share)));
            other_names.sort_by_key(|it| (it.until_ms.unwrap_or(i64::MAX), it.since_ms));
        }
        spans.iter().try_for_each(|span| search.below(span, &condition, own))
    }

    fn begins(&self, is_of_one_table: bool) -> rusqlite::Result<Option<i64>> {
        if !is_of_one_table {
            return expiry::first_entry(&self.connection);
        }
        let first: Option<i64> =
            self.connection.query_row("SELECT min(id) FROM entry", [], |row| row.get(0))?;
        Ok(first.map(|id| EntryId(id).time_ms()))
    }

    fn entry(&self, id: i64, names: &mut Names, is_of_one_table: bool) -> rusqlite::Result<Option<Found>> {
        let tables = if is_of_one_table { &["entry e"][..] } else { &[BRIEF, "entry e", LASTING] };
        for table in tables {
            let found = self.entry_of(table, id, names)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn entry_of(&self, table: &str, id: i64, names: &mut Names) -> rusqlite::Result<Option<Found>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT e.kind, e.finish, p.share, p.path, q.path, e.person, e.client, e.session, e.file, e.access, e.reason, \
             e.read, e.written, e.by_person, e.by_client, e.by_file, e.count \
             FROM {table} LEFT JOIN place p ON p.id = e.place LEFT JOIN place q ON q.id = e.to_place WHERE e.id = ?1"
        ))?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let bytes = |column| -> rusqlite::Result<Option<u64>> {
            Ok(row.get::<_, Option<i64>>(column)?.map(|it| u64::try_from(it).unwrap_or_default()))
        };
        let connection = &self.connection;
        let person = names.person(connection, row.get(5)?)?;
        let id = EntryId(id);
        Ok(Some(Found {
            id,
            kind: Kind::of(row.get(0)?),
            at_ms: id.time_ms(),
            end_ms: row.get(1)?,
            share: names.share(connection, row.get(2)?)?,
            path: row.get(3)?,
            to: row.get(4)?,
            user_kind: person.as_ref().map(|it| it.kind).unwrap_or_default(),
            domain: person.as_ref().map(|it| it.domain.clone()),
            user: person.map(|it| it.name),
            client: names.text(connection, row.get(6)?)?,
            session: row.get(7)?,
            file: row.get(8)?,
            access: row.get(9)?,
            reason: names.text(connection, row.get(10)?)?,
            read: bytes(11)?,
            written: bytes(12)?,
            blocker_user: names.person(connection, row.get(13)?)?.map(|it| it.name),
            blocker_client: names.text(connection, row.get(14)?)?,
            blocker_file: row.get(15)?,
            count: bytes(16)?,
            ..Found::default()
        }))
    }

    /// The latest acts, one more than `limit` if there are more.
    fn acts(&self, query: &Query, limit: usize) -> rusqlite::Result<Vec<Found>> {
        let mut statement = self.connection.prepare(
            "SELECT number, at, user, origin, act, object, outcome FROM act WHERE at BETWEEN ?1 AND ?2 \
             ORDER BY at DESC, number DESC",
        )?;
        let since = query.since_ms.unwrap_or(i64::MIN);
        let mut rows = statement.query(params![since, query.until_ms.unwrap_or(i64::MAX)])?;
        let mut acts = Vec::new();
        while let Some(row) = rows.next()?.filter(|_| acts.len() <= limit) {
            let (user, origin): (String, String) = (row.get(2)?, row.get(3)?);
            let is_meant = query.user.as_ref().is_none_or(|is_meant| is_meant("", &user))
                && query.client.as_ref().is_none_or(|is_meant| is_meant(&origin));
            if is_meant {
                acts.push(Found {
                    id: EntryId(row.get(0)?),
                    at_ms: row.get(1)?,
                    user: Some(user),
                    client: Some(origin),
                    act: row.get(4)?,
                    object: row.get(5)?,
                    outcome: row.get(6)?,
                    ..Found::default()
                });
            }
        }
        Ok(acts)
    }
}

/// The names of an answer, which are few and in many entries.
#[derive(Default)]
struct Names {
    texts: HashMap<i64, Option<String>>,
    shares: HashMap<i64, Option<String>>,
    persons: HashMap<i64, Option<PersonName>>,
}

#[derive(Clone)]
struct PersonName {
    kind: PersonKind,
    domain: String,
    name: String,
}

impl Names {
    fn text(&mut self, connection: &Connection, id: Option<i64>) -> rusqlite::Result<Option<String>> {
        let question = "SELECT text FROM text WHERE id = ?1";
        known(&mut self.texts, connection, id, question, |row| row.get(0))
    }

    fn share(&mut self, connection: &Connection, id: Option<i64>) -> rusqlite::Result<Option<String>> {
        let question = "SELECT name FROM share WHERE id = ?1";
        known(&mut self.shares, connection, id, question, |row| row.get(0))
    }

    fn person(&mut self, connection: &Connection, id: Option<i64>) -> rusqlite::Result<Option<PersonName>> {
        let question = "SELECT kind, domain, name FROM person WHERE id = ?1";
        known(&mut self.persons, connection, id, question, |row| {
            Ok(PersonName { kind: PersonKind::of(row.get(0)?), domain: row.get(1)?, name: row.get(2)? })
        })
    }
}

/// The value of an id, which is asked for once.
fn known<T: Clone>(
    all: &mut HashMap<i64, Option<T>>,
    connection: &Connection,
    id: Option<i64>,
    question: &str,
    of: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let Some(id) = id else { return Ok(None) };
    if let Some(value) = all.get(&id) {
        return Ok(value.clone());
    }
    let value = connection.prepare_cached(question)?.query_row([id], of).optional()?;
    all.insert(id, value.clone());
    Ok(value)
}

/// The ids as a list in SQL, which is never empty.
fn listed(ids: &[i64]) -> String {
    let mut text = String::from(NOBODY);
    ids.iter().for_each(|id| list(&mut text, *id));
    text
}

/// An id that nothing has: a list in a condition is never empty, which SQLite would take for a constant.
const NOBODY: &str = "-1";

/// The steps of SQLite's machine between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;
