//! The lock on each byte that results from the byte-range locks of one open: exclusive, shared or none, because locks
//! on the host do not stack.
//!
//! On Windows each lock is a separate object: two shared locks of one range have to be released one by one, and a
//! shared lock may be added to an exclusive one. On Linux an owner has one lock on a byte, or none. So this module
//! counts locks, and a change returns the ranges whose lock on the host has to change.

use std::collections::BTreeMap;
use std::ops::Range;

use registry::LockElement;
use vfs::RangeLock;
use vfs::handle::lockable;

/// The locks of an open: the numbers of both kinds that cover the bytes from an offset up to the next one.
#[derive(Debug, Default)]
pub(super) struct Cover {
    counts: BTreeMap<u64, Counts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    shared: u32,
    exclusive: u32,
}

/// A range, and the lock that the host must have there; `None` to release it.
pub(super) type Piece = (Range<u64>, Option<RangeLock>);

impl Counts {
    fn lock(self) -> Option<RangeLock> {
        match self {
            Self { exclusive: 1.., .. } => Some(RangeLock::Exclusive),
            Self { shared: 1.., .. } => Some(RangeLock::Shared),
            Self { .. } => None,
        }
    }
}

impl Cover {
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
    }

    /// Adds a lock, and returns the ranges to set on the host.
    pub(super) fn add(&mut self, element: &LockElement) -> Vec<Piece> {
        self.change(element, |count| count.saturating_add(1))
    }

    /// Removes a lock, and returns the ranges to set on the host.
    pub(super) fn remove(&mut self, element: &LockElement) -> Vec<Piece> {
        self.change(element, |count| count.saturating_sub(1))
    }

    /// All ranges within the bytes of a lock, with the lock that the host must have there.
    pub(super) fn within(&self, element: &LockElement) -> Vec<Piece> {
        let Some(range) = bytes(element) else { return Vec::new() };
        let mut pieces = Pieces::default();
        let first = (range.start, self.at(range.start));
        let inner = self.counts.range((std::ops::Bound::Excluded(range.start), std::ops::Bound::Unbounded));
        let inner =
            inner.take_while(|(start, _)| **start < range.end).map(|(start, counts)| (*start, *counts));
        let starts: Vec<(u64, Counts)> = std::iter::once(first).chain(inner).collect();
        let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([range.end]);
        for ((start, counts), end) in starts.iter().zip(ends) {
            pieces.push(*start..end, counts.lock());
        }
        pieces.0
    }

    fn change(&mut self, element: &LockElement, count: impl Fn(u32) -> u32) -> Vec<Piece> {
        let Some(range) = bytes(element) else { return Vec::new() };
        self.split(range.start);
        self.split(range.end);
        let mut pieces = Pieces::default();
        let mut starts = self.counts.range_mut(range.clone()).peekable();
        while let Some((start, counts)) = starts.next() {
            let before = counts.lock();
            let kind = if element.exclusive { &mut counts.exclusive } else { &mut counts.shared };
            *kind = count(*kind);
            let end = starts.peek().map_or(range.end, |(end, _)| **end);
            if counts.lock() != before {
                pieces.push(*start..end, counts.lock());
            }
        }
        self.join(range.start);
        self.join(range.end);
        pieces.0
    }

    fn at(&self, offset: u64) -> Counts {
        self.counts.range(..=offset).next_back().map(|(_, counts)| *counts).unwrap_or_default()
    }

    /// Makes counts begin at an offset.
    fn split(&mut self, offset: u64) {
        let counts = self.at(offset);
        self.counts.entry(offset).or_insert(counts);
    }

    /// Removes the counts at an offset if they are the same as before it.
    fn join(&mut self, offset: u64) {
        let before = self.counts.range(..offset).next_back().map(|(_, counts)| *counts).unwrap_or_default();
        if self.counts.get(&offset) == Some(&before) {
            self.counts.remove(&offset);
        }
    }
}

