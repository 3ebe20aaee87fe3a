//! The end of old entries: the journal is bounded by age and by size.

use rusqlite::{Connection, params};

use crate::chain;
use crate::limits::DELETED_AT_ONCE;
use crate::record::EntryId;
use crate::runs;
use crate::sweep::Sweep;

/// The bounds of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The age of entries that are deleted, in milliseconds.
    pub keep_ms: i64,
    /// The bytes that the journal may use.
    pub size: u64,
}

/// The work that a call of [`crate::Writer::expire`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// The number of entries and acts that were deleted.
    pub entries: usize,
    /// The number of names that were deleted because no entry has them any more.
    pub names: usize,
    /// True if there is more to delete.
    pub is_more: bool,
}

pub(crate) fn expire(
    connection: &Connection,
    bounds: Bounds,
    now_ms: i64,
    sweep: &mut Sweep,
) -> rusqlite::Result<Expired> {
    let mut expired = Expired::default();
    let oldest = now_ms.saturating_sub(bounds.keep_ms);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    expired.entries = delete_before(connection, EntryId::at(oldest).0)?;
    let is_too_large = used_bytes(connection)? > bounds.size;
    if expired.entries < DELETED_AT_ONCE && is_too_large {
        expired.entries = expired.entries.saturating_add(delete_before(connection, i64::MAX)?);
    }
    // An act is smaller than what it is about; they go with the entries of their time.
    let oldest = first_entry(connection)?.map_or(oldest, |first| first.max(oldest));
    let acts_before = if is_too_large { oldest } else { now_ms.saturating_sub(bounds.keep_ms) };
    let acts = chain::expire(connection, acts_before, DELETED_AT_ONCE)?;
    expired.entries = expired.entries.saturating_add(acts);
    if expired.entries > 0 {
        sweep.deleted();
    }
    if sweep.is_due() {
        expired.names = sweep.go_on(connection)?;
    }
    connection.execute_batch("COMMIT")?;
    expired.is_more = expired.entries > 0 && (expired.entries >= DELETED_AT_ONCE || is_too_large);
    Ok(expired)
}

/// The bytes of the pages that are in use. SQLite uses the others again.
pub(crate) fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let ask = |question: &str| connection.query_row(question, [], |row| row.get::<_, i64>(0));
    let pages = ask("PRAGMA page_count")?.saturating_sub(ask("PRAGMA freelist_count")?);
    Ok(u64::try_from(pages.saturating_mul(ask("PRAGMA page_size")?)).unwrap_or_default())
}

pub(crate) fn first_entry(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let first: Option<i64> = connection.query_row(
        "SELECT min(id) FROM (SELECT min(id) AS id FROM entry UNION ALL SELECT min(id) FROM brief \
         UNION ALL SELECT min(id) FROM lasting)",
        [],
        |row| row.get(0),
    )?;
    Ok(first.map(|id| EntryId(id).time_ms()))
}

/// Deletes the oldest entries with numbers below this one. Sessions and opens that have no end stay.
fn delete_before(connection: &Connection, id: i64) -> rusqlite::Result<usize> {
    let most = i64::try_from(DELETED_AT_ONCE).unwrap_or(i64::MAX);
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT max(id) FROM (SELECT id FROM (SELECT id FROM entry WHERE id < ?1 ORDER BY id LIMIT ?2) \
             UNION ALL SELECT id FROM (SELECT id FROM brief WHERE id < ?1 ORDER BY id LIMIT ?2) ORDER BY id LIMIT ?2)",
        )?
        .query_row(params![id, most], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let others = connection.prepare_cached("DELETE FROM entry WHERE id <= ?1")?.execute([last])?;
    let brief = connection.prepare_cached("DELETE FROM brief WHERE id <= ?1")?.execute([last])?;
    runs::remove(connection, last)?;
    Ok(others.saturating_add(brief))
}
