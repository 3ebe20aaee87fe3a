//! The runs of brief opens, as they are written: a run gets its index when enough opens have come after it.

use rusqlite::{Connection, params};

use crate::postings::{self, Column};

/// The brief opens that have no index yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unindexed {
    /// The last number of the last run; zero without one.
    pub(crate) after: i64,
    /// The number of opens behind it.
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

/// Makes a run of the next opens, of this number, with its index. Returns the last number of the run.
pub(crate) fn make(connection: &Connection, after: i64, entries: usize) -> rusqlite::Result<i64> {
    let mut columns = [Column::Place, Column::Person, Column::Client]
        .map(|column| (column, Vec::<(i64, i64)>::with_capacity(entries)));
    let (mut first, mut last) = (i64::MAX, after);
    let mut statement = connection
        .prepare_cached("SELECT id, place, person, client FROM brief WHERE id > ?1 ORDER BY id LIMIT ?2")?;
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

/// The next runs after this one, at most this number: their first and their last entries.
pub(crate) fn after(connection: &Connection, after: i64, most: usize) -> rusqlite::Result<Vec<(i64, i64)>> {
    connection
        .prepare_cached("SELECT first, last FROM run WHERE last > ?1 ORDER BY last LIMIT ?2")?
        .query_map(params![after, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
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
