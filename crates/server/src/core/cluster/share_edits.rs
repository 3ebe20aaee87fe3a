//! Shares of the cluster as administrators define, change and delete them, from any node.

use std::net::IpAddr;

use cluster::ids::{Revision, ShareKey};
use cluster::keys::Key;
use cluster::protocol::{Compare, Write};
use cluster::records::{self, SCHEMA, SchemaRecord, ShareRecord, VALUE_BYTES_MAX};
use serde_json::{Map, Value};

use super::changes::Draft;
use super::definition::{self, Definition};
use super::operator::{NewShare, Operator, Refused};
use super::storage;
use crate::core::config::{self, Settings, ShareSettings};

/// A share as it was read, to be written if nobody has changed it since.
#[derive(Debug)]
pub(crate) struct FoundShare {
    key: ShareKey,
    modified: Revision,
    schema: Revision,
    record: ShareRecord,
    definition: Definition,
    /// The settings.
    pub(crate) settings: ShareSettings,
}

impl Operator {
    /// Defines a share, or changes one, and returns its name. The directory must be there, and gets the token by which
    /// other nodes know that they have the same storage.
    ///
    /// # Errors
    /// [`Refused`] if the share is not valid, or etcd refuses it.
    pub async fn define(&self, new: &NewShare) -> Result<String, Refused> {
        let mut keys = Map::new();
        for (name, value) in &new.keys {
            let value: toml::Table = toml::from_str(&format!("value = {value}"))
                .map_err(|error| Refused::invalid(format!("{name}: {}", error.message())))?;
            let value = value.get("value").and_then(|it| serde_json::to_value(it).ok());
            keys.insert(name.clone(), value.ok_or_else(|| Refused::invalid(format!("{name}: not a value")))?);
        }
        match (self.find_share(&new.name).await, &new.path) {
            (Ok(found), None) => {
                let mut table = found.definition.share.clone();
                table.extend(keys);
                let name = found.settings.name.clone();
                let addresses = new.addresses.as_deref();
                self.write_share(found, table, new.weight, addresses).await?;
                Ok(name)
            }
            (Ok(_), Some(_)) => {
                Err(Refused::exists("the share exists already; delete it first to give it another directory"))
            }
            (Err(refused), Some(path)) if refused.is_not_found() => {
                let mut table = Map::new();
                table.insert(String::from("name"), new.name.clone().into());
                table.insert(String::from("path"), path.to_string_lossy().into_owned().into());
                table.extend(keys);
                let addresses = new.addresses.as_deref().unwrap_or_default();
                self.create_share(&new.name, table, new.weight.unwrap_or(1), addresses).await?;
                Ok(new.name.clone())
            }
            (Err(refused), _) => Err(refused),
        }
    }

    /// Defines a share with these settings. Returns the revision of the change.
    ///
    /// # Errors
    /// As [`Operator::define`].
    pub(crate) async fn add_share(&self, share: &ShareSettings) -> Result<Revision, Refused> {
        let table = table_of(&Map::new(), None, share)?;
        let (revision, written) = self.create_share(&share.name, table, 1, &[]).await?;
        if written == *share { Ok(revision) } else { Err(Refused::invalid(NOT_KEPT)) }
    }

    /// Gives a share that was found other settings. Returns the revision of the change.
    ///
    /// # Errors
    /// As [`Operator::define`]; also if the share was changed since it was found.
    pub(crate) async fn change_share(
        &self,
        found: FoundShare,
        share: &ShareSettings,
    ) -> Result<Revision, Refused> {
        let table = table_of(&found.definition.share, Some(&found.settings), share)?;
        self.write_share(found, table, None, None).await
    }

    /// Removes the definition of a share, also one that cannot be read. Its files stay. Returns the revision of the change.
    ///
    /// # Errors
    /// [`Refused`] if there is none, or etcd refuses it.
    pub async fn delete(&self, name: &str) -> Result<Revision, Refused> {
        let key = key_of(name)?;
        let schema = self.schema().await?;
        let entry = self.entry(&Key::Share(key.clone())).await?.ok_or_else(Refused::no_share)?;
        let conditions = vec![Compare::Modified(Key::Share(key.clone()), entry.modified)];
        let writes = vec![Write::Delete(Key::Share(key))];
        self.commit(schema, conditions, writes, Draft::new("delete share", name)).await
    }

