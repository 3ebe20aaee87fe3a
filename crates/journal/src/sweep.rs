//! The names that no entry has any more: they are looked for a part at a time.

use rusqlite::{Connection, params};

use crate::limits::{NAMES_EXAMINED_AT_ONCE, NAMES_SPAN_MAX};
use crate::postings::{self, Column};
use crate::runs;

/// The state of the search for unused places.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// The last place that was examined; zero before the first one.
    examined: i64,
    /// True if entries were deleted since the first place was examined.
    is_due: bool,
}

impl Sweep {
    /// Notes that entries were deleted, whose places may have no other ones.
    pub(crate) fn deleted(&mut self) {
        self.is_due = true;
    }

    /// True if there are places to examine.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due || self.examined > 0
    }

    /// Examines the next places, and deletes those that no entry has; begins again after the last place. Returns the
    /// number of places that were deleted.
    pub(crate) fn go_on(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        self.is_due &= self.examined > 0;
        let most = i64::try_from(NAMES_EXAMINED_AT_ONCE).unwrap_or(i64::MAX);
        let mut places = connection
            .prepare_cached("SELECT id FROM place WHERE id > ?1 ORDER BY id LIMIT ?2")?
            .query_map(params![self.examined, most], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let Some(first) = places.first().copied() else {
            self.examined = 0;
            return Ok(0);
        };
        places.retain(|place| place.saturating_sub(first) < NAMES_SPAN_MAX);
        let last = places.last().copied().unwrap_or(first);
        let used = Used::of_brief(connection, first, last)?;
        // The entries with indices of SQLite are asked place by place.
        let mut delete = connection.prepare_cached(
            "DELETE FROM place WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.place = place.id) \
             AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.to_place = place.id)",
        )?;
        let mut deleted = 0_usize;
        for place in places.iter().filter(|it| !used.has(**it)) {
            deleted = deleted.saturating_add(delete.execute([place])?);
        }
        self.examined = last;
        Ok(deleted)
    }
}

/// The places of a part that entries without indices of SQLite have: a bit for each number.
struct Used {
    first: i64,
    bits: Vec<u64>,
}

impl Used {
    fn of_brief(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<Self> {
        let words = usize::try_from(last.saturating_sub(first) >> 6).unwrap_or_default().saturating_add(1);
        let mut used = Self { first, bits: vec![0; words] };
        let mut unindexed = connection.prepare_cached(
            "SELECT place FROM lasting WHERE place BETWEEN ?1 AND ?2 UNION ALL \
             SELECT place FROM brief WHERE id > (SELECT ifnull(max(last), 0) FROM run) AND place BETWEEN ?1 AND ?2",
        )?;
        let mut rows = unindexed.query([first, last])?;
        while let Some(row) = rows.next()? {
            used.add(row.get(0)?);
        }
        for run in runs::between(connection, (0, i64::MAX))? {
            postings::each_value(connection, run, Column::Place, (first, last), |place| used.add(place))?;
        }
        Ok(used)
    }

    fn add(&mut self, place: i64) {
        if let Some((word, bit)) = self.bit(place)
            && let Some(word) = self.bits.get_mut(word)
        {
            *word |= bit;
        }
    }

    fn has(&self, place: i64) -> bool {
        self.bit(place).is_none_or(|(word, bit)| self.bits.get(word).is_none_or(|it| it & bit != 0))
    }

    fn bit(&self, place: i64) -> Option<(usize, u64)> {
        let offset = place.checked_sub(self.first).filter(|it| *it >= 0)?;
        Some((usize::try_from(offset >> 6).ok()?, 1_u64.checked_shl(u32::try_from(offset & 63).ok()?)?))
    }
}
