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
//! overlay's files may be on other devices than its directories). It does not wait if the file was born well before the
//! creation began, by the clock of this machine.

use super::directory_reports::is_changed_here_only;
use super::inode::{self, InodeKey, InodeLock, Purpose};
use super::resolve::{Root, device, statx_fd};
use super::{file_system, metadata};
use crate::error::Result;
use rustix::fs::{FsWord, Statx};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The number of incomplete files and directories: while it is 0, no further checks are needed.
static UNDERWAY: AtomicUsize = AtomicUsize::new(0);

static UNKNOWN: Mutex<Unknown> = Mutex::new(Unknown { next: 0, begun: BTreeMap::new() });
static KNOWN: Condvar = Condvar::new();

/// The incomplete files that may have a name already, but whose inodes are unknown.
struct Unknown {
    next: u64,
    /// The begin, by the directory's device and an increasing number. `None` if the file may get a time of birth by
    /// another clock.
    begun: BTreeMap<(u64, u64), Option<Clocks>>,
}

/// The clocks of the machine at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clocks {
    /// The clock that the kernel takes the times of files from.
    wall: i128,
    /// A clock that nobody can set.
    steady: i128,
}

impl Clocks {
    fn now() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock);
            nanoseconds(time.tv_sec, time.tv_nsec)
        };
        Self { wall: read(ClockId::RealtimeCoarse), steady: read(ClockId::MonotonicCoarse) }
    }

    /// True if a file with this time of birth certainly existed at this moment: it is older by more than the clock could
    /// have been set back since without a trace in `now`.
    fn are_after(self, birth: i128, now: Self) -> bool {
        let step = (now.wall - now.steady) - (self.wall - self.steady);
        step.abs() < STEP_MAX && birth + 2 * STEP_MAX < self.wall
    }
}

/// The step of the clock that is not noticed, in nanoseconds. It is more than the resolution of any time of birth.
const STEP_MAX: i128 = 1_000_000_000;

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// True if files on this file system are born by the clock of this machine. The layers of overlayfs may be elsewhere.
fn has_own_births(kind: FsWord) -> bool {
    const OVERLAYFS: u32 = 0x794c_7630;
    is_changed_here_only(kind) && kind as u32 != OVERLAYFS
}

/// An incomplete file or directory, until it is dropped.
#[must_use]
pub(super) struct Making {
    begun: Option<(u64, u64)>,
    lock: Option<InodeLock>,
}

impl Making {
    /// Begins a creation in a directory, before the name exists.
    pub(super) fn begin((device, _): InodeKey, directory: BorrowedFd<'_>) -> Self {
        let births_are_own = file_system::kind(device, directory).is_some_and(has_own_births);
        UNDERWAY.fetch_add(1, Ordering::SeqCst);
        let mut unknown = unknown();
        let begun = (device, unknown.next);
        unknown.next = unknown.next.saturating_add(1);
        unknown.begun.insert(begun, births_are_own.then(Clocks::now));
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
    let birth = metadata::birth(raw).map(|(seconds, subseconds)| nanoseconds(seconds, subseconds.into()));
    let mut unknown = unknown();
    let last = unknown.next;
    let now = Clocks::now();
    while [own, root.device].into_iter().any(|device| unknown.has((device, last), birth, now)) {
        KNOWN.wait(&mut unknown);
    }
    drop(unknown);
    drop(inode::lock(Purpose::Making, (own, raw.stx_ino)));
}

impl Unknown {
    /// True if a creation on a device that began before `number` may be that of a file with this time of birth, and its
    /// inode is still unknown.
    fn has(&self, (device, number): (u64, u64), birth: Option<i128>, now: Clocks) -> bool {
        self.begun.range((device, 0)..(device, number)).any(|(_, begun)| match (begun, birth) {
            (Some(begun), Some(birth)) => !begun.are_after(birth, now),
            _ => true,
        })
    }
}

fn unknown() -> MutexGuard<'static, Unknown> {
    UNKNOWN.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    fn unknown(begun: Option<Clocks>) -> Unknown {
        Unknown { next: 2, begun: BTreeMap::from([((1, 1), begun)]) }
    }

    #[test]
    fn a_file_born_well_before_a_creation_is_not_taken_for_its_file() {
        let begun = Clocks { wall: 1000 * SECOND, steady: 50 * SECOND };
        let now = Clocks { wall: 1003 * SECOND, steady: 53 * SECOND };
        let table = unknown(Some(begun));
        let at = |seconds| Some(seconds * SECOND);
        assert!(!table.has((1, 2), at(990), now));
        assert!(table.has((1, 2), at(999), now), "the clock may have been set back by less than noticed");
        assert!(table.has((1, 2), at(1001), now));
        assert!(table.has((1, 2), None, now), "there is no time of birth");
        assert!(!table.has((1, 1), at(1001), now), "the file was opened before the creation began");
        assert!(!table.has((7, 2), at(1001), now), "another device");
        assert!(unknown(None).has((1, 2), at(990), now), "another clock");
    }

    #[test]
    fn a_step_of_the_clock_makes_all_files_wait() {
        let begun = Clocks { wall: 1000 * SECOND, steady: 50 * SECOND };
        for wall in [100, 5000] {
            let now = Clocks { wall: wall * SECOND, steady: 53 * SECOND };
            assert!(unknown(Some(begun)).has((1, 2), Some(10 * SECOND), now), "{wall}");
        }
    }

    #[test]
    fn the_wall_clock_is_that_of_new_files() {
        let before = Clocks::now();
        let file = tempfile::tempfile().unwrap();
        let raw = statx_fd(std::os::fd::AsFd::as_fd(&file)).unwrap();
        let Some((seconds, subseconds)) = metadata::birth(&raw) else { return };
        let birth = nanoseconds(seconds, subseconds.into());
        assert!((before.wall..=Clocks::now().wall + SECOND).contains(&birth), "{birth} {before:?}");
        assert!(!before.are_after(birth, Clocks::now()));
    }
}
