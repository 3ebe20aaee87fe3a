//! The stored attributes of files as they were read last: a file that has not changed since is not read again, which
//! takes most of the time of a listing.
//!
//! The kernel sets the change time of a file with each change of its attributes, so the change time names the version of
//! a file. Two conditions make that exact:
//! - Change times tick: two changes within a tick have the same time. What was read is kept only if the change time had
//!   been over for [`SETTLED`] before the read, so that the time of any later change differs.
//! - The times come from this machine's clock, and every change sets them: on the file systems of
//!   [`is_changed_here_only`], except for files whose times have whole seconds.
//!
//! Changes of attributes that depend on their previous value read them from the disk, and so do the checks of security
//! descriptors.

use super::directory_reports::is_changed_here_only;
use super::dosattrib::DosAttrib;
use super::inode::InodeKey;
use super::resolve::device;
use super::{file_system, metadata};
use crate::limits::KNOWN_ATTRIBUTES_MAX;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::Statx;
use std::os::fd::BorrowedFd;
use std::sync::LazyLock;
use std::time::Duration;
use wire::FileTime;

/// The attributes that were read; `None` where they were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The record of the DOS attributes; empty if the file has none.
    pub(super) dos: Option<DosAttrib>,
    /// `EaSize` of the extended attributes that clients see.
    pub(super) ea_size: Option<u32>,
}

/// One version of a file's attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    inode: InodeKey,
    /// Seconds and nanoseconds of the change time.
    changed: (i64, u32),
    /// True if any later change has another change time.
    is_settled: bool,
}

impl Version {
    /// The version of a file with these metadata, which the caller has just read; `None` if its change time does not
    /// name a version. `fd` is of any file in the same file system.
    pub(super) fn of(raw: &Statx, fd: BorrowedFd<'_>) -> Option<Self> {
        let changed = (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec);
        if changed.1 == 0 || !has_exact_times(device(raw), fd) {
            return None;
        }
        let age = metadata::now().0.saturating_sub(FileTime::from_unix(changed.0, changed.1).0);
        let is_settled = u128::from(age) * 100 > SETTLED.as_nanos();
        Some(Self { inode: (device(raw), raw.stx_ino), changed, is_settled })
    }

    /// The attributes of this version, as far as they are known.
    pub(super) fn known(&self) -> Known {
        let table = table_of(self.inode);
        table
            .get(&self.inode)
            .filter(|kept| kept.changed == self.changed)
            .map_or(Known::default(), |kept| kept.known)
    }

    /// Keeps attributes that were read after [`Self::of`].
    pub(super) fn keep(&self, known: Known) {
        if !self.is_settled {
            return;
        }
        let mut table = table_of(self.inode);
        if table.len() >= KNOWN_ATTRIBUTES_MAX / SHARDS && !table.contains_key(&self.inode) {
            table.clear();
        }
        table.insert(self.inode, Kept { changed: self.changed, known });
    }
}

/// The attributes of a version.
struct Kept {
    changed: (i64, u32),
    known: Known,
}

/// The time after which a change time is over: ten ticks of the slowest clock of file times.
const SETTLED: Duration = Duration::from_millis(100);

/// True if each change of a file on this device sets a change time by this machine's clock.
fn has_exact_times(device: u64, fd: BorrowedFd<'_>) -> bool {
    file_system::kind(device, fd).is_some_and(is_changed_here_only)
}

/// The number of tables, so many that threads rarely use the same.
const SHARDS: usize = 16;

type Table = HashMap<InodeKey, Kept, std::hash::RandomState>;

static TABLES: LazyLock<[Mutex<Table>; SHARDS]> = LazyLock::new(Default::default);

fn table_of(inode: InodeKey) -> MutexGuard<'static, Table> {
    let [first, ..] = &*TABLES;
    let index = usize::try_from((inode.0 ^ inode.1) % SHARDS as u64).unwrap_or(0);
    TABLES.get(index).unwrap_or(first).lock()
}

#[cfg(test)]
mod tests {
    use super::super::resolve::statx_fd;
    use super::super::{dosattrib, xattr};
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Instant;
    use wire::FileAttributes;

    const SOON: Duration = Duration::from_secs(20);

    fn record(attributes: FileAttributes) -> DosAttrib {
        DosAttrib { attributes: Some(attributes), ..DosAttrib::default() }
    }

    /// Changes the attributes as another program does.
    fn put(file: &std::fs::File, attributes: FileAttributes) {
        xattr::set(file.as_fd(), dosattrib::NAME.as_bytes(), &record(attributes).to_record()).unwrap();
    }

    fn shown(file: &std::fs::File) -> FileAttributes {
        metadata::stat_fd(file.as_fd()).unwrap().attributes
    }

    /// Waits until the attributes of a file are kept; false if the file system has no exact times.
    fn wait_until_known(file: &std::fs::File) -> bool {
        let started = Instant::now();
        loop {
            let Some(version) = Version::of(&statx_fd(file.as_fd()).unwrap(), file.as_fd()) else {
                return false;
            };
            shown(file);
            if version.known().dos.is_some() {
                return true;
            }
            assert!(started.elapsed() < SOON, "nothing is kept of a file that does not change");
            std::thread::yield_now();
        }
    }

    #[test]
    fn changes_by_other_programs_are_seen_at_once() {
        let file = tempfile::tempfile().unwrap();
        // Changes in the same tick of the clock, after the attributes were read.
        for round in 0..500 {
            let attributes = if round % 2 == 0 { FileAttributes::HIDDEN } else { FileAttributes::SYSTEM };
            put(&file, attributes);
            assert_eq!(shown(&file), attributes, "round {round}");
        }
        // A change of attributes that have been kept.
        for attributes in [FileAttributes::HIDDEN, FileAttributes::SYSTEM, FileAttributes::ARCHIVE] {
            if !wait_until_known(&file) {
                return;
            }
            put(&file, attributes);
            assert_eq!(shown(&file), attributes);
        }
        wait_until_known(&file);
        xattr::remove(file.as_fd(), dosattrib::NAME.as_bytes()).unwrap();
        assert_eq!(shown(&file), FileAttributes::ARCHIVE, "of the mode");
    }

    #[test]
    fn a_full_table_makes_room() {
        let version = |number| Version { inode: (u64::MAX, number), changed: (1, 1), is_settled: true };
        let known = |size| Known { dos: None, ea_size: Some(size) };
        let most = u64::try_from(KNOWN_ATTRIBUTES_MAX).unwrap();
        for number in 0..=2 * most {
            version(number).keep(known(7));
            assert_eq!(version(number).known(), known(7));
            assert!(table_of((u64::MAX, number)).len() <= KNOWN_ATTRIBUTES_MAX / SHARDS);
        }
        // Another version of the same file, and one that was kept too early.
        let other = Version { changed: (1, 2), ..version(2 * most) };
        assert_eq!(other.known(), Known::default());
        Version { is_settled: false, ..other }.keep(known(8));
        assert_eq!(other.known(), Known::default());
        assert_eq!(version(2 * most).known(), known(7));
    }
}
