//! Answers to queries. A reader has a connection of its own, which never waits for the writer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, params};
use wire::{AccountName, FoldedName};

use crate::error::Error;
use crate::files;
use crate::limits::{FOUND_MAX, LONG_MS, NAMES_BELOW_MAX, QUERY_TIME_MAX};
use crate::names::{self, Direction, FormerName, Span};
use crate::query::{Found, Place, Query, Visible, Within};
use crate::record::{EntryId, Kind, PersonKind};
use crate::schema::{IS_LONG, IS_RARE};

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

/// The conditions of a query that apply to every entry, in SQL. They have numbers only.
struct Conditions {
    kinds: Vec<Kind>,
    /// Without the kinds, on the columns of `entry e`.
    sql: String,
    first: i64,
    last: i64,
    at_ms: Option<i64>,
    limit: usize,
    /// The condition of entries in shares that the asking user may not see.
    own_only: String,
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
        let conditions = self.conditions(query, limit)?;
        let mut ids = BTreeSet::new();
        let mut answer = Answer { begins_ms: self.begins()?, ..Answer::default() };
        if let Some(conditions) = conditions {
            match &query.within {
                Within::Everything => {
                    let visible = self.visible_shares(&query.visible, &conditions)?;
                    self.scan(&conditions, &visible, &mut ids)?;
                }
                Within::Places(places) => {
                    for place in places {
                        self.find_at(place, query, &conditions, &mut ids, &mut answer.names)?;
                    }
                }
            }
        }
        answer.has_earlier = ids.len() > limit;
        for id in ids.into_iter().rev().take(limit) {
            answer.found.extend(self.entry(id)?);
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
    fn conditions(&self, query: &Query, limit: usize) -> rusqlite::Result<Option<Conditions>> {
        let mut kinds = query.kinds.entries.clone();
        if query.at_ms.is_some() {
            kinds.retain(|kind| matches!(kind, Kind::Session | Kind::Open));
        }
        let mut sql = String::new();
        if let Some(is_meant) = &query.user {
            let persons = self.persons(|_, domain, name, _| is_meant(domain, name))?;
            let _ = write!(sql, " AND (e.person IN ({persons}) OR e.by_person IN ({persons}))");
        }
        if let Some(is_meant) = &query.client {
            let clients = self.clients(is_meant)?;
            let _ = write!(sql, " AND (e.client IN ({clients}) OR e.by_client IN ({clients}))");
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
        let own_only = match &query.visible {
            Visible { everything: true, .. } => String::new(),
            Visible { own: None, .. } => format!(" AND e.person IN ({NOBODY})"),
            Visible { own: Some((name, sid)), .. } => {
                let name = AccountName::new(name);
                let persons = self.persons(|kind, _, other, other_sid| {
                    let is_same = match sid {
                        Some(sid) => other_sid == sid,
                        None => other_sid.is_empty() && AccountName::new(other) == name,
                    };
                    kind == PersonKind::Account && is_same
                })?;
                format!(" AND e.person IN ({persons})")
            }
        };
        // Long entries are found by their index; all others began within the minute before.
        let first = query.since_ms.map_or(0, |since| EntryId::at(since.saturating_sub(LONG_MS)).0);
        Ok((!kinds.is_empty()).then_some(Conditions {
            kinds,
            sql,
            first,
            last,
            at_ms: query.at_ms,
            limit,
            own_only,
        }))
    }

    /// The ids of persons, with commas between them.
    fn persons(&self, is_meant: impl Fn(PersonKind, &str, &str, &str) -> bool) -> rusqlite::Result<String> {
        let mut statement = self.connection.prepare("SELECT id, kind, domain, name, sid FROM person")?;
        let mut rows = statement.query([])?;
        let mut ids = String::from(NOBODY);
        while let Some(row) = rows.next()? {
            let (domain, name, sid): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
            if is_meant(PersonKind::of(row.get(1)?), &domain, &name, &sid) {
                list(&mut ids, row.get(0)?);
            }
        }
        Ok(ids)
    }

    fn clients(&self, is_meant: impl Fn(&str) -> bool) -> rusqlite::Result<String> {
        let mut statement = self.connection.prepare("SELECT id, text FROM text")?;
        let mut rows = statement.query([])?;
        let mut ids = String::from(NOBODY);
        while let Some(row) = rows.next()? {
            if is_meant(&row.get::<_, String>(1)?) {
                list(&mut ids, row.get(0)?);
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

    /// The condition that leaves out what the asking user may not see, on `entry e` and `place p`.
    fn visible_shares(&self, visible: &Visible, conditions: &Conditions) -> rusqlite::Result<String> {
        if visible.everything {
            return Ok(String::new());
        }
        let mut shares = String::from(NOBODY);
        for share in &visible.shares {
            if let Some(id) = self.share(share)? {
                list(&mut shares, id);
            }
        }
        let own = conditions.own_only.trim_start_matches(" AND ");
        Ok(format!(" AND (p.share IN ({shares}) OR {own})"))
    }

    fn find_at(
        &self,
        place: &Place,
        query: &Query,
        conditions: &Conditions,
        ids: &mut BTreeSet<i64>,
        other_names: &mut Vec<FormerName>,
    ) -> rusqlite::Result<()> {
        let Some(share) = self.share(&place.share)? else { return Ok(()) };
        let sees_all = query.visible.everything
            || query.visible.shares.iter().any(|it| wire::eq_ignore_case(it, &place.share));
        let visible = if sees_all { "" } else { &conditions.own_only };
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
            false => names::follow(&self.connection, share, &place.path)?,
        };
        if sees_all {
            let others = spans.iter().filter(|it| it.direction != Direction::Asked);
            other_names.extend(others.map(|it| it.shown(&place.share)));
            other_names.sort_by_key(|it| (it.until_ms.unwrap_or(i64::MAX), it.since_ms));
        }
        for span in &spans {
            let bounds = (span.first.max(conditions.first), span.last.min(conditions.last));
            match self.places_below(span)? {
                Some(places) => {
                    for place in places {
                        self.find_of_place(place, conditions, visible, (span.first, bounds), ids)?;
                    }
                }
                None => self.scan_below(span, conditions, visible, bounds, ids)?,
            }
        }
        Ok(())
    }

    /// The places of a name and below it; `None` if there are too many.
    fn places_below(&self, span: &Span) -> rusqlite::Result<Option<Vec<i64>>> {
        let condition = below("", span);
        let question =
            format!("SELECT id FROM place WHERE {condition} LIMIT {}", NAMES_BELOW_MAX.saturating_add(1));
        let mut statement = self.connection.prepare(&question)?;
        let keys = below_values(&span.key);
        let ids = statement
            .query_map(rusqlite::params_from_iter(keys.iter()), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok((ids.len() <= NAMES_BELOW_MAX).then_some(ids))
    }

    fn find_of_place(
        &self,
        place: i64,
        conditions: &Conditions,
        visible: &str,
        (span_first, (first, last)): (i64, (i64, i64)),
        ids: &mut BTreeSet<i64>,
    ) -> rusqlite::Result<()> {
        let Conditions { sql, limit, at_ms, .. } = conditions;
        let most = limit.saturating_add(1);
        let mut ask = |question: &str, values: &[i64]| -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(question)?;
            let mut rows = statement.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                ids.insert(row.get(0)?);
                if ids.len() > most {
                    ids.pop_first();
                }
            }
            Ok(())
        };
        let recent = at_ms.map_or(first, |at| first.max(EntryId::at(at.saturating_sub(LONG_MS)).0));
        let lasts =
            at_ms.map(|at| format!(" AND (e.finish IS NULL OR e.finish >= {at})")).unwrap_or_default();
        for kind in &conditions.kinds {
            let kind = *kind as i64;
            ask(
                &format!(
                    "SELECT e.id FROM entry e INDEXED BY entry_place WHERE e.place = ?1 AND e.kind = ?2 \
                     AND e.id BETWEEN ?3 AND ?4{sql}{lasts}{visible} ORDER BY e.id DESC LIMIT ?5"
                ),
                &[place, kind, recent, last, saturated(most)],
            )?;
        }
        if conditions.kinds.contains(&Kind::Renamed) {
            ask(
                &format!(
                    "SELECT e.id FROM entry e INDEXED BY entry_to_place WHERE e.to_place = ?1 AND e.kind = 4 \
                     AND e.id BETWEEN ?2 AND ?3{sql}{visible} ORDER BY e.id DESC LIMIT ?4"
                ),
                &[place, first, last, saturated(most)],
            )?;
        }
        if recent > span_first && conditions.kinds.contains(&Kind::Open) {
            let is_long = qualified(IS_LONG);
            ask(
                &format!(
                    "SELECT e.id FROM entry e INDEXED BY entry_long WHERE {is_long} AND e.place = ?1 \
                     AND e.id >= ?2 AND e.id < ?3 AND e.id <= ?4{sql}{lasts}{visible} ORDER BY e.id DESC LIMIT ?5"
                ),
                &[place, span_first, recent, last, saturated(most)],
            )?;
        }
        Ok(())
    }

    /// Reads the entries of a time and takes those of a directory.
    fn scan_below(
        &self,
        span: &Span,
        conditions: &Conditions,
        visible: &str,
        (first, last): (i64, i64),
        ids: &mut BTreeSet<i64>,
    ) -> rusqlite::Result<()> {
        let (one, other) = (below("p.", span), below("q.", span));
        let condition = format!(" AND (({one}) OR ({other})){visible}");
        self.scan_where(conditions, &condition, &below_values(&span.key), (span.first, first, last), ids)
    }

    fn scan(&self, conditions: &Conditions, visible: &str, ids: &mut BTreeSet<i64>) -> rusqlite::Result<()> {
        self.scan_where(conditions, visible, &[], (0, conditions.first, conditions.last), ids)
    }

    fn scan_where(
        &self,
        conditions: &Conditions,
        condition: &str,
        values: &[String],
        (earliest, first, last): (i64, i64, i64),
        ids: &mut BTreeSet<i64>,
    ) -> rusqlite::Result<()> {
        let Conditions { sql, limit, at_ms, kinds, .. } = conditions;
        let most = limit.saturating_add(1);
        let recent = at_ms.map_or(first, |at| first.max(EntryId::at(at.saturating_sub(LONG_MS)).0));
        let lasts =
            at_ms.map(|at| format!(" AND (e.finish IS NULL OR e.finish >= {at})")).unwrap_or_default();
        let mut wanted = String::new();
        kinds.iter().for_each(|kind| list(&mut wanted, *kind as i64));
        let are_rare = kinds.iter().all(|kind| *kind as i64 >= 3);
        let mut ask = |index: &str, bounds: &str| -> rusqlite::Result<()> {
            let question = format!(
                "SELECT e.id FROM entry e {index} LEFT JOIN place p ON p.id = e.place \
                 LEFT JOIN place q ON q.id = e.to_place \
                 WHERE {bounds} AND e.kind IN ({wanted}){sql}{lasts}{condition} ORDER BY e.id DESC LIMIT {most}"
            );
            let mut statement = self.connection.prepare(&question)?;
            let mut rows = statement.query(rusqlite::params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                ids.insert(row.get(0)?);
                if ids.len() > most {
                    ids.pop_first();
                }
            }
            Ok(())
        };
        if are_rare {
            let is_rare = qualified(IS_RARE);
            return ask("INDEXED BY entry_rare", &format!("{is_rare} AND e.id BETWEEN {first} AND {last}"));
        }
        ask("NOT INDEXED", &format!("e.id BETWEEN {recent} AND {last}"))?;
        if recent > earliest {
            let is_long = qualified(IS_LONG);
            let bounds = format!("{is_long} AND e.id >= {earliest} AND e.id < {recent} AND e.id <= {last}");
            ask("INDEXED BY entry_long", &bounds)?;
        }
        Ok(())
    }

    fn begins(&self) -> rusqlite::Result<Option<i64>> {
        let first: Option<i64> =
            self.connection.query_row("SELECT min(id) FROM entry", [], |row| row.get(0))?;
        Ok(first.map(|id| EntryId(id).time_ms()))
    }

    fn entry(&self, id: i64) -> rusqlite::Result<Option<Found>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT e.kind, e.finish, s.name, p.path, q.path, u.name, u.domain, u.kind, c.text, e.session, e.file, \
             e.access, r.text, e.read, e.written, v.name, d.text, e.by_file, e.count \
             FROM entry e LEFT JOIN place p ON p.id = e.place LEFT JOIN share s ON s.id = p.share \
             LEFT JOIN place q ON q.id = e.to_place LEFT JOIN person u ON u.id = e.person \
             LEFT JOIN text c ON c.id = e.client LEFT JOIN text r ON r.id = e.reason \
             LEFT JOIN person v ON v.id = e.by_person LEFT JOIN text d ON d.id = e.by_client WHERE e.id = ?1",
        )?;
        statement
            .query_row([id], |row| {
                let bytes = |column| -> rusqlite::Result<Option<u64>> {
                    Ok(row.get::<_, Option<i64>>(column)?.map(|it| u64::try_from(it).unwrap_or_default()))
                };
                let id = EntryId(id);
                Ok(Found {
                    id,
                    kind: Kind::of(row.get(0)?),
                    at_ms: id.time_ms(),
                    end_ms: row.get(1)?,
                    share: row.get(2)?,
                    path: row.get(3)?,
                    to: row.get(4)?,
                    user: row.get(5)?,
                    domain: row.get(6)?,
                    user_kind: PersonKind::of(row.get::<_, Option<i64>>(7)?.unwrap_or_default()),
                    client: row.get(8)?,
                    session: row.get(9)?,
                    file: row.get(10)?,
                    access: row.get(11)?,
                    reason: row.get(12)?,
                    read: bytes(13)?,
                    written: bytes(14)?,
                    blocker_user: row.get(15)?,
                    blocker_client: row.get(16)?,
                    blocker_file: row.get(17)?,
                    count: bytes(18)?,
                    ..Found::default()
                })
            })
            .optional()
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

/// The condition for the places of a name, its streams and what is below it. Its values are those of [`below_values`].
fn below(table: &str, span: &Span) -> String {
    let share = span.share;
    if span.key.is_empty() {
        return format!("{table}share = {share}");
    }
    format!(
        "{table}share = {share} AND ({table}path_key = ?1 OR ({table}path_key >= ?2 AND {table}path_key < ?3) \
         OR ({table}path_key >= ?4 AND {table}path_key < ?5))"
    )
}

fn below_values(key: &str) -> Vec<String> {
    if key.is_empty() {
        return Vec::new();
    }
    // The characters behind the separators, in the order of SQLite, which is that of the bytes.
    vec![key.to_owned(), format!("{key}\\"), format!("{key}]"), format!("{key}:"), format!("{key};")]
}

/// The condition of an index with the columns of `entry e`.
fn qualified(condition: &str) -> String {
    ["kind", "finish", "id"].iter().fold(condition.to_owned(), |text, column| {
        text.replace(&format!("{column} "), &format!("e.{column} "))
    })
}

fn list(ids: &mut String, id: i64) {
    let comma = if ids.is_empty() { "" } else { "," };
    let _ = write!(ids, "{comma}{id}");
}

fn saturated(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An id that nothing has: a list in a condition is never empty, which SQLite would take for a constant.
const NOBODY: &str = "-1";

/// The steps of SQLite's machine between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;
