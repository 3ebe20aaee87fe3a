//! The byte-range locks of one file (MS-FSA 2.1.5.8, 2.1.5.9, 2.1.4.10): ranges, their opens and the queue of requests.
//!
//! A lock is granted if no held lock conflicts with it. A request that may wait joins the file's queue; it also waits
//! behind earlier requests that it conflicts with, so that shared locks that keep arriving do not starve an exclusive
//! one. A request that may not wait takes any free range. When a range is released, the queue is searched in order.
//!
//! Some requests need the same lock [outside](Waiter::outside) of the registry first. Such a request keeps its place in
//! the queue until its caller has that lock: the registry reports to the caller when to try, and until the caller has
//! tried, no other request gets the range.
//!
//! With `n` locks of the file and `w` waiters, whose number has a small limit: to lock or unlock an element, or to find
//! a conflict, takes O(log n) steps; to release `k` ranges takes O(k log n), and O((k + w) log (k + w)) more if
//! requests wait.

use std::collections::{BTreeMap, VecDeque};

use wire::FileGlobalId;

use crate::intervals::{Intervals, Owned};
use crate::{RequestKey, cost};

/// One element of a LOCK request (MS-SMB2 2.2.26.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockElement {
    /// `Offset`.
    pub offset: u64,
    /// `Length`.
    pub length: u64,
    /// SMB2_LOCKFLAG_EXCLUSIVE_LOCK, else SHARED_LOCK.
    pub exclusive: bool,
}

/// The locks of a file, and the requests that wait for one.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// The locks, to find those that overlap a range.
    held: Obstacles,
    /// The locks again by their opens, equal ones counted.
    by_open: BTreeMap<ByOpen, u32>,
    count: usize,
    waiting: VecDeque<Waiter>,
}

/// A lock in order of its open: open, offset, length, exclusive.
type ByOpen = (FileGlobalId, u64, u64, bool);

/// Locks that can conflict with others.
#[derive(Debug, Default)]
struct Obstacles {
    shared: Intervals,
    exclusive: Intervals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) open: FileGlobalId,
    pub(crate) element: LockElement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) request: RequestKey,
    pub(crate) lock: Held,
    /// True if the caller must have the same lock outside of the registry first.
    pub(crate) outside: bool,
    /// True while the caller has been asked to try again and has not tried yet.
    pub(crate) told: bool,
}

impl Waiter {
    pub(crate) const fn new(request: RequestKey, lock: Held, outside: bool) -> Self {
        Self { request, lock, outside, told: false }
    }
}

/// The results of a release of ranges.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    /// Waiters that now hold their lock.
    pub(crate) granted: Vec<Waiter>,
    /// Waiters without a conflict here, whose callers are to try again.
    pub(crate) retry: Vec<RequestKey>,
}

impl LockElement {
    pub(crate) fn is_valid(&self) -> bool {
        self.length == 0 || self.offset.checked_add(self.length.saturating_sub(1)).is_some()
    }

    fn of(self, open: FileGlobalId) -> Owned {
        Owned { offset: self.offset, length: self.length, open }
    }
}

impl Held {
    /// True if a new lock conflicts with this one. An open may add a shared lock to its own exclusive one, but no
    /// exclusive lock to a shared one.
    pub(crate) fn conflicts_with(&self, new: &Self) -> bool {
        let stacks = self.open == new.open && self.element.exclusive && !new.element.exclusive;
        self.range().overlaps(&new.range()) && (self.element.exclusive || new.element.exclusive) && !stacks
    }

    fn range(&self) -> Owned {
        self.element.of(self.open)
    }

    fn place(&self) -> ByOpen {
        (self.open, self.element.offset, self.element.length, self.element.exclusive)
    }
}

impl Obstacles {
    fn insert(&mut self, lock: &Held) {
        let locks = if lock.element.exclusive { &mut self.exclusive } else { &mut self.shared };
        locks.insert(lock.range());
    }

    fn remove(&mut self, lock: &Held) -> bool {
        let locks = if lock.element.exclusive { &mut self.exclusive } else { &mut self.shared };
        locks.remove(&lock.range())
    }

    /// The open of a lock that [conflicts](Held::conflicts_with) with a new one.
    fn conflict(&self, new: &Held) -> Option<FileGlobalId> {
        let range = new.range();
        if !new.element.exclusive {
            return self.exclusive.overlapping(&range, Some(new.open));
        }
        self.exclusive.overlapping(&range, None).or_else(|| self.shared.overlapping(&range, None))
    }
}

impl Ranges {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The beginning of the first lock.
    pub(crate) fn first_offset(&self) -> Option<u64> {
        self.held.shared.first_offset().into_iter().chain(self.held.exclusive.first_offset()).min()
    }

    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// All locks, in order of their opens and ranges. This is slow and used by tests.
    pub(crate) fn held(&self) -> impl Iterator<Item = Held> {
        self.by_open.iter().flat_map(|(place, count)| (0..*count).map(|_| held(place)))
    }

