//! Locks of inodes, the same for the whole process: a directory can be shared more than once, and a file can have
//! names in several shares.
//!
//! A lock is of one inode alone, so that a file system that hangs keeps nobody waiting but those who want the same
//! file.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Device and inode.
pub(super) type InodeKey = (u64, u64);

/// What a lock of an inode serializes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Changes of extended attributes that depend on what they were: streams, DOS attributes, EAs.
    Attributes,
    /// Changes of the security descriptor that depend on what it was.
    Security,
    /// Writes at the end of the file.
    Append,
}

/// How many tables the locks are spread over, so that requests for different files rarely meet.
const SHARDS: usize = 16;

static TABLE: [Shard; SHARDS] =
    [const { Shard { held: Mutex::new(BTreeSet::new()), freed: Condvar::new() } }; SHARDS];

struct Shard {
    held: Mutex<BTreeSet<(Purpose, InodeKey)>>,
    freed: Condvar,
}

impl Shard {
    fn of((device, inode): InodeKey) -> &'static Self {
        let [first, ..] = &TABLE;
        let index = (inode ^ device).checked_rem(SHARDS as u64).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| TABLE.get(index)).unwrap_or(first)
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<(Purpose, InodeKey)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock of an inode; dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct InodeLock {
    purpose: Purpose,
    inode: InodeKey,
}

/// Waits for the lock of an inode.
#[must_use]
pub(super) fn lock(purpose: Purpose, inode: InodeKey) -> InodeLock {
    let shard = Shard::of(inode);
    let mut held = shard.held();
    while !held.insert((purpose, inode)) {
        held = shard.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
    InodeLock { purpose, inode }
}

impl Drop for InodeLock {
    fn drop(&mut self) {
        let shard = Shard::of(self.inode);
        shard.held().remove(&(self.purpose, self.inode));
        shard.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn only_one_holds_the_lock_of_an_inode() {
        let inode = (u64::MAX, 1);
        let counter = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let _lock = lock(Purpose::Attributes, inode);
                        let seen = counter.load(Ordering::Relaxed);
                        std::thread::yield_now();
                        counter.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 4000);
    }

    #[test]
    fn other_inodes_and_other_purposes_are_free() {
        let inode = (u64::MAX, 2);
        let _lock = lock(Purpose::Attributes, inode);
        let _other = lock(Purpose::Append, inode);
        let _same_shard = lock(Purpose::Attributes, (u64::MAX, 2 + SHARDS as u64));
    }
}
