//! The values in etcd, as JSON. Values from etcd are parsed into these types or not used at all.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, NodeName, Revision};
use crate::keys::Key;

/// The version of the keys that this program reads and writes.
pub const SCHEMA: u32 = 1;

/// The value of `schema`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRecord {
    /// The version of the keys.
    pub version: u32,
    /// The random id of the cluster.
    pub cluster: String,
}

/// The value of `nodes/NODE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The membership that wrote the record.
    pub incarnation: Incarnation,
    /// The addresses under which clients reach the node.
    pub addresses: Vec<String>,
    /// The node's part of the shares, in proportion to those of the others. 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

/// The value of `shares/SHARE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRecord {
    /// The load that the share is, in proportion to those of the others. 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// The nodes that reach the share's storage. All nodes if it is empty.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
    /// The addresses that the owner of the share holds, each of which is this share's alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The settings of the share, which the protocol does not read.
    #[serde(default)]
    pub definition: serde_json::Value,
}

/// The value of `owners/SHARE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The owner.
    pub node: NodeName,
    /// The membership of the owner.
    pub incarnation: Incarnation,
    /// The number that is added to the key's revision to make the generation. It is not zero if the storage knew a
    /// higher generation than etcd, which was restored from a backup.
    #[serde(default)]
    pub offset: u64,
}

impl OwnerRecord {
    /// The generation of this record if it was written at `modified`. Returns `None` if the numbers are at their end.
    pub fn generation(&self, modified: Revision) -> Option<crate::ids::Generation> {
        modified.0.checked_add(self.offset).map(crate::ids::Generation)
    }
}

/// The value of `moves/SHARE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRecord {
    /// The node that shall own the share.
    pub target: NodeName,
}

/// The value of `drains/NODE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {}

/// The value of `settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRecord {
    /// The settings, by name.
    #[serde(default)]
    pub values: std::collections::BTreeMap<String, u32>,
}

/// The value of `users/USER`, `groups/GROUP` and `invites/ID`, whose contents etcd does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRecord {
    /// Base64 of a nonce and a text encrypted with AES-256-GCM.
    pub sealed: String,
}

/// The value of `changes/last`: a writer counts it up in the transaction of its change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// The number of the last change.
    pub number: u64,
}

/// The value of `changes/SLOT`: a change of the cluster by a person. It is written in the transaction of the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The number of the change. They only rise.
    pub number: u64,
    /// The time by the clock of the node, in milliseconds since 1970.
    pub at_ms: u64,
    /// The node whose server or command made the change.
    pub node: NodeName,
    /// The user.
    pub user: String,
    /// The origin of the request: an address, the control socket, or the command.
    pub from: String,
    /// The act, such as "change share".
    pub act: String,
    /// The name of the object.
    pub object: String,
    /// The fields that have changed, as texts for people.
    #[serde(default)]
    pub details: Vec<String>,
}

impl ChangeRecord {
    /// The key of the record.
    pub fn key(&self) -> Key {
        // A remainder of a number of 16 bits is one of 16 bits.
        let slot = u16::try_from(self.number.checked_rem(CHANGES_KEPT.into()).unwrap_or(0)).unwrap_or(0);
        Key::Change(slot)
    }

    /// Cuts the texts, so that the record fits into its key.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        fn cut(text: &mut String) {
            if let Some((end, _)) = text.char_indices().nth(CHANGE_CHARS_MAX) {
                text.truncate(end);
                text.push_str("...");
            }
        }
        self.details.truncate(CHANGE_DETAILS_MAX);
        [&mut self.user, &mut self.from, &mut self.act, &mut self.object]
            .into_iter()
            .chain(&mut self.details)
            .for_each(cut);
        self
    }
}

/// The value of `faults/NODE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultsRecord {
    /// The faults, [`FAULTS_MAX`] at most.
    pub faults: Vec<FaultRecord>,
}

/// A fault of a share on its owner, which does not keep the share from being served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// The name of the share, folded.
    pub share: String,
    /// The reason, for people.
    pub reason: String,
}

/// Reads a value.
///
/// # Errors
/// [`Malformed`] if the value is too long, is not the JSON of the type, or breaks a rule of its fields.
pub fn read<T: DeserializeOwned + Check>(value: &[u8]) -> Result<T, Malformed> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let record: T = serde_json::from_slice(value).map_err(|_| Malformed::Syntax)?;
    record.check()?;
    Ok(record)
}

/// The JSON of a record.
pub fn write<T: Serialize>(record: &T) -> Vec<u8> {
    // The records have no maps with keys other than texts, so that this cannot fail; an empty value is malformed.
    serde_json::to_vec(record).unwrap_or_default()
}

/// A value in etcd that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The path is not a key of the cluster.
    #[error("not a key of the cluster")]
    Key,
    /// The value is too long.
    #[error("the value is longer than 64 KiB")]
    TooLong,
    /// The value cannot be parsed.
    #[error("the value is not what this key has")]
    Syntax,
    /// A number or a list is outside of its bounds.
    #[error("the value has a field outside of its bounds")]
    Bounds,
    /// The table is full.
    #[error("there are too many keys of this kind")]
    TooMany,
    /// The key has no lease, or has one and must not.
    #[error("the key has the wrong kind of lease")]
    Lease,
}

