//! The search for the numbers of the latest entries of a query, through the index that has the fewest entries to read.

mod opens;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use rusqlite::{Connection, Statement, params};

use crate::limits::{ESTIMATED_BY, INDEX_VALUES_MAX, LONG_MS, NAMES_BELOW_MAX, NAMES_LOOKED_UP_MAX};
use crate::names::Span;
use crate::record::{EntryId, Kind};
use crate::schema::{CLASSES_MS, IS_LONG, IS_RARE, class_of};

/// The conditions of a query that apply to every entry. The SQL in them has numbers only.
pub(crate) struct Conditions {
    pub(crate) kinds: Vec<Kind>,
    /// The other conditions, on the columns of `entry e`, each with an `AND` before it.
    pub(crate) sql: String,
    /// The last entry that can be meant.
    pub(crate) last: i64,
    /// The time at which earlier entries must not have ended.
    pub(crate) lasting_ms: Option<i64>,
    /// True if all entries must have lasted at that time.
    pub(crate) is_at: bool,
    /// The number of entries to find.
    pub(crate) most: usize,
    /// The persons and the clients of the query, if it names some.
    pub(crate) persons: Option<Vec<i64>>,
    pub(crate) clients: Option<Vec<i64>>,
    /// True if the journal has one table for all entries, as its first format had.
    pub(crate) is_of_one_table: bool,
}

/// A search. It collects the latest entries of one or several places.
pub(crate) struct Search<'a> {
    connection: &'a Connection,
    conditions: &'a Conditions,
    /// The kinds, as a list in SQL.
    kinds: String,
    ids: BTreeSet<i64>,
}

/// A way to entries: an index, and the values that are looked up in it.
struct Way {
    /// `entry e` with the index.
    from: String,
    /// The condition that the index serves; `?1` is the value.
    lookup: String,
    values: Vec<i64>,
    /// Further values, from `?2` on.
    keys: Vec<String>,
}

impl Way {
    fn new(index: &str, lookup: String, values: &[i64]) -> Self {
        Self { from: format!("entry e {index}"), lookup, values: values.to_vec(), keys: Vec::new() }
    }
}

