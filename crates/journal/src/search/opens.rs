//! The search among what is not in `entry`: what lasts, and what was over soon after its beginning.

use crate::limits::{COMPARED_MAX, INDEX_VALUES_MAX};
use crate::postings::{self, Column};
use crate::record::Kind;
use crate::runs;
use crate::schema::{BRIEF, LASTING};

use super::{Inside, Search, Way, below_values};

impl Search<'_> {
    /// Finds what has no end.
    pub(super) fn read_lasting(
        &mut self,
        inside: Inside<'_>,
        visible: &str,
        earliest: i64,
        last: i64,
    ) -> rusqlite::Result<()> {
        if self.conditions.is_of_one_table || !self.has_long() {
            return Ok(());
        }
        let way = Way { from: LASTING.into(), ..Way::new("", "?1 = 0".into(), &[0]) };
        let filter = format!("{}{visible}", self.conditions.sql);
        self.ask(&way, (earliest, last), inside, &filter)
    }

    /// Finds brief entries. `own` are the persons to whom `visible` restricts them, if it does.
    pub(super) fn read_brief(
        &mut self,
        inside: Inside<'_>,
        visible: &str,
        own: Option<&[i64]>,
        bounds: (i64, i64),
    ) -> rusqlite::Result<()> {
        let has = |kind| self.conditions.kinds.contains(&kind);
        if self.conditions.is_of_one_table || !(has(Kind::Open) || has(Kind::Deleted)) {
            return Ok(());
        }
        let filter = self.filter(visible);
        let way = Way { from: BRIEF.into(), ..Way::new("", "?1 = 0".into(), &[0]) };
        let mut columns = Vec::new();
        for (column, values) in [
            (Column::Person, own),
            (Column::Person, self.conditions.persons.as_deref()),
            (Column::Client, self.conditions.clients.as_deref()),
        ] {
            if let Some(values) = values.filter(|it| it.len() <= INDEX_VALUES_MAX) {
                let mut values = values.to_vec();
                values.sort_unstable();
                columns.push((column, values));
            }
        }
        if !has(Kind::Open) {
            columns.push((Column::Kind, vec![Kind::Deleted as i64]));
        }
        if columns.iter().any(|(_, values)| values.is_empty()) {
            return Ok(());
        }
        if columns.is_empty() && !matches!(inside, Inside::Among(_)) {
            return self.ask(&way, bounds, inside, &filter);
        }
        let indexed = runs::last(self.connection)?;
        self.ask(&way, (bounds.0.max(indexed.saturating_add(1)), bounds.1), inside, &filter)?;
        for run in runs::between(self.connection, bounds)? {
            if self.oldest_needed().is_some_and(|oldest| oldest > run.1) {
                break;
            }
            let mut found = None;
            for (column, values) in &columns {
                if found.as_ref().is_none_or(|it: &Vec<i64>| !it.is_empty()) {
                    found = Some(both(found, postings::find(self.connection, run, *column, values)?));
                }
            }
            if let Inside::Among(places) = inside
                && found.as_ref().is_none_or(|it| it.len() > COMPARED_MAX)
            {
                found = Some(both(found, postings::find(self.connection, run, Column::Place, places)?));
            }
            let ids = found.unwrap_or_default();
            let from = ids.partition_point(|id| *id < bounds.0);
            let to = ids.partition_point(|id| *id <= bounds.1);
            self.take(ids.get(from..to).unwrap_or_default(), inside, &filter)?;
        }
        Ok(())
    }

    /// Takes the latest of these brief entries that fulfil the conditions, until there are enough.
    fn take(&mut self, ids: &[i64], inside: Inside<'_>, filter: &str) -> rusqlite::Result<()> {
        let (mut filter, mut keys) = (filter.to_owned(), Vec::new());
        if let Inside::Below(span) = inside {
            filter.push_str(&self.below_joined(span));
            keys = below_values(&span.key);
        }
        let (joins, kinds) = (super::joins(&filter), &self.kinds);
        let question =
            format!("SELECT e.place FROM {BRIEF}{joins} WHERE e.id = ?1 AND e.kind IN ({kinds}){filter}");

        let mut statement = self.connection.prepare_cached(&question)?;
        for (number, key) in (2..).zip(&keys) {
            statement.raw_bind_parameter(number, key)?;
        }
        for id in ids.iter().rev() {
            if self.oldest_needed().is_some_and(|oldest| oldest > *id) {
                break;
            }
            statement.raw_bind_parameter(1, id)?;
            let mut rows = statement.raw_query();
            let Some(row) = rows.next()? else { continue };
            let place: Option<i64> = row.get(0)?;
            let is_inside = match inside {
                Inside::Among(places) => place.is_some_and(|it| places.binary_search(&it).is_ok()),
                Inside::Anywhere | Inside::Below(_) => true,
            };
            if is_inside {
                self.ids.insert(*id);
                if self.ids.len() > self.conditions.most {
                    self.ids.pop_first();
                }
            }
        }
        Ok(())
    }

    /// The oldest entry that was found, if there are enough: older ones are not needed.
    pub(super) fn oldest_needed(&self) -> Option<i64> {
        self.ids.first().copied().filter(|_| self.ids.len() >= self.conditions.most)
    }
}

/// The numbers that are in both lists, which are in ascending order.
fn both(one: Option<Vec<i64>>, other: Vec<i64>) -> Vec<i64> {
    let Some(one) = one else { return other };
    let mut rest = other.into_iter().peekable();
    let is_in_other = |id: &i64| {
        while rest.next_if(|it| it < id).is_some() {}
        rest.peek() == Some(id)
    };
    one.into_iter().filter(is_in_other).collect()
}
