//! Definitions of shares that this server cannot use. Whoever can write to etcd must not be able to stop a share by a value
//! that is nonsense: the server keeps the last definition that it could use, and reports the other.

use std::collections::BTreeMap;

use cluster::View;
use cluster::ids::ShareKey;
use cluster::keys::Key;
use cluster::protocol::{Change, Entry, Event};
use cluster::records::{self, ShareRecord};

use super::definition;
use super::state::Member;
use crate::core::config::Settings;

/// The values that are not used, with reasons.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// By the path of the key.
    refused: BTreeMap<String, String>,
    /// The refusals beyond these, which are counted only.
    beyond: u64,
}

impl Screen {
    /// The keys whose values are not used, with reasons.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        self.refused.iter().map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// Notes the reason for which a value is not used, or that it is.
    pub(super) fn set(&mut self, path: &str, reason: Option<String>) {
        let Some(reason) = reason else { return drop(self.refused.remove(path)) };
        if self.refused.get(path) == Some(&reason) {
            return;
        }
        if self.refused.len() >= REFUSED_MAX && !self.refused.contains_key(path) {
            self.beyond = self.beyond.saturating_add(1);
            // Some lines for any number of them.
            if self.beyond.is_power_of_two() {
                let refusals = self.beyond;
                tracing::warn!(refusals, "more values in etcd cannot be used than are named one by one");
            }
            return;
        }
        let key = path.escape_debug().to_string();
        tracing::warn!(key, reason, "a value in etcd cannot be used; the one before stays in force");
        self.refused.insert(path.to_owned(), reason);
    }

    /// Takes the definitions that cannot be used from an event, if there is an earlier one that can. A definition of an
    /// unknown share stays, so that clients are led to its owner, which may be able to use it.
    pub(super) fn screened(
        &mut self,
        event: Event,
        view: &View,
        prefix: &str,
        usable: impl Fn(&ShareKey, &Entry) -> Result<(), String>,
    ) -> Event {
        match event {
            Event::WatchBatch { watch, revision, mut changes } => {
                changes.retain(|change| match change {
                    Change::Deleted { path } => {
                        self.set(path, None);
                        true
                    }
                    Change::Written(entry) => match Key::from_path(prefix, &entry.path) {
                        Some(Key::Share(key)) => {
                            let is_usable = self.note(entry, usable(&key, entry));
                            is_usable || !view.shares().contains_key(&key)
                        }
                        _ => true,
                    },
                });
                Event::WatchBatch { watch, revision, changes }
            }
            Event::Snapshot { request, revision, store, entries } => {
                let entries = entries.into_iter().map(|entry| {
                    let Some(Key::Share(key)) = Key::from_path(prefix, &entry.path) else { return entry };
                    let Some(known) = view.shares().get(&key) else { return entry };
                    if known.modified == entry.modified || self.note(&entry, usable(&key, &entry)) {
                        return entry;
                    }
                    let kept = ShareRecord {
                        weight: known.weight,
                        nodes: known.nodes.clone(),
                        addresses: known.addresses.clone(),
                        definition: known.settings.as_ref().clone(),
                    };
                    Entry { value: records::write(&kept), modified: known.modified, ..entry }
                });
                Event::Snapshot { request, revision, store, entries: entries.collect() }
            }
            other => other,
        }
    }

    /// Notes if a definition can be used.
    fn note(&mut self, entry: &Entry, usable: Result<(), String>) -> bool {
        let is_usable = usable.is_ok();
        self.set(&entry.path, usable.err());
        is_usable
    }
}

/// Checks that this server can use a definition.
pub(super) fn usable(
    member: &Member,
    settings: &Settings,
    key: &ShareKey,
    entry: &Entry,
) -> Result<(), String> {
    let record: ShareRecord = records::read(&entry.value).map_err(|error| error.to_string())?;
    definition::read(key, &record.definition, settings, &member.settings).map(drop)
}

/// More are neither shown nor logged one by one.
const REFUSED_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use cluster::ids::{RequestId, Revision};

    use super::*;

    const PREFIX: &str = "/shareward/c/";

    fn entry(value: &str, modified: u64) -> Entry {
        Entry {
            path: format!("{PREFIX}shares/data"),
            value: value.as_bytes().to_vec(),
            created: Revision(1),
            modified: Revision(modified),
            lease: None,
        }
    }

    fn view() -> View {
        let mut view = View::default();
        view.take(PREFIX, &Change::Written(entry(r#"{"weight": 2, "definition": "good"}"#, 5)));
        view
    }

    fn usable(_: &ShareKey, entry: &Entry) -> Result<(), String> {
        let text = String::from_utf8_lossy(&entry.value);
        if text.contains("good") { Ok(()) } else { Err(String::from("nonsense")) }
    }

    #[test]
    fn nonsense_does_not_replace_a_definition() {
        let mut screen = Screen::default();
        let batch = |entry| Event::WatchBatch {
            watch: 1,
            revision: Revision(7),
            changes: vec![Change::Written(entry)],
        };
        let kept = screen.screened(batch(entry("bad", 7)), &view(), PREFIX, usable);
        assert_eq!(kept, Event::WatchBatch { watch: 1, revision: Revision(7), changes: Vec::new() });
        assert_eq!(screen.refused().count(), 1);
        let unknown = screen.screened(batch(entry("bad", 7)), &View::default(), PREFIX, usable);
        assert_eq!(unknown, batch(entry("bad", 7)));
        let good = screen.screened(batch(entry("good", 8)), &view(), PREFIX, usable);
        assert_eq!((good, screen.refused().count()), (batch(entry("good", 8)), 0));
    }

    #[test]
    fn refusals_beyond_the_limit_are_counted_and_known_ones_still_change() {
        let mut screen = Screen::default();
        for number in 0..REFUSED_MAX + 5 {
            screen.set(&format!("{PREFIX}shares/{number}"), Some(String::from("nonsense")));
        }
        assert_eq!((screen.refused().count(), screen.beyond), (REFUSED_MAX, 5));
        screen.set(&format!("{PREFIX}shares/0"), Some(String::from("other")));
        assert!(screen.refused().any(|(_, reason)| reason == "other"));
        screen.set(&format!("{PREFIX}shares/0"), None);
        screen.set(&format!("{PREFIX}shares/new"), Some(String::from("nonsense")));
        assert_eq!((screen.refused().count(), screen.beyond), (REFUSED_MAX, 5));
    }

    #[test]
    fn nonsense_in_a_snapshot_is_replaced_by_the_known_definition() {
        let mut screen = Screen::default();
        let request = RequestId(1);
        let snapshot =
            Event::Snapshot { request, revision: Revision(9), store: 1, entries: vec![entry("bad", 8)] };
        let Event::Snapshot { entries, .. } = screen.screened(snapshot, &view(), PREFIX, usable) else {
            panic!()
        };
        assert_eq!(entries[0].modified, Revision(5));
        let record: ShareRecord = records::read(&entries[0].value).unwrap();
        assert_eq!((record.weight, record.definition), (2, serde_json::json!("good")));
    }
}
