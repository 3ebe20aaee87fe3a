//! The groups of the cluster, for nodes with `users = true`: each is a key with a group in JSON, sealed with the secret of the
//! cluster like a user, because groups have rights. The groups of the file of a node are the node's own, and come first.

use std::sync::Arc;

use cluster::ids::{Revision, ShareKey};
use cluster::keys::Key;
use cluster::protocol::Entry;
use cluster::records::{self, SealedRecord, VALUE_BYTES_MAX};
use serde::{Deserialize, Serialize};

use super::changes::{Author, Draft};
use super::operator::{Operator, Refused};
use super::sealed_change::{Found, ToChange, wait};
use super::sealed_entries::{Sealed, SealedEntries};
use super::secret::Secret;
use super::state::Cluster;
use crate::core::config::{LocalGroup, Settings, check_group_name, check_remark};
use crate::core::limits::{LOCAL_GROUP_MEMBERS_MAX, LOCAL_GROUPS_MAX};

/// The text that is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    comment: String,
    users: Vec<String>,
    groups: Vec<String>,
}

impl Operator {
    /// Writes a group that was found, or deletes it. Returns the revision of the change.
    async fn write_group(
        &self,
        found: &Found<LocalGroup>,
        after: Option<&LocalGroup>,
    ) -> Result<Revision, Refused> {
        let (act, details) = match (&found.value, after) {
            (_, None) => ("delete group", Vec::new()),
            (None, Some(after)) => ("add group", difference(&LocalGroup::default(), after)),
            (Some(before), Some(after)) => ("change group", difference(before, after)),
        };
        let name = after.or(found.value.as_ref()).map(|it| it.name.clone()).unwrap_or_default();
        let value = match after {
            None => None,
            Some(group) => {
                let LocalGroup { name, comment, users, groups, .. } = group.clone();
                let text = serde_json::to_string(&GroupText { name, comment, users, groups });
                let value = self.sealed(found, &text.map_err(Refused::invalid)?)?;
                if value.len() > VALUE_BYTES_MAX {
                    return Err(Refused::invalid(format!(
                        "the group {} is too long: etcd may have {VALUE_BYTES_MAX} bytes of it",
                        group.name
                    )));
                }
                Some(value)
            }
        };
        let draft = Draft { details, ..Draft::new(act, name) };
        self.write_sealed(found, value, draft).await
    }
}

/// A group of the cluster for one change by this server.
pub(crate) type GroupToChange = ToChange<LocalGroup>;

impl Cluster {
    /// Reads a group of the cluster, to change it. `None` on a server that keeps no users and groups there.
    pub(crate) fn group_to_change(
        &self,
        settings: &Settings,
        name: &str,
        author: Author,
    ) -> Result<Option<GroupToChange>, Refused> {
        self.to_change(settings, name, author)
    }
}

impl GroupToChange {
    /// Carries out a change of this group. It is made to settings of the server with the group as etcd has it.
    pub(crate) fn change<E>(
        self,
        change: impl FnOnce(&mut Settings) -> Result<(), E>,
        refused: impl FnOnce(Refused) -> E,
    ) -> Result<(), E> {
        let Self { operator, found, runtime, server } = self;
        let mut settings = Settings::clone(&server.settings());
        let key = found.key.clone();
        let is_it = |group: &LocalGroup| ShareKey::new(&group.name).as_ref() == Ok(&key);
        let groups = Arc::make_mut(&mut settings.groups);
        groups.retain(|group| !is_it(group));
        groups.extend(found.value.clone());
        change(&mut settings)?;
        let after = settings.groups.iter().find(|group| is_it(group)).cloned();
        let after = after.map(|it| LocalGroup { of_cluster: true, ..it });
        let written = after.clone();
        let write = async move { operator.write_group(&found, written.as_ref()).await };
        let revision = match wait(&runtime, write) {
            Ok(revision) => revision,
            Err(error) => return Err(refused(error)),
        };
        // Not only when the watch brings the change, which may be after the caller's next request.
        server.replace_group_of_cluster(&key, after);
        server.cluster.users_were_written(revision);
        Ok(())
    }
}

/// The groups of the cluster as a member follows them.
pub(super) type Groups = SealedEntries<LocalGroup>;

impl Sealed for LocalGroup {
    const MAX: usize = LOCAL_GROUPS_MAX;

    const NAMES: &str = "groups of a cluster have names of at most 80 characters, without '/' and '\\'";

    fn of(key: Key) -> Option<ShareKey> {
        match key {
            Key::Group(group) => Some(group),
            _ => None,
        }
    }

    fn key(name: ShareKey) -> Key {
        Key::Group(name)
    }

    fn read(secret: &Secret, cluster: &str, key: &ShareKey, entry: &Entry) -> Result<Self, String> {
        read(secret, cluster, key, entry)
    }
}

