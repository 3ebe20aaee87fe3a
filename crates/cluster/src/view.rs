//! The keys of etcd as a node knows them: parsed, and with sums that placement needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{Generation, Incarnation, LeaseId, NodeName, Revision, ShareKey};
use crate::keys::Key;
use crate::placement::hash_text;
use crate::protocol::{Change, Entry, SchemaFault};
use crate::records::{
    self, DrainRecord, Malformed, MoveRecord, NodeRecord, OwnerRecord, SCHEMA, ShareRecord,
};

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// The record of the member.
    pub record: NodeRecord,
    /// The revision at which it joined.
    pub created: Revision,
    /// The lease of the member.
    pub lease: LeaseId,
    /// The hash of its name, for placement.
    pub(crate) hash: u64,
}

/// The owner of a share.
#[derive(Clone, Debug)]
pub enum Owner {
    /// A node.
    Known {
        /// The record.
        record: OwnerRecord,
        /// The revision at which the key was last written.
        modified: Revision,
        /// The lease.
        lease: LeaseId,
        /// The generation.
        generation: Generation,
    },
    /// The key exists, but its value cannot be used: the share has an owner that nobody knows.
    Unreadable,
}

/// A definition of a share.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The weight.
    pub weight: u32,
    /// The nodes that reach the storage; all if empty.
    pub nodes: Vec<NodeName>,
    /// The addresses that the owner holds.
    pub addresses: Vec<std::net::IpAddr>,
    /// The settings of the share.
    pub settings: Arc<serde_json::Value>,
    /// The revision at which it was last written.
    pub modified: Revision,
}

/// The number and the weight of the shares of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The number.
    pub shares: u64,
    /// The sum of the weights.
    pub weight: u64,
}

/// The part of the view that a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Affected {
    Membership,
    Schema,
    Share(ShareKey),
}

/// The keys of etcd at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(crate) revision: Revision,
    /// The revision at which a share was last defined.
    defined: Revision,
    schema: Option<Result<records::SchemaRecord, Malformed>>,
    members: BTreeMap<NodeName, Member>,
    shares: BTreeMap<ShareKey, Definition>,
    owners: BTreeMap<ShareKey, Owner>,
    moves: BTreeMap<ShareKey, NodeName>,
    drains: BTreeSet<NodeName>,
    holdings: BTreeMap<NodeName, Holding>,
    /// The weight of all shares that are defined.
    weight: u64,
}

impl View {
    /// The revision up to which the view is complete.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The revision at which a share was last defined.
    pub fn defined(&self) -> Revision {
        self.defined
    }

    /// The members.
    pub fn members(&self) -> &BTreeMap<NodeName, Member> {
        &self.members
    }

    /// The shares that are defined.
    pub fn shares(&self) -> &BTreeMap<ShareKey, Definition> {
        &self.shares
    }

    /// The owner of a share. Returns `None` if it has none.
    pub fn owner(&self, share: &ShareKey) -> Option<&Owner> {
        self.owners.get(share)
    }

    /// The owners of all shares that have one.
    pub fn owners(&self) -> &BTreeMap<ShareKey, Owner> {
        &self.owners
    }

    /// The node to which an administrator moves the share. Returns `None` if there is no such request.
    pub fn move_target(&self, share: &ShareKey) -> Option<&NodeName> {
        self.moves.get(share)
    }

    /// The nodes that administrators drain.
    pub fn drains(&self) -> &BTreeSet<NodeName> {
        &self.drains
    }

    /// True if an administrator drains the node.
    pub fn is_draining(&self, node: &NodeName) -> bool {
        self.drains.contains(node)
    }

    /// The shares of a node.
    pub fn holding(&self, node: &NodeName) -> Holding {
        self.holdings.get(node).copied().unwrap_or_default()
    }

