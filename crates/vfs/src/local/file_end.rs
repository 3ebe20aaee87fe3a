//! The end of a file, kept where it is while somebody appends: who may append decides by where the data go, and the
//! kernel has no call that writes at the end only if that is where it was.
//!
//! It is one for all handles that write to a file, through whatever share. Local processes do not know of it.

use super::inode::InodeKey;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Files that some handle can write to. The lock is held for look-ups.
static FILES: Mutex<BTreeMap<InodeKey, Arc<RwLock<()>>>> = Mutex::new(BTreeMap::new());

/// The end of a file that a handle can write to.
pub(super) struct End {
    inode: InodeKey,
    lock: Arc<RwLock<()>>,
}

impl End {
    /// The end of a file, for one handle.
    pub(super) fn of(inode: InodeKey) -> Self {
        Self { inode, lock: Arc::clone(files().entry(inode).or_default()) }
    }

    /// For who may move the end without having looked where it is.
    pub(super) fn moving(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read()
    }

    /// For who looks where the end is, and goes on from there.
    pub(super) fn still(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut files = files();
        let own = std::mem::take(&mut self.lock);
        // Others have cloned it under the table's lock.
        if Arc::strong_count(&own) == 2 {
            files.remove(&self.inode);
        }
        // Before the table is given back, and the next one counts.
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
    fn a_file_that_nobody_writes_to_is_forgotten() {
        let inode = (u64::MAX, 7);
        let (one, other) = (End::of(inode), End::of(inode));
        assert!(Arc::ptr_eq(&one.lock, &other.lock));
        drop(one);
        assert!(files().contains_key(&inode));
        drop(other);
        assert!(!files().contains_key(&inode));
    }
}
