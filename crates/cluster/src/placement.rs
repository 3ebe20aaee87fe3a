//! The choice of a node for a share. It is a matter of speed and balance alone: transactions decide who owns a share.
//!
//! Each node computes the same order of candidates from its view: weighted rendezvous hashing. A node that joins or ends
//! changes the first place of its own shares only. The scores are floating point; nodes whose mathematics differ in the
//! last bit could disagree on two candidates, and then compete.

use crate::ids::{NodeName, ShareKey};
use crate::settings::Balance;
use crate::view::{Member, View};

/// The number of candidates before `node` for the share, [`RANK_MAX`] and a bit at most. Returns `None` if `node` is no
/// candidate.
///
/// Candidates beyond these take turns in any order: if so many do not answer, the cluster has other problems. Counting all
/// would make each node compute a million scores when another one with 1,000 shares ends among 1,000.
pub(crate) fn rank(view: &View, share: &ShareKey, node: &NodeName) -> Option<u32> {
    let member = view.members().get(node).filter(|_| is_candidate(view, share, node))?;
    if view.move_target(share) == Some(node) {
        return Some(0);
    }
    let hash = hash_text(share.as_str());
    let own = score(member, hash);
    let before = candidates(view, share).filter(|(other, member)| {
        let theirs = score(member, hash);
        view.move_target(share) == Some(other) || theirs > own || (theirs == own && *other < node)
    });
    match u32::try_from(before.take(RANK_MAX).count()).ok()? {
        rank if rank as usize == RANK_MAX => {
            let spread = mix(member.hash.rotate_left(16) ^ hash) % LATE_TURNS;
            rank.checked_add(u32::try_from(spread).ok()?)
        }
        rank => Some(rank),
    }
}

/// The first candidate for the share besides `except`. Returns `None` if there is no other.
pub(crate) fn best_other(view: &View, share: &ShareKey, except: &NodeName) -> Option<NodeName> {
    let hash = hash_text(share.as_str());
    let others = candidates(view, share).filter(|(node, _)| *node != except);
    others.max_by(|a, b| score(a.1, hash).total_cmp(&score(b.1, hash))).map(|(node, _)| node.clone())
}

/// The share of `node`, among `serving`, that it should give away to balance, and its next owner. Returns `None` if the
/// node has its part, or if it is the turn of others.
///
/// The nodes that are furthest above their part give first, [`DONORS_MAX`] at a time, so that a new node does not get a
/// share of every other node at once.
pub(crate) fn share_to_give<'a>(
    view: &View,
    node: &NodeName,
    serving: impl Iterator<Item = &'a ShareKey>,
    balance: &Balance,
) -> Option<(ShareKey, NodeName)> {
    let total: u64 = live(view).map(|(_, member)| u64::from(member.record.weight)).sum();
    // The surplus of a node in relation to its part: 1.0 if it has twice its part.
    let surplus = |node: &NodeName, member: &Member, change: f64| {
        let part = view.weight() as f64 * f64::from(member.record.weight) / total.max(1) as f64;
        (view.holding(node).weight as f64 + change - part) / part.max(f64::MIN_POSITIVE)
    };
    let (_, member) = live(view).find(|(name, _)| *name == node)?;
    let own = surplus(node, member, 0.0);
    if !balance.enabled || own <= f64::from(balance.threshold_percent) / 100.0 {
        return None;
    }
    let ahead = live(view).filter(|(name, member)| {
        let theirs = surplus(name, member, 0.0);
        theirs > own || (theirs == own && *name < node)
    });
    if ahead.take(DONORS_MAX).count() == DONORS_MAX {
        return None;
    }
    let mut best: Option<(f64, &ShareKey, &NodeName)> = None;
    for share in serving.take(SHARES_CONSIDERED_MAX) {
        let Some(weight) = view.shares().get(share).map(|it| f64::from(it.weight)) else { continue };
        let receivers = candidates(view, share).filter(|(name, _)| *name != node);
        let emptiest = receivers
            .map(|(name, member)| (surplus(name, member, weight), name))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        // The receiver must have less afterwards than the giver has now, else the share would come back.
        if let Some((after, receiver)) = emptiest
            && after < own - weight * f64::EPSILON
            && after < own
            && surplus(node, member, -weight) >= -f64::from(balance.threshold_percent) / 100.0
            && best.as_ref().is_none_or(|(least, ..)| after < *least)
        {
            best = Some((after, share, receiver));
        }
    }
    best.map(|(_, share, receiver)| (share.clone(), receiver.clone()))
}

/// True if `node` may own the share: it is a member, is not drained, and reaches the storage.
pub(crate) fn is_candidate(view: &View, share: &ShareKey, node: &NodeName) -> bool {
    let Some(definition) = view.shares().get(share) else { return false };
    let reaches = definition.nodes.is_empty() || definition.nodes.contains(node);
    reaches && view.members().contains_key(node) && !view.is_draining(node)
}

fn candidates<'a>(view: &'a View, share: &'a ShareKey) -> impl Iterator<Item = (&'a NodeName, &'a Member)> {
    let definition = view.shares().get(share);
    live(view)
        .filter(move |(node, _)| definition.is_some_and(|it| it.nodes.is_empty() || it.nodes.contains(node)))
}

