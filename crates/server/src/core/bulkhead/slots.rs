//! The state of each thread: the call that it is in, if that may hang, and the bulkhead of the call.
//!
//! To enter and to leave a call, a thread stores to memory that no other thread writes, so the fast path costs next to
//! nothing. The watchdog, which looks for calls that take too long, reads that memory (`watchdog.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::watchdog;

/// The state of one thread.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// A counter that rises with each enter and each leave, so it is odd during a call.
    turns: AtomicU64,
    /// The bulkhead of the call.
    bulkhead: AtomicU64,
    /// True if a worker of the runtime waits for the call.
    holds_worker: AtomicBool,
    /// True if the call may take long without an error, as a flush may.
    is_patient: AtomicBool,
}

/// The way in which a thread makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// On a worker thread of the runtime, which runs no other task meanwhile.
    Inline,
    /// On a thread that the runtime does not need.
    Apart,
    /// On such a thread, for a call that may take long without an error.
    Patient,
}

/// The call that a thread is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) turn: u64,
    pub(super) bulkhead: u64,
    pub(super) holds_worker: bool,
    pub(super) is_patient: bool,
}

static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Slot> = {
        let slot = Arc::new(Slot::default());
        let mut slots = SLOTS.lock();
        slots.retain(|known| known.strong_count() != 0);
        slots.push(Arc::downgrade(&slot));
        slot
    };
}

/// The slots of all existing threads that have ever made a call.
pub(super) fn all() -> Vec<Arc<Slot>> {
    SLOTS.lock().iter().filter_map(Weak::upgrade).collect()
}

impl Slot {
    /// The call that the thread is in; `None` if it is in no call.
    pub(super) fn call(&self) -> Option<Call> {
        let turn = self.turns.load(Ordering::Acquire);
        (turn % 2 == 1).then(|| Call {
            turn,
            bulkhead: self.bulkhead.load(Ordering::Relaxed),
            holds_worker: self.holds_worker.load(Ordering::Relaxed),
            is_patient: self.is_patient.load(Ordering::Relaxed),
        })
    }

    /// A number that changes with every call.
    pub(super) fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    fn set(&self, bulkhead: u64, holds_worker: bool, is_patient: bool) {
        self.bulkhead.store(bulkhead, Ordering::Relaxed);
        self.holds_worker.store(holds_worker, Ordering::Relaxed);
        self.is_patient.store(is_patient, Ordering::Relaxed);
    }

    fn advance(&self) {
        // No other thread writes it.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// The call that the running thread is in.
#[cfg(test)]
pub(super) fn own_call() -> Option<Call> {
    OWN.with(|slot| slot.call())
}

/// The bulkhead of the call that the running thread is in; 0 outside of calls.
pub(super) fn current() -> u64 {
    OWN.try_with(|slot| slot.call().map_or(0, |call| call.bulkhead)).unwrap_or(0)
}

/// Runs `work` as a call behind a bulkhead.
pub(super) fn within<T>(bulkhead: u64, mode: Mode, work: impl FnOnce() -> T) -> T {
    let entered = Entered::new(bulkhead, mode);
    watchdog::notice();
    let done = work();
    drop(entered);
    done
}

/// A guard that ends the call, also after a panic.
struct Entered {
    /// The call that this one is nested in.
    outer: Option<Call>,
}

impl Entered {
    fn new(bulkhead: u64, mode: Mode) -> Self {
        let outer = OWN.try_with(|slot| {
            let outer = slot.call();
            let holds_worker = mode == Mode::Inline && outer.is_none_or(|call| call.holds_worker);
            slot.set(bulkhead, holds_worker, mode == Mode::Patient);
            if outer.is_none() {
                slot.advance();
            }
            outer
        });
        Self { outer: outer.ok().flatten() }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that is ending has no slot any more.
        let _ = OWN.try_with(|slot| match self.outer {
            Some(call) => slot.set(call.bulkhead, call.holds_worker, call.is_patient),
            None => slot.advance(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_nest_and_end_with_a_panic_too() {
        assert_eq!(current(), 0);
        within(7, Mode::Apart, || {
            assert_eq!(current(), 7);
            assert_eq!(within(8, Mode::Patient, current), 8);
            assert_eq!(current(), 7);
        });
        let panicked = std::panic::catch_unwind(|| within(9, Mode::Inline, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(current(), 0);
    }
}
