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
pub(crate) struct Gate<R: RawRwLock, const N: usize = LANES>([Padded<RwLock<R, ()>>; N]);

/// The whole, until it is dropped.
pub(crate) struct Whole<'a, R: RawRwLock, const N: usize = LANES> {
    _lanes: [RwLockWriteGuard<'a, R, ()>; N],
}

impl<R: RawRwLock, const N: usize> Gate<R, N> {
    /// Puts the lock together from one primitive for each lane.
    pub(crate) fn new(lane: impl Fn() -> R) -> Self {
        Self(std::array::from_fn(|_| Padded(RwLock::from_raw(lane(), ()))))
    }

    pub(crate) fn whole(&self) -> Whole<'_, R, N> {
        // `map` goes through the lanes in order, so two of these cannot wait for each other.
        Whole { _lanes: self.0.each_ref().map(|lane| lane.write()) }
    }

    /// Enters by the lane of this thread. A thread that is in already must not enter again: it could wait for somebody
    /// who waits for it.
    pub(crate) fn shared(&self, lane: Lane) -> RwLockReadGuard<'_, R, ()> {
        let Self(lanes) = self;
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of lanes")]
        lanes[lane.0 % N].read()
    }
}

/// The number of a thread, which has the lane of its remainder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane(pub(crate) usize);

impl Lane {
    /// The lane's index.
    pub(crate) const fn index(self) -> usize {
        self.0 % LANES
    }

    /// The lane of this thread: threads have them by turns.
    pub(crate) fn of_this_thread() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<Option<Lane>> = const { Cell::new(None) };
        }
        OWN.with(|own| {
            own.get().unwrap_or_else(|| {
                let lane = Self(NEXT.fetch_add(1, Relaxed));
                own.set(Some(lane));
                lane
            })
        })
    }
}

/// The number of lanes. A shared holder writes twice to the line of its lane, which eight cores of 64 share; the whole
/// holder takes all of them, at some 20 ns each.
pub(crate) const LANES: usize = 8;

#[cfg(test)]
mod tests {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicBool, AtomicUsize};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;
    use crate::announced::{Announced, Flag};

    /// A lock whose every step loom sees: the number of readers, and what waits for it to change.
    struct Seen(Mutex<usize>, Condvar);

    const WRITER: usize = usize::MAX;

    impl Seen {
        fn new() -> Self {
            Self(Mutex::new(0), Condvar::new())
        }

        fn change(&self, change: impl Fn(usize) -> Option<usize>) {
            let mut readers = self.0.lock().unwrap();
            loop {
                if let Some(changed) = change(*readers) {
                    *readers = changed;
                    return self.1.notify_all();
                }
                readers = self.1.wait(readers).unwrap();
            }
        }
    }

    // SAFETY: a writer enters only if nobody is inside, and nobody enters while it is.
    #[expect(unsafe_code, reason = "the trait is unsafe")]
    unsafe impl RawRwLock for Seen {
        const INIT: Self = panic!("loom makes its locks at run time");
        type GuardMarker = lock_api::GuardNoSend;

        fn lock_shared(&self) {
            self.change(|readers| (readers != WRITER).then(|| readers + 1));
        }

        fn try_lock_shared(&self) -> bool {
            unreachable!("the gate waits")
        }

        unsafe fn unlock_shared(&self) {
            self.change(|readers| Some(readers - 1));
        }

        fn lock_exclusive(&self) {
            self.change(|readers| (readers == 0).then_some(WRITER));
        }

        fn try_lock_exclusive(&self) -> bool {
            unreachable!("the gate waits")
        }

        unsafe fn unlock_exclusive(&self) {
            self.change(|_| Some(0));
        }
    }

    fn explore(test: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(test);
    }

    /// Two shared holders make the same change in two places each; loom reports a use that is not exclusive.
    #[test]
    fn whole_holder_sees_complete_changes_only() {
        explore(|| {
            let gate = Arc::new(Gate::<Seen, 2>::new(Seen::new));
            let cells = Arc::new([[(); 2]; 2].map(|pair| pair.map(|()| UnsafeCell::new(0))));
            let changers: Vec<_> = (0..2)
                .map(|number: usize| {
                    let (gate, cells) = (Arc::clone(&gate), Arc::clone(&cells));
                    thread::spawn(move || {
                        let _shared = gate.shared(Lane(number));
                        for cell in &cells[number] {
                            // SAFETY: only this thread has these cells while it shares the gate.
                            #[expect(unsafe_code, reason = "loom's cells are used through pointers")]
                            cell.with_mut(|it| unsafe { *it += 1 });
                        }
                    })
                })
                .collect();
            {
                let _whole = gate.whole();
                for pair in &*cells {
                    // SAFETY: this thread has the whole gate.
                    #[expect(unsafe_code, reason = "loom's cells are used through pointers")]
                    let [first, second] = pair.each_ref().map(|cell| cell.with(|it| unsafe { *it }));
                    assert_eq!(first, second, "half of a change is seen");
                }
            }
            changers.into_iter().for_each(|changer| changer.join().unwrap());
        });
    }

    #[test]
    fn two_whole_holders_do_not_wait_for_each_other() {
        explore(|| {
            let gate = Arc::new(Gate::<Seen, 2>::new(Seen::new));
            let other = Arc::clone(&gate);
            let other = thread::spawn(move || drop(other.whole()));
            drop(gate.whole());
            other.join().unwrap();
        });
    }

    impl Flag for AtomicBool {
        fn new() -> Self {
            Self::new(false)
        }

        fn is_set(&self) -> bool {
            self.load(Relaxed)
        }

        fn replace(&self, set: bool) -> bool {
            self.swap(set, Relaxed)
        }
    }

    /// A reader of events prepares the wait, looks under the whole lock, and waits. If an announcement were left out that
    /// it needs, it would wait for ever, which loom reports.
    #[test]
    fn event_that_nobody_has_seen_is_announced() {
        explore(|| {
            let gate = Arc::new(Gate::<Seen, 2>::new(Seen::new));
            let announced = Arc::new(Announced::<AtomicBool>::new());
            let events = Arc::new(AtomicUsize::new(0));
            let notified = Arc::new((Mutex::new(0_u32), Condvar::new()));
            for number in 0..2 {
                let (gate, announced) = (Arc::clone(&gate), Arc::clone(&announced));
                let (events, notified) = (Arc::clone(&events), Arc::clone(&notified));
                thread::spawn(move || {
                    let shared = gate.shared(Lane(number));
                    events.fetch_add(1, Relaxed);
                    let is_due = announced.is_due();
                    drop(shared);
                    if is_due {
                        *notified.0.lock().unwrap() += 1;
                        notified.1.notify_all();
                    }
                });
            }
            loop {
                let prepared = *notified.0.lock().unwrap();
                let whole = gate.whole();
                announced.seen();
                let seen = events.load(Relaxed);
                drop(whole);
                if seen == 2 {
                    break;
                }
                let mut now = notified.0.lock().unwrap();
                while *now == prepared {
                    now = notified.1.wait(now).unwrap();
                }
            }
        });
    }
}