    /// The sum of the weights of all shares.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The fault of the keys as a whole. Returns `None` if they are those of `cluster` in this program's version.
    pub fn schema_fault(&self, cluster: &str) -> Option<SchemaFault> {
        match &self.schema {
            None => Some(SchemaFault::Absent),
            Some(Err(_)) => Some(SchemaFault::OtherVersion),
            Some(Ok(schema)) if schema.version != SCHEMA => Some(SchemaFault::OtherVersion),
            Some(Ok(schema)) if schema.cluster != cluster => Some(SchemaFault::OtherCluster),
            Some(Ok(_)) => None,
        }
    }

    /// The key of the share if exactly this membership owns it.
    pub(crate) fn owned_by(
        &self,
        share: &ShareKey,
        incarnation: Incarnation,
        lease: LeaseId,
    ) -> Option<OwnKey> {
        match self.owners.get(share)? {
            Owner::Known { record, modified, lease: of, generation }
                if record.incarnation == incarnation && *of == lease =>
            {
                Some(OwnKey { modified: *modified, generation: *generation, offset: record.offset })
            }
            _ => None,
        }
    }

    /// Applies a change, for tests of the shell. The revision rises with each.
    pub fn take(&mut self, prefix: &str, change: &Change) {
        // A value that cannot be used is ignored, as a node does.
        let _ = self.apply(prefix, change);
        self.revision = Revision(self.revision.0.saturating_add(1));
    }

    /// Applies a change, and returns what it concerns: `None` for a key that the protocol does not read. A key whose value
    /// cannot be used is as good as deleted, except that of an owner.
    pub(crate) fn apply(
        &mut self,
        prefix: &str,
        change: &Change,
    ) -> (Option<Affected>, Result<(), (String, Malformed)>) {
        let (path, entry) = match change {
            Change::Deleted { path } => (path, None),
            Change::Written(entry) => (&entry.path, Some(entry)),
        };
        let Some(key) = Key::from_path(prefix, path) else {
            return (None, entry.map_or(Ok(()), |_| Err((path.clone(), Malformed::Key))));
        };
        let (affected, result) = self.set(key, entry);
        (affected, result.map_err(|why| (path.clone(), why)))
    }

    fn set(&mut self, key: Key, entry: Option<&Entry>) -> (Option<Affected>, Result<(), Malformed>) {
        match key {
            Key::Change(_)
            | Key::Group(_)
            | Key::Invite(_)
            | Key::LastChange
            | Key::Secret
            | Key::Settings
            | Key::User(_)
            | Key::Faults(_) => (None, Ok(())),
            Key::Schema => {
                let read = entry.map(|entry| records::read(&entry.value));
                let result = read.as_ref().map_or(Ok(()), |read| read.as_ref().map(drop).map_err(|why| *why));
                self.schema = read;
                (Some(Affected::Schema), result)
            }
            Key::Node(node) => {
                let result = entry.map(|entry| self.member(&node, entry)).transpose();
                match &result {
                    Ok(Some(member)) => {
                        self.members.insert(node, member.clone());
                    }
                    Ok(None) | Err(_) => {
                        self.members.remove(&node);
                    }
                }
                (Some(Affected::Membership), result_of(result))
            }
            Key::Drain(node) => {
                let result = entry.map(|entry| records::read::<DrainRecord>(&entry.value)).transpose();
                if entry.is_none() {
                    self.drains.remove(&node);
                } else if self.drains.len() >= NODES_MAX && !self.drains.contains(&node) {
                    return (Some(Affected::Membership), Err(Malformed::TooMany));
                } else {
                    // A drain that cannot be read is still a drain: an administrator wrote the key.
                    self.drains.insert(node);
                }
                (Some(Affected::Membership), result_of(result))
            }
            Key::Share(share) => {
                let result = entry.map(|entry| self.definition(&share, entry)).transpose();
                self.define(&share, result.as_ref().ok().cloned().flatten());
                (Some(Affected::Share(share)), result_of(result))
            }
            Key::Owner(share) => {
                let result = entry.map(|entry| self.read_owner(&share, entry)).transpose();
                self.own(&share, result.as_ref().map_or(Some(Owner::Unreadable), Clone::clone));
                (Some(Affected::Share(share)), result_of(result))
            }
            Key::Move(share) => {
                let result = entry.map(|entry| self.read_move(&share, entry)).transpose();
                match &result {
                    Ok(Some(target)) => {
                        self.moves.insert(share.clone(), target.clone());
                    }
                    Ok(None) | Err(_) => {
                        self.moves.remove(&share);
                    }
                }
                (Some(Affected::Share(share)), result_of(result))
            }
        }
    }

