//! The settings that all nodes of the cluster have in common.

use cluster::keys::Key;
use cluster::protocol::{Change, Compare, Entry, Event, Write};
use cluster::records::{self, SettingsRecord};

use super::changes::Draft;
use super::operator::{Operator, Refused};
use crate::core::config::{ClusterWide, PasswordPolicy};

impl Operator {
    /// The settings of the cluster.
    ///
    /// # Errors
    /// [`Refused`] if they cannot be read.
    pub async fn settings(&self) -> Result<ClusterWide, Refused> {
        match self.entry(&Key::Settings).await? {
            None => Ok(ClusterWide::default()),
            Some(entry) => read(&entry).map_err(Refused::invalid),
        }
    }

    /// The rules for passwords that hold on this node: those of the cluster over those of its file.
    ///
    /// # Errors
    /// [`Refused`] if etcd does not answer. Settings that cannot be read hold nowhere.
    pub async fn passwords(&self) -> Result<PasswordPolicy, Refused> {
        let entry = self.entry(&Key::Settings).await?;
        let set = entry.as_ref().and_then(|it| read(it).ok()).unwrap_or_default();
        Ok(set.over((self.settings.lockout, self.settings.passwords)).1)
    }

    /// Sets a setting of the cluster, or with `None` leaves it to the files of the nodes. Returns false if it was so already.
    ///
    /// # Errors
    /// [`Refused`] if there is no such setting, the value is out of its bounds or contradicts another one, the settings were
    /// changed at the same time, or etcd does not answer.
    pub async fn set(&self, key: &str, value: Option<u32>) -> Result<bool, Refused> {
        let schema = self.schema().await?;
        let entry = self.entry(&Key::Settings).await?;
        // Settings that cannot be read hold nowhere, so that they are replaced.
        let known = entry.as_ref().and_then(|it| read(it).ok()).unwrap_or_default();
        ClusterWide::check_key(key).map_err(Refused::invalid)?;
        let mut values = known.values().clone();
        let before = match value {
            Some(value) => values.insert(key.to_owned(), value),
            None => values.remove(key),
        };
        if before == value {
            return Ok(false);
        }
        let set = ClusterWide::new(values.clone()).map_err(Refused::invalid)?;
        let is_of_ages = matches!(key, "min_password_age" | "max_password_age");
        if value.is_some() && is_of_ages && set.contradicts(self.settings.passwords) {
            return Err(Refused::invalid(CONTRADICTION));
        }
        let condition = match &entry {
            Some(entry) => Compare::Modified(Key::Settings, entry.modified),
            None => Compare::Absent(Key::Settings),
        };
        let value_text = |it: Option<u32>| it.map_or_else(|| String::from("-"), |it| it.to_string());
        let details = vec![format!("{key}: {} -> {}", value_text(before), value_text(value))];
        let value = records::write(&SettingsRecord { values });
        let writes = vec![Write::Put { key: Key::Settings, value, lease: None }];
        let draft = Draft { details, ..Draft::new("change settings", "settings") };
        self.commit(schema, vec![condition], writes, draft).await?;
        Ok(true)
    }
}

const CONTRADICTION: &str = "min_password_age must be below max_password_age, one of which is that of the file of this node: set both in the \
     cluster, or change the file";

/// The settings in an event. `None` if it does not change them.
pub(super) fn of(event: &Event, prefix: &str) -> Option<Option<Entry>> {
    let path = Key::Settings.to_path(prefix);
    match event {
        Event::Snapshot { entries, .. } => Some(entries.iter().find(|it| it.path == path).cloned()),
        Event::WatchBatch { changes, .. } => changes.iter().rev().find_map(|change| match change {
            Change::Deleted { path: deleted } if *deleted == path => Some(None),
            Change::Written(entry) if entry.path == path => Some(Some(entry.clone())),
            _ => None,
        }),
        _ => None,
    }
}

/// The settings of a value in etcd.
pub(super) fn read(entry: &Entry) -> Result<ClusterWide, String> {
    let record: SettingsRecord = records::read(&entry.value).map_err(|error| error.to_string())?;
    ClusterWide::new(record.values)
}
