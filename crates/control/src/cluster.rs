//! The cluster as one of its nodes knows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The cluster: the answer of `GET /v1/cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The name of the cluster.
    pub name: String,
    /// The node that was asked.
    pub node: String,
    /// The reason for which this node takes no part; `None` if it does.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The nodes, by name.
    pub nodes: Vec<ClusterNode>,
    /// The shares, by name.
    pub shares: Vec<ClusterShare>,
    /// The keys in etcd whose values this node does not use.
    pub refused: Vec<RefusedKey>,
    /// The settings that all nodes have in common, as this node knows them.
    #[serde(default)]
    pub settings: BTreeMap<String, u32>,
}

/// A node of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// The name.
    pub name: String,
    /// True if it is a member at present. One that is not may still be drained.
    pub joined: bool,
    /// True if its shares go to other nodes.
    pub draining: bool,
    /// The addresses for clients.
    pub addresses: Vec<String>,
    /// The node's part of the shares, in proportion to the weights of the others.
    pub weight: u32,
    /// The number of shares that it owns.
    pub shares: u32,
}

/// A share of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterShare {
    /// The name.
    pub name: String,
    /// The directory.
    pub path: String,
    /// The load that it is, in proportion to those of the others.
    pub weight: u32,
    /// The node that owns it; `None` if none does at present.
    pub owner: Option<String>,
    /// The node to which it shall move; `None` if it stays.
    pub moves_to: Option<String>,
}

/// A key in etcd whose value is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedKey {
    /// The path of the key.
    pub key: String,
    /// The reason.
    pub reason: String,
}

/// A change of a cluster by a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterChange {
    /// The number of the change. They rise.
    pub number: u64,
    /// The time.
    pub at: Timestamp,
    /// The node whose server or command made the change.
    pub node: String,
    /// The user.
    pub user: String,
    /// The origin of the request: an address, the control socket, or the command.
    pub from: String,
    /// The act, such as "change share".
    pub act: String,
    /// The name of the object.
    pub object: String,
    /// The parts that have changed.
    pub details: Vec<String>,
}

/// A move of a share: the body of `POST /v1/cluster/moves`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewMove {
    /// The share.
    pub share: String,
    /// The next owner.
    pub node: String,
}

/// The drain of a node: the body of `POST /v1/cluster/drains`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeDrain {
    /// The node.
    pub node: String,
    /// True if it gives its shares to others, false if it gets shares again.
    pub drain: bool,
}

/// A setting that all nodes have in common: the body of `POST /v1/cluster/settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSetting {
    /// The name of the setting, such as `min_password_length`.
    pub setting: String,
    /// The value; `None` leaves the setting to the files of the nodes.
    pub value: Option<u32>,
}

/// An invitation for a new node: the answer of `POST /v1/cluster/invites`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The text for `shareward cluster join`. It has the key to the secret of the cluster.
    pub invitation: String,
}

/// The end of a node's membership: the body of `POST /v1/cluster/leave`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaveCluster {
    /// True if it leaves although no other node can own its shares.
    pub force: bool,
}