/// Pieces in order; adjacent ones of the same kind are joined.
#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn push(&mut self, range: Range<u64>, lock: Option<RangeLock>) {
        match self.0.last_mut() {
            Some((last, kind)) if last.end == range.start && *kind == lock => last.end = range.end,
            _ => self.0.push((range, lock)),
        }
    }
}

/// The bytes of a lock that the host can lock; `None` for a lock of no bytes.
fn bytes(element: &LockElement) -> Option<Range<u64>> {
    lockable(&(element.offset..element.offset.saturating_add(element.length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number of bytes that are checked.
    const BYTES: u64 = 32;

    fn element(offset: u64, length: u64, exclusive: bool) -> LockElement {
        LockElement { offset, length, exclusive }
    }

    fn covers(element: &LockElement, byte: u64) -> bool {
        element.offset <= byte && byte - element.offset < element.length
    }

    /// The lock on a byte that a list of locks requires.
    fn expected(locks: &[LockElement], byte: u64) -> Option<RangeLock> {
        let kinds = locks.iter().filter(|it| covers(it, byte)).map(|it| match it.exclusive {
            true => RangeLock::Exclusive,
            false => RangeLock::Shared,
        });
        kinds.max()
    }

    proptest! {
        /// The host ends up with the required locks, and no lock is set twice.
        #[test]
        fn host_has_the_remaining_locks(
            steps in prop::collection::vec((0..BYTES, 0..12_u64, any::<bool>(), any::<prop::sample::Index>()), 1..60)
        ) {
            let (mut cover, mut locks) = (Cover::default(), Vec::new());
            let mut machine = vec![None; usize::try_from(BYTES + 12).unwrap()];
            for (offset, length, exclusive, chosen) in steps {
                let adds = locks.is_empty() || chosen.index(3) != 0;
                let (one, pieces) = if adds {
                    let one = element(offset, length, exclusive);
                    locks.push(one);
                    (one, cover.add(&one))
                } else {
                    let one = locks.swap_remove(chosen.index(locks.len()));
                    (one, cover.remove(&one))
                };
                for (range, lock) in pieces {
                    prop_assert!(one.offset <= range.start && range.end <= one.offset + one.length);
                    for byte in range {
                        let byte = &mut machine[usize::try_from(byte).unwrap()];
                        prop_assert_ne!(*byte, lock, "an unchanged lock is not set again");
                        *byte = lock;
                    }
                }
                for (byte, lock) in (0..).zip(&machine) {
                    prop_assert_eq!(*lock, expected(&locks, byte), "byte {}", byte);
                }
                let probe = element(offset, length, false);
                let within = cover.within(&probe);
                let told = within.iter().flat_map(|(range, lock)| range.clone().map(|byte| (byte, *lock)));
                let wanted = (offset..offset + length).map(|byte| (byte, expected(&locks, byte)));
                prop_assert!(told.eq(wanted), "{:?}", within);
            }
            for one in &locks {
                cover.remove(one);
            }
            prop_assert!(cover.is_empty(), "{:?}", cover);
        }
    }

    #[test]
    fn ranges_beyond_the_hosts_offsets_are_ignored() {
        let mut cover = Cover::default();
        assert_eq!(cover.add(&element(1 << 63, u64::MAX >> 1, true)), []);
        assert_eq!(cover.add(&element(5, 0, true)), []);
        assert!(cover.is_empty());
        let all = 7..vfs::handle::LOCKABLE_END;
        assert_eq!(cover.add(&element(7, u64::MAX, true)), [(all.clone(), Some(RangeLock::Exclusive))]);
        assert_eq!(cover.add(&element(8, 1, false)), [], "the bytes have an exclusive lock already");
        assert_eq!(
            cover.remove(&element(7, u64::MAX, true)),
            [(7..8, None), (8..9, Some(RangeLock::Shared)), (9..all.end, None)]
        );
    }
}
