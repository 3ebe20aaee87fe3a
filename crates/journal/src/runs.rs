//! The runs of brief entries, as they are written: a run gets its index when enough entries have come after it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::postings::{self, Column};

/// The brief entries that have no index yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unindexed {
    /// The last number of the last run; zero without one.
    pub(crate) after: i64,
    /// The number of entries behind it.
    pub(crate) count: usize,
}

impl Unindexed {
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let after = last(connection)?;
        let count: i64 =
            connection.query_row("SELECT count(*) FROM brief WHERE id > ?1", [after], |row| row.get(0))?;
        Ok(Self { after, count: usize::try_from(count).unwrap_or_default() })
    }
}

/// The last number of the last run; zero without one.
pub(crate) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    let last: Option<i64> = connection.query_row("SELECT max(last) FROM run", [], |row| row.get(0))?;
    Ok(last.unwrap_or_default())
}

/// Makes a run of the next entries, of this number, with its index. Returns the last number of the run.
pub(crate) fn make(connection: &Connection, after: i64, entries: usize) -> rusqlite::Result<i64> {
    let mut columns = [Column::Place, Column::Person, Column::Client, Column::Kind]
        .map(|column| (column, Vec::<(i64, i64)>::new()));
    let (mut first, mut last) = (i64::MAX, after);
    let mut statement = connection
        .prepare_cached("SELECT id, place, person, client, CASE WHEN kind > 2 THEN kind END FROM brief WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![after, i64::try_from(entries).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        first = first.min(last);
        for (at, (_, pairs)) in (1..).zip(&mut columns) {
            if let Some(value) = row.get::<_, Option<i64>>(at)? {
                pairs.push((value, last));
            }
        }
    }
    drop(rows);
    if last == after {
        return Ok(after);
    }
    // Until here nothing was written, and the lock is held for the rest only.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for (column, pairs) in &mut columns {
        pairs.sort_unstable();
        postings::store(connection, (first, last), *column, pairs)?;
    }
    connection.execute("INSERT INTO run (last, first) VALUES (?1, ?2)", [last, first])?;
    connection.execute_batch("COMMIT")?;
    Ok(last)
}

/// Removes the runs whose entries are gone, up to this number.
pub(crate) fn remove(connection: &Connection, until: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM posting WHERE run <= ?1", [until])?;
    connection.execute("DELETE FROM run WHERE last <= ?1", [until])?;
    Ok(())
}

/// The runs that have entries between these numbers, the latest first.
pub(crate) fn between(
    connection: &Connection,
    (first, last): (i64, i64),
) -> rusqlite::Result<Vec<(i64, i64)>> {
    connection
        .prepare_cached("SELECT first, last FROM run WHERE last >= ?1 AND first <= ?2 ORDER BY last DESC")?
        .query_map([first, last], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The next deletion of a place before or after an entry.
pub(crate) fn next_deletion(
    connection: &Connection,
    place: i64,
    id: i64,
    before: bool,
) -> rusqlite::Result<Option<i64>> {
    let indexed = last(connection)?;
    let (relation, order) = if before { ("<", "DESC") } else { (">", "ASC") };
    let ask = || {
        connection
            .prepare_cached(&format!(
                "SELECT id FROM brief WHERE id > ?1 AND id {relation} ?2 AND place = ?3 AND kind = 3 ORDER BY id {order} \
                 LIMIT 1"
            ))?
            .query_row([indexed, id, place], |row| row.get(0))
            .optional()
    };
    if before && let Some(found) = ask()? {
        return Ok(Some(found));
    }
    let runs = between(connection, if before { (0, id) } else { (id, i64::MAX) })?;
    let in_run = |run| -> rusqlite::Result<Option<i64>> {
        let of_place = postings::find(connection, run, Column::Place, &[place])?;
        let mut is_deletion = connection.prepare_cached("SELECT 1 FROM brief WHERE id = ?1 AND kind = 3")?;
        let mut nearest = None;
        for found in of_place.into_iter().filter(|it| if before { *it < id } else { *it > id }) {
            if is_deletion.exists([found])? {
                nearest = Some(found);
                if !before {
                    break;
                }
            }
        }
        Ok(nearest)
    };
    if before {
        for run in runs {
            if let Some(found) = in_run(run)? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    for run in runs.into_iter().rev() {
        if let Some(found) = in_run(run)? {
            return Ok(Some(found));
        }
    }
    ask()
}
