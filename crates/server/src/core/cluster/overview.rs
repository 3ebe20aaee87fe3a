//! The cluster as this member knows it, for administrators.

use cluster::Owner;
use cluster::ids::{NodeName, ShareKey};
use cluster::{Node, View};
use control::{Cluster as Shown, ClusterNode, ClusterShare, RefusedKey};

use super::state::{Cluster, Member};

/// Figures of the cluster, as one of its nodes knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterFigures {
    /// The name of the cluster.
    pub(crate) name: String,
    /// True if this node takes part.
    pub(crate) takes_part: bool,
    /// The nodes that are members at present, with their first addresses.
    pub(crate) nodes: Vec<(String, Option<String>)>,
    /// The number of shares.
    pub(crate) shares: usize,
    /// The number of shares that no node owns.
    pub(crate) shares_without_owner: usize,
    /// The number of values in etcd that this node does not use.
    pub(crate) refused: usize,
}

impl Cluster {
    /// The figures of the cluster. `None` on a server that is no member.
    pub(crate) fn figures(&self) -> Option<ClusterFigures> {
        let member = self.member()?;
        // One lock at a time: the thread of the member takes each of them.
        let takes_part = member.trouble.lock().is_none();
        let refused = member.screen.lock().refused().count();
        let name = member.settings.name.to_string();
        let mut figures = ClusterFigures { name, takes_part, refused, ..ClusterFigures::default() };
        if let Some(node) = member.node.lock().as_ref() {
            let view = node.view();
            let of = |(name, it): (&NodeName, &cluster::Member)| {
                (name.to_string(), it.record.addresses.first().cloned())
            };
            figures.nodes = view.members().iter().map(of).collect();
            figures.shares = view.shares().len();
            let is_owned = |key: &&ShareKey| view.owner(key).is_some();
            figures.shares_without_owner =
                figures.shares.saturating_sub(view.shares().keys().filter(is_owned).count());
            // Without etcd there is no trouble, but no lease either, and the view is that of an earlier time.
            figures.takes_part &= node.permitted_until().is_some();
        }
        Some(figures)
    }

    /// The cluster, as this server knows it. `None` on a server that is no member.
    pub(crate) fn overview(&self) -> Option<Shown> {
        let member = self.member()?;
        let node = member.node.lock();
        let (nodes, shares) =
            node.as_ref().map(|node| (nodes(node.view()), shares(node.view()))).unwrap_or_default();
        drop(node);
        let trouble = member.trouble.lock().clone();
        let screen = member.screen.lock();
        let refused = screen
            .refused()
            .map(|(key, reason)| RefusedKey { key: key.to_owned(), reason: reason.to_owned() });
        Some(Shown {
            name: member.settings.name.to_string(),
            node: member.settings.node.to_string(),
            trouble,
            nodes,
            shares,
            refused: refused.collect(),
            settings: std::collections::BTreeMap::new(),
        })
    }

    /// The share that this server owns and that no other node could own. `None` if there is none.
    pub(crate) fn last_owner_of(&self) -> Option<String> {
        let member = self.member()?;
        let node = member.node.lock();
        let node = node.as_ref()?;
        let kept = node.view().owners().iter().find(|(share, owner)| {
            let is_own = matches!(owner, Owner::Known { record, .. } if record.node == *member.node_name());
            is_own && !has_other(node, member, share)
        });
        kept.map(|(share, _)| share.to_string())
    }
}

/// True if another member could own the share.
fn has_other(node: &Node, member: &Member, share: &ShareKey) -> bool {
    let view = node.view();
    let Some(definition) = view.shares().get(share) else { return true };
    let reaches = |name: &NodeName| definition.nodes.is_empty() || definition.nodes.contains(name);
    view.members().keys().any(|it| it != member.node_name() && reaches(it) && !view.is_draining(it))
}

fn nodes(view: &View) -> Vec<ClusterNode> {
    let members = view.members().iter().map(|(name, member)| ClusterNode {
        name: name.to_string(),
        joined: true,
        draining: view.is_draining(name),
        addresses: member.record.addresses.clone(),
        weight: member.record.weight,
        shares: u32::try_from(view.holding(name).shares).unwrap_or(u32::MAX),
    });
    let away = view.drains().iter().filter(|it| !view.members().contains_key(*it));
    let away = away.map(|it| ClusterNode { name: it.to_string(), draining: true, ..ClusterNode::default() });
    let mut nodes: Vec<_> = members.chain(away).collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    nodes
}

fn shares(view: &View) -> Vec<ClusterShare> {
    let shares = view.shares().iter().map(|(key, definition)| {
        let text =
            |name: &str| definition.settings.pointer(&format!("/share/{name}")).and_then(|it| it.as_str());
        let owner = match view.owner(key) {
            Some(Owner::Known { record, .. }) => Some(record.node.to_string()),
            Some(Owner::Unreadable) | None => None,
        };
        ClusterShare {
            name: text("name").unwrap_or(key.as_str()).to_owned(),
            path: text("path").unwrap_or_default().to_owned(),
            weight: definition.weight,
            owner,
            moves_to: view.move_target(key).map(ToString::to_string),
        }
    });
    shares.collect()
}
