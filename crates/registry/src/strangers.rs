//! Objects of strangers, by the addresses that they come from.
//!
//! A stranger is a client that has not proved to be a user. One machine can be many strangers, so a full table of
//! theirs makes room instead of refusing: the oldest entry of the address with the most entries is removed. If several
//! addresses have as many, it is the oldest entry of all of these. Clients at other addresses keep their entries, and
//! the newest client gets a place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// The addresses that count as one: an IPv4 address, or the 64-bit prefix of an IPv6 address, within which
/// a host chooses its address freely (RFC 4291 2.5.1, RFC 8981).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressGroup {
    /// One address.
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6([u16; 4]),
}

impl AddressGroup {
    /// The group of an address. An IPv4 address mapped into IPv6 is an IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// Ids by address group. Ids rise, so the lowest is the oldest.
#[derive(Debug)]
pub(crate) struct Crowd<I> {
    groups: BTreeMap<AddressGroup, BTreeSet<I>>,
    /// The groups by size and by the age of their oldest: derived, to find the id to remove.
    sizes: BTreeSet<Rank<I>>,
    len: usize,
}

impl<I> Default for Crowd<I> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), sizes: BTreeSet::new(), len: 0 }
    }
}

impl<I: Copy + Ord> Crowd<I> {
    /// Enters an id.
    pub(crate) fn insert(&mut self, group: AddressGroup, id: I) {
        let members = self.groups.entry(group).or_default();
        let before = rank(group, members);
        if members.insert(id) {
            self.len = self.len.saturating_add(1);
            let after = rank(group, members);
            self.rank_again(before, after);
        }
    }

    /// Removes an id, if it is present.
    pub(crate) fn remove(&mut self, group: AddressGroup, id: I) {
        let Some(members) = self.groups.get_mut(&group) else { return };
        let before = rank(group, members);
        if members.remove(&id) {
            self.len = self.len.saturating_sub(1);
            let after = rank(group, members);
            if after.is_none() {
                self.groups.remove(&group);
            }
            self.rank_again(before, after);
        }
    }

    /// The number of ids.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// True if an id is present.
    pub(crate) fn contains(&self, group: AddressGroup, id: I) -> bool {
        self.groups.get(&group).is_some_and(|members| members.contains(&id))
    }

    /// The id to remove for one more of `group`, if the group has `per_group` ids or all groups have `total`. `None` if
    /// there is room.
    pub(crate) fn in_the_way(&self, group: AddressGroup, per_group: usize, total: usize) -> Option<I> {
        let own = self.groups.get(&group).filter(|members| members.len() >= per_group);
        if let Some(oldest) = own.and_then(BTreeSet::first) {
            return Some(*oldest);
        }
        if self.len >= total { self.oldest_of_largest() } else { None }
    }

    /// The oldest id of the group with the most ids.
    pub(crate) fn oldest_of_largest(&self) -> Option<I> {
        self.sizes.last().map(|(_, Reverse(oldest), _)| *oldest)
    }

    /// True if the derived parts agree with the rest.
    pub(crate) fn is_consistent(&self) -> bool {
        let sizes = self.groups.iter().filter_map(|(group, members)| rank(*group, members)).collect();
        let len: usize = self.groups.values().map(BTreeSet::len).sum();
        self.sizes == sizes && self.len == len && self.groups.values().all(|members| !members.is_empty())
    }

    fn rank_again(&mut self, before: Option<Rank<I>>, after: Option<Rank<I>>) {
        if let Some(before) = before {
            self.sizes.remove(&before);
        }
        self.sizes.extend(after);
    }
}

type Rank<I> = (usize, Reverse<I>, AddressGroup);

/// The rank of a group; `None` if it has no members.
fn rank<I: Copy + Ord>(group: AddressGroup, members: &BTreeSet<I>) -> Option<Rank<I>> {
    members.first().map(|oldest| (members.len(), Reverse(*oldest), group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(address: &str) -> AddressGroup {
        AddressGroup::of(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_grouped_by_host_or_by_64_bit_prefix() {
        assert_eq!(group("192.0.2.1"), group("::ffff:192.0.2.1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
        assert_eq!(group("2001:db8:1:2::3"), group("2001:db8:1:2:ffff::4"));
        assert_ne!(group("2001:db8:1:2::3"), group("2001:db8:1:3::3"));
    }

    #[test]
    fn of_groups_of_one_size_the_oldest_makes_room() {
        let mut crowd = Crowd::default();
        for (id, address) in [(1, "192.0.2.1"), (2, "2001:db8:f::1"), (3, "2001:db8:1::1"), (4, "192.0.2.9")]
        {
            crowd.insert(group(address), id);
            assert_eq!(crowd.oldest_of_largest(), Some(1));
        }
        crowd.remove(group("192.0.2.1"), 1);
        assert_eq!(crowd.oldest_of_largest(), Some(2));
        assert!(crowd.is_consistent());
    }

    #[test]
    fn the_oldest_of_the_largest_group_makes_room() {
        let (many, few) = (group("192.0.2.1"), group("192.0.2.2"));
        let mut crowd = Crowd::default();
        crowd.insert(few, 1);
        for id in 2..5 {
            crowd.insert(many, id);
        }
        assert!(crowd.is_consistent());
        assert_eq!(crowd.in_the_way(few, 3, 5), None);
        assert_eq!(crowd.in_the_way(few, 3, 4), Some(2));
        assert_eq!(crowd.in_the_way(few, 1, 9), Some(1));
        assert_eq!(crowd.in_the_way(many, 3, 9), Some(2));
        for id in 1..5 {
            crowd.remove(few, id);
            crowd.remove(many, id);
            assert!(crowd.is_consistent());
        }
        assert_eq!((crowd.len(), crowd.oldest_of_largest()), (0, None));
    }
}
