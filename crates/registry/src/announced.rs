//! The announcement of events to those who wait for them, once for all events that nobody has looked for.
//!
//! Whoever waits for events prepares the wait, takes the whole lock, looks, and waits if there is nothing. So after an
//! announcement, no further one is needed until somebody has taken the whole lock: all who wait are awake or have not
//! looked yet.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// True if an event was announced since the whole lock was last held.
#[derive(Debug)]
pub(crate) struct Announced<F = AtomicBool>(F);

/// A flag. The lock orders its changes, so they are relaxed.
pub(crate) trait Flag {
    fn new() -> Self;
    fn is_set(&self) -> bool;
    fn replace(&self, set: bool) -> bool;
}

impl<F: Flag> Announced<F> {
    pub(crate) fn new() -> Self {
        Self(F::new())
    }

    /// Records that the whole lock is held.
    pub(crate) fn seen(&self) {
        self.0.replace(false);
    }

    /// Asks, under the shared lock and after an event was added, if the caller has to announce it. It does that when it
    /// has left.
    pub(crate) fn is_due(&self) -> bool {
        // While events are announced already, the flag is only read: then it stays in the caches of all cores.
        !self.0.is_set() && !self.0.replace(true)
    }
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