    /// The share with this name.
    ///
    /// # Errors
    /// [`Refused`] if there is none, its definition is not valid on this node, or etcd does not answer.
    pub(crate) async fn find_share(&self, name: &str) -> Result<FoundShare, Refused> {
        let key = key_of(name)?;
        let schema = self.schema().await?;
        let entry = self.entry(&Key::Share(key.clone())).await?.ok_or_else(Refused::no_share)?;
        let record: ShareRecord = records::read(&entry.value).map_err(Refused::invalid)?;
        let parsed = serde::Deserialize::deserialize(&record.definition);
        let definition: Definition =
            parsed.map_err(|error| Refused::invalid(format!("its definition: {error}")))?;
        let read = definition::read(&key, &record.definition, &self.settings, &self.own);
        let (settings, _) = read.map_err(Refused::invalid)?;
        Ok(FoundShare { key, modified: entry.modified, schema, record, definition, settings })
    }

    async fn create_share(
        &self,
        name: &str,
        table: Map<String, Value>,
        weight: u32,
        addresses: &[IpAddr],
    ) -> Result<(Revision, ShareSettings), Refused> {
        let key = key_of(name)?;
        let schema = self.schema().await?;
        let share = self.tried(&key, &table)?;
        if self.settings.shares.iter().any(|it| wire::eq_ignore_case(&it.name, &share.name)) {
            return Err(Refused::exists("this server has a share of its own with that name"));
        }
        if self.entry(&Key::Share(key.clone())).await?.is_some() {
            return Err(Refused::exists("the cluster has a share of this name"));
        }
        let mut conditions = self.free_addresses(&key, addresses).await?;
        let (path, details) = (share.path.display().to_string(), difference(&Map::new(), &table));
        let (at, tried) = (key.clone(), share.clone());
        let token = tokio::task::spawn_blocking(move || storage::token(&at, &tried)).await;
        let token = token.map_err(Refused::invalid)?;
        let token = token.map_err(|error| Refused::invalid(format!("cannot use {path}: {error}")))?;
        let definition =
            serde_json::to_value(Definition { token, share: table }).map_err(Refused::invalid)?;
        let record = ShareRecord { weight, nodes: Vec::new(), addresses: addresses.to_vec(), definition };
        let value = value_of(name, &record)?;
        conditions.push(Compare::Absent(Key::Share(key.clone())));
        let writes = vec![Write::Put { key: Key::Share(key), value, lease: None }];
        let draft = Draft { details, ..Draft::new("add share", name) };
        Ok((self.commit(schema, conditions, writes, draft).await?, share))
    }

    async fn write_share(
        &self,
        found: FoundShare,
        table: Map<String, Value>,
        weight: Option<u32>,
        addresses: Option<&[IpAddr]>,
    ) -> Result<Revision, Refused> {
        let FoundShare { key, modified, schema, mut record, definition, settings } = found;
        self.tried(&key, &table)?;
        let mut details = difference(&definition.share, &table);
        if let Some(weight) = weight.filter(|weight| *weight != record.weight) {
            details.push(format!("weight: {} -> {weight}", record.weight));
            record.weight = weight;
        }
        let mut conditions = vec![Compare::Modified(Key::Share(key.clone()), modified)];
        if let Some(addresses) = addresses.filter(|addresses| *addresses != record.addresses) {
            conditions.extend(self.free_addresses(&key, addresses).await?);
            details.push(format!("addresses: {:?} -> {addresses:?}", record.addresses));
            record.addresses = addresses.to_vec();
        }
        let definition = serde_json::to_value(Definition { token: definition.token, share: table });
        record.definition = definition.map_err(Refused::invalid)?;
        let value = value_of(&settings.name, &record)?;
        let writes = vec![Write::Put { key: Key::Share(key), value, lease: None }];
        let draft = Draft { details, ..Draft::new("change share", &settings.name) };
        self.commit(schema, conditions, writes, draft).await
    }

    /// The conditions under which no other share has one of these addresses: that nobody has changed the cluster.
    async fn free_addresses(&self, share: &ShareKey, addresses: &[IpAddr]) -> Result<Vec<Compare>, Refused> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let last = self.entry(&Key::LastChange).await?;
        self.read().await?.check_addresses(&self.own, share, addresses)?;
        Ok(vec![match last {
            Some(last) => Compare::Modified(Key::LastChange, last.modified),
            None => Compare::Absent(Key::LastChange),
        }])
    }

    /// The settings of a table, as each node will read them.
    fn tried(&self, key: &ShareKey, table: &Map<String, Value>) -> Result<ShareSettings, Refused> {
        let trial = Definition { token: String::from("-"), share: table.clone() };
        let trial = serde_json::to_value(&trial).map_err(Refused::invalid)?;
        let read = definition::read(key, &trial, &self.settings, &self.own);
        Ok(read.map_err(Refused::invalid)?.0)
    }

    /// The revision of the key that says that the cluster is there, in this program's version.
    pub(super) async fn schema(&self) -> Result<Revision, Refused> {
        self.schema_and_id().await.map(|it| it.0)
    }

    /// As [`Operator::schema`], with the id of the cluster.
    pub(super) async fn schema_and_id(&self) -> Result<(Revision, String), Refused> {
        let entry = self.entry(&Key::Schema).await?;
        let entry = entry.ok_or_else(|| Refused::invalid(super::agent::NO_CLUSTER))?;
        let schema = records::read::<SchemaRecord>(&entry.value).ok();
        let schema = schema.filter(|it| it.version == SCHEMA);
        let schema = schema.ok_or_else(|| Refused::invalid(super::agent::OTHER_VERSION))?;
        if self.joined.as_ref().is_some_and(|joined| *joined != schema.cluster) {
            return Err(Refused::invalid(super::agent::OTHER_CLUSTER));
        }
        Ok((entry.modified, schema.cluster))
    }
}