/// The place of entries, as far as the way to them does not have it.
#[derive(Clone, Copy)]
enum Inside<'a> {
    /// Anywhere, or the way has it.
    Anywhere,
    /// These places, in ascending order.
    Among(&'a [i64]),
    /// The name and what is below it, which are too many places.
    Below(&'a Span),
}

/// The number of entries on some ways, as far as they were counted.
struct Estimate {
    entries: f64,
    /// The entry from which on all are counted; `None` if all of them are.
    since: Option<i64>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(connection: &'a Connection, conditions: &'a Conditions) -> Self {
        let mut kinds = String::new();
        conditions.kinds.iter().for_each(|kind| list(&mut kinds, *kind as i64));
        Self { connection, conditions, kinds, ids: BTreeSet::new() }
    }

    /// The numbers of the entries that were found.
    pub(crate) fn into_ids(self) -> BTreeSet<i64> {
        self.ids
    }

    /// True if the journal has one table for all entries.
    pub(crate) fn is_of_one_table(&self) -> bool {
        self.conditions.is_of_one_table
    }

    /// Finds entries of all places. `visible` leaves out some of them, on `entry e` and `place p`; `own` are the persons
    /// to whom alone it restricts them, if it does.
    pub(crate) fn everywhere(&mut self, visible: &str, own: Option<&[i64]>) -> rusqlite::Result<()> {
        let bounds = (self.recent(0), self.conditions.last);
        self.read_lasting(Inside::Anywhere, visible, 0, bounds.1)?;
        self.read_brief(Inside::Anywhere, visible, own, bounds)?;
        let (ways, _) = self.best(own, bounds)?;
        self.read(&ways, Inside::Anywhere, visible, bounds)?;
        self.read_long(Inside::Anywhere, visible, 0, bounds)
    }

    /// Finds entries of a name, its streams and what is below it. `visible` leaves out some of them, on `entry e`; `own`
    /// are the persons to whom it restricts them, if it does.
    pub(crate) fn below(&mut self, span: &Span, visible: &str, own: Option<&[i64]>) -> rusqlite::Result<()> {
        let bounds = (self.recent(span.first), span.last.min(self.conditions.last));
        let has_others = [own, self.conditions.persons.as_deref(), self.conditions.clients.as_deref()]
            .iter()
            .any(Option::is_some);
        let places = self.places_below(span, NAMES_LOOKED_UP_MAX)?;
        let inside = places.as_ref().map_or(Inside::Below(span), |places| Inside::Among(places));
        self.read_lasting(inside, visible, span.first, bounds.1)?;
        self.read_brief(inside, visible, own, bounds)?;
        if let Some(places) = places.as_ref().filter(|it| it.len() <= NAMES_BELOW_MAX) {
            let ways = self.of_places(places, span);
            // Each place has the few entries of the answer at the beginning of its index, unless others are left out.
            let is_best =
                !has_others || self.estimate(&ways, bounds)?.entries <= self.best(own, bounds)?.1.entries;
            if is_best {
                self.read(&ways, Inside::Anywhere, visible, bounds)?;
                return self.read_long_of(places, visible, span.first, bounds);
            }
        }
        let (ways, estimate) = self.best(own, bounds)?;
        // Of many names, the latest entries of all names are read first, and then those of one name after the other.
        let middle = estimate.since.unwrap_or(bounds.0).max(bounds.0);
        self.read(&ways, inside, visible, (middle, bounds.1))?;
        if middle > bounds.0 && self.ids.len() < self.conditions.most {
            let older = (bounds.0, middle.saturating_sub(1));
            let by_place = match &places {
                Some(places) => {
                    let by_place = self.of_places(places, span);
                    let is_best = !has_others || self.estimate(&by_place, older)?.entries <= estimate.entries;
                    is_best.then_some(by_place)
                }
                None => None,
            };
            match by_place {
                Some(by_place) => self.read(&by_place, Inside::Anywhere, visible, older)?,
                None => self.read(&ways, inside, visible, older)?,
            }
        }
        self.read_long(inside, visible, span.first, bounds)
    }

    /// The first entry that is not looked for among the long ones.
    fn recent(&self, first: i64) -> i64 {
        let lasting = self.conditions.lasting_ms;
        lasting.map_or(first, |time| EntryId::at(time.saturating_sub(LONG_MS)).0.max(first))
    }

    /// The places of a name and below it; `None` if there are more than `most`.
    fn places_below(&self, span: &Span, most: usize) -> rusqlite::Result<Option<Vec<i64>>> {
        let names = names_below(span, 1);
        let mut statement = self.connection.prepare(&format!("{names} LIMIT {}", most.saturating_add(1)))?;
        let keys = below_values(&span.key);
        let mut ids = statement
            .query_map(rusqlite::params_from_iter(keys.iter()), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        ids.sort_unstable();
        Ok((ids.len() <= most).then_some(ids))
    }

    fn of_places(&self, places: &[i64], span: &Span) -> Vec<Way> {
        let mut ways = Vec::new();
        if self.conditions.kinds.contains(&Kind::Renamed) {
            // Few names are those of a rename, so they are not worth a question each. A deletion has the file that took
            // the name there.
            ways.push(Way {
                from: format!("({}) t CROSS JOIN entry e INDEXED BY entry_to_place", names_below(span, 2)),
                lookup: "?1 = 0 AND e.to_place = t.id AND e.kind = 4".into(),
                values: vec![0],
                keys: below_values(&span.key),
            });
        }
        ways.push(self.column("place", places));
        ways
    }

    /// The way to entries with certain values in a column.
    fn column(&self, column: &'static str, values: &[i64]) -> Way {
        let (index, rare) = match (column, self.are_rare()) {
            ("place", false) => ("INDEXED BY entry_place", String::new()),
            ("place", true) => ("INDEXED BY entry_place_rare", format!(" AND e.{IS_RARE}")),
            ("person", false) => ("INDEXED BY entry_person", String::new()),
            ("person", true) => ("INDEXED BY entry_person_rare", format!(" AND e.{IS_RARE}")),
            (_, false) => ("INDEXED BY entry_client", String::new()),
            (_, true) => ("INDEXED BY entry_client_rare", format!(" AND e.{IS_RARE}")),
        };
        Way::new(index, format!("e.{column} = ?1{rare}"), values)
    }

    fn are_rare(&self) -> bool {
        self.conditions.kinds.iter().all(|kind| *kind as i64 >= 3)
    }

    /// The ways with the fewest entries to all entries of the query, of whatever place.
    fn best(&self, own: Option<&[i64]>, bounds: (i64, i64)) -> rusqlite::Result<(Vec<Way>, Estimate)> {
        let is_short = |values: &&[i64]| values.len() <= INDEX_VALUES_MAX;
        // Only a refused entry has a holder.
        let has_holder = self.conditions.kinds.contains(&Kind::Refused);
        let with_holders = |column, index, lookup: &str, values: &[i64]| {
            let held = Way::new(index, lookup.to_owned(), values);
            std::iter::once(self.column(column, values)).chain(has_holder.then_some(held)).collect()
        };
        let mut candidates: Vec<Vec<Way>> = Vec::new();
        if let Some(own) = own.filter(is_short) {
            candidates.push(vec![self.column("person", own)]);
        }
        if let Some(persons) = self.conditions.persons.as_deref().filter(is_short) {
            candidates.push(with_holders(
                "person",
                "INDEXED BY entry_by_person",
                "e.by_person = ?1",
                persons,
            ));
        }
        if let Some(clients) = self.conditions.clients.as_deref().filter(is_short) {
            candidates.push(with_holders(
                "client",
                "INDEXED BY entry_by_client",
                "e.by_client = ?1",
                clients,
            ));
        }
        if self.are_rare() {
            let kinds: Vec<i64> = self.conditions.kinds.iter().map(|kind| *kind as i64).collect();
            let lookup = format!("e.kind = ?1 AND e.{IS_RARE}");
            candidates.push(vec![Way::new("INDEXED BY entry_rare", lookup, &kinds)]);
        }
        candidates.push(vec![Way::new("NOT INDEXED", "?1 = 0".into(), &[0])]);
        let mut best: Option<(Vec<Way>, Estimate)> = None;
        for ways in candidates {
            let estimate = self.estimate(&ways, bounds)?;
            if best.as_ref().is_none_or(|(_, other)| estimate.entries < other.entries) {
                best = Some((ways, estimate));
            }
        }
        Ok(best.unwrap_or((Vec::new(), Estimate { entries: 0.0, since: None })))
    }

    /// Estimates the number of entries on some ways, by the time in which their latest ones were.
    fn estimate(&self, ways: &[Way], (first, last): (i64, i64)) -> rusqlite::Result<Estimate> {
        let values = ways.iter().map(|way| way.values.len()).sum::<usize>().max(1);
        let most = ESTIMATED_BY.checked_div(values).unwrap_or_default().max(ESTIMATED_BY_LEAST);
        let (oldest, newest): (Option<i64>, Option<i64>) = self.connection.query_row(
            "SELECT (SELECT min(id) FROM entry), (SELECT max(id) FROM entry)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (first, last) = (first.max(oldest.unwrap_or_default()), last.min(newest.unwrap_or_default()));
        let mut whole = Estimate { entries: 0.0, since: None };
        // A join has few entries.
        for Way { from, lookup, values, .. } in ways.iter().filter(|way| way.keys.is_empty()) {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT count(*), min(id) FROM (SELECT e.id FROM {from} \
                 WHERE {lookup} AND e.id BETWEEN ?2 AND ?3 ORDER BY e.id DESC LIMIT {most})"
            ))?;
            for value in values {
                let (count, since): (i64, Option<i64>) =
                    statement.query_row(params![value, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let share = match since.filter(|_| count >= saturated(most)) {
                    Some(since) => {
                        whole.since = Some(whole.since.map_or(since, |it| it.max(since)));
                        ratio(last.saturating_sub(first), last.saturating_sub(since))
                    }
                    None => 1.0,
                };
                whole.entries += ratio(count, 1) * share;
            }
        }
        Ok(whole)
    }

    /// Reads the entries on these ways that fulfil the conditions. `visible` is on `entry e` and `place p`.
    fn read(
        &mut self,
        ways: &[Way],
        inside: Inside<'_>,
        visible: &str,
        bounds: (i64, i64),
    ) -> rusqlite::Result<()> {
        let filter = self.filter(visible);
        ways.iter().try_for_each(|way| self.ask(way, bounds, inside, &filter))
    }

    /// The conditions for entries that may have ended, on `entry e` and `place p`.
    fn filter(&self, visible: &str) -> String {
        let Conditions { sql, lasting_ms, is_at, .. } = self.conditions;
        let lasts = lasting_ms
            .filter(|_| *is_at)
            .map(|at| format!(" AND (e.finish IS NULL OR e.finish >= {at})"))
            .unwrap_or_default();
        format!("{sql}{lasts}{visible}")
    }

    /// Reads the long entries of some places that began before the first of `bounds`, and lasted.
    fn read_long_of(
        &mut self,
        places: &[i64],
        visible: &str,
        earliest: i64,
        bounds: (i64, i64),
    ) -> rusqlite::Result<()> {
        let Some((at, last)) = self.long_until(earliest, bounds) else { return Ok(()) };
        let lookup =
            format!("{} AND e.place = ?1 AND (e.finish IS NULL OR e.finish >= {at})", qualified(IS_LONG));
        let way = Way::new("INDEXED BY entry_long", lookup, places);
        let filter = format!("{}{visible}", self.conditions.sql);
        self.ask(&way, (earliest, last), Inside::Anywhere, &filter)
    }

    /// Reads the long entries of all places that began before the first of `bounds`, and lasted.
    fn read_long(
        &mut self,
        inside: Inside<'_>,
        visible: &str,
        earliest: i64,
        bounds: (i64, i64),
    ) -> rusqlite::Result<()> {
        let Some((at, last)) = self.long_until(earliest, bounds) else { return Ok(()) };
        let filter = format!("{} AND (e.finish IS NULL OR e.finish >= {at}){visible}", self.conditions.sql);
        for class in 0..=CLASSES_MS.len().saturating_add(1) {
            let longest = class.checked_sub(1).and_then(|it| CLASSES_MS.get(it));
            let first = longest.map_or(earliest, |it| EntryId::at(at.saturating_sub(*it)).0.max(earliest));
            let lookup = format!("{} AND {} = ?1", qualified(IS_LONG), class_of("e."));
            let way = Way::new("INDEXED BY entry_class", lookup, &[saturated(class)]);
            self.ask(&way, (first, last), inside, &filter)?;
        }
        Ok(())
    }

    /// The time at which long entries must not have ended, and the last of them; `None` if none are wanted.
    fn long_until(&self, earliest: i64, (recent, last): (i64, i64)) -> Option<(i64, i64)> {
        let at = self.conditions.lasting_ms?;
        (recent > earliest && self.has_long()).then(|| (at, last.min(recent.saturating_sub(1))))
    }

    /// The condition for entries whose old or new name is the name or below it.
    fn below_joined(&self, span: &Span) -> String {
        let old = below("p.", span, 2);
        if !self.conditions.kinds.contains(&Kind::Renamed) {
            return format!(" AND ({old})");
        }
        format!(" AND (({old}) OR (e.kind = 4 AND {}))", below("q.", span, 2))
    }

    fn has_long(&self) -> bool {
        self.conditions.kinds.iter().any(|kind| (*kind as i64) < 3)
    }

    /// Reads one way.
    fn ask(
        &mut self,
        way: &Way,
        (first, last): (i64, i64),
        inside: Inside<'_>,
        filter: &str,
    ) -> rusqlite::Result<()> {
        let Way { from, lookup, values, keys } = way;
        let (kinds, most) = (&self.kinds, self.conditions.most);
        let (mut filter, mut keys) = (filter.to_owned(), keys.clone());
        let mut limit = format!(" LIMIT {most}");
        let among = match inside {
            Inside::Anywhere => None,
            Inside::Among(places) => {
                limit.clear();
                Some(places)
            }
            Inside::Below(span) => {
                filter.push_str(&self.below_joined(span));
                keys = below_values(&span.key);
                None
            }
        };
        let joins = joins(&filter);
        let bound = keys.len().saturating_add(2);
        let question = format!(
            "SELECT e.id, e.place, CASE WHEN e.kind = 4 THEN e.to_place END FROM {from}{joins} \
             WHERE {lookup} AND e.id BETWEEN ?{bound} AND {last} AND e.kind IN ({kinds}){filter} \
             ORDER BY e.id DESC{limit}"
        );
        let mut statement = self.connection.prepare(&question)?;
        for (number, key) in (2..).zip(&keys) {
            statement.raw_bind_parameter(number, key)?;
        }
        for value in values {
            statement.raw_bind_parameter(1, value)?;
            // Entries older than all that were found are not needed.
            let first = self.oldest_needed().map_or(first, |oldest| first.max(oldest));
            statement.raw_bind_parameter(bound, first)?;
            collect(&mut statement, among, &mut self.ids, most)?;
        }
        Ok(())
    }
}

/// The joins with the places of `entry e` that a condition names.
fn joins(condition: &str) -> String {
    let mut joins = String::new();
    for (name, column) in [("p", "place"), ("q", "to_place")] {
        if condition.contains(&format!("{name}.")) {
            let _ = write!(joins, " LEFT JOIN place {name} ON {name}.id = e.{column}");
        }
    }
    joins
}

/// Takes the entries of these places, or all, until there are enough.
fn collect(
    statement: &mut Statement<'_>,
    among: Option<&[i64]>,
    ids: &mut BTreeSet<i64>,
    most: usize,
) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    let mut taken = 0_usize;
    while let Some(row) = rows.next()?.filter(|_| taken < most) {
        if let Some(places) = among {
            let is_one = |place: Option<i64>| place.is_some_and(|it| places.binary_search(&it).is_ok());
            if !is_one(row.get(1)?) && !is_one(row.get(2)?) {
                continue;
            }
        }
        taken = taken.saturating_add(1);
        ids.insert(row.get(0)?);
        if ids.len() > most {
            ids.pop_first();
        }
    }
    Ok(())
}

/// The question for the places of a name, its streams and what is below it. Its values, those of [`below_values`], begin
/// with this number. An `OR` would read all names of the share.
fn names_below(span: &Span, number: usize) -> String {
    let ask = format!("SELECT id FROM place WHERE share = {}", span.share);
    if span.key.is_empty() {
        return ask;
    }
    let [one, two, three, four, five] = [0, 1, 2, 3, 4].map(|it| number.saturating_add(it));
    format!(
        "{ask} AND path_key = ?{one} UNION ALL {ask} AND path_key >= ?{two} AND path_key < ?{three} \
         UNION ALL {ask} AND path_key >= ?{four} AND path_key < ?{five}"
    )
}

/// The condition for the places of a name, its streams and what is below it, on the columns with this prefix. Its values,
/// those of [`below_values`], begin with this number.
fn below(prefix: &str, span: &Span, number: usize) -> String {
    let share = span.share;
    if span.key.is_empty() {
        return format!("{prefix}share = {share}");
    }
    let [one, two, three, four, five] = [0, 1, 2, 3, 4].map(|it| number.saturating_add(it));
    format!(
        "{prefix}share = {share} AND ({prefix}path_key = ?{one} OR ({prefix}path_key >= ?{two} AND {prefix}path_key < ?{three}) \
         OR ({prefix}path_key >= ?{four} AND {prefix}path_key < ?{five}))"
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

/// Adds an id to a list in SQL.
pub(crate) fn list(ids: &mut String, id: i64) {
    let comma = if ids.is_empty() { "" } else { "," };
    let _ = write!(ids, "{comma}{id}");
}

fn saturated(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "estimates need no precision")]
fn ratio(whole: i64, part: i64) -> f64 {
    whole.max(0) as f64 / part.max(1) as f64
}

/// The least number of entries of one value that an estimate counts.
const ESTIMATED_BY_LEAST: usize = 16;