    fn member(&self, node: &NodeName, entry: &Entry) -> Result<Member, Malformed> {
        let record: NodeRecord = records::read(&entry.value)?;
        let lease = entry.lease.ok_or(Malformed::Lease)?;
        if self.members.len() >= NODES_MAX && !self.members.contains_key(node) {
            return Err(Malformed::TooMany);
        }
        Ok(Member { record, created: entry.created, lease, hash: hash_text(node.as_str()) })
    }

    fn definition(&self, share: &ShareKey, entry: &Entry) -> Result<Definition, Malformed> {
        let mut record: ShareRecord = records::read(&entry.value)?;
        if self.shares.len() >= SHARES_MAX && !self.shares.contains_key(share) {
            return Err(Malformed::TooMany);
        }
        let settings = Arc::new(std::mem::take(&mut record.definition));
        let ShareRecord { weight, nodes, addresses, .. } = record;
        Ok(Definition { weight, nodes, addresses, settings, modified: entry.modified })
    }

    fn read_owner(&self, share: &ShareKey, entry: &Entry) -> Result<Owner, Malformed> {
        if self.owners.len() >= SHARES_MAX && !self.owners.contains_key(share) {
            return Err(Malformed::TooMany);
        }
        let record: OwnerRecord = records::read(&entry.value)?;
        let lease = entry.lease.ok_or(Malformed::Lease)?;
        let generation = record.generation(entry.modified).ok_or(Malformed::Bounds)?;
        Ok(Owner::Known { record, modified: entry.modified, lease, generation })
    }

    fn read_move(&self, share: &ShareKey, entry: &Entry) -> Result<NodeName, Malformed> {
        let record: MoveRecord = records::read(&entry.value)?;
        // It ends with its target, so that no forgotten request ties a share to a node that is gone.
        entry.lease.ok_or(Malformed::Lease)?;
        if self.moves.len() >= SHARES_MAX && !self.moves.contains_key(share) {
            return Err(Malformed::TooMany);
        }
        Ok(record.target)
    }

    fn define(&mut self, share: &ShareKey, definition: Option<Definition>) {
        let owner = self.owners.remove(share);
        self.count(share, owner.as_ref(), false);
        let old = match definition {
            Some(definition) => {
                self.defined = self.defined.max(definition.modified);
                self.weight = self.weight.saturating_add(definition.weight.into());
                self.shares.insert(share.clone(), definition)
            }
            None => self.shares.remove(share),
        };
        self.weight = self.weight.saturating_sub(old.map_or(0, |old| old.weight.into()));
        self.own(share, owner);
    }

    fn own(&mut self, share: &ShareKey, owner: Option<Owner>) {
        self.count(share, owner.as_ref(), true);
        let old = match owner {
            Some(owner) => self.owners.insert(share.clone(), owner),
            None => self.owners.remove(share),
        };
        self.count(share, old.as_ref(), false);
    }

    /// Adds the share to its owner's sums, or takes it away.
    fn count(&mut self, share: &ShareKey, owner: Option<&Owner>, adds: bool) {
        let (Some(Owner::Known { record, .. }), Some(definition)) = (owner, self.shares.get(share)) else {
            return;
        };
        let weight = u64::from(definition.weight);
        let holding = self.holdings.entry(record.node.clone()).or_default();
        if adds {
            holding.shares = holding.shares.saturating_add(1);
            holding.weight = holding.weight.saturating_add(weight);
        } else {
            holding.shares = holding.shares.saturating_sub(1);
            holding.weight = holding.weight.saturating_sub(weight);
            if holding.shares == 0 {
                self.holdings.remove(&record.node);
            }
        }
    }
}

