//! The acts of a cluster's operator, which change the keys in etcd. They need the `[cluster]` table of a member, with the
//! files that it names, and no running server: whoever can read these may do all this anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use cluster::ids::{LeaseId, NodeName, ShareKey};
use cluster::keys::{Key, prefix};
use cluster::protocol::{Compare, Outcome, Transaction, Write};
use cluster::records::{
    self, DrainRecord, FaultsRecord, MoveRecord, NodeRecord, OwnerRecord, SCHEMA, SchemaRecord, ShareRecord,
};
use serde::Serialize;

use super::definition::{self, Definition};
use super::{storage, store};
use crate::core::config::{ClusterSettings, Settings};

/// The cluster as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The name of the cluster.
    pub name: String,
    /// The id of the cluster. `None` if it was not initialized.
    pub id: Option<String>,
    /// The members, by name.
    pub nodes: Vec<NodeState>,
    /// The shares, by name.
    pub shares: Vec<ShareState>,
    /// Keys that cannot be understood, with reasons.
    pub ignored: Vec<String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// The name of the node.
    pub name: String,
    /// True if it is a member at present. One that is not may still be drained.
    pub joined: bool,
    /// The addresses for clients.
    pub addresses: Vec<String>,
    /// The weight.
    pub weight: u32,
    /// True if its shares shall go to others.
    pub draining: bool,
    /// The number of shares that it owns.
    pub shares: usize,
}

/// A share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareState {
    /// The name of the share.
    pub name: String,
    /// The path of its directory.
    pub path: String,
    /// The weight.
    pub weight: u32,
    /// The node that owns it. `None` if there is none.
    pub owner: Option<String>,
    /// The node to which it shall move. `None` if it stays.
    pub moves_to: Option<String>,
    /// The addresses that move with the share.
    pub addresses: Vec<String>,
    /// The fault that the owner reports. `None` if it reports none.
    pub fault: Option<String>,
}

/// A share to define or to change.
#[derive(Clone, Debug, Default)]
pub struct NewShare {
    /// The name of the share.
    pub name: String,
    /// The directory. `None` for that of a share that exists.
    pub path: Option<PathBuf>,
    /// Further keys of a `[[share]]` table, with values in TOML.
    pub keys: Vec<(String, String)>,
    /// The weight. `None` for that of a share that exists, or 1.
    pub weight: Option<u32>,
    /// The addresses that move with the share. `None` for those of a share that exists.
    pub addresses: Option<Vec<IpAddr>>,
}

/// A refusal, as a text for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// The operator's access to the cluster of some settings.
pub struct Operator {
    settings: Settings,
    own: ClusterSettings,
    client: etcd::Client,
    prefix: String,
}

impl Operator {
    /// The access by these settings.
    ///
    /// # Errors
    /// [`Refused`] if they have no usable `[cluster]`.
    pub fn new(settings: Settings) -> Result<Self, Refused> {
        let own = settings.cluster.clone();
        let own = own.ok_or_else(|| refused("the configuration has no [cluster]"))?;
        let client = etcd::Client::new(own.etcd.clone()).map_err(refused)?;
        let prefix = prefix(own.name.as_str()).map_err(refused)?;
        Ok(Self { settings, own, client, prefix })
    }

    /// Makes the cluster. Returns its id.
    ///
    /// # Errors
    /// [`Refused`] if there is one, or etcd does not answer.
    pub async fn init(&self) -> Result<String, Refused> {
        let mut random = [0; 16];
        crate::core::random::fill(&mut random).map_err(|_| refused("the system has no random bytes"))?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let record = SchemaRecord { version: SCHEMA, cluster: id.clone() };
        let written = self.write(vec![Compare::Absent(Key::Schema)], put(Key::Schema, &record, None)).await?;
        if written {
            Ok(id)
        } else {
            Err(refused(format!("the cluster {:?} exists already", self.own.name.as_str())))
        }
    }

    /// The cluster as etcd has it.
    ///
    /// # Errors
    /// [`Refused`] if etcd does not answer.
    pub async fn overview(&self) -> Result<Overview, Refused> {
        Ok(self.read().await?.overview(self.own.name.as_str()))
    }

