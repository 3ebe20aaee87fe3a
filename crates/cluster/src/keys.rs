//! The keys in etcd.
//!
//! | key | value | lease |
//! | --- | --- | --- |
//! | `schema` | [`crate::records::SchemaRecord`] | - |
//! | `nodes/NODE` | [`crate::records::NodeRecord`] | the node's |
//! | `shares/SHARE` | [`crate::records::ShareRecord`] | - |
//! | `owners/SHARE` | [`crate::records::OwnerRecord`] | the owner's |
//! | `moves/SHARE` | [`crate::records::MoveRecord`] | the target's |
//! | `drains/NODE` | [`crate::records::DrainRecord`] | - |
//! | `settings` | [`crate::records::SettingsRecord`] | - |
//! | `users/USER` | [`crate::records::SealedRecord`] | - |
//! | `groups/GROUP` | [`crate::records::SealedRecord`] | - |
//! | `secret` | the mark of the secret that seals users | - |
//! | `invites/ID` | [`crate::records::SealedRecord`]: the secret for a node that joins | its own |
//! | `changes/last` | [`crate::records::LastChange`] | - |
//! | `changes/SLOT` | [`crate::records::ChangeRecord`] | - |
//! | `faults/NODE` | [`crate::records::FaultsRecord`], for administrators only | the node's |
//!
//! All are below `/shareward/CLUSTER/`.

use crate::ids::{NodeName, ShareKey};
use crate::records::CHANGES_KEPT;

/// A key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An entry of the history of changes: the change whose number has this remainder, of those of
    /// [`crate::records::CHANGES_KEPT`].
    Change(u16),
    /// A request to take all shares from a node.
    Drain(NodeName),
    /// A group. Names of groups are folded as those of shares.
    Group(ShareKey),
    /// An invitation for a new node.
    Invite(NodeName),
    /// The number of the last change.
    LastChange,
    /// The faults that a node reports to administrators.
    Faults(NodeName),
    /// A request to move a share.
    Move(ShareKey),
    /// A member.
    Node(NodeName),
    /// The owner of a share.
    Owner(ShareKey),
    /// The version of the keys and the id of the cluster.
    Schema,
    /// The mark by which nodes know that they have the same secret.
    Secret,
    /// The settings that all nodes have in common.
    Settings,
    /// The definition of a share.
    Share(ShareKey),
    /// A user. Names of users are folded as those of shares.
    User(ShareKey),
}

impl Key {
    /// The key for etcd, below `prefix`, which ends with a slash.
    pub fn to_path(&self, prefix: &str) -> String {
        match self {
            Self::Change(slot) => format!("{prefix}changes/{slot:04}"),
            Self::LastChange => format!("{prefix}changes/last"),
            Self::Drain(node) => format!("{prefix}drains/{node}"),
            Self::Invite(id) => format!("{prefix}invites/{id}"),
            Self::Settings => format!("{prefix}settings"),
            Self::Secret => format!("{prefix}secret"),
            Self::User(user) => format!("{prefix}users/{user}"),
            Self::Group(group) => format!("{prefix}groups/{group}"),
            Self::Faults(node) => format!("{prefix}faults/{node}"),
            Self::Move(share) => format!("{prefix}moves/{share}"),
            Self::Node(node) => format!("{prefix}nodes/{node}"),
            Self::Owner(share) => format!("{prefix}owners/{share}"),
            Self::Schema => format!("{prefix}schema"),
            Self::Share(share) => format!("{prefix}shares/{share}"),
        }
    }

    /// The key that etcd calls `path`. Returns `None` if it is not a key of the cluster in its only spelling.
    pub fn from_path(prefix: &str, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(prefix)?;
        if rest == "schema" {
            return Some(Self::Schema);
        }
        match rest {
            "secret" => return Some(Self::Secret),
            "settings" => return Some(Self::Settings),
            _ => {}
        }
        let (kind, name) = rest.split_once('/')?;
        match kind {
            "changes" if name == "last" => Some(Self::LastChange),
            "changes" => slot_of(name).map(Self::Change),
            "drains" => NodeName::new(name).ok().map(Self::Drain),
            "invites" => NodeName::new(name).ok().map(Self::Invite),
            "users" => ShareKey::from_folded(name).ok().map(Self::User),
            "groups" => ShareKey::from_folded(name).ok().map(Self::Group),
            "faults" => NodeName::new(name).ok().map(Self::Faults),
            "moves" => ShareKey::from_folded(name).ok().map(Self::Move),
            "nodes" => NodeName::new(name).ok().map(Self::Node),
            "owners" => ShareKey::from_folded(name).ok().map(Self::Owner),
            "shares" => ShareKey::from_folded(name).ok().map(Self::Share),
            _ => None,
        }
    }
}

/// The slot of a change, in its only spelling.
fn slot_of(name: &str) -> Option<u16> {
    let slot = name.parse().ok().filter(|slot| *slot < CHANGES_KEPT)?;
    (format!("{slot:04}") == name).then_some(slot)
}

/// The prefix of the users of the cluster with this prefix.
pub fn users_prefix(prefix: &str) -> String {
    format!("{prefix}users/")
}

/// The prefix of the history of changes of the cluster with this prefix.
pub fn changes_prefix(prefix: &str) -> String {
    format!("{prefix}changes/")
}

/// The prefix of all keys of the cluster called `name`.
///
/// # Errors
/// [`crate::ids::InvalidName`] if the name is not a label of a host name, which has no separators.
pub fn prefix(name: &str) -> Result<String, crate::ids::InvalidName> {
    NodeName::new(name).map(|name| format!("/shareward/{name}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_path() {
        let prefix = prefix("office").unwrap();
        let (node, share) = (NodeName::new("a").unwrap(), ShareKey::new("Data $").unwrap());
        let keys = [
            Key::Change(7),
            Key::LastChange,
            Key::Secret,
            Key::Settings,
            Key::Invite(node.clone()),
            Key::User(share.clone()),
            Key::Group(share.clone()),
            Key::Drain(node.clone()),
            Key::Faults(node.clone()),
            Key::Move(share.clone()),
            Key::Node(node),
            Key::Owner(share.clone()),
            Key::Schema,
            Key::Share(share),
        ];
        for key in keys {
            assert_eq!(Key::from_path(&prefix, &key.to_path(&prefix)), Some(key));
        }
    }

    #[test]
    fn other_paths_are_no_keys() {
        let prefix = prefix("office").unwrap();
        for path in ["/shareward/other/schema", "/shareward/office/", "/shareward/office/owners/", "nodes/a"]
        {
            assert_eq!(Key::from_path(&prefix, path), None, "{path}");
        }
        for rest in [
            "nodes/A",
            "owners/a/b",
            "owners/DATA",
            "owners/",
            "lost/x",
            "schema/x",
            "changes/7",
            "changes/9999",
        ] {
            assert_eq!(Key::from_path(&prefix, &format!("{prefix}{rest}")), None, "{rest}");
        }
    }
}
