//! A model of etcd: one linearizable store with revisions, leases, transactions and a history for watches.

use std::collections::BTreeMap;

use crate::ids::{LeaseId, Revision};
use crate::protocol::{Change, Compare, Entry, Outcome, Transaction, Write};

/// The store. Times are real, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Etcd {
    prefix: String,
    pub(crate) revision: u64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
    next_lease: i64,
    /// The changes since the last compaction, each with its revision.
    history: Vec<(u64, Vec<Change>)>,
    compacted: u64,
    /// The id of etcd's own cluster.
    pub(crate) store: u64,
}

#[derive(Clone, Debug)]
struct Lease {
    ttl: u64,
    ends: u64,
}

impl Etcd {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            revision: 1,
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_lease: 1,
            history: Vec::new(),
            compacted: 0,
            store: 1,
        }
    }

    pub(crate) fn grant(&mut self, ttl: u64, ends: u64) -> LeaseId {
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        self.leases.insert(lease, Lease { ttl, ends });
        lease
    }

    /// Renews a lease that exists. Returns its time to live, or zero.
    pub(crate) fn keep_alive(&mut self, lease: LeaseId, ends: impl FnOnce(u64) -> u64) -> u64 {
        let Some(lease) = self.leases.get_mut(&lease) else { return 0 };
        lease.ends = lease.ends.max(ends(lease.ttl));
        lease.ttl
    }

    /// Renews all leases, as a new leader does.
    pub(crate) fn renew_all(&mut self, ends: impl Fn(u64) -> u64) {
        self.leases.values_mut().for_each(|lease| lease.ends = lease.ends.max(ends(lease.ttl)));
    }

    pub(crate) fn leases(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// The end of a lease. Returns `None` if it does not exist.
    pub(crate) fn lease_end(&self, lease: LeaseId) -> Option<u64> {
        self.leases.get(&lease).map(|it| it.ends)
    }

    /// Ends a lease and deletes its keys, in one revision.
    pub(crate) fn revoke(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let paths: Vec<String> =
            self.entries.values().filter(|it| it.lease == Some(lease)).map(|it| it.path.clone()).collect();
        self.delete(paths);
    }

    /// Deletes keys by hand.
    pub(crate) fn delete(&mut self, paths: Vec<String>) {
        let removed: Vec<Change> = paths
            .into_iter()
            .filter(|path| self.entries.remove(path).is_some())
            .map(|path| Change::Deleted { path })
            .collect();
        if !removed.is_empty() {
            self.revision += 1;
            self.history.push((self.revision, removed));
        }
    }

    /// Writes a value by hand.
    pub(crate) fn put(&mut self, path: String, value: Vec<u8>, lease: Option<LeaseId>) {
        self.revision += 1;
        let change = self.write(path, value, lease);
        self.history.push((self.revision, vec![change]));
    }

    fn write(&mut self, path: String, value: Vec<u8>, lease: Option<LeaseId>) -> Change {
        let modified = Revision(self.revision);
        let created = self.entries.get(&path).map_or(modified, |it| it.created);
        let entry = Entry { path: path.clone(), value, created, modified, lease };
        self.entries.insert(path, entry.clone());
        Change::Written(entry)
    }

    pub(crate) fn transact(&mut self, transaction: &Transaction) -> Outcome {
        let is_met = |compare: &Compare| {
            let entry = |key: &crate::keys::Key| self.entries.get(&key.to_path(&self.prefix));
            match compare {
                Compare::Absent(key) => entry(key).is_none(),
                Compare::Created(key, at) => entry(key).is_some_and(|it| it.created == *at),
                Compare::Modified(key, at) => entry(key).is_some_and(|it| it.modified == *at),
                Compare::Present(key) => entry(key).is_some(),
            }
        };
        if !transaction.compares.iter().all(is_met) {
            return Outcome::Failed { revision: Revision(self.revision) };
        }
        // etcd answers with an error if a lease does not exist.
        let has_lease = |write: &Write| match write {
            Write::Put { lease: Some(lease), .. } => self.leases.contains_key(lease),
            _ => true,
        };
        if !transaction.writes.iter().all(has_lease) {
            return Outcome::Unknown;
        }
        self.revision += 1;
        let mut changes = Vec::new();
        for write in &transaction.writes {
            match write {
                Write::Delete(key) => {
                    let path = key.to_path(&self.prefix);
                    if self.entries.remove(&path).is_some() {
                        changes.push(Change::Deleted { path });
                    }
                }
                Write::Put { key, value, lease } => {
                    changes.push(self.write(key.to_path(&self.prefix), value.clone(), *lease));
                }
            }
        }
        self.history.push((self.revision, changes));
        Outcome::Done { revision: Revision(self.revision) }
    }

    pub(crate) fn read(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }

    pub(crate) fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The changes from `first` on. Returns `None` if some are compacted.
    pub(crate) fn changes_from(&self, first: u64) -> Option<Vec<Change>> {
        if first <= self.compacted {
            return None;
        }
        let start = self.history.partition_point(|(revision, _)| *revision < first);
        Some(self.history.iter().skip(start).flat_map(|(_, changes)| changes.iter().cloned()).collect())
    }

    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    /// Becomes the store of a backup, with another id.
    pub(crate) fn restore(&mut self, backup: &Self, store: u64) {
        // etcd makes the ids of leases of the time and its member's id, so that they are not repeated.
        *self = Self { store, next_lease: self.next_lease, ..backup.clone() };
        self.compact();
    }
}