    /// Defines a share, or changes one, and returns its name. The directory must be there, and gets the token by which
    /// other nodes know that they have the same storage.
    ///
    /// # Errors
    /// [`Refused`] if the share is not valid, or etcd refuses it.
    pub async fn define(&self, new: &NewShare) -> Result<String, Refused> {
        let keys = self.read().await?;
        keys.check_schema()?;
        let key = ShareKey::new(&new.name).map_err(|_| refused("the name of the share is not valid"))?;
        let known = keys.shares.iter().find(|it| it.0 == key);
        let mut table = known.map(|it| it.3.share.clone()).unwrap_or_default();
        if known.is_none() {
            let path = new.path.as_ref().ok_or_else(|| refused("there is no such share in the cluster"))?;
            table.insert(String::from("name"), new.name.clone().into());
            table.insert(String::from("path"), path.to_string_lossy().into_owned().into());
        } else if new.path.is_some() {
            return Err(refused("the share exists already; delete it first to give it another directory"));
        }
        for (name, value) in &new.keys {
            let value: toml::Table = toml::from_str(&format!("value = {value}"))
                .map_err(|error| refused(format!("{name}: {}", error.message())))?;
            let value = value.get("value").and_then(|it| serde_json::to_value(it).ok());
            table.insert(name.clone(), value.ok_or_else(|| refused(format!("{name}: not a value")))?);
        }
        let trial = Definition { token: String::from("-"), share: table.clone() };
        let trial = serde_json::to_value(&trial).map_err(refused)?;
        let (share, _) = definition::read(&key, &trial, &self.settings, &self.own).map_err(refused)?;
        if self.settings.shares.iter().any(|it| wire::eq_ignore_case(&it.name, &share.name)) {
            return Err(refused("this server has a share of its own with that name"));
        }
        let token = match known {
            Some(known) => known.3.token.clone(),
            None => {
                let path = share.path.display().to_string();
                let token = storage::token(&key, &share);
                token.map_err(|error| refused(format!("cannot use {path}: {error}")))?
            }
        };
        let definition = serde_json::to_value(Definition { token, share: table }).map_err(refused)?;
        let mut record = known.map_or_else(
            || ShareRecord {
                weight: 1,
                nodes: Vec::new(),
                addresses: Vec::new(),
                definition: definition.clone(),
            },
            |it| it.2.clone(),
        );
        record.definition = definition;
        record.weight = new.weight.unwrap_or(record.weight);
        if let Some(addresses) = &new.addresses {
            self.check_addresses(&keys, &key, addresses)?;
            record.addresses.clone_from(addresses);
        }
        let value = records::write(&record);
        records::read::<ShareRecord>(&value).map_err(refused)?;
        let compare = match known {
            Some(known) => Compare::Modified(Key::Share(key.clone()), known.1),
            None => Compare::Absent(Key::Share(key.clone())),
        };
        let write = vec![Write::Put { key: Key::Share(key), value, lease: None }];
        self.must(self.write(vec![compare], write).await?)?;
        Ok(share.name)
    }

    /// Removes the definition of a share. Its files stay.
    ///
    /// # Errors
    /// [`Refused`] if there is none, or etcd refuses it.
    pub async fn delete(&self, name: &str) -> Result<(), Refused> {
        let key = self.known_share(&self.read().await?, name)?;
        let present = Compare::Present(Key::Share(key.clone()));
        self.must(self.write(vec![present], vec![Write::Delete(Key::Share(key))]).await?)
    }

    /// Requests that a share moves to a node.
    ///
    /// # Errors
    /// [`Refused`] if one of them does not exist, the node is drained or does not reach the storage, or etcd refuses it.
    pub async fn move_share(&self, name: &str, node: &str) -> Result<(), Refused> {
        let keys = self.read().await?;
        keys.check_schema()?;
        let key = self.known_share(&keys, name)?;
        let target = NodeName::new(node).map_err(|_| refused("the name of the node is not valid"))?;
        let (_, created, lease, _) = keys
            .nodes
            .iter()
            .find(|it| it.0 == target)
            .ok_or_else(|| refused(format!("the node {node:?} is no member at present")))?;
        if keys.drains.contains(&target) {
            return Err(refused(format!("the node {node:?} is drained")));
        }
        let reaches = keys
            .shares
            .iter()
            .find(|it| it.0 == key)
            .is_some_and(|it| it.2.nodes.is_empty() || it.2.nodes.contains(&target));
        if !reaches {
            return Err(refused(format!("the node {node:?} does not reach the storage of the share")));
        }
        if keys.owners.iter().any(|it| it.0 == key && it.1.node == target) {
            return Ok(());
        }
        let conditions = vec![
            Compare::Present(Key::Share(key.clone())),
            Compare::Created(Key::Node(target.clone()), *created),
        ];
        let record = MoveRecord { target };
        self.must(self.write(conditions, put(Key::Move(key), &record, Some(*lease))).await?)
    }