/// The rules for the fields of a record that its types do not express.
pub trait Check {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Malformed`] with the rule that is broken.
    fn check(&self) -> Result<(), Malformed> {
        Ok(())
    }
}

impl Check for SchemaRecord {}
impl Check for MoveRecord {}
impl Check for DrainRecord {}
impl Check for OwnerRecord {}
impl Check for LastChange {}
impl Check for SealedRecord {}
impl Check for SettingsRecord {}

impl Check for ChangeRecord {
    fn check(&self) -> Result<(), Malformed> {
        // Texts that were cut end with three points.
        let is_short = |text: &String| text.chars().count() <= CHANGE_CHARS_MAX.saturating_add(3);
        let fits = self.details.len() <= CHANGE_DETAILS_MAX
            && [&self.user, &self.from, &self.act, &self.object]
                .into_iter()
                .chain(&self.details)
                .all(is_short);
        if fits { Ok(()) } else { Err(Malformed::Bounds) }
    }
}

impl Check for FaultsRecord {
    fn check(&self) -> Result<(), Malformed> {
        if self.faults.len() <= FAULTS_MAX { Ok(()) } else { Err(Malformed::Bounds) }
    }
}

impl Check for NodeRecord {
    fn check(&self) -> Result<(), Malformed> {
        let fits = self.addresses.len() <= ADDRESSES_MAX && (1..=WEIGHT_MAX).contains(&self.weight);
        if fits { Ok(()) } else { Err(Malformed::Bounds) }
    }
}

impl Check for ShareRecord {
    fn check(&self) -> Result<(), Malformed> {
        let fits = self.nodes.len() <= crate::view::NODES_MAX
            && self.addresses.len() <= ADDRESSES_MAX
            && (1..=WEIGHT_MAX).contains(&self.weight);
        if fits { Ok(()) } else { Err(Malformed::Bounds) }
    }
}

/// The definition of a share with long lists of users fits; 100,000 shares of this size do not fit into etcd anyway.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Sums of the weights of all shares stay far below 64 bits.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// The changes that the history keeps; each new one replaces the oldest. Every node reads them with the other keys when it
/// joins: half a megabyte.
pub const CHANGES_KEPT: u16 = 1000;

/// The characters of a text of a change.
const CHANGE_CHARS_MAX: usize = 200;

/// The fields that a change names.
const CHANGE_DETAILS_MAX: usize = 32;

/// A node has a few interfaces; clients try one address after the other.
pub const ADDRESSES_MAX: usize = 16;

/// Beyond these, a fault is that of the node, not of its shares.
pub const FAULTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back() {
        let record = OwnerRecord {
            node: NodeName::new("a").unwrap(),
            incarnation: Incarnation { boot: 1, count: 2 },
            offset: 3,
        };
        assert_eq!(read::<OwnerRecord>(&write(&record)), Ok(record));
        let share: ShareRecord = read(br#"{"weight": 1, "newer": true}"#).unwrap();
        let definition = serde_json::Value::Null;
        assert_eq!(share, ShareRecord { weight: 1, nodes: Vec::new(), addresses: Vec::new(), definition });
    }

    #[test]
    fn changes_fit_into_their_keys_and_replace_the_oldest() {
        let long = "ü".repeat(100_000);
        let record = ChangeRecord {
            number: u64::from(CHANGES_KEPT) + 7,
            at_ms: 1,
            node: NodeName::new("a").unwrap(),
            user: long.clone(),
            from: String::new(),
            act: String::from("change share"),
            object: long.clone(),
            details: vec![long; 100],
        };
        assert_eq!(read::<ChangeRecord>(&write(&record)), Err(Malformed::TooLong));
        let record = record.bounded();
        assert_eq!(record.key(), Key::Change(7));
        assert_eq!(read::<ChangeRecord>(&write(&record)), Ok(record));
    }

    #[test]
    fn hostile_values_are_refused() {
        assert_eq!(read::<ShareRecord>(br#"{"weight": 0}"#), Err(Malformed::Bounds));
        assert_eq!(read::<ShareRecord>(br#"{"weight": 4294967295}"#), Err(Malformed::Bounds));
        assert_eq!(read::<ShareRecord>(br#"{"weight": 1, "nodes": ["../x"]}"#), Err(Malformed::Syntax));
        assert_eq!(read::<ShareRecord>(br#"{"weight": 1, "addresses": ["x"]}"#), Err(Malformed::Syntax));
        assert_eq!(read::<OwnerRecord>(b"\xff"), Err(Malformed::Syntax));
        assert_eq!(read::<OwnerRecord>(&vec![b' '; VALUE_BYTES_MAX + 1]), Err(Malformed::TooLong));
        let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        assert_eq!(read::<MoveRecord>(&deep), Err(Malformed::Syntax));
        let last = OwnerRecord {
            node: NodeName::new("a").unwrap(),
            incarnation: Incarnation { boot: 1, count: 2 },
            offset: u64::MAX,
        };
        assert_eq!(last.generation(Revision(1)), None);
    }
}
