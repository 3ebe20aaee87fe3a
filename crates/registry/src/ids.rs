//! Identifiers that only the registry and the server use, and the generators of all identifiers.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wire::{FileGlobalId, FileId, Guid};

use crate::parts::{PARTS, PartNumber, Parted};

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

/// The generator of the three ids of an open. All of them come from one counter, which several threads advance.
#[derive(Debug)]
pub(crate) struct OpenIds {
    last: AtomicU64,
    volatile_key: u64,
    persistent_key: u64,
}

/// The ids of a new open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewIds {
    /// `Open.FileGlobalId`. These rise as [`GlobalIds`] do.
    pub(crate) global: FileGlobalId,
    /// `Open.FileId` and `Open.DurableFileId`.
    pub(crate) file: FileId,
}

impl OpenIds {
    pub(crate) fn new(volatile_key: u64, persistent_key: u64) -> Self {
        Self { last: AtomicU64::new(0), volatile_key, persistent_key }
    }

    /// Returns the next ids. `is_in_use` is asked for a global id that an earlier open has had, and `is_known` for each
    /// durable id: those of opens that were restored come from an earlier start, while this one issues each id once.
    pub(crate) fn issue(
        &self,
        is_in_use: impl Fn(FileGlobalId) -> bool,
        is_known: impl Fn(u64) -> bool,
    ) -> NewIds {
        loop {
            let number = self.next();
            // The lower half of the number.
            let Some(global) = FileGlobalId::new(number as u32) else { continue };
            let is_repeated = number > u64::from(u32::MAX);
            let persistent = mix(number ^ self.persistent_key);
            let Some(volatile) = self.volatile(number, global) else { continue };
            if is_repeated && is_in_use(global) || !is_usable(persistent) || is_known(persistent) {
                continue;
            }
            return NewIds { global, file: FileId { persistent, volatile } };
        }
    }

    /// The open that these ids were issued for, by its durable id. The id may also come from another start of the server,
    /// or from nobody.
    pub(crate) fn global_of(&self, persistent: u64) -> Option<FileGlobalId> {
        FileGlobalId::new((unmix(persistent) ^ self.persistent_key) as u32)
    }

    /// Returns a new `Open.FileId` for an open that a client reclaims.
    pub(crate) fn issue_volatile(&self, global: FileGlobalId) -> u64 {
        loop {
            if let Some(volatile) = self.volatile(self.next(), global) {
                return volatile;
            }
        }
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// The number through a bijection of 60 bits, with the number of the open's part among them.
    fn volatile(&self, number: u64, global: FileGlobalId) -> Option<u64> {
        const LOW: u64 = (1 << VOLATILE_PART_AT) - 1;
        let spread = mix_60(number ^ self.volatile_key);
        let part = (global.part().index() as u64) << VOLATILE_PART_AT;
        let volatile = (spread & !LOW) << VOLATILE_PART_BITS | part | spread & LOW;
        Some(volatile).filter(|it| is_usable(*it))
    }
}

/// The part of the open with this `Open.FileId`.
pub(crate) const fn volatile_part(id: u64) -> PartNumber {
    PartNumber::of(id >> VOLATILE_PART_AT)
}

/// The place of the part's number in `Open.FileId`: away from the bits that hash tables use.
const VOLATILE_PART_AT: u32 = 40;

/// The length of the part's number there.
const VOLATILE_PART_BITS: u32 = PARTS.trailing_zeros();

/// Zero and all ones mean "none" and "the previous one" in requests.
const fn is_usable(id: u64) -> bool {
    id != 0 && id != u64::MAX
}

/// As [`mix`], a bijection of the numbers of 60 bits: each of its steps is one.
const fn mix_60(value: u64) -> u64 {
    const MASK: u64 = (1 << (u64::BITS - VOLATILE_PART_BITS)) - 1;
    let value = value & MASK;
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) & MASK;
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) & MASK;
    value ^ (value >> 31)
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
            if is_usable(id) {
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

/// The inverse of [`mix`].
pub(crate) const fn unmix(value: u64) -> u64 {
    let value = value ^ (value >> 31) ^ (value >> 62);
    let value = value.wrapping_mul(0x3196_42b2_d24d_8ec3);
    let value = value ^ (value >> 27) ^ (value >> 54);
    let value = value.wrapping_mul(0x96de_1b17_3f11_9089);
    value ^ (value >> 30) ^ (value >> 60)
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

    #[test]
    fn ids_of_opens_are_unique_and_name_the_part() {
        let ids = OpenIds::new(mix(1), mix(2));
        let mut volatile = BTreeSet::new();
        let mut persistent = BTreeSet::new();
        for number in 1..=50_000 {
            let new = ids.issue(|_| panic!("the first ids are new"), |_| false);
            assert_eq!(new.global.value(), number);
            assert_eq!(volatile_part(new.file.volatile), new.global.part());
            assert_eq!(ids.global_of(new.file.persistent), Some(new.global));
            assert!(volatile.insert(new.file.volatile) && persistent.insert(new.file.persistent));
        }
        let again = ids.issue_volatile(FileGlobalId::MIN);
        assert!(volatile.insert(again) && volatile_part(again) == FileGlobalId::MIN.part());
    }

    #[test]
    fn ids_of_opens_are_issued_again_after_the_wrap_unless_they_are_in_use() {
        let ids = OpenIds::new(0, 0);
        ids.last.store(u64::from(u32::MAX) - 1, Relaxed);
        let in_use = |id: FileGlobalId| id.value() == 1;
        let issued = [(); 3].map(|()| ids.issue(in_use, |_| false).global.value());
        assert_eq!(issued, [u32::MAX, 2, 3]);
    }
}