    /// Requests that a node gives all its shares to others, or ends such a request.
    ///
    /// # Errors
    /// [`Refused`] if there is no such node, or etcd refuses it.
    pub async fn drain(&self, node: &str, drains: bool) -> Result<(), Refused> {
        let keys = self.read().await?;
        keys.check_schema()?;
        let name = NodeName::new(node).map_err(|_| refused("the name of the node is not valid"))?;
        let key = Key::Drain(name.clone());
        let writes = match drains {
            true if !keys.nodes.iter().any(|it| it.0 == name) => {
                return Err(refused(format!("the node {node:?} is no member at present")));
            }
            true => put(key, &DrainRecord {}, None),
            false => vec![Write::Delete(key)],
        };
        self.must(self.write(Vec::new(), writes).await?)
    }

    /// Checks that addresses can be those of a share: each is that of one share alone.
    fn check_addresses(&self, keys: &Keys, share: &ShareKey, addresses: &[IpAddr]) -> Result<(), Refused> {
        for address in addresses {
            if !self.own.share_addresses.iter().any(|it| it.contains(address)) {
                return Err(refused(format!(
                    "{address} is not in a network of 'share_addresses' in [cluster] of this server"
                )));
            }
            if addresses.iter().filter(|it| *it == address).count() > 1 {
                return Err(refused(format!("{address} is given twice")));
            }
            let is_of =
                |it: &&(ShareKey, _, ShareRecord, _)| it.0 != *share && it.2.addresses.contains(address);
            if let Some(other) = keys.shares.iter().find(is_of) {
                return Err(refused(format!("{address} is an address of the share {:?}", other.0.as_str())));
            }
            let text = address.to_string();
            if let Some(node) = keys.nodes.iter().find(|it| it.3.addresses.contains(&text)) {
                return Err(refused(format!(
                    "{address} is an address of the node {:?} itself",
                    node.0.as_str()
                )));
            }
        }
        Ok(())
    }

    fn known_share(&self, keys: &Keys, name: &str) -> Result<ShareKey, Refused> {
        let key = ShareKey::new(name).map_err(|_| refused("the name of the share is not valid"))?;
        let is_known = keys.shares.iter().any(|it| it.0 == key);
        if is_known { Ok(key) } else { Err(refused("there is no such share in the cluster")) }
    }

    fn must(&self, done: bool) -> Result<(), Refused> {
        if done { Ok(()) } else { Err(refused("the cluster has changed at the same time; look again")) }
    }

