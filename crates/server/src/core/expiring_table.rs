//! Tables of bounded size whose entries end by themselves.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use registry::Time;

use crate::core::limits::GuessRate;

/// Entries that end by themselves. Where there are too many, those that would end first go.
pub(crate) struct ExpiringTable<K, T> {
    entries: HashMap<K, (Time, T)>,
    ends: BTreeSet<(Time, K)>,
    limit: usize,
}

impl<K: Copy + Hash + Ord, T> ExpiringTable<K, T> {
    /// An empty table that has room for so many entries.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), ends: BTreeSet::new(), limit }
    }

    /// The number of entries, those that have ended included until others need their room.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When an entry ends or has ended.
    pub(crate) fn until(&self, key: K) -> Option<Time> {
        self.entries.get(&key).map(|(until, _)| *until)
    }

    /// An entry that has not ended.
    pub(crate) fn get(&self, key: K, now: Time) -> Option<&T> {
        self.entries.get(&key).filter(|(until, _)| *until > now).map(|(_, value)| value)
    }

    /// Makes or replaces an entry.
    pub(crate) fn put(&mut self, key: K, until: Time, value: T, now: Time) {
        self.remove(key);
        while let Some((end, first)) = self.ends.first().copied()
            && (end <= now || self.entries.len() >= self.limit)
        {
            self.remove(first);
        }
        self.entries.insert(key, (until, value));
        self.ends.insert((until, key));
    }

    /// Ends an entry; tells if it was there.
    pub(crate) fn remove(&mut self, key: K) -> bool {
        let removed = self.entries.remove(&key);
        if let Some((until, _)) = &removed {
            self.ends.remove(&(*until, key));
        }
        removed.is_some()
    }

    /// The entries that have not ended, those that end first before the others.
    pub(crate) fn in_force(&self, now: Time) -> impl Iterator<Item = (K, Time, &T)> {
        let ends = self.ends.iter().filter(move |(until, _)| *until > now);
        ends.filter_map(|(until, key)| self.entries.get(key).map(|(_, value)| (*key, *until, value)))
    }
}

/// A table of how often something has happened lately: an entry ends when all of that is forgotten.
impl<K: Copy + Hash + Ord> ExpiringTable<K, ()> {
    /// From when on the rate lets it happen again.
    pub(crate) fn ready_at(&self, key: K, rate: GuessRate) -> Time {
        let at_once = u64::from(rate.at_once.saturating_sub(1)).saturating_mul(rate.interval_ms);
        Time(self.until(key).map_or(0, |until| until.0.saturating_sub(at_once)))
    }

    /// Takes back that it has happened.
    pub(crate) fn give_back(&mut self, key: K, rate: GuessRate, now: Time) {
        let Some(until) = self.until(key) else { return };
        self.remove(key);
        let left = Time(until.0.saturating_sub(rate.interval_ms));
        if left > now {
            self.put(key, left, (), now);
        }
    }

    /// Notes that it has happened.
    pub(crate) fn charge(&mut self, key: K, rate: GuessRate, now: Time) {
        let from = self.until(key).filter(|until| *until > now).unwrap_or(now);
        self.put(key, from.after_ms(rate.interval_ms), (), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_has_not_happened() {
        let rate = GuessRate { at_once: 2, interval_ms: 100 };
        let mut table = ExpiringTable::new(10);
        let now = Time(1_000);
        for _ in 0..3 {
            table.charge(1, rate, now);
        }
        let before = table.ready_at(1, rate);
        table.charge(1, rate, now);
        table.give_back(1, rate, now);
        assert_eq!(table.ready_at(1, rate), before);
        for _ in 0..5 {
            table.give_back(1, rate, now);
        }
        assert_eq!((table.ready_at(1, rate), table.len()), (Time(0), 0));
    }

    #[test]
    fn of_too_many_entries_those_go_that_would_end_first() {
        let mut table = ExpiringTable::new(10);
        for n in 0..100_u64 {
            table.put(n, Time(1_000 + n), (), Time(0));
        }
        assert_eq!((table.len(), table.entries.len()), (10, table.ends.len()));
        assert!(table.get(99, Time(0)).is_some() && table.get(0, Time(0)).is_none());
        assert!(table.get(99, Time(1_099)).is_none(), "it has ended");
    }
}
