//! The names that no entry has any more: they are looked for a part at a time, while entries are added.
//!
//! The entries with indices of SQLite are asked name by name. The brief opens are asked run by run, for all names of a
//! part together: a bit for each is set that is used. Names that are used meanwhile get their bit when they are.

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::{NAMES_EXAMINED_AT_ONCE, NAMES_EXAMINED_TOGETHER, RUNS_EXAMINED_AT_ONCE};
use crate::postings::{self, Column};
use crate::runs;

/// The state of the search for unused places.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// The last place that was examined.
    examined: i64,
    part: Option<Part>,
    /// True if entries were deleted since the first place was examined.
    is_due: bool,
}

/// The places that are examined together.
#[derive(Debug)]
struct Part {
    first: i64,
    last: i64,
    /// The places that are used, from the first on.
    used: Vec<u64>,
    /// The run after which runs are not examined yet; `None` when all of them are.
    after: Option<i64>,
}

impl Sweep {
    /// Notes that entries were deleted, whose places may have no other ones.
    pub(crate) fn deleted(&mut self) {
        self.is_due = true;
    }

    /// True if there are places to examine.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due || self.part.is_some() || self.examined > 0
    }

    /// Notes that an entry with this place is added.
    pub(crate) fn uses(&mut self, place: i64) {
        if let Some(part) = &mut self.part {
            part.uses(place);
        }
    }

    /// Examines the next places, and deletes those that no entry has; begins again after the last place. Returns the
    /// number of places that were deleted.
    pub(crate) fn go_on(&mut self, connection: &Connection) -> rusqlite::Result<usize> {
        let part = match &mut self.part {
            Some(part) => part,
            part => {
                self.is_due &= self.examined > 0;
                let Some(begun) = Part::begin(connection, self.examined)? else {
                    self.examined = 0;
                    return Ok(0);
                };
                part.insert(begun)
            }
        };
        if !part.examine_runs(connection)? {
            return Ok(0);
        }
        let (deleted, examined) = part.delete(connection, self.examined)?;
        self.examined = examined;
        if self.examined >= part.last {
            self.part = None;
        }
        Ok(deleted)
    }

    /// Begins anew: what was noted belongs to a transaction that has failed.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Part {
    /// The places after this one; `None` if there are none. Those of entries without an index are noted.
    fn begin(connection: &Connection, after: i64) -> rusqlite::Result<Option<Self>> {
        let next: Option<i64> = connection
            .query_row("SELECT id FROM place WHERE id > ?1 ORDER BY id LIMIT 1", [after], |row| row.get(0))
            .optional()?;
        let Some(first) = next else { return Ok(None) };
        let bound = first.saturating_add(NAMES_EXAMINED_TOGETHER);
        let last: i64 =
            connection.query_row("SELECT coalesce(max(id), 0) FROM place WHERE id < ?1", [bound], |row| {
                row.get(0)
            })?;
        let words = usize::try_from(last.saturating_sub(first) >> 6).unwrap_or_default().saturating_add(1);
        let mut part = Self { first, last, used: vec![0; words], after: Some(0) };
        for question in [
            "SELECT place FROM lasting",
            "SELECT place FROM brief WHERE id > (SELECT ifnull(max(last), 0) FROM run)",
        ] {
            let mut statement = connection.prepare_cached(question)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                row.get::<_, Option<i64>>(0)?.into_iter().for_each(|place| part.uses(place));
            }
        }
        Ok(Some(part))
    }

    fn uses(&mut self, place: i64) {
        if let Some((word, bit)) = self.bit(place)
            && let Some(word) = self.used.get_mut(word)
        {
            *word |= bit;
        }
    }

    fn is_used(&self, place: i64) -> bool {
        self.bit(place).is_none_or(|(word, bit)| self.used.get(word).is_none_or(|it| it & bit != 0))
    }

    /// The word and the bit of a place; `None` if it is none of this part.
    fn bit(&self, place: i64) -> Option<(usize, u64)> {
        let offset = place.checked_sub(self.first).filter(|it| *it >= 0)?;
        Some((usize::try_from(offset >> 6).ok()?, 1_u64.checked_shl(u32::try_from(offset & 63).ok()?)?))
    }

    /// Notes the places of the next runs. Returns true if there are no more runs.
    fn examine_runs(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        let Some(after) = self.after else { return Ok(true) };
        let next = runs::after(connection, after, RUNS_EXAMINED_AT_ONCE)?;
        for run in &next {
            let range = (self.first, self.last);
            postings::each_value(connection, *run, Column::Place, range, |place| self.uses(place))?;
        }
        self.after = next.last().filter(|_| next.len() == RUNS_EXAMINED_AT_ONCE).map(|(_, last)| *last);
        Ok(self.after.is_none())
    }

    /// Deletes the unused ones of the places after this one; returns their number and the last place that was examined.
    fn delete(&self, connection: &Connection, after: i64) -> rusqlite::Result<(usize, i64)> {
        let most = i64::try_from(NAMES_EXAMINED_AT_ONCE).unwrap_or(i64::MAX);
        let places = connection
            .prepare_cached("SELECT id FROM place WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3")?
            .query_map(params![after, self.last, most], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut delete = connection.prepare_cached(
            "DELETE FROM place WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.place = place.id) \
             AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.to_place = place.id)",
        )?;
        let mut deleted = 0_usize;
        for place in places.iter().filter(|it| !self.is_used(**it)) {
            deleted = deleted.saturating_add(delete.execute([place])?);
        }
        let is_last = places.len() < NAMES_EXAMINED_AT_ONCE;
        Ok((deleted, places.last().copied().filter(|_| !is_last).unwrap_or(self.last)))
    }
}
