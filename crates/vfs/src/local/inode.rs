//! Locks of inodes for the whole process: a directory can be in several shares, and a file can have names in
//! several shares.
//!
//! A lock belongs to one inode, so that a hanging file system delays only the users of the same file or
//! directory. The table contains only locks that are held or waited for; its own locks are held for look-ups
//! only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The device and inode of a file or directory.
pub(super) type InodeKey = (u64, u64);

/// The operations that a lock of an inode serializes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Changes of a directory's entries: checking that a name is free, and then using it. A thread that holds
    /// one must not wait for another: see [`lock_directories`].
    Entries,
    /// The creation of a file or directory, until it is complete: see [`super::incomplete_files`].
    Making,
    /// The first scan of a long directory, whose names are then kept: see [`super::folded`]. A thread that holds one
    /// waits for no other lock of an inode.
    Names,
    /// Changes of extended attributes that depend on their previous values: streams, DOS attributes, EAs.
    Attributes,
    /// Changes of the security descriptor that depend on its previous value.
    Security,
}

/// The number of tables, so many that requests for different files rarely use the same.
const SHARDS: usize = 16;

static TABLE: [Shard; SHARDS] = [const { Mutex::new(BTreeMap::new()) }; SHARDS];

type Shard = Mutex<BTreeMap<(Purpose, InodeKey), Slot>>;

/// The state of a lock that is held or waited for.
struct Slot {
    is_held: bool,
    /// The number of waiting threads, and the condition that wakes one of them; the first one creates it.
    waiting: u32,
    freed: Option<Arc<Condvar>>,
}

/// A held lock of an inode; dropping it releases the lock.
#[derive(Debug)]
#[must_use]
pub(super) struct InodeLock {
    purpose: Purpose,
    inode: InodeKey,
}

/// Waits for the lock of an inode.
pub(super) fn lock(purpose: Purpose, inode: InodeKey) -> InodeLock {
    let key = (purpose, inode);
    let mut table = table_of(inode);
    let freed = match table.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(Slot { is_held: true, waiting: 0, freed: None });
            return InodeLock { purpose, inode };
        }
        Entry::Occupied(mut entry) => {
            let slot = entry.get_mut();
            slot.waiting = slot.waiting.saturating_add(1);
            Arc::clone(slot.freed.get_or_insert_default())
        }
    };
    loop {
        // A slot with waiting threads is not removed.
        match table.get_mut(&key) {
            Some(slot) if slot.is_held => {}
            Some(slot) => {
                slot.is_held = true;
                slot.waiting = slot.waiting.saturating_sub(1);
                return InodeLock { purpose, inode };
            }
            None => {
                table.insert(key, Slot { is_held: true, waiting: 0, freed: None });
                return InodeLock { purpose, inode };
            }
        }
        freed.wait(&mut table);
    }
}

/// Waits for the locks of the entries of two directories, which may be the same, always in the same order.
pub(super) fn lock_directories(one: InodeKey, other: InodeKey) -> (InodeLock, Option<InodeLock>) {
    let first = lock(Purpose::Entries, one.min(other));
    let second = (one != other).then(|| lock(Purpose::Entries, one.max(other)));
    (first, second)
}

impl Drop for InodeLock {
    fn drop(&mut self) {
        let key = (self.purpose, self.inode);
        let mut table = table_of(self.inode);
        let Some(slot) = table.get_mut(&key) else { return };
        if slot.waiting == 0 {
            table.remove(&key);
            return;
        }
        slot.is_held = false;
        if let Some(freed) = &slot.freed {
            freed.notify_one();
        }
    }
}

fn table_of((device, inode): InodeKey) -> MutexGuard<'static, BTreeMap<(Purpose, InodeKey), Slot>> {
    let [first, ..] = &TABLE;
    let index = (inode ^ device).checked_rem(SHARDS as u64).and_then(|index| usize::try_from(index).ok());
    let shard = index.and_then(|index| TABLE.get(index)).unwrap_or(first);
    shard.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    #[test]
    fn only_one_thread_holds_the_lock_of_an_inode() {
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
        assert!(!table_of(inode).contains_key(&(Purpose::Attributes, inode)), "nothing stays in the table");
    }

    #[test]
    fn locks_of_other_inodes_and_purposes_are_independent() {
        let inode = (u64::MAX, 2);
        let _lock = lock(Purpose::Attributes, inode);
        let _other = lock(Purpose::Security, inode);
        let _same_shard = lock(Purpose::Attributes, (u64::MAX, 2 + SHARDS as u64));
    }

    #[test]
    fn two_directories_are_locked_in_one_order() {
        let inside = AtomicU32::new(0);
        let directories = [(u64::MAX, 3), (u64::MAX, 4), (u64::MAX, 5)];
        std::thread::scope(|scope| {
            for number in 0..4 {
                let inside = &inside;
                scope.spawn(move || {
                    for round in 0..500 {
                        let (a, b) = (directories[0], directories[1 + (number + round) % 2]);
                        let _locks =
                            if round % 2 == 0 { lock_directories(a, b) } else { lock_directories(b, a) };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        for directory in directories {
            assert!(!table_of(directory).contains_key(&(Purpose::Entries, directory)));
        }
    }
}
