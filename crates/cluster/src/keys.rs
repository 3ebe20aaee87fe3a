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
//! | `faults/NODE` | [`crate::records::FaultsRecord`], for administrators only | the node's |
//!
//! All are below `/shareward/CLUSTER/`.

use crate::ids::{NodeName, ShareKey};

/// A key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A request to take all shares from a node.
    Drain(NodeName),
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
    /// The definition of a share.
    Share(ShareKey),
}

impl Key {
    /// The key for etcd, below `prefix`, which ends with a slash.
    pub fn to_path(&self, prefix: &str) -> String {
        match self {
            Self::Drain(node) => format!("{prefix}drains/{node}"),
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
        let (kind, name) = rest.split_once('/')?;
        match kind {
            "drains" => NodeName::new(name).ok().map(Self::Drain),
            "faults" => NodeName::new(name).ok().map(Self::Faults),
            "moves" => ShareKey::from_folded(name).ok().map(Self::Move),
            "nodes" => NodeName::new(name).ok().map(Self::Node),
            "owners" => ShareKey::from_folded(name).ok().map(Self::Owner),
            "shares" => ShareKey::from_folded(name).ok().map(Self::Share),
            _ => None,
        }
    }
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
        for rest in ["nodes/A", "owners/a/b", "owners/DATA", "owners/", "lost/x", "schema/x"] {
            assert_eq!(Key::from_path(&prefix, &format!("{prefix}{rest}")), None, "{rest}");
        }
    }
}
