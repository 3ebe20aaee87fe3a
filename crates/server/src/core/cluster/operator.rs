//! The acts of a cluster's operator, which change the keys in etcd. They need the `[cluster]` table of a member, with the
//! files that it names, and no running server: whoever can read these may do all this anyway.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use cluster::ids::{LeaseId, NodeName, ShareKey};
use cluster::keys::{Key, prefix};
use cluster::protocol::{Compare, Outcome, Transaction, Write};
pub use cluster::records::ChangeRecord;
use cluster::records::{
    self, DrainRecord, FaultsRecord, LastChange, MoveRecord, NodeRecord, OwnerRecord, SCHEMA, SchemaRecord,
    SealedRecord, ShareRecord,
};
use serde::Serialize;

use super::changes::{Author, Draft};
use super::definition::{self, Definition};
use super::secret::Secret;
use super::store;
use crate::core::config::{ClusterSettings, Settings};
use crate::core::state_file;

/// The cluster as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The name of the cluster.
    pub name: String,
    /// The name of the node that was asked.
    pub node: String,
    /// The id of the cluster. `None` if it was not initialized.
    pub id: Option<String>,
    /// The members, by name.
    pub nodes: Vec<NodeState>,
    /// The shares, by name.
    pub shares: Vec<ShareState>,
    /// The settings that all nodes have in common.
    pub settings: BTreeMap<String, u32>,
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
#[error("{reason}")]
pub struct Refused {
    kind: RefusedKind,
    reason: String,
    is_uncertain: bool,
}

/// The kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedKind {
    /// Somebody else has changed the object at the same time.
    Conflict,
    /// The object exists already.
    Exists,
    /// The request or the object is not valid.
    Invalid,
    /// There is no such share.
    NoShare,
    /// etcd does not answer.
    Unreachable,
}

impl Refused {
    fn new(kind: RefusedKind, reason: impl std::fmt::Display) -> Self {
        Self { kind, reason: reason.to_string(), is_uncertain: false }
    }

    pub(super) fn conflict(reason: impl std::fmt::Display) -> Self {
        Self::new(RefusedKind::Conflict, reason)
    }

    pub(super) fn exists(reason: impl std::fmt::Display) -> Self {
        Self::new(RefusedKind::Exists, reason)
    }

    pub(super) fn invalid(reason: impl std::fmt::Display) -> Self {
        Self::new(RefusedKind::Invalid, reason)
    }

    pub(super) fn no_share() -> Self {
        Self::new(RefusedKind::NoShare, "there is no such share in the cluster")
    }

    pub(super) fn unreachable(reason: impl std::fmt::Display) -> Self {
        Self::new(RefusedKind::Unreachable, reason)
    }

    /// The change had no answer, and may have taken effect or still take it.
    pub(super) fn uncertain(reason: impl std::fmt::Display) -> Self {
        let reason = format!("{reason}; the change may still take effect: look again");
        Self { is_uncertain: true, ..Self::unreachable(reason) }
    }

    /// True if the change that was refused may have taken effect, or may still take it.
    pub(super) fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// The kind.
    pub(crate) fn kind(&self) -> RefusedKind {
        self.kind
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.kind == RefusedKind::NoShare
    }
}

/// The access of a person to the cluster of some settings.
pub struct Operator {
    pub(super) settings: Settings,
    pub(super) own: ClusterSettings,
    pub(super) client: etcd::Client,
    pub(super) prefix: String,
    pub(super) author: Author,
    /// The id of the cluster that this server has joined. `None` if it is not known.
    pub(super) joined: Option<String>,
}

impl Operator {
    /// The access of the user of this process by these settings.
    ///
    /// # Errors
    /// [`Refused`] if they have no usable `[cluster]`.
    pub fn new(settings: Settings) -> Result<Self, Refused> {
        let own = settings.cluster.as_ref();
        let own = own.ok_or_else(|| refused("the configuration has no [cluster]"))?;
        let client = etcd::Client::new(own.etcd.clone()).map_err(refused)?;
        Self::with(settings, client, Author::of_command())
    }

    /// The access by these settings of somebody whom a server knows.
    pub(super) fn with(settings: Settings, client: etcd::Client, author: Author) -> Result<Self, Refused> {
        let own = settings.cluster.clone();
        let own = own.ok_or_else(|| refused("the configuration has no [cluster]"))?;
        let prefix = prefix(own.name.as_str()).map_err(refused)?;
        let joined = super::agent::joined(&settings.state_directory, &own.name);
        Ok(Self { settings, own, client, prefix, author, joined })
    }

