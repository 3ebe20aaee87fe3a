//! What is being made: it has its name already, but not yet all that it is to have, its security descriptor above
//! all. Whoever comes across it through a share waits until it does.
//!
//! Giving it the name last would ask less, but the kernel has no clean way. A file of O_TMPFILE that is linked into
//! its directory goes on as `#NUMBER` in what it reports to those who watch the directory (`IN_MODIFY`,
//! `IN_CLOSE_WRITE`) and in `/proc/self/fd`, for as long as it is open; and neither every file system nor
//! directories have it. A temporary name is a name like any other, and is reported as one.
//!
//! The inode is not known before there is one. Until it is, whoever opens anything that could be it waits: what is
//! on the device of the directory, or in a share whose root is (an overlay's files may be on other devices than its
//! directories).

use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::resolve::{Root, device, statx_fd};
use crate::error::Result;
use rustix::fs::Statx;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How many files and directories are being made: while there are none, nobody has to look further.
static UNDERWAY: AtomicUsize = AtomicUsize::new(0);

static UNKNOWN: Mutex<Unknown> = Mutex::new(Unknown { next: 0, begun: BTreeSet::new() });
static KNOWN: Condvar = Condvar::new();

/// What is being made and may have its name, while its inode is not known.
struct Unknown {
    next: u64,
    /// The directory's device, and a number that rises.
    begun: BTreeSet<(u64, u64)>,
}

/// Something that is being made, until it is dropped.
#[must_use]
pub(super) struct Making {
    begun: Option<(u64, u64)>,
    lock: Option<InodeLock>,
}

impl Making {
    /// Begins to make something in a directory, before it has its name.
    pub(super) fn begin((device, _): InodeKey) -> Self {
        UNDERWAY.fetch_add(1, Ordering::SeqCst);
        let mut unknown = unknown();
        let begun = (device, unknown.next);
        unknown.next = unknown.next.saturating_add(1);
        unknown.begun.insert(begun);
        Self { begun: Some(begun), lock: None }
    }

    /// Says what it is.
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

/// Waits until what has just been opened is no longer being made. Not to be called by who is making something.
pub(super) fn wait_for(root: &Root, fd: BorrowedFd<'_>) -> Result<()> {
    if UNDERWAY.load(Ordering::SeqCst) != 0 {
        wait(root, &statx_fd(fd)?);
    }
    Ok(())
}

/// As [`wait_for`], for what has been looked up.
pub(super) fn wait_for_entry(root: &Root, raw: &Statx) {
    if UNDERWAY.load(Ordering::SeqCst) != 0 {
        wait(root, raw);
    }
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
    /// Whether something on a device was begun before `number` and still is not known.
    fn has(&self, device: u64, number: u64) -> bool {
        self.begun.range((device, 0)..(device, number)).next().is_some()
    }
}

fn unknown() -> MutexGuard<'static, Unknown> {
    UNKNOWN.lock()
}