    /// The locks of an open, in order of their ranges.
    pub(crate) fn held_by(&self, open: FileGlobalId) -> impl Iterator<Item = LockElement> {
        let all = (open, 0, 0, false)..=(open, u64::MAX, u64::MAX, true);
        self.by_open.range(all).flat_map(|(place, count)| (0..*count).map(|_| held(place).element))
    }

    /// The number of locks of an open of exactly this range and kind.
    pub(crate) fn count_of(&self, open: FileGlobalId, element: &LockElement) -> u32 {
        self.by_open.get(&Held { open, element: *element }.place()).copied().unwrap_or_default()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter()
    }

    /// Adds a request at the end of the queue.
    pub(crate) fn push_waiter(&mut self, waiter: Waiter) {
        self.waiting.push_back(waiter);
    }

    /// The open whose lock does not allow reading or writing the range through `open` (MS-FSA 2.1.4.10). A shared lock
    /// does not allow writing, not even through the open that holds it.
    pub(crate) fn denies(
        &self,
        open: FileGlobalId,
        range: &LockElement,
        write: bool,
    ) -> Option<FileGlobalId> {
        let range = range.of(open);
        let by_exclusive = self.held.exclusive.overlapping(&range, Some(open));
        by_exclusive.or_else(|| self.held.shared.overlapping(&range, None).filter(|_| write))
    }

    pub(crate) fn conflict_with_waiting(&self, new: &Held) -> Option<FileGlobalId> {
        let mut waiting = self.waiting.iter().inspect(|_| cost::step());
        waiting.find(|it| it.lock.conflicts_with(new)).map(|it| it.lock.open)
    }

    /// Locks all elements or none.
    pub(crate) fn lock_all(
        &mut self,
        open: FileGlobalId,
        elements: &[LockElement],
    ) -> Result<(), FileGlobalId> {
        for (at, element) in elements.iter().enumerate() {
            let new = Held { open, element: *element };
            if let Some(blocker) = self.held.conflict(&new) {
                for element in elements.iter().take(at) {
                    self.remove(&Held { open, element: *element });
                }
                return Err(blocker);
            }
            self.hold(&new);
        }
        Ok(())
    }

    /// Releases one lock of exactly this range: an exclusive one before a shared one.
    pub(crate) fn unlock(&mut self, open: FileGlobalId, range: &LockElement) -> Option<LockElement> {
        [true, false]
            .into_iter()
            .map(|exclusive| LockElement { exclusive, ..*range })
            .find(|element| self.remove(&Held { open, element: *element }))
    }

    /// Releases one lock of exactly this range and kind.
    pub(crate) fn remove(&mut self, lock: &Held) -> bool {
        cost::step();
        let Some(count) = self.by_open.get_mut(&lock.place()) else { return false };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.by_open.remove(&lock.place());
        }
        self.count = self.count.saturating_sub(1);
        self.held.remove(lock)
    }

    pub(crate) fn unlock_open(&mut self, open: FileGlobalId) -> Vec<LockElement> {
        let released: Vec<LockElement> = self.held_by(open).collect();
        for element in &released {
            self.remove(&Held { open, element: *element });
        }
        released
    }

    pub(crate) fn take_waiter(&mut self, request: RequestKey) -> Option<Waiter> {
        let at = self.waiting.iter().position(|waiter| waiter.request == request)?;
        self.waiting.remove(at)
    }

    pub(crate) fn take_waiters_of(&mut self, open: FileGlobalId) -> Vec<Waiter> {
        let (taken, kept) = self.waiting.drain(..).partition(|waiter| waiter.lock.open == open);
        self.waiting = VecDeque::from_iter::<Vec<Waiter>>(kept);
        taken
    }

    /// Grants the lock that a waiter waits for. Returns false if there is a conflict.
    pub(crate) fn grant(&mut self, request: RequestKey) -> bool {
        let Some(at) = self.waiting.iter().position(|waiter| waiter.request == request) else { return false };
        let Some(lock) = self.waiting.get(at).map(|waiter| waiter.lock) else { return false };
        let mut before = self.waiting.iter().take(at).inspect(|_| cost::step());
        if before.any(|it| it.lock.conflicts_with(&lock)) || self.held.conflict(&lock).is_some() {
            self.has_tried(request);
            return false;
        }
        self.waiting.remove(at);
        self.hold(&lock);
        true
    }

    /// Records that a waiter has tried and was not granted its lock. Returns false if it does not wait.
    pub(crate) fn has_tried(&mut self, request: RequestKey) -> bool {
        let waiter = self.waiting.iter_mut().find(|waiter| waiter.request == request);
        waiter.map(|waiter| waiter.told = false).is_some()
    }

    /// The open of a waiter that is to try before any of these ranges can be locked.
    pub(crate) fn conflict_with_told(
        &self,
        open: FileGlobalId,
        elements: &[LockElement],
    ) -> Option<FileGlobalId> {
        let mut told = Obstacles::default();
        for waiter in self.waiting.iter().inspect(|_| cost::step()).filter(|waiter| waiter.told) {
            told.insert(&waiter.lock);
        }
        elements.iter().find_map(|element| told.conflict(&Held { open, element: *element }))
    }

    /// Grants the locks that are free now that these ranges have been released, in the order of the requests.
    pub(crate) fn grant_waiting(&mut self, released: &[LockElement]) -> Woken {
        let mut woken = Woken::default();
        if self.waiting.is_empty() || released.is_empty() {
            return woken;
        }
        let freed = Freed::new(released);
        let mut still = Obstacles::default();
        for mut waiter in std::mem::take(&mut self.waiting) {
            cost::step();
            let is_free = freed.overlaps(&waiter.lock.range())
                && self.held.conflict(&waiter.lock).is_none()
                && still.conflict(&waiter.lock).is_none();
            if is_free && !waiter.outside {
                self.hold(&waiter.lock);
                woken.granted.push(waiter);
                continue;
            }
            if is_free {
                waiter.told = true;
                woken.retry.push(waiter.request);
            }
            still.insert(&waiter.lock);
            self.waiting.push_back(waiter);
        }
        woken
    }

    fn hold(&mut self, lock: &Held) {
        cost::step();
        self.held.insert(lock);
        let count = self.by_open.entry(lock.place()).or_default();
        *count = count.saturating_add(1);
        self.count = self.count.saturating_add(1);
    }
}