    /// Makes the cluster. Returns its id. An attempt without an answer of etcd is taken up again by the next one, on the same
    /// machine.
    ///
    /// # Errors
    /// [`Refused`] if there is one, this machine has the secret of one with the name, or etcd does not answer.
    pub async fn init(&self) -> Result<String, Refused> {
        let unfinished = self.unfinished();
        let id = match &unfinished {
            Some(id) => id.clone(),
            None => {
                let mut random = [0; 16];
                crate::core::random::fill(&mut random)
                    .map_err(|_| refused("the system has no random bytes"))?;
                random.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        let record = SchemaRecord { version: SCHEMA, cluster: id.clone() };
        let exists = || refused(format!("the cluster {:?} exists already", self.own.name.as_str()));
        if let Some(entry) = self.entry(&Key::Schema).await? {
            if unfinished.is_some() && entry.value == records::write(&record) {
                self.finish(&id)?;
                return Ok(id);
            }
            return Err(exists());
        }
        let directory = &self.settings.state_directory;
        let known = Secret::load(directory, &self.own.name).map_err(refused)?;
        let secret = match known.filter(|_| unfinished.is_some()) {
            Some(secret) => secret,
            // With the endpoints of another etcd, one without the id may be the secret of a cluster that lives.
            None => self.new_secret(SECRET_OF_ANOTHER, Some(&id))?,
        };
        let compares = vec![Compare::Absent(Key::Schema)];
        let mut writes = put(Key::Schema, &record, None);
        writes.push(Write::Put { key: Key::Secret, value: secret.mark().into_bytes(), lease: None });
        let made = match store::transact(&self.client, &self.prefix, &Transaction { compares, writes }).await
        {
            Ok(Outcome::Done { .. }) => Ok(id.clone()),
            Err(error) if error.is_undone() && unfinished.is_none() => Err(Refused::unreachable(error)),
            // The key tells if it was carried out, or an earlier attempt, which may come late.
            answer => match self.entry(&Key::Schema).await {
                Ok(Some(entry)) if entry.value == records::write(&record) => Ok(id.clone()),
                Ok(Some(_)) => Err(exists()),
                _ => Err(Refused::uncertain(match answer {
                    Ok(_) => String::from("etcd has refused the change, and does not say why"),
                    Err(error) => error.to_string(),
                })),
            },
        };
        let made = self.keep_secret_of(secret, made);
        if made.as_ref().map_or_else(|refusal| !refusal.is_uncertain(), |_| true) {
            self.finish(&id)?;
        }
        made.map_err(|refusal| match refusal.is_uncertain() {
            true => Refused { reason: format!("{refusal}, or run the command again here"), ..refusal },
            false => refusal,
        })
    }

    /// The id of the cluster that this machine has begun to make, without having learned the outcome.
    fn unfinished(&self) -> Option<String> {
        let file = super::secret::unfinished_file(&self.own.name);
        let id = state_file::read(&self.settings.state_directory, &file, UNFINISHED_BYTES_MAX).ok()?;
        let id = id.trim().to_owned();
        (id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit())).then_some(id)
    }

    /// Notes that the outcome of making the cluster with this id is known.
    pub(super) fn finish(&self, id: &str) -> Result<(), Refused> {
        let path = self.settings.state_directory.join(super::secret::unfinished_file(&self.own.name));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(refused(format!(
                "cannot remove {}: {error}; remove it, the cluster {id} does not need it",
                path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Makes a secret and stores it on this machine, before etcd has its mark; with the id of the cluster if that is being made.
    ///
    /// # Errors
    /// [`Refused`] with `why` if the machine has one, which may be all that opens the values of a cluster.
    pub(super) fn new_secret(&self, why: &str, id: Option<&str>) -> Result<Secret, Refused> {
        let directory = &self.settings.state_directory;
        if Secret::load(directory, &self.own.name).map_err(refused)?.is_some() {
            return Err(refused(why));
        }
        let secret = Secret::random().map_err(refused)?;
        if let Some(id) = id {
            // First, so that no secret is there without it.
            let file = super::secret::unfinished_file(&self.own.name);
            super::secret::store(directory, &file, id).map_err(refused)?;
        }
        secret.store(directory, &self.own.name).map_err(refused)?;
        Ok(secret)
    }

    /// Removes a new secret from this machine if the change that should have made it the cluster's has certainly not happened.
    /// A secret that stayed would be refused at the next attempt. Returns the outcome of the change.
    pub(super) fn keep_secret_of<T>(&self, secret: Secret, made: Result<T, Refused>) -> Result<T, Refused> {
        let refusal = match made {
            Err(refusal) if !refusal.is_uncertain() => refusal,
            made => return made,
        };
        match secret.discard(&self.settings.state_directory, &self.own.name) {
            Ok(()) => Err(refusal),
            Err(error) => Err(Refused { reason: format!("{refusal}; {error}"), ..refusal }),
        }
    }

    /// The cluster as etcd has it.
    ///
    /// # Errors
    /// [`Refused`] if etcd does not answer.
    pub async fn overview(&self) -> Result<Overview, Refused> {
        let mut overview = self.read().await?.overview(self.own.name.as_str());
        overview.node = self.own.node.to_string();
        Ok(overview)
    }

    /// Requests that a share moves to a node.
    ///
    /// # Errors
    /// [`Refused`] if one of them does not exist, the node is drained or does not reach the storage, or etcd refuses it.
    pub async fn move_share(&self, name: &str, node: &str) -> Result<(), Refused> {
        let schema = self.schema().await?;
        let keys = self.read().await?;
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
        let details = vec![format!("to {target}")];
        let writes = put(Key::Move(key), &MoveRecord { target }, Some(*lease));
        let draft = Draft { details, ..Draft::new("move share", name) };
        self.commit(schema, conditions, writes, draft).await.map(drop)
    }

    /// Requests that a node gives all its shares to others, or ends such a request.
    ///
    /// # Errors
    /// [`Refused`] if there is no such node, or etcd refuses it.
    pub async fn drain(&self, node: &str, drains: bool) -> Result<(), Refused> {
        let schema = self.schema().await?;
        let keys = self.read().await?;
        let name = NodeName::new(node).map_err(|_| refused("the name of the node is not valid"))?;
        let key = Key::Drain(name.clone());
        let writes = match drains {
            true if !keys.nodes.iter().any(|it| it.0 == name) => {
                return Err(refused(format!("the node {node:?} is no member at present")));
            }
            true => put(key, &DrainRecord {}, None),
            false => vec![Write::Delete(key)],
        };
        let act = if drains { "drain node" } else { "undrain node" };
        self.commit(schema, Vec::new(), writes, Draft::new(act, node)).await.map(drop)
    }

    fn known_share(&self, keys: &Keys, name: &str) -> Result<ShareKey, Refused> {
        let key = ShareKey::new(name).map_err(|_| refused("the name of the share is not valid"))?;
        if keys.unreadable.contains(&key) {
            return Err(refused(
                "the definition of the share in etcd cannot be used: 'shareward cluster status' has the reason",
            ));
        }
        let is_known = keys.shares.iter().any(|it| it.0 == key);
        if is_known { Ok(key) } else { Err(Refused::no_share()) }
    }

    pub(super) async fn read(&self) -> Result<Keys, Refused> {
        let range = self.client.range(self.prefix.as_bytes()).await.map_err(Refused::unreachable)?;
        let mut keys = Keys::default();
        for entry in range.entries.into_iter().map(store::entry) {
            if let Err(why) = keys.take(&self.prefix, &entry) {
                keys.ignored.push(format!("{}: {why}", entry.path.escape_debug()));
                if let Some(Key::Share(key)) = Key::from_path(&self.prefix, &entry.path) {
                    keys.unreadable.push(key);
                }
            }
        }
        // Definitions that this node would refuse.
        for (key, _, record, _) in &keys.shares {
            if let Err(why) = definition::read(key, &record.definition, &self.settings, &self.own) {
                keys.ignored.push(format!("{}shares/{}: {why}", self.prefix, key.as_str().escape_debug()));
            }
        }
        Ok(keys)
    }
}

/// The keys of a cluster.
#[derive(Default)]
pub(super) struct Keys {
    schema: Option<SchemaRecord>,
    nodes: Vec<(NodeName, cluster::ids::Revision, LeaseId, NodeRecord)>,
    shares: Vec<(ShareKey, cluster::ids::Revision, ShareRecord, Definition)>,
    owners: Vec<(ShareKey, OwnerRecord)>,
    moves: Vec<(ShareKey, NodeName)>,
    drains: Vec<NodeName>,
    faults: Vec<(NodeName, FaultsRecord)>,
    ignored: Vec<String>,
    unreadable: Vec<ShareKey>,
    settings: BTreeMap<String, u32>,
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
            Key::Change(_) => drop(records::read::<ChangeRecord>(&entry.value).map_err(text)?),
            Key::Group(_) | Key::Invite(_) | Key::User(_) => {
                drop(records::read::<SealedRecord>(&entry.value).map_err(text)?);
            }
            Key::Secret => {}
            Key::Settings => self.settings = super::settings::read(entry)?.values().clone(),
            Key::LastChange => drop(records::read::<LastChange>(&entry.value).map_err(text)?),
            Key::Faults(name) => self.faults.push((name, records::read(&entry.value).map_err(text)?)),
        }
        Ok(())
    }

    /// Checks that addresses can be those of a share: each is that of one share alone.
    pub(super) fn check_addresses(
        &self,
        own: &ClusterSettings,
        share: &ShareKey,
        addresses: &[IpAddr],
    ) -> Result<(), Refused> {
        for address in addresses {
            if !own.share_addresses.iter().any(|it| it.contains(address)) {
                return Err(refused(format!(
                    "{address} is not in a network of 'share_addresses' in [cluster] of this server"
                )));
            }
            if addresses.iter().filter(|it| *it == address).count() > 1 {
                return Err(refused(format!("{address} is given twice")));
            }
            let is_of =
                |it: &&(ShareKey, _, ShareRecord, _)| it.0 != *share && it.2.addresses.contains(address);
            if let Some(other) = self.shares.iter().find(is_of) {
                return Err(refused(format!("{address} is an address of the share {:?}", other.0.as_str())));
            }
            let text = address.to_string();
            if let Some(node) = self.nodes.iter().find(|it| it.3.addresses.contains(&text)) {
                return Err(refused(format!(
                    "{address} is an address of the node {:?} itself",
                    node.0.as_str()
                )));
            }
        }
        Ok(())
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
            node: String::new(),
            id: self.schema.as_ref().map(|it| it.cluster.clone()),
            nodes,
            shares: shares.collect(),
            settings: self.settings.clone(),
            ignored: self.ignored.clone(),
        }
    }
}

fn put(key: Key, record: &impl Serialize, lease: Option<LeaseId>) -> Vec<Write> {
    vec![Write::Put { key, value: records::write(record), lease }]
}

fn refused(reason: impl std::fmt::Display) -> Refused {
    Refused::invalid(reason)
}

/// An id and a line feed.
const UNFINISHED_BYTES_MAX: u64 = 64;

const SECRET_OF_ANOTHER: &str = "this server has the secret of a cluster with this name, but etcd does not know of one: are the endpoints right? If \
     that cluster is gone, remove the file cluster-NAME.secret of the state directory on each node";

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(directory: &std::path::Path) -> Operator {
        let text = "[server]\nname = 'FS1'\n[cluster]\nname = \"office\"\nnode = \"a\"\nendpoints = [\"http://127.0.0.1:9\"]\npaths = ['/srv']\n";
        let mut settings = Settings::conventional(false, |_| None);
        settings.state_directory = directory.to_path_buf();
        let settings = crate::core::config::parse(text, std::path::Path::new("/"), settings).unwrap();
        Operator::new(settings).unwrap()
    }

    #[tokio::test]
    async fn a_stored_secret_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let operator = operator(directory.path());
        let first = operator.new_secret("there is one", None).unwrap();
        assert_eq!(operator.new_secret("there is one", None).unwrap_err().to_string(), "there is one");
        let load = || Secret::load(directory.path(), &operator.own.name).unwrap().map(|it| it.mark());
        assert_eq!(load(), Some(first.mark()));
    }

    #[tokio::test]
    async fn a_secret_stays_only_if_the_cluster_may_have_it() {
        let directory = tempfile::tempdir().unwrap();
        let operator = operator(directory.path());
        let load = || Secret::load(directory.path(), &operator.own.name).unwrap().map(|it| it.mark());
        let refusals = [
            (Refused::conflict("both"), false),
            (Refused::unreachable("refused"), false),
            (Refused::uncertain("no answer"), true),
        ];
        for (refusal, stays) in refusals {
            let secret = operator.new_secret("there is one", None).unwrap();
            let mark = secret.mark();
            assert_eq!(operator.keep_secret_of::<()>(secret, Err(refusal.clone())), Err(refusal));
            assert_eq!(load(), stays.then_some(mark));
        }
        // The file of another secret is not that of the change.
        let other = Secret::random().unwrap();
        assert!(operator.keep_secret_of::<()>(other, Err(Refused::conflict("both"))).is_err());
        assert!(load().is_some());
    }
}
