//! What one open's byte-range locks come to on the machine, where locks do not stack: of each byte, whether any of them
//! covers it, and whether an exclusive one does.
//!
//! On Windows each lock is a thing of its own: two shared locks of one range are both given up, and a shared one may lie
//! on an exclusive one. On Linux a byte is locked by an owner or not. So locks are counted, and what a change makes
//! another is what has to be set.

use std::collections::BTreeMap;
use std::ops::Range;

use registry::LockElement;
use vfs::RangeLock;
use vfs::handle::lockable;

/// The locks of an open: how many of either kind cover the bytes from an offset on, until the next one.
#[derive(Debug, Default)]
pub(super) struct Cover {
    counts: BTreeMap<u64, Counts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    shared: u32,
    exclusive: u32,
}

/// A range, and what is to be held there.
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

    /// Adds a lock, and says what has to be set for it.
    pub(super) fn add(&mut self, element: &LockElement) -> Vec<Piece> {
        self.change(element, |count| count.saturating_add(1))
    }

    /// Takes a lock away, and says what has to be set for what is left.
    pub(super) fn remove(&mut self, element: &LockElement) -> Vec<Piece> {
        self.change(element, |count| count.saturating_sub(1))
    }

    /// All that is to be held within the bytes of a lock, and where nothing is.
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

    /// Lets counts begin at an offset.
    fn split(&mut self, offset: u64) {
        let counts = self.at(offset);
        self.counts.entry(offset).or_insert(counts);
    }

    /// Takes away that they begin there, where they are those before.
    fn join(&mut self, offset: u64) {
        let before = self.counts.range(..offset).next_back().map(|(_, counts)| *counts).unwrap_or_default();
        if self.counts.get(&offset) == Some(&before) {
            self.counts.remove(&offset);
        }
    }
}

/// Pieces in their order, neighbours of one kind as one.
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

/// The bytes of a lock that the machine can lock: of a lock of no bytes there are none.
fn bytes(element: &LockElement) -> Option<Range<u64>> {
    lockable(&(element.offset..element.offset.saturating_add(element.length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that are looked at.
    const BYTES: u64 = 32;

    fn element(offset: u64, length: u64, exclusive: bool) -> LockElement {
        LockElement { offset, length, exclusive }
    }

    fn covers(element: &LockElement, byte: u64) -> bool {
        element.offset <= byte && byte - element.offset < element.length
    }

    /// What a byte is to be by a list of locks.
    fn expected(locks: &[LockElement], byte: u64) -> Option<RangeLock> {
        let kinds = locks.iter().filter(|it| covers(it, byte)).map(|it| match it.exclusive {
            true => RangeLock::Exclusive,
            false => RangeLock::Shared,
        });
        kinds.max()
    }

    proptest! {
        /// The machine does what it is told of each change, and nothing else.
        #[test]
        fn the_machine_has_what_is_left_of_the_locks(
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
                        prop_assert_ne!(*byte, lock, "what stays is not set again");
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
    fn of_what_lies_beyond_the_machines_offsets_there_is_nothing() {
        let mut cover = Cover::default();
        assert_eq!(cover.add(&element(1 << 63, u64::MAX >> 1, true)), []);
        assert_eq!(cover.add(&element(5, 0, true)), []);
        assert!(cover.is_empty());
        let all = 7..vfs::handle::LOCKABLE_END;
        assert_eq!(cover.add(&element(7, u64::MAX, true)), [(all.clone(), Some(RangeLock::Exclusive))]);
        assert_eq!(cover.add(&element(8, 1, false)), [], "an exclusive one is there");
        assert_eq!(
            cover.remove(&element(7, u64::MAX, true)),
            [(7..8, None), (8..9, Some(RangeLock::Shared)), (9..all.end, None)]
        );
    }
}