fn live(view: &View) -> impl Iterator<Item = (&NodeName, &Member)> {
    view.members().iter().filter(|(node, _)| !view.is_draining(node))
}

/// The score of a member for a share: the highest is first. With it a node of twice the weight is first twice as often.
fn score(member: &Member, share: u64) -> f64 {
    let mixed = mix(member.hash ^ share.rotate_left(32));
    // From 53 bits a number between 0 and 1, neither of which it can be.
    let uniform = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(member.record.weight) / uniform.ln()
}

/// The FNV-1a hash of a name.
pub(crate) fn hash_text(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of SplitMix64, which spreads the bits of a hash.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The candidates for a share that have an order.
const RANK_MAX: usize = 16;

/// The turns among which all others are spread, so that they do not all try at the same moment.
const LATE_TURNS: u64 = 64;

/// The nodes that may give a share away at a time.
const DONORS_MAX: usize = 4;

/// A node with more shares looks at these only, so that one step stays short.
const SHARES_CONSIDERED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::{Incarnation, LeaseId, Revision};
    use crate::protocol::{Change, Entry};
    use crate::records::{self, NodeRecord, OwnerRecord, ShareRecord};

    const PREFIX: &str = "/shareward/c/";

    fn put(view: &mut View, path: String, value: Vec<u8>) {
        let entry = Entry {
            path: format!("{PREFIX}{path}"),
            value,
            created: Revision(1),
            modified: Revision(1),
            lease: Some(LeaseId(1)),
        };
        assert_eq!(view.apply(PREFIX, &Change::Written(entry)).1, Ok(()));
    }

    fn join(view: &mut View, node: &str, weight: u32) {
        let record =
            NodeRecord { incarnation: Incarnation { boot: 1, count: 1 }, addresses: Vec::new(), weight };
        put(view, format!("nodes/{node}"), records::write(&record));
    }

    fn define(view: &mut View, share: usize) {
        let record = ShareRecord {
            weight: 1,
            nodes: Vec::new(),
            addresses: Vec::new(),
            definition: serde_json::Value::Null,
        };
        put(view, format!("shares/s{share}"), records::write(&record));
    }

    fn own(view: &mut View, share: usize, node: &NodeName) {
        let incarnation = Incarnation { boot: 1, count: 1 };
        let record = OwnerRecord { node: node.clone(), incarnation, offset: 0 };
        put(view, format!("owners/s{share}"), records::write(&record));
    }

    fn first(view: &View, share: usize) -> NodeName {
        let share = ShareKey::new(&format!("s{share}")).unwrap();
        let mut ranks: Vec<_> =
            view.members().keys().map(|node| (rank(view, &share, node).unwrap(), node.clone())).collect();
        ranks.sort();
        assert!(ranks.iter().enumerate().all(|(index, (rank, _))| index as u32 == *rank), "{ranks:?}");
        ranks.swap_remove(0).1
    }

    #[test]
    fn places_are_in_proportion_to_weights_and_stay_when_a_node_joins() {
        let mut view = View::default();
        join(&mut view, "a", 1);
        join(&mut view, "b", 1);
        join(&mut view, "c", 2);
        (0..2000).for_each(|share| define(&mut view, share));
        let before: Vec<NodeName> = (0..2000).map(|share| first(&view, share)).collect();
        let mut counts = BTreeMap::new();
        before.iter().for_each(|node| *counts.entry(node.as_str()).or_insert(0) += 1);
        assert!((400..600).contains(&counts["a"]) && (900..1100).contains(&counts["c"]), "{counts:?}");
        join(&mut view, "d", 1);
        for (share, before) in before.iter().enumerate() {
            let now = first(&view, share);
            assert!(now == *before || now.as_str() == "d");
        }
    }

    #[test]
    fn balancing_ends_with_even_parts_and_does_not_oscillate() {
        let mut view = View::default();
        let nodes = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| NodeName::new(name).unwrap());
        nodes.iter().for_each(|node| join(&mut view, node.as_str(), 1));
        for share in 0..80 {
            define(&mut view, share);
            own(&mut view, share, &nodes[0]);
        }
        let mut moves = 0;
        loop {
            let before = moves;
            for node in &nodes {
                let serving: Vec<ShareKey> = view
                    .owners()
                    .iter()
                    .filter(|(_, owner)| {
                        matches!(owner, crate::view::Owner::Known { record, .. } if record.node == *node)
                    })
                    .map(|(share, _)| share.clone())
                    .collect();
                if let Some((share, to)) = share_to_give(&view, node, serving.iter(), &Balance::default()) {
                    let share = share.as_str().trim_start_matches('s').parse().unwrap();
                    own(&mut view, share, &to);
                    moves += 1;
                }
            }
            if moves == before {
                break;
            }
            assert!(moves < 100, "shares go to and fro");
        }
        let most = nodes.iter().map(|node| view.holding(node).shares).max();
        assert!(most <= Some(13), "{most:?} of 80 shares on one of 8 nodes, after {moves} moves");
    }
}
