//! Identifiers that only the registry and the server use, and the generators of all identifiers.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

use wire::Guid;

/// A transport connection, unique for the life of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// No connection: the request is an administrator's, who ends it.
    pub const NONE: Self = Self(0);
}

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// A request that may have to wait: its connection and a number that is unique there while the request exists (its
/// message id or async id).
///
/// The server chooses the key before it calls the registry, so that it can register for the result in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The connection of the request.
    pub connection: ConnectionId,
    /// The number of the request there.
    pub id: u64,
}

/// The identity of a lease: the lease key within the client's lease table (MS-SMB2 3.3.1.11, 3.3.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// `LeaseTable.ClientGuid`.
    pub client: Guid,
    /// `Lease.LeaseKey`.
    pub key: Guid,
}

impl PartialOrd for LeaseId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LeaseId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.client.0, self.key.0).cmp(&(other.client.0, other.key.0))
    }
}

/// The generator of the non-zero 32-bit ids that administrators use. They rise; after the wrap, ids in use are skipped,
/// so that an id is used again only after four billion others.
#[derive(Debug)]
pub(crate) struct GlobalIds {
    last: u32,
}

impl GlobalIds {
    pub(crate) fn starting_after(last: u32) -> Self {
        Self { last }
    }

    /// Returns the next id for which `in_use` is false. The loop ends because the tables have limits far below 2^32.
    pub(crate) fn issue(&mut self, in_use: impl Fn(NonZeroU32) -> bool) -> NonZeroU32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if let Some(id) = NonZeroU32::new(self.last)
                && !in_use(id)
            {
                return id;
            }
        }
    }
}

/// The generator of 64-bit ids: a counter through a keyed bijection, so that ids are unique without a lookup and the
/// next one cannot be derived from the last.
///
/// This is no cipher. An id is not a secret: every use of one is checked against the session of the request.
#[derive(Debug)]
pub(crate) struct WireIds {
    key: u64,
    counter: u64,
}

impl WireIds {
    pub(crate) fn new(key: u64) -> Self {
        Self { key, counter: 0 }
    }

    /// Returns the next id. It is never zero or all ones, which mean "none" and "the previous one" in requests.
    pub(crate) fn issue(&mut self) -> u64 {
        loop {
            self.counter = self.counter.wrapping_add(1);
            let id = mix(self.counter ^ self.key);
            if id != 0 && id != u64::MAX {
                return id;
            }
        }
    }
}

/// The finalizer of SplitMix64: a bijection of u64.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A hash for numbers that clients can hardly choose (devices and inodes), which mixes them with a secret. Every open
/// of a file computes one such hash, and the standard hash is several times as slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MixHash {
    secret: u64,
}

impl MixHash {
    pub(crate) const fn new(secret: u64) -> Self {
        Self { secret }
    }
}

impl BuildHasher for MixHash {
    type Hasher = MixHasher;

    fn build_hasher(&self) -> MixHasher {
        MixHasher(self.secret)
    }
}

/// The hasher of [`MixHash`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct MixHasher(u64);

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn global_ids_rise_and_after_the_wrap_skip_those_in_use() {
        let mut ids = GlobalIds::starting_after(u32::MAX - 3);
        let in_use: BTreeSet<u32> = [u32::MAX - 1, 1, 2, 4].into();
        let issued: Vec<u32> = (0..4).map(|_| ids.issue(|id| in_use.contains(&id.get())).get()).collect();
        assert_eq!(issued, [u32::MAX - 2, u32::MAX, 3, 5]);
    }

    #[test]
    fn wire_ids_are_unique_and_depend_on_the_seed() {
        let issue = |seed| {
            let mut ids = WireIds::new(mix(seed));
            (0..10_000).map(|_| ids.issue()).collect::<BTreeSet<u64>>()
        };
        let (one, other) = (issue(1), issue(2));
        assert_eq!((one.len(), other.len()), (10_000, 10_000));
        assert!(one.is_disjoint(&other));
        assert!(!one.contains(&0) && !one.contains(&u64::MAX));
    }
}
