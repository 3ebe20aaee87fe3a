//! Tables of limited size whose entries expire.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use registry::Time;

use crate::core::limits::GuessRate;

/// A table whose entries expire. If there are too many, those that expire first are removed.
pub(crate) struct ExpiringTable<K, T> {
    entries: HashMap<K, (Time, T)>,
    ends: BTreeSet<(Time, K)>,
    limit: usize,
}

impl<K: Copy + Hash + Ord, T> ExpiringTable<K, T> {
    /// Creates an empty table for this number of entries.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), ends: BTreeSet::new(), limit }
    }

    /// The number of entries, including those that have expired and are not removed yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The time at which an entry expires or has expired.
    pub(crate) fn until(&self, key: K) -> Option<Time> {
        self.entries.get(&key).map(|(until, _)| *until)
    }

    /// An entry that has not expired.
    pub(crate) fn get(&self, key: K, now: Time) -> Option<&T> {
        self.entries.get(&key).filter(|(until, _)| *until > now).map(|(_, value)| value)
    }

    /// Adds or replaces an entry.
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

    /// Removes an entry. Returns true if it existed.
    pub(crate) fn remove(&mut self, key: K) -> bool {
        let removed = self.entries.remove(&key);
        if let Some((until, _)) = &removed {
            self.ends.remove(&(*until, key));
        }
        removed.is_some()
    }

    /// The entries that have not expired, in the order of their expiry.
    pub(crate) fn in_force(&self, now: Time) -> impl Iterator<Item = (K, Time, &T)> {
        let ends = self.ends.iter().filter(move |(until, _)| *until > now);
        ends.filter_map(|(until, key)| self.entries.get(key).map(|(_, value)| (*key, *until, value)))
    }
}

/// A table of the recent rates of events: an entry expires when its events no longer count.
impl<K: Copy + Hash + Ord> ExpiringTable<K, ()> {
    /// The time from which the rate allows the event again.
    pub(crate) fn ready_at(&self, key: K, rate: GuessRate) -> Time {
        let at_once = u64::from(rate.at_once.saturating_sub(1)).saturating_mul(rate.interval_ms);
        Time(self.until(key).map_or(0, |until| until.0.saturating_sub(at_once)))
    }

    /// Removes one event from the rate.
    pub(crate) fn give_back(&mut self, key: K, rate: GuessRate, now: Time) {
        let Some(until) = self.until(key) else { return };
        self.remove(key);
        let left = Time(until.0.saturating_sub(rate.interval_ms));
        if left > now {
            self.put(key, left, (), now);
        }
    }

    /// Adds one event to the rate.
    pub(crate) fn charge(&mut self, key: K, rate: GuessRate, now: Time) {
        let from = self.until(key).filter(|until| *until > now).unwrap_or(now);
        self.put(key, from.after_ms(rate.interval_ms), (), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_back_events_do_not_count() {
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
    fn entries_that_expire_first_are_removed_beyond_the_limit() {
        let mut table = ExpiringTable::new(10);
        for n in 0..100_u64 {
            table.put(n, Time(1_000 + n), (), Time(0));
        }
        assert_eq!((table.len(), table.entries.len()), (10, table.ends.len()));
        assert!(table.get(99, Time(0)).is_some() && table.get(0, Time(0)).is_none());
        assert!(table.get(99, Time(1_099)).is_none(), "it has ended");
    }
}
