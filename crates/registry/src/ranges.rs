//! The byte-range locks of one file (MS-FSA 2.1.5.8, 2.1.5.9, 2.1.4.10). Ranges and whose they are, and
//! nothing else.
//!
//! A lock is granted if no held lock conflicts with it. One that may wait joins the file's queue; it
//! also waits behind an earlier waiter that it conflicts with, so that an exclusive lock is not starved
//! by shared ones that keep arriving. Who does not want to wait takes what is free. When a range is
//! given up, the queue is looked at in order.

use std::collections::VecDeque;

use wire::FileGlobalId;

use crate::RequestKey;

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

/// The locks of a file, and who waits for one. It knows nothing but ranges and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    held: Vec<Held>,
    waiting: VecDeque<Waiter>,
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
}

impl LockElement {
    pub(crate) fn is_valid(&self) -> bool {
        self.length == 0 || self.offset.checked_add(self.length.saturating_sub(1)).is_some()
    }

    fn end(&self) -> u128 {
        u128::from(self.offset).saturating_add(u128::from(self.length))
    }

    /// A range of no bytes lies between two bytes: it overlaps what has both, and nothing else.
    fn overlaps(&self, other: &Self) -> bool {
        u128::from(self.offset) < other.end() && u128::from(other.offset) < self.end()
    }

    fn same_range(&self, other: &Self) -> bool {
        self.offset == other.offset && self.length == other.length
    }
}

impl Held {
    /// Whether a new lock cannot be beside this one. An open may stack a shared lock on its own
    /// exclusive one, and not the other way round.
    pub(crate) fn conflicts_with(&self, new: &Self) -> bool {
        let stacks = self.open == new.open && self.element.exclusive && !new.element.exclusive;
        self.element.overlaps(&new.element) && (self.element.exclusive || new.element.exclusive) && !stacks
    }

    /// Whether reading or writing through `open` is kept from the range (MS-FSA 2.1.4.10). A shared
    /// lock keeps everybody from writing, whoever holds it.
    pub(crate) fn denies(&self, open: FileGlobalId, range: &LockElement, write: bool) -> bool {
        let applies = match write {
            true => self.open != open || !self.element.exclusive,
            false => self.open != open && self.element.exclusive,
        };
        applies && self.element.overlaps(range)
    }
}

impl Ranges {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter()
    }

    /// Adds a waiter at the end of the queue.
    pub(crate) fn push_waiter(&mut self, waiter: Waiter) {
        self.waiting.push_back(waiter);
    }

    fn conflict(&self, new: &Held) -> Option<FileGlobalId> {
        self.held.iter().find(|held| held.conflicts_with(new)).map(|held| held.open)
    }

    pub(crate) fn conflict_with_waiting(&self, new: &Held) -> Option<FileGlobalId> {
        self.waiting.iter().find(|it| it.lock.conflicts_with(new)).map(|it| it.lock.open)
    }

    /// Locks all elements or none.
    pub(crate) fn lock_all(
        &mut self,
        open: FileGlobalId,
        elements: &[LockElement],
    ) -> Result<(), FileGlobalId> {
        let before = self.held.len();
        for element in elements {
            let new = Held { open, element: *element };
            if let Some(blocker) = self.conflict(&new) {
                self.held.truncate(before);
                return Err(blocker);
            }
            self.held.push(new);
        }
        Ok(())
    }

    /// Gives up one lock of exactly this range: an exclusive one before a shared one.
    pub(crate) fn unlock(&mut self, open: FileGlobalId, range: &LockElement) -> bool {
        let find = |exclusive: bool| {
            self.held.iter().position(|held| {
                held.open == open && held.element.exclusive == exclusive && held.element.same_range(range)
            })
        };
        match find(true).or_else(|| find(false)) {
            Some(at) => {
                self.held.remove(at);
                true
            }
            None => false,
        }
    }

    pub(crate) fn unlock_open(&mut self, open: FileGlobalId) -> Vec<LockElement> {
        let mut released = Vec::new();
        self.held.retain(|held| {
            if held.open == open {
                released.push(held.element);
            }
            held.open != open
        });
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

    /// Grants what can be granted now that these ranges have been given up, in the order of asking.
    pub(crate) fn grant_waiting(&mut self, released: &[LockElement]) -> Vec<Waiter> {
        let mut granted = Vec::new();
        let mut still = VecDeque::<Waiter>::new();
        for waiter in std::mem::take(&mut self.waiting) {
            let is_concerned = released.iter().any(|range| range.overlaps(&waiter.lock.element));
            let is_free = is_concerned
                && self.conflict(&waiter.lock).is_none()
                && !still.iter().any(|earlier| earlier.lock.conflicts_with(&waiter.lock));
            if is_free {
                self.held.push(waiter.lock);
                granted.push(waiter);
            } else {
                still.push_back(waiter);
            }
        }
        self.waiting = still;
        granted
    }
}