/// The group of a key of etcd.
pub(super) fn read(
    secret: &Secret,
    cluster: &str,
    key: &ShareKey,
    entry: &Entry,
) -> Result<LocalGroup, String> {
    let record: SealedRecord = records::read(&entry.value).map_err(|error| error.to_string())?;
    let text = secret.open(cluster, &entry.path, &record.sealed)?;
    let GroupText { name, comment, users, groups } =
        serde_json::from_str(&text).map_err(|error| format!("not a group: {error}"))?;
    check_group_name(&name)?;
    check_remark(&comment)?;
    if users.len().saturating_add(groups.len()) > LOCAL_GROUP_MEMBERS_MAX {
        return Err(format!("a group has at most {LOCAL_GROUP_MEMBERS_MAX} members"));
    }
    if ShareKey::new(&name).as_ref() != Ok(key) || users.iter().chain(&groups).any(String::is_empty) {
        return Err(String::from("the value is not the group of this key"));
    }
    Ok(LocalGroup { name, comment, users, groups, of_cluster: true })
}

/// The parts in which two states of a group differ, as texts for people.
fn difference(before: &LocalGroup, after: &LocalGroup) -> Vec<String> {
    let mut parts = Vec::new();
    if before.comment != after.comment {
        parts.push(format!("comment: {:?} -> {:?}", before.comment, after.comment));
    }
    for (one, other) in [(&before.users, &after.users), (&before.groups, &after.groups)] {
        parts.extend(other.iter().filter(|it| !one.contains(it)).map(|it| format!("+{it}")));
        parts.extend(one.iter().filter(|it| !other.contains(it)).map(|it| format!("-{it}")));
    }
    parts
}

#[cfg(test)]
mod tests {
    use cluster::protocol::{Change, Event};

    use super::*;

    const PREFIX: &str = "/shareward/c/";

    fn entry(secret: &Secret, name: &str, text: &str) -> (ShareKey, Entry) {
        let key = ShareKey::new(name).unwrap();
        let path = Key::Group(key.clone()).to_path(PREFIX);
        let sealed = secret.seal("id", &path, text).unwrap();
        let value = records::write(&SealedRecord { sealed });
        (key, Entry { path, value, created: Revision(1), modified: Revision(1), lease: None })
    }

    #[test]
    fn only_a_sealed_group_of_its_key_is_read() {
        let secret = Secret::random().unwrap();
        let good = r#"{"name": "Editors", "comment": "c", "users": ["ann"], "groups": ["staff"]}"#;
        let (key, sealed) = entry(&secret, "editors", good);
        let group = read(&secret, "id", &key, &sealed).unwrap();
        assert_eq!((group.name.as_str(), group.of_cluster), ("Editors", true));
        assert_eq!((group.users, group.groups), (vec!["ann".to_owned()], vec!["staff".to_owned()]));
        assert!(read(&Secret::random().unwrap(), "id", &key, &sealed).is_err());
        for (name, text) in [
            ("others", good),
            ("administrators", r#"{"name": "Administrators", "comment": "", "users": [], "groups": []}"#),
            ("a", r#"{"name": "a", "comment": "", "users": [""], "groups": []}"#),
            ("a", r#"{"name": "a", "comment": "", "users": [], "groups": [], "newer": 1}"#),
            ("a", "3"),
        ] {
            let (key, sealed) = entry(&secret, name, text);
            assert!(read(&secret, "id", &key, &sealed).is_err(), "{text}");
        }
        let plain = Entry { value: good.as_bytes().to_vec(), ..sealed };
        assert!(read(&secret, "id", &key, &plain).is_err(), "a group that is not sealed");
    }

    #[test]
    fn a_group_that_cannot_be_read_stays_as_before() {
        let secret = Secret::random().unwrap();
        let text = r#"{"name": "a", "comment": "", "users": ["ann"], "groups": []}"#;
        let (_, good) = entry(&secret, "a", text);
        let bad = Entry { value: b"{}".to_vec(), ..good.clone() };
        let mut groups = Groups::default();
        let batch = |change| Event::WatchBatch { watch: 1, revision: Revision(7), changes: vec![change] };
        let open = |key: &ShareKey, entry: &Entry| read(&secret, "id", key, entry);
        groups.follow(&batch(Change::Written(good.clone())), PREFIX);
        assert_eq!(groups.changed(open, |_, _| ()).unwrap().next().unwrap().users, ["ann"]);
        assert!(groups.changed(open, |_, _| ()).is_none());
        groups.follow(&batch(Change::Written(bad)), PREFIX);
        let mut reasons = 0;
        let kept = groups.changed(open, |_, reason| reasons += usize::from(reason.is_some())).unwrap();
        assert_eq!(kept.map(|it| it.users.clone()).collect::<Vec<_>>(), [["ann"]]);
        assert_eq!(reasons, 1);
        groups.follow(&batch(Change::Deleted { path: good.path }), PREFIX);
        assert_eq!(groups.changed(open, |_, _| ()).unwrap().count(), 0);
    }
}