fn key_of(name: &str) -> Result<ShareKey, Refused> {
    ShareKey::new(name).map_err(|_| Refused::invalid("the name of the share is not valid"))
}

/// The value for etcd, if it is not too long.
fn value_of(name: &str, record: &ShareRecord) -> Result<Vec<u8>, Refused> {
    let value = records::write(record);
    if value.len() > VALUE_BYTES_MAX {
        return Err(Refused::invalid(format!(
            "the definition of {name} has {} bytes, and etcd may have {VALUE_BYTES_MAX} of a share",
            value.len()
        )));
    }
    records::read::<ShareRecord>(&value).map_err(Refused::invalid)?;
    Ok(value)
}

/// The table of a share that has other settings than before, with all keys that have not changed.
fn table_of(
    table: &Map<String, Value>,
    before: Option<&ShareSettings>,
    after: &ShareSettings,
) -> Result<Map<String, Value>, Refused> {
    let plain = Settings { source: None, ..Settings::conventional(false, |_| None) };
    let with = |share: Option<&ShareSettings>| Settings {
        shares: share.into_iter().cloned().collect(),
        ..plain.clone()
    };
    let text =
        if before.is_some() { definition::text_of(table).map_err(Refused::invalid)? } else { String::new() };
    let text = config::edit(&text, &with(before), &with(Some(after))).map_err(Refused::invalid)?;
    let file: toml::Table = toml::from_str(&text).map_err(Refused::invalid)?;
    let share = file.get("share").and_then(|it| it.as_array()).and_then(|it| it.first());
    match share.and_then(|it| serde_json::to_value(it).ok()) {
        Some(Value::Object(table)) => Ok(table),
        _ => Err(Refused::invalid(NOT_KEPT)),
    }
}

/// The keys in which two tables differ, as texts for people.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or_else(|| String::from("-"), ToString::to_string);
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differing
        .map(|key| match before.is_empty() {
            true => format!("{key}: {}", shown(after.get(key))),
            false => format!("{key}: {} -> {}", shown(before.get(key)), shown(after.get(key))),
        })
        .collect()
}

const NOT_KEPT: &str = "the definition cannot express this change";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::{Grant, GrantRight, Grantee};

    #[test]
    fn changes_keep_the_other_keys_of_a_table() {
        let text = r#"{"name": "Data", "path": "/srv/c/data", "continuous": true, "remark": "old"}"#;
        let table: Map<String, Value> = serde_json::from_str(text).unwrap();
        let before = ShareSettings {
            continuous: true,
            remark: String::from("old"),
            ..ShareSettings::new(String::from("Data"), "/srv/c/data".into())
        };
        let mut after = before.clone();
        after.remark = String::from("new");
        after.grants = vec![Grant { who: Grantee::User(String::from("ann")), right: GrantRight::Read }];
        let changed = table_of(&table, Some(&before), &after).unwrap();
        assert_eq!(changed["continuous"], true);
        assert_eq!(
            difference(&table, &changed),
            [r#"grants: - -> [{"right":"read","user":"ann"}]"#, r#"remark: "old" -> "new""#]
        );
        let new = table_of(&Map::new(), None, &after).unwrap();
        assert_eq!((new["name"].as_str(), new["path"].as_str()), (Some("Data"), Some("/srv/c/data")));
    }

    #[test]
    fn definitions_that_are_too_long_are_refused_with_their_size() {
        let definition = Value::String("x".repeat(VALUE_BYTES_MAX));
        let record = ShareRecord { weight: 1, nodes: Vec::new(), addresses: Vec::new(), definition };
        let refused = value_of("Data", &record).unwrap_err();
        assert!(refused.to_string().contains("the definition of Data has 65"), "{refused}");
    }
}
