//! Tables in parts, so that several threads can change different parts at a time.
//!
//! A table that every open changes has [`PARTS`] parts of the same kind. The part of an entry follows from its key
//! alone. Here the tables are plain structures: whoever has the whole state uses them as one table. Several threads use
//! them part by part through the locks in `lock.rs`.

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use wire::{FileGlobalId, Guid};

use crate::ids::mix;
use crate::{FileKey, LeaseId};

/// The number of parts of a table. With one core in the middle of each of 64 requests, and a hold of a part being a
/// tenth of what the registry does for a request, few requests meet in a part; whoever needs all parts in order merges
/// this many.
pub(crate) const PARTS: usize = 16;

/// A value that shares no cache line with others, not even the line that processors fetch along with it.
#[derive(Debug, Default, PartialEq, Eq)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Padded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A number of objects that several threads change at a time, and never beyond its limit.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds one if there is room for one more beside those that there are.
    pub(crate) fn try_add(&self, has_room: impl Fn(usize) -> bool) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |used| has_room(used).then(|| used.saturating_add(1))).is_ok()
    }

    pub(crate) fn subtract(&self) {
        let less = |used: usize| Some(used.saturating_sub(1));
        let _ = self.0.fetch_update(Relaxed, Relaxed, less);
    }
}

/// The number of a part: below [`PARTS`] by its construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartNumber(u8);

impl PartNumber {
    pub(crate) const fn of(spread: u64) -> Self {
        // The remainder is below 16.
        Self((spread % PARTS as u64) as u8)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The parts of a table.
#[derive(Debug, PartialEq)]
pub(crate) struct Parts<T>(pub(crate) Box<[Part<T>; PARTS]>);

/// A part of a table, on cache lines of its own, with the lock of those who use the table part by part.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Part<T> {
    pub(crate) lock: Mutex<()>,
    pub(crate) value: T,
}

impl<T: PartialEq> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Parts<T> {
    pub(crate) fn new(mut make: impl FnMut() -> T) -> Self {
        Self(Box::new(std::array::from_fn(|_| Part { lock: Mutex::new(()), value: make() })))
    }

    pub(crate) fn of(&self, part: PartNumber) -> &T {
        let Self(parts) = self;
        #[expect(clippy::indexing_slicing, reason = "the number of a part is below their number")]
        &parts[part.index()].value
    }

    pub(crate) fn of_mut(&mut self, part: PartNumber) -> &mut T {
        let Self(parts) = self;
        #[expect(clippy::indexing_slicing, reason = "the number of a part is below their number")]
        &mut parts[part.index()].value
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|part| &part.value)
    }
}

impl<T: Default> Default for Parts<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// A key of a table in parts.
pub(crate) trait Parted {
    /// The part of the entry with this key.
    fn part(&self) -> PartNumber;
}

/// Opens in the order of their ids are in all parts by turns.
impl Parted for FileGlobalId {
    fn part(&self) -> PartNumber {
        PartNumber::of(u64::from(self.value()))
    }
}

/// A file and its streams are in one part.
impl Parted for FileKey {
    fn part(&self) -> PartNumber {
        PartNumber::of(mix(self.inode ^ self.device.rotate_left(32)) >> 32)
    }
}

impl Parted for LeaseId {
    fn part(&self) -> PartNumber {
        (self.client, self.key).part()
    }
}

/// A client's GUID with another one that the client has chosen.
impl Parted for (Guid, Guid) {
    fn part(&self) -> PartNumber {
        let words = [self.0.0, self.1.0].map(u128::from_le_bytes);
        let folded = words[0] ^ words[1].rotate_left(64);
        PartNumber::of(mix((folded ^ (folded >> 64)) as u64) >> 32)
    }
}

/// A hash table in parts.
#[derive(Debug)]
pub(crate) struct PartedMap<K, V, H = RandomState>(pub(crate) Parts<HashMap<K, V, H>>);

impl<K: Parted + Eq + Hash, V, H: BuildHasher + Clone> PartedMap<K, V, H> {
    pub(crate) fn with_hasher(hasher: H) -> Self {
        Self(Parts::new(|| HashMap::with_hasher(hasher.clone())))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.of(key.part()).get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.of_mut(key.part()).get_mut(key)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.of(key.part()).contains_key(key)
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.0.of_mut(key.part()).entry(key).or_insert_with(make)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.of_mut(key.part()).insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.of_mut(key.part()).remove(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).fold(0, usize::saturating_add)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flatten()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

/// The entries of sorted iterators, one for each part, in the order of their keys.
pub(crate) struct Merged<K: Ord, V, I> {
    parts: Vec<I>,
    /// The next entry of each part that has one.
    next: BinaryHeap<Head<K, V>>,
}

/// An entry with the number of its iterator. The greatest is that with the least key.
struct Head<K: Ord, V> {
    key: K,
    value: V,
    part: usize,
}

impl<K: Ord, V> PartialEq for Head<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Ord, V> Eq for Head<K, V> {}

impl<K: Ord, V> PartialOrd for Head<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, V> Ord for Head<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl<K: Ord, V, I: Iterator<Item = (K, V)>> Merged<K, V, I> {
    pub(crate) fn new(parts: impl Iterator<Item = I>) -> Self {
        let mut parts: Vec<I> = parts.collect();
        let heads = parts.iter_mut().enumerate();
        let next = heads.filter_map(|(part, it)| it.next().map(|(key, value)| Head { key, value, part }));
        Self { next: next.collect(), parts }
    }
}

impl<K: Ord, V, I: Iterator<Item = (K, V)>> Iterator for Merged<K, V, I> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let mut head = self.next.peek_mut()?;
        let part = head.part;
        let Some((key, value)) = self.parts.get_mut(part).and_then(Iterator::next) else {
            return Some(PeekMut::pop(head)).map(|it| (it.key, it.value));
        };
        let found = std::mem::replace(&mut *head, Head { key, value, part });
        Some((found.key, found.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_iterators_are_in_order_and_complete() {
        let parts = [vec![3, 5, 9], vec![], vec![1, 2, 10], vec![4]];
        let sorted = parts.iter().map(|part| part.iter().map(|it| (*it, it * 2)));
        let merged: Vec<(i32, i32)> = Merged::new(sorted).collect();
        assert_eq!(merged, [1, 2, 3, 4, 5, 9, 10].map(|it| (it, it * 2)));
    }

    #[test]
    fn neighbours_are_in_different_parts() {
        let spread = |parts: &mut dyn Iterator<Item = PartNumber>| {
            let mut counts = [0_usize; PARTS];
            parts.for_each(|part| counts[part.index()] += 1);
            counts
        };
        let ids = (1..=1_600).filter_map(FileGlobalId::new);
        assert_eq!(spread(&mut ids.map(|id| id.part())), [100; PARTS]);
        let files = (1..=16_000).map(|inode| FileKey { device: 2_049, inode, stream: 0 });
        let counts = spread(&mut files.map(|file| file.part()));
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}
