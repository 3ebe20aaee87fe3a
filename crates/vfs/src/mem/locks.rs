//! Locks of ranges of a file in memory, with the semantics of Linux: a new lock of an owner replaces the
//! owner's locks of the same bytes.

use crate::handle::RangeLock;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The owner of locks: a handle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner(u64);

impl Default for Owner {
    fn default() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// The locks of one file.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<(u64, Range<u64>, RangeLock)>);

impl Locks {
    /// True if another owner's lock conflicts with this one.
    pub(super) fn is_locked(&self, owner: &Owner, range: &Range<u64>, lock: RangeLock) -> bool {
        self.0.iter().any(|(other, held, kind)| {
            let overlaps = held.start < range.end && range.start < held.end;
            *other != owner.0 && overlaps && (*kind).max(lock) == RangeLock::Exclusive
        })
    }

    /// Replaces the locks of `owner` in the range with this one.
    pub(super) fn set(&mut self, owner: &Owner, range: &Range<u64>, lock: Option<RangeLock>) {
        let mut kept = Vec::new();
        for (other, held, kind) in self.0.drain(..) {
            if other != owner.0 {
                kept.push((other, held, kind));
                continue;
            }
            let before = held.start..held.end.min(range.start);
            let after = held.start.max(range.end)..held.end;
            kept.extend([before, after].into_iter().filter(|it| !it.is_empty()).map(|it| (other, it, kind)));
        }
        kept.extend(lock.map(|lock| (owner.0, range.clone(), lock)));
        self.0 = kept;
    }

    /// Releases all locks of `owner`.
    pub(super) fn forget(&mut self, owner: &Owner) {
        self.0.retain(|(other, ..)| *other != owner.0);
    }
}
