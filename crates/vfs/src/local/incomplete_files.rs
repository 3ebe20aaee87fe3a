//! Incomplete files: they have a name, but not yet their attributes and security descriptor. A thread that
//! finds one through a share waits until it is complete.
//!
//! Adding the name last would be simpler, but the kernel has no clean way. A file of O_TMPFILE that is linked
//! into its directory appears as `#NUMBER` in notifications for the directory (`IN_MODIFY`, `IN_CLOSE_WRITE`)
//! and in `/proc/self/fd` while it is open; and O_TMPFILE exists neither on every file system nor for
//! directories. A temporary name is visible and reported like any other.
//!
//! The inode is unknown until the file exists. Until then, a thread waits if the file that it opens could be
//! the new one: if it is on the device of the directory, or in a share whose root is on that device (an
//! overlay's files may be on other devices than its directories).

use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::resolve::{Root, device, statx_fd};
use crate::error::Result;
use rustix::fs::Statx;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The number of incomplete files and directories: while it is 0, no further checks are needed.
static UNDERWAY: AtomicUsize = AtomicUsize::new(0);

static UNKNOWN: Mutex<Unknown> = Mutex::new(Unknown { next: 0, begun: BTreeSet::new() });
static KNOWN: Condvar = Condvar::new();

/// The incomplete files that may have a name already, but whose inodes are unknown.
struct Unknown {
    next: u64,
    /// The directory's device, and an increasing number.
    begun: BTreeSet<(u64, u64)>,
}

/// An incomplete file or directory, until it is dropped.
#[must_use]
pub(super) struct Making {
    begun: Option<(u64, u64)>,
    lock: Option<InodeLock>,
}

impl Making {
    /// Begins a creation in a directory, before the name exists.
    pub(super) fn begin((device, _): InodeKey) -> Self {
        UNDERWAY.fetch_add(1, Ordering::SeqCst);
        let mut unknown = unknown();
        let begun = (device, unknown.next);
        unknown.next = unknown.next.saturating_add(1);
        unknown.begun.insert(begun);
        Self { begun: Some(begun), lock: None }
    }

    /// Sets the inode of the new file.
    pub(super) fn is(&mut self, raw: &Statx) {
        self.lock = Some(inode::lock(Purpose::Making, (device(raw), raw.stx_ino)));
        self.end_unknown();
    }

    fn end_unknown(&mut self) {
        if let Some(begun) = self.begun.take() {
            unknown().begun.remove(&begun);
            KNOWN.notify_all();
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.end_unknown();
        self.lock = None;
        UNDERWAY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until a file that has just been opened is complete. Returns false if it was complete before, so that what the
/// caller has already found out about it is true. A thread that is creating a file must not call it.
pub(super) fn wait_for(root: &Root, fd: BorrowedFd<'_>) -> Result<bool> {
    let may_be_incomplete = UNDERWAY.load(Ordering::SeqCst) != 0;
    if may_be_incomplete {
        wait(root, &statx_fd(fd)?);
    }
    Ok(may_be_incomplete)
}

/// Waits as [`wait_for`] does, for a file whose metadata were read.
pub(super) fn wait_for_entry(root: &Root, raw: &Statx) -> bool {
    let may_be_incomplete = UNDERWAY.load(Ordering::SeqCst) != 0;
    if may_be_incomplete {
        wait(root, raw);
    }
    may_be_incomplete
}

fn wait(root: &Root, raw: &Statx) {
    let own = device(raw);
    let mut unknown = unknown();
    let now = unknown.next;
    while [own, root.device].into_iter().any(|device| unknown.has(device, now)) {
        KNOWN.wait(&mut unknown);
    }
    drop(unknown);
    drop(inode::lock(Purpose::Making, (own, raw.stx_ino)));
}

impl Unknown {
    /// True if a creation on a device began before `number` and its inode is still unknown.
    fn has(&self, device: u64, number: u64) -> bool {
        self.begun.range((device, 0)..(device, number)).next().is_some()
    }
}

fn unknown() -> MutexGuard<'static, Unknown> {
    UNKNOWN.lock()
}
