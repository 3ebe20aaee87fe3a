//! Users or groups of the cluster as a member follows them: their values are sealed with the secret of the cluster.

use std::collections::BTreeMap;

use cluster::ids::{Revision, ShareKey};
use cluster::keys::Key;
use cluster::protocol::{Change, Entry, Event};

use super::secret::Secret;

/// A kind of values that are sealed.
pub(super) trait Sealed: Sized {
    /// Each node reads all of them when it joins, and opens each. More are left out.
    const MAX: usize;

    /// The rule for names of this kind.
    const NAMES: &str;

    /// The name in a key of this kind.
    fn of(key: Key) -> Option<ShareKey>;

    /// The key of a name.
    fn key(name: ShareKey) -> Key;

    /// The user or group of a key of etcd.
    fn read(secret: &Secret, cluster: &str, key: &ShareKey, entry: &Entry) -> Result<Self, String>;
}

/// All of a kind.
#[derive(Debug, Default)]
pub(super) struct SealedEntries<T> {
    entries: BTreeMap<ShareKey, Entry>,
    /// The users or groups that could be read last, each with the value that it was read from.
    opened: BTreeMap<ShareKey, (Vec<u8>, T)>,
    has_changed: bool,
}

impl<T: Sealed> SealedEntries<T> {
    /// Follows the keys of this kind in an event.
    pub(super) fn follow(&mut self, event: &Event, prefix: &str) {
        let of = |path: &str| T::of(Key::from_path(prefix, path)?);
        match event {
            Event::Snapshot { entries, .. } => {
                let found = entries.iter().filter_map(|it| Some((of(&it.path)?, it.clone())));
                self.entries = found.take(T::MAX).collect();
                self.has_changed = true;
            }
            Event::WatchBatch { changes, .. } => {
                for change in changes {
                    match change {
                        Change::Deleted { path } => {
                            let Some(key) = of(path) else { continue };
                            self.entries.remove(&key);
                        }
                        Change::Written(entry) => {
                            let Some(key) = of(&entry.path) else { continue };
                            if self.entries.len() < T::MAX || self.entries.contains_key(&key) {
                                self.entries.insert(key, entry.clone());
                            }
                        }
                    }
                    self.has_changed = true;
                }
            }
            _ => {}
        }
    }

    /// This server has written some of them at a revision, and has put those that it had found before, with its change, in
    /// place of these. If `seen`, the last revision that was followed, is not before it, others may have changed some of them
    /// since, which the server would not notice; otherwise the change is still to come, and is followed then.
    pub(super) fn were_written(&mut self, revision: Revision, seen: Revision) {
        self.has_changed |= seen >= revision;
    }

    /// True if they have changed since [`SealedEntries::changed`].
    pub(super) fn have_changed(&self) -> bool {
        self.has_changed
    }

    /// All that could be read, if they have changed. One whose value cannot be read stays as before.
    pub(super) fn changed(
        &mut self,
        read: impl Fn(&ShareKey, &Entry) -> Result<T, String>,
        mut refused: impl FnMut(&Entry, Option<String>),
    ) -> Option<impl Iterator<Item = &T>> {
        if !std::mem::take(&mut self.has_changed) {
            return None;
        }
        let entries = &self.entries;
        self.opened.retain(|key, _| entries.contains_key(key));
        for (key, entry) in entries {
            // The thread also renews the lease: it does not open thousands of values because one has changed.
            if self.opened.get(key).is_some_and(|(value, _)| *value == entry.value) {
                refused(entry, None);
                continue;
            }
            match read(key, entry) {
                Ok(read) => {
                    self.opened.insert(key.clone(), (entry.value.clone(), read));
                    refused(entry, None);
                }
                Err(reason) => refused(entry, Some(reason)),
            }
        }
        Some(self.opened.values().map(|(_, it)| it))
    }
}
