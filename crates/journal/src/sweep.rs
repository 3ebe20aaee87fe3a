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
        let mut used = Used::of_brief(connection, &places, (first, last))?;
        // The entries with indices of SQLite are asked place by place.
        let mut delete = connection.prepare_cached(
            "DELETE FROM place WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.place = place.id) \
             AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.to_place = place.id)",
        )?;
        let mut deleted = 0_usize;
        for place in places {
            if !used.has(place) {
                deleted = deleted.saturating_add(delete.execute([place])?);
            }
        }
        self.examined = last;
        Ok(deleted)
    }
}

/// The places of a part that entries without indices of SQLite have: a bit for each number.
struct Used {
    first: i64,
    /// The bits of the places are zero until an entry is found; the others are one.
    bits: Vec<u64>,
    /// The number of places of which no entry was found.
    left: usize,
}

impl Used {
    fn of_brief(
        connection: &Connection,
        places: &[i64],
        (first, last): (i64, i64),
    ) -> rusqlite::Result<Self> {
        let words = usize::try_from(last.saturating_sub(first) >> 6).unwrap_or_default().saturating_add(1);
        let mut used = Self { first, bits: vec![u64::MAX; words], left: places.len() };
        for place in places {
            if let Some((word, bit)) = used.word(*place) {
                *word &= !bit;
            }
        }
        // The names that are used most are found in the latest runs, and nothing else is read then.
        for run in runs::between(connection, (0, i64::MAX))? {
            postings::each_value(connection, run, Column::Place, (first, last), |place| used.add(place))?;
            if used.left == 0 {
                return Ok(used);
            }
        }
        let mut unindexed = connection.prepare_cached(
            "SELECT place FROM lasting WHERE place BETWEEN ?1 AND ?2 UNION ALL \
             SELECT place FROM brief WHERE id > (SELECT ifnull(max(last), 0) FROM run) AND place BETWEEN ?1 AND ?2",
        )?;
        let mut rows = unindexed.query([first, last])?;
        while let Some(row) = rows.next()? {
            used.add(row.get(0)?);
        }
        Ok(used)
    }

    /// Notes that an entry has a place. Returns false if all places have one.
    fn add(&mut self, place: i64) -> bool {
        if let Some((word, bit)) = self.word(place)
            && *word & bit == 0
        {
            *word |= bit;
            self.left = self.left.saturating_sub(1);
        }
        self.left > 0
    }

    fn has(&mut self, place: i64) -> bool {
        self.word(place).is_none_or(|(word, bit)| *word & bit != 0)
    }

    fn word(&mut self, place: i64) -> Option<(&mut u64, u64)> {
        let offset = place.checked_sub(self.first).filter(|it| *it >= 0)?;
        let bit = 1_u64.checked_shl(u32::try_from(offset & 63).ok()?)?;
        Some((self.bits.get_mut(usize::try_from(offset >> 6).ok()?)?, bit))
    }
}
