//! One lock per directory for the whole process: who looks whether a name is free and then takes it holds the
//! directory's, through whatever share the name is reached.
//!
//! Only directories that are locked or waited for are in the table, so that one on a file system that hangs keeps
//! nobody waiting but those who want the same directory. The table's own lock is held for look-ups.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What tells a directory from all others: its device and its inode.
pub(super) type DirectoryKey = (u64, u64);

static TABLE: Mutex<BTreeMap<DirectoryKey, Arc<Slot>>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Slot {
    is_held: Mutex<bool>,
    freed: Condvar,
}

/// A directory's lock, held until it is dropped.
#[must_use]
pub(super) struct DirectoryLock {
    key: DirectoryKey,
    slot: Arc<Slot>,
}

impl DirectoryLock {
    /// Waits for the lock of a directory. Whoever holds one must not wait for another: see [`Self::pair`].
    pub(super) fn of(key: DirectoryKey) -> Self {
        let slot = Arc::clone(locked(&TABLE).entry(key).or_default());
        let mut is_held = locked(&slot.is_held);
        while *is_held {
            is_held = slot.freed.wait(is_held).unwrap_or_else(PoisonError::into_inner);
        }
        *is_held = true;
        drop(is_held);
        Self { key, slot }
    }

    /// Waits for the locks of two directories, which may be one, always in the same order.
    pub(super) fn pair(one: DirectoryKey, other: DirectoryKey) -> (Self, Option<Self>) {
        let first = Self::of(one.min(other));
        let second = (one != other).then(|| Self::of(one.max(other)));
        (first, second)
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        *locked(&self.slot.is_held) = false;
        self.slot.freed.notify_one();
        let mut table = locked(&TABLE);
        // Those who wait have cloned it under the table's lock.
        if Arc::strong_count(&self.slot) == 2 {
            table.remove(&self.key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_thread_at_a_time_has_a_directory() {
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for number in 0..4_u64 {
                let inside = &inside;
                scope.spawn(move || {
                    for round in 0..500 {
                        let (a, b) = ((u64::MAX, 1), (u64::MAX, 2 + (number + round) % 2));
                        let _locks = DirectoryLock::pair(if round % 2 == 0 { a } else { b }, a);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(!locked(&TABLE).keys().any(|key| key.0 == u64::MAX), "nothing stays in the table");
    }
}