    async fn write(&self, compares: Vec<Compare>, writes: Vec<Write>) -> Result<bool, Refused> {
        match store::transact(&self.client, &self.prefix, &Transaction { compares, writes }).await {
            Ok(Outcome::Done { .. }) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    async fn read(&self) -> Result<Keys, Refused> {
        let range = self.client.range(self.prefix.as_bytes()).await.map_err(refused)?;
        let mut keys = Keys::default();
        for entry in range.entries.into_iter().map(store::entry) {
            if let Err(why) = keys.take(&self.prefix, &entry) {
                keys.ignored.push(format!("{}: {why}", entry.path.escape_debug()));
            }
        }
        Ok(keys)
    }
}

/// The keys of a cluster.
#[derive(Default)]
struct Keys {
    schema: Option<SchemaRecord>,
    nodes: Vec<(NodeName, cluster::ids::Revision, LeaseId, NodeRecord)>,
    shares: Vec<(ShareKey, cluster::ids::Revision, ShareRecord, Definition)>,
    owners: Vec<(ShareKey, OwnerRecord)>,
    moves: Vec<(ShareKey, NodeName)>,
    drains: Vec<NodeName>,
    faults: Vec<(NodeName, FaultsRecord)>,
    ignored: Vec<String>,
}

impl Keys {
    fn take(&mut self, prefix: &str, entry: &cluster::protocol::Entry) -> Result<(), String> {
        fn text(error: impl std::fmt::Display) -> String {
            error.to_string()
        }
        match Key::from_path(prefix, &entry.path).ok_or("not a key of the cluster")? {
            Key::Schema => self.schema = Some(records::read(&entry.value).map_err(text)?),
            Key::Node(name) => {
                let record = records::read(&entry.value).map_err(text)?;
                let lease = entry.lease.ok_or("the key has no lease")?;
                self.nodes.push((name, entry.created, lease, record));
            }
            Key::Share(key) => {
                let record: ShareRecord = records::read(&entry.value).map_err(text)?;
                let definition = serde::Deserialize::deserialize(&record.definition).map_err(text)?;
                self.shares.push((key, entry.modified, record, definition));
            }
            Key::Owner(key) => self.owners.push((key, records::read(&entry.value).map_err(text)?)),
            Key::Move(key) => {
                let record: MoveRecord = records::read(&entry.value).map_err(text)?;
                self.moves.push((key, record.target));
            }
            Key::Drain(name) => self.drains.push(name),
            Key::Faults(name) => self.faults.push((name, records::read(&entry.value).map_err(text)?)),
        }
        Ok(())
    }

    fn check_schema(&self) -> Result<(), Refused> {
        match &self.schema {
            None => Err(refused("etcd has no such cluster: 'shareward cluster init' makes one")),
            Some(it) if it.version != SCHEMA => {
                Err(refused("the keys of the cluster are those of another version of Shareward"))
            }
            Some(_) => Ok(()),
        }
    }

    fn overview(self, name: &str) -> Overview {
        let owners: BTreeMap<&ShareKey, &NodeName> =
            self.owners.iter().map(|(share, it)| (share, &it.node)).collect();
        let mut owned = BTreeMap::<&NodeName, usize>::new();
        for node in owners.values() {
            let count = owned.entry(node).or_default();
            *count = count.saturating_add(1);
        }
        let moves: BTreeMap<&ShareKey, &NodeName> =
            self.moves.iter().map(|(share, it)| (share, it)).collect();
        let faults: BTreeMap<(&NodeName, &str), &str> = self
            .faults
            .iter()
            .flat_map(|(node, it)| {
                it.faults.iter().map(move |it| ((node, it.share.as_str()), it.reason.as_str()))
            })
            .collect();
        let mut nodes: Vec<NodeState> = self
            .nodes
            .iter()
            .map(|(name, _, _, record)| NodeState {
                name: name.to_string(),
                joined: true,
                addresses: record.addresses.clone(),
                weight: record.weight,
                draining: self.drains.contains(name),
                shares: owned.get(name).copied().unwrap_or_default(),
            })
            .collect();
        let is_away = |name: &&NodeName| !self.nodes.iter().any(|it| it.0 == **name);
        nodes.extend(self.drains.iter().filter(is_away).map(|name| NodeState {
            name: name.to_string(),
            joined: false,
            addresses: Vec::new(),
            weight: 0,
            draining: true,
            shares: 0,
        }));
        let text = |definition: &Definition, key: &str| {
            definition.share.get(key).and_then(|it| it.as_str()).unwrap_or_default().to_owned()
        };
        let shares = self.shares.iter().map(|(key, _, record, definition)| ShareState {
            name: text(definition, "name"),
            path: text(definition, "path"),
            weight: record.weight,
            owner: owners.get(key).map(ToString::to_string),
            moves_to: moves.get(key).map(ToString::to_string),
            addresses: record.addresses.iter().map(ToString::to_string).collect(),
            fault: owners
                .get(key)
                .and_then(|owner| faults.get(&(*owner, key.as_str())))
                .map(ToString::to_string),
        });
        Overview {
            name: name.to_owned(),
            id: self.schema.as_ref().map(|it| it.cluster.clone()),
            nodes,
            shares: shares.collect(),
            ignored: self.ignored.clone(),
        }
    }
}

fn put(key: Key, record: &impl Serialize, lease: Option<LeaseId>) -> Vec<Write> {
    vec![Write::Put { key, value: records::write(record), lease }]
}

fn refused(reason: impl std::fmt::Display) -> Refused {
    Refused(reason.to_string())
}