/// Ranges that were released: their beginnings in order, each with the furthest end of this range and those before it.
struct Freed(Vec<(u64, u128)>);

impl Freed {
    fn new(released: &[LockElement]) -> Self {
        let ends = |it: &LockElement| u128::from(it.offset).saturating_add(u128::from(it.length));
        let mut freed: Vec<(u64, u128)> = released.iter().map(|it| (it.offset, ends(it))).collect();
        freed.sort_unstable();
        let mut furthest = 0;
        for (_, end) in &mut freed {
            furthest = furthest.max(*end);
            *end = furthest;
        }
        Self(freed)
    }

    fn overlaps(&self, range: &Owned) -> bool {
        let before = self.0.partition_point(|(offset, _)| u128::from(*offset) < range.end());
        before
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .is_some_and(|(_, end)| *end > u128::from(range.offset))
    }
}

fn held((open, offset, length, exclusive): &ByOpen) -> Held {
    let element = LockElement { offset: *offset, length: *length, exclusive: *exclusive };
    Held { open: *open, element }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(number: u32) -> FileGlobalId {
        FileGlobalId::new(number).unwrap()
    }

    fn exclusive(offset: u64, length: u64) -> LockElement {
        LockElement { offset, length, exclusive: true }
    }

    /// As many locks as a file may have, of two opens and both kinds, with a few equal ones.
    fn full() -> Ranges {
        let mut ranges = Ranges::default();
        for number in 0..32_768 {
            let element = LockElement { exclusive: number % 2 == 0, ..exclusive(number * 4, 2) };
            assert_eq!(ranges.lock_all(open(1 + u32::from(number % 3 == 0)), &[element]), Ok(()));
        }
        ranges
    }

    #[test]
    fn cost_of_lock_all_with_a_conflict_is_linear() {
        let mut ranges = full();
        let mut elements: Vec<LockElement> = (0..2_730).map(|it| exclusive(it * 4 + 2, 1)).collect();
        elements.push(exclusive(8, 1));
        let (result, steps) = cost::of(|| ranges.lock_all(open(3), &elements));
        assert!(result.is_err() && ranges.len() == 32_768);
        assert!(steps < 2_731 * 150, "{steps} steps");
    }

    #[test]
    fn cost_of_lock_operations_is_logarithmic() {
        let mut ranges = full();
        let limit = 80;
        for (offset, length) in [(0, 1), (50_000, 9), (131_070, 2), (0, u64::MAX), (131_072, 5), (3, 0)] {
            let wanted = exclusive(offset, length);
            for who in 1..4 {
                let (_, steps) = cost::of(|| ranges.denies(open(who), &wanted, true));
                assert!(steps <= limit, "{steps} steps to look at {wanted:?}");
                let (_, steps) = cost::of(|| ranges.lock_all(open(who), &[wanted]));
                assert!(steps <= limit, "{steps} steps to lock {wanted:?}");
                let (_, steps) = cost::of(|| ranges.unlock(open(who), &wanted));
                assert!(steps <= limit, "{steps} steps to unlock {wanted:?}");
            }
        }
        let (released, steps) = cost::of(|| ranges.unlock_open(open(1)));
        assert!(steps < released.len() as u64 * limit, "{steps} steps for {} locks", released.len());
    }

    #[test]
    fn queue_is_searched_once_per_release() {
        let mut ranges = full();
        let waiters = crate::limits::WAITING_LOCKS_PER_FILE;
        for id in 0..waiters as u64 {
            let request = RequestKey { connection: crate::ConnectionId(1), id };
            let lock = Held { open: open(7), element: exclusive(id * 4, 1) };
            ranges.push_waiter(Waiter::new(request, lock, false));
        }
        let released = ranges.unlock_open(open(1));
        let (woken, steps) = cost::of(|| ranges.grant_waiting(&released));
        assert!(woken.granted.len() > waiters / 2);
        assert!(steps < waiters as u64 * 150, "{steps} steps");
    }
}
