//! Locks that keep the end of a file in place during an append. The caller decides by the end whether it may
//! append, and the kernel has no call that writes at the end only if it has not moved.
//!
//! All handles that write to a file share its lock, also across shares. Local processes do not take part.

use super::inode::InodeKey;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The files that have handles for writing. The lock is held for look-ups only.
static FILES: Mutex<BTreeMap<InodeKey, Arc<RwLock<()>>>> = Mutex::new(BTreeMap::new());

/// The lock of the end of a file, for one handle.
pub(super) struct End {
    inode: InodeKey,
    lock: Arc<RwLock<()>>,
}

impl End {
    /// Creates the lock of a file's end for one handle.
    pub(super) fn of(inode: InodeKey) -> Self {
        Self { inode, lock: Arc::clone(files().entry(inode).or_default()) }
    }

    /// Locks for an operation that may move the end, but does not depend on it.
    pub(super) fn moving(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read()
    }

    /// Locks for an operation that determines the end and writes there.
    pub(super) fn still(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut files = files();
        let own = std::mem::take(&mut self.lock);
        // Other handles clone it under the table's lock.
        if Arc::strong_count(&own) == 2 {
            files.remove(&self.inode);
        }
        // Drop it before the table's lock is released and another handle counts.
        drop(own);
    }
}

fn files() -> MutexGuard<'static, BTreeMap<InodeKey, Arc<RwLock<()>>>> {
    FILES.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_a_file_is_removed_with_its_last_writer() {
        let inode = (u64::MAX, 7);
        let (one, other) = (End::of(inode), End::of(inode));
        assert!(Arc::ptr_eq(&one.lock, &other.lock));
        drop(one);
        assert!(files().contains_key(&inode));
        drop(other);
        assert!(!files().contains_key(&inode));
    }
}
