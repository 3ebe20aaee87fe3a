//! A lock with two ways in: whole, for one holder, and shared, for holders that change different parts.
//!
//! It is a reader-writer lock in [`LANES`] lanes. A shared holder takes the lane of its thread, so that threads on
//! different cores do not write to the same cache line; the whole holder takes all lanes, in order. Whoever waits for
//! the whole keeps new shared holders out, lane by lane, so it waits for one request on each lane at most.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lock_api::{RawRwLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::parts::Padded;

/// The lock, over any primitive: the tests put in one that tries all interleavings.
pub(crate) struct Gate<R: RawRwLock>([Padded<RwLock<R, ()>>; LANES]);

/// The whole, until it is dropped.
pub(crate) struct Whole<'a, R: RawRwLock> {
    _lanes: [RwLockWriteGuard<'a, R, ()>; LANES],
}

impl<R: RawRwLock> Gate<R> {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Padded(RwLock::new(()))))
    }

    pub(crate) fn whole(&self) -> Whole<'_, R> {
        // `map` goes through the lanes in order, so two of these cannot wait for each other.
        Whole { _lanes: self.0.each_ref().map(|lane| lane.write()) }
    }

    /// Enters by the lane of this thread. A thread that is in already must not enter again: it could wait for somebody
    /// who waits for it.
    pub(crate) fn shared(&self, lane: Lane) -> RwLockReadGuard<'_, R, ()> {
        let Self(lanes) = self;
        #[expect(clippy::indexing_slicing, reason = "the number of a lane is below their number")]
        lanes[lane.0].read()
    }
}

/// The number of a lane: below [`LANES`] by its construction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane(usize);

impl Lane {
    pub(crate) const fn of(number: usize) -> Self {
        Self(number % LANES)
    }

    /// The lane of this thread: threads have them by turns.
    pub(crate) fn of_this_thread() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<Option<Lane>> = const { Cell::new(None) };
        }
        OWN.with(|own| {
            own.get().unwrap_or_else(|| {
                let lane = Self::of(NEXT.fetch_add(1, Relaxed));
                own.set(Some(lane));
                lane
            })
        })
    }
}

/// The number of lanes. A shared holder writes twice to the line of its lane, which eight cores of 64 share; the whole
/// holder takes all of them, at some 20 ns each.
pub(crate) const LANES: usize = 8;
