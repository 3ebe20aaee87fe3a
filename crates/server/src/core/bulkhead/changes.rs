//! The workers that requests which change directories may hold.
//!
//! The kernel makes the changes of a directory one after the other, and a file system's journal those of all directories.
//! So a few clients that create files could hold every worker, and a READ of another client would wait until one of their
//! calls returns, although a processor is free. When such requests hold half of the workers, others leave theirs, and the
//! kernel shares the processors among the threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of workers that such requests hold.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The number of workers that they may hold.
pub(super) static WORKERS_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Sets the number of workers that requests which change directories may hold.
pub(crate) fn set_workers_max(count: usize) {
    WORKERS_MAX.store(count, Ordering::Relaxed);
}

/// A worker that such a request holds, until this is dropped.
pub(super) struct Held(());

/// Holds a worker, if the limit permits it.
pub(super) fn hold_worker() -> Option<Held> {
    let max = WORKERS_MAX.load(Ordering::Relaxed);
    let one_more = |held: usize| (held < max).then_some(held.saturating_add(1));
    HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Held(()))
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
}