fn result_of<T>(result: Result<T, Malformed>) -> Result<(), Malformed> {
    result.map(drop)
}

/// The owner key of a share of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnKey {
    pub(crate) modified: Revision,
    pub(crate) generation: Generation,
    pub(crate) offset: u64,
}

/// Each node watches all keys, and etcd sends each change to each watcher: beyond this etcd is the bottleneck.
pub const NODES_MAX: usize = 2_000;

/// Half a gigabyte in etcd with definitions of 2 KiB, a quarter of its default quota.
pub const SHARES_MAX: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/shareward/c/";

    fn written(path: &str, value: &str, lease: Option<i64>) -> Change {
        Change::Written(Entry {
            path: format!("{PREFIX}{path}"),
            value: value.as_bytes().to_vec(),
            created: Revision(5),
            modified: Revision(7),
            lease: lease.map(LeaseId),
        })
    }

    const OWNER: &str = r#"{"node": "a", "incarnation": "0000000000000001.1"}"#;

    #[test]
    fn holdings_follow_owners_and_definitions() {
        let mut view = View::default();
        let a = NodeName::new("a").unwrap();
        let mut apply = |change: &Change| {
            assert_eq!(view.apply(PREFIX, change).1, Ok(()));
            view.holding(&a)
        };
        assert_eq!(apply(&written("owners/s", OWNER, Some(1))), Holding::default());
        assert_eq!(apply(&written("shares/s", r#"{"weight": 3}"#, None)), Holding { shares: 1, weight: 3 });
        assert_eq!(apply(&written("shares/s", r#"{"weight": 4}"#, None)), Holding { shares: 1, weight: 4 });
        assert_eq!(apply(&written("owners/s", OWNER, Some(1))), Holding { shares: 1, weight: 4 });
        assert_eq!(apply(&Change::Deleted { path: format!("{PREFIX}shares/s") }), Holding::default());
        assert_eq!(view.weight(), 0);
    }

    #[test]
    fn drains_that_are_written_again_stay_also_if_there_is_no_room_for_more() {
        let mut view = View::default();
        for number in 0..NODES_MAX {
            let (_, result) = view.apply(PREFIX, &written(&format!("drains/n{number}"), "{}", None));
            assert_eq!(result, Ok(()));
        }
        let more = view.apply(PREFIX, &written("drains/more", "{}", None)).1;
        assert_eq!(more, Err((format!("{PREFIX}drains/more"), Malformed::TooMany)));
        assert_eq!(view.apply(PREFIX, &written("drains/n7", "{}", None)).1, Ok(()));
        assert!(view.is_draining(&NodeName::new("n7").unwrap()));
        assert_eq!(view.drains().len(), NODES_MAX);
    }

    #[test]
    fn a_share_whose_owner_cannot_be_read_has_an_owner() {
        let share = ShareKey::new("s").unwrap();
        for (value, lease) in [("{}", Some(1)), (OWNER, None), ("\u{0}", Some(1))] {
            let mut view = View::default();
            let (affected, result) = view.apply(PREFIX, &written("owners/s", value, lease));
            assert_eq!(affected, Some(Affected::Share(share.clone())));
            assert!(result.is_err());
            assert!(matches!(view.owner(&share), Some(Owner::Unreadable)), "{value}");
        }
    }

    #[test]
    fn an_owner_key_on_another_lease_is_not_the_members_own() {
        let share = ShareKey::new("s").unwrap();
        let mut view = View::default();
        let _ = view.apply(PREFIX, &written("owners/s", OWNER, Some(1)));
        let incarnation = Incarnation { boot: 1, count: 1 };
        let own = view.owned_by(&share, incarnation, LeaseId(1)).unwrap();
        assert_eq!(own.generation, Generation(7));
        assert_eq!(view.owned_by(&share, incarnation, LeaseId(2)), None);
        assert_eq!(view.owned_by(&share, Incarnation { boot: 1, count: 2 }, LeaseId(1)), None);
    }
}
