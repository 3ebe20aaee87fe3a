//! The directories whose names are in memory, within one budget for the whole process.
//!
//! A [`NameTable`] is right as long as each change of its directory is applied to it:
//!
//! - On file systems that only this machine changes, the kernel reports all changes (inotify), those of this process
//!   included. It queues a report while it still holds the directory's lock, so the queue has the order of the changes,
//!   and a change that has returned has been reported. The queue is read before each use of a table. What remains is
//!   the time between a look-up and the change that follows it, in which another program can create another spelling;
//!   a scan of the directory has the same gap. A name that was moved away is looked for on disk, because the reports
//!   about an exchange of two names are those about two renames.
//! - On others (network file systems, FUSE) the directory's times must be unchanged, and a table is used for
//!   [`FOLDED_AGE_MAX`] at most. Own changes are applied by [`NameIndex::changed`]. A change by another machine or
//!   program can remain unseen for that long.
//!
//! If the kernel's queue overflows, all tables are dropped, and the next look-up in each directory scans it.
//!
//! Locks: the table of directories is locked for look-ups and for reading the queue, which does not block. Each
//! directory's names have a lock of their own, which may be held while the table is locked, not the reverse.

use super::directory_reports::{DirectoryReports, Event};
use super::inode::InodeKey;
use super::name_table::NameTable;
use crate::fold::Forms;
use crate::limits::{FOLDED_AGE_MAX, INDEX_DIRECTORIES_MAX, INDEX_REPORTS_APPLIED, INDEX_REPORTS_MAX};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Statx};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

/// A directory with the rule by which its names are compared. Shares with different rules have separate tables.
pub(super) type IndexKey = (InodeKey, Forms);

/// All rules by which names are compared.
pub(super) const FORMS: [Forms; 2] = [Forms::Exact, Forms::Any];

/// The times of a directory that change with its entries: modified and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([(i64, u32); 2]);

impl Stamp {
    pub(super) fn of(raw: &Statx) -> Self {
        Self([(raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec), (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec)])
    }

    /// The change time, which no program can set.
    pub(super) fn changed(self) -> (i64, u32) {
        let [_, changed] = self.0;
        changed
    }
}

/// The directories with tables of their names. It belongs to the process, as the locks of directories do: two shares
/// can contain the same directory.
pub(super) struct NameIndex(Mutex<Directories>);

/// A table that is being filled; dropping it gives that up.
pub(super) struct Filling<'a> {
    index: &'a NameIndex,
    key: IndexKey,
    names: Names,
    /// The memory that the table had when it was last checked, in bytes.
    bytes: usize,
}

/// The names of a directory; `None` while it is scanned for the first time.
type Names = Arc<Mutex<Option<NameTable>>>;

struct Directories {
    bytes_max: usize,
    /// The memory of all tables and reports, in bytes.
    bytes: usize,
    /// The memory of the tables that are being filled, in bytes.
    filling_bytes: usize,
    by_key: BTreeMap<IndexKey, Directory>,
    /// The directories that the kernel reports on, by its numbers.
    watched: BTreeMap<i32, InodeKey>,
    kernel: DirectoryReports,
    /// A counter that rises with each use of a table.
    uses: u64,
    /// Directories that were removed. They are dropped when this table is not locked, because it takes a while to
    /// release the memory of a large one.
    removed: Vec<Directory>,
}

struct Directory {
    validity: Validity,
    names: Names,
    /// Changes that are not yet applied to the table, in their order.
    reports: Vec<Report>,
    /// The memory of the table and the reports, in bytes.
    bytes: usize,
    /// The value of the counter at the last use.
    used: u64,
}

/// The reason why a table is right.
enum Validity {
    /// The kernel reports the changes under this number.
    Watched(i32),
    /// The directory's times have not changed since this moment.
    Unchanged { stamp: Stamp, since: Instant },
}

/// A change of a name in a directory.
struct Report {
    change: Change,
    name: Box<[u8]>,
}

#[derive(Clone, Copy)]
enum Change {
    Added,
    Removed,
    /// Moved away, and perhaps exchanged with another entry.
    MovedAway,
}

impl NameIndex {
    /// Creates an index whose tables occupy at most so many bytes.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self(Mutex::new(Directories {
            bytes_max,
            bytes: 0,
            filling_bytes: 0,
            by_key: BTreeMap::new(),
            watched: BTreeMap::new(),
            kernel: DirectoryReports::new(),
            uses: 0,
            removed: Vec::new(),
        }))
    }

    /// Prepares for the kernel's reports, as the process: a user's limits must not apply to the whole server.
    pub(super) fn prepare(&self) {
        self.locked(|directories| directories.kernel.prepare());
    }

    /// True if the directory has a table, or is being scanned for one.
    pub(super) fn contains(&self, key: IndexKey) -> bool {
        self.locked(|directories| directories.by_key.contains_key(&key))
    }

    /// Reads the names of a directory; `None` if there are none in memory, or if they may be wrong.
    pub(super) fn look_up<T>(
        &self,
        key: IndexKey,
        directory: BorrowedFd<'_>,
        stamp: Stamp,
        read: impl FnOnce(&mut NameTable) -> T,
    ) -> Option<T> {
        let names = self.locked(|directories| directories.used(key))?;
        let mut held = names.lock();
        let table = held.as_mut()?;
        let reports = self.locked(|directories| directories.take_reports(key, &names, stamp))?;
        if !reports.apply_to(table, directory) {
            self.locked(|directories| directories.remove(key));
            return None;
        }
        let read = read(table);
        let bytes = table.size_bytes();
        self.locked(|directories| directories.resize(key, &names, bytes));
        Some(read)
    }

    /// Begins to collect reports for a table of the directory, whose scan may then begin. `watched` is its descriptor if
    /// only this machine changes it; otherwise, `stamp` must be older than the scan.
    pub(super) fn begin(&self, key: IndexKey, watched: Option<BorrowedFd<'_>>, stamp: Stamp) -> Filling<'_> {
        let names = Arc::new(Mutex::new(None));
        self.locked(|directories| {
            // The watch of a table that is removed meanwhile may be the same one, so the lock is held.
            let validity = match watched.and_then(|fd| directories.kernel.watch(fd)) {
                Some(number) => Validity::Watched(number),
                None => Validity::Unchanged { stamp, since: Instant::now() },
            };
            directories.insert(key, validity, Arc::clone(&names));
        });
        Filling { index: self, key, names, bytes: 0 }
    }

    /// Records that this process has changed a locked directory; its times were `before`, and are `after()` now.
    pub(super) fn changed(
        &self,
        key: InodeKey,
        directory: BorrowedFd<'_>,
        before: Stamp,
        after: impl FnOnce() -> Option<Stamp>,
        (removed, added): (Option<&[u8]>, Option<&[u8]>),
    ) {
        let reports = self.locked(|directories| FORMS.map(|forms| directories.own_change((key, forms))));
        let is_reported = |it: &OwnReports| !matches!(it, OwnReports::NotReported);
        let after = if reports.iter().all(is_reported) { None } else { after() };
        for (forms, reports) in FORMS.into_iter().zip(reports) {
            match reports {
                OwnReports::NoTable | OwnReports::Few => {}
                OwnReports::Many => drop(self.look_up((key, forms), directory, before, |_| ())),
                OwnReports::NotReported => {
                    self.apply_own((key, forms), directory, (before, after), (removed, added));
                }
            }
        }
    }

    /// Applies an own change to a table without reports. A table whose directory had other times before the change is
    /// dropped: another program has changed it as well.
    fn apply_own(
        &self,
        key: IndexKey,
        directory: BorrowedFd<'_>,
        (before, after): (Stamp, Option<Stamp>),
        (removed, added): (Option<&[u8]>, Option<&[u8]>),
    ) {
        let applied = self.look_up(key, directory, before, |table| {
            removed.into_iter().for_each(|name| table.remove(name));
            added.is_none_or(|name| table.insert(name))
        });
        self.locked(|directories| match (applied, after, directories.by_key.get_mut(&key)) {
            (
                Some(true),
                Some(after),
                Some(Directory { validity: Validity::Unchanged { stamp, .. }, .. }),
            ) => {
                *stamp = after;
            }
            _ => directories.remove(key),
        });
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Directories) -> T) -> T {
        let mut locked = self.0.lock();
        let result = act(&mut locked);
        let removed = std::mem::take(&mut locked.removed);
        drop(locked);
        drop(removed);
        result
    }
}

impl Filling<'_> {
    /// True if a table of this size can be kept. All tables that are being filled have together as much memory as those
    /// that are kept, so that many scans at once stay within bounds.
    pub(super) fn has_room_for(&mut self, table: &NameTable) -> bool {
        let before = std::mem::replace(&mut self.bytes, table.size_bytes());
        self.index.locked(|directories| {
            let others = directories.filling_bytes.saturating_sub(before);
            directories.filling_bytes = others.saturating_add(self.bytes);
            directories.filling_bytes <= directories.bytes_max
        })
    }

    /// Keeps the names that the scan of the directory has found, unless reports are lost or `is_undisturbed` returns
    /// false.
    pub(super) fn keep(
        self,
        directory: BorrowedFd<'_>,
        mut table: NameTable,
        is_undisturbed: impl FnOnce() -> bool,
    ) {
        let mut held = self.names.lock();
        let reports = self.index.locked(|directories| {
            let stamp = match directories.by_key.get(&self.key)?.validity {
                Validity::Unchanged { stamp, .. } => is_undisturbed().then_some(stamp)?,
                // The times do not matter to a directory that the kernel reports on.
                Validity::Watched(_) => Stamp([(0, 0); 2]),
            };
            directories.take_reports(self.key, &self.names, stamp)
        });
        if reports.is_some_and(|reports| reports.apply_to(&mut table, directory)) {
            let bytes = table.size_bytes();
            *held = Some(table);
            self.index.locked(|directories| directories.resize(self.key, &self.names, bytes));
        }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.index.locked(|directories| {
            directories.filling_bytes = directories.filling_bytes.saturating_sub(self.bytes);
        });
        if self.names.lock().is_none() {
            self.index.locked(|directories| {
                let own = directories.by_key.get(&self.key);
                if own.is_some_and(|own| Arc::ptr_eq(&own.names, &self.names)) {
                    directories.remove(self.key);
                }
            });
        }
    }
}

/// The reports about an own change.
enum OwnReports {
    /// The directory has no table.
    NoTable,
    /// The kernel reports it, and the next look-up applies the report.
    Few,
    /// As `Few`, but so many reports wait that they have to be applied now.
    Many,
    /// The kernel does not report it.
    NotReported,
}

impl Directories {
    fn used(&mut self, key: IndexKey) -> Option<Names> {
        let directory = self.by_key.get_mut(&key)?;
        self.uses = self.uses.wrapping_add(1);
        directory.used = self.uses;
        Some(Arc::clone(&directory.names))
    }

    fn insert(&mut self, key: IndexKey, validity: Validity, names: Names) {
        if let Validity::Watched(number) = validity {
            self.watched.insert(number, key.0);
        }
        self.uses = self.uses.wrapping_add(1);
        let new = Directory { validity, names, reports: Vec::new(), bytes: 0, used: self.uses };
        if let Some(old) = self.by_key.insert(key, new) {
            self.dispose(old);
        }
        self.make_room();
    }

    fn remove(&mut self, key: IndexKey) {
        if let Some(removed) = self.by_key.remove(&key) {
            self.dispose(removed);
        }
    }

    fn dispose(&mut self, removed: Directory) {
        self.bytes = self.bytes.saturating_sub(removed.bytes);
        if let Validity::Watched(number) = removed.validity {
            self.unwatch(number);
        }
        self.removed.push(removed);
    }

    /// Ends the kernel's reports with this number, if no table needs them.
    fn unwatch(&mut self, number: i32) {
        if self.tables_of(number).iter().all(Option::is_none) {
            self.watched.remove(&number);
            self.kernel.unwatch(number);
        }
    }

    /// Drops the directories that were not used for the longest time until the limits hold.
    fn make_room(&mut self) {
        while self.bytes > self.bytes_max || self.by_key.len() > INDEX_DIRECTORIES_MAX {
            let oldest = self.by_key.iter().min_by_key(|(_, directory)| directory.used);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.remove(key);
        }
    }

    /// Records the size of a table. A table that is larger than all tables may be is dropped.
    fn resize(&mut self, key: IndexKey, names: &Names, bytes: usize) {
        let bytes_max = self.bytes_max;
        let Some(directory) = self.by_key.get_mut(&key).filter(|it| Arc::ptr_eq(&it.names, names)) else {
            return;
        };
        let bytes = directory.reports.iter().fold(bytes, |sum, report| sum.saturating_add(report.bytes()));
        if bytes > bytes_max {
            return self.remove(key);
        }
        let before = std::mem::replace(&mut directory.bytes, bytes);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(bytes);
        self.make_room();
    }

    /// The changes of a directory that are not yet applied to these names. The kernel's queue is read first. `None` if
    /// the names are no longer right.
    fn take_reports(&mut self, key: IndexKey, names: &Names, stamp: Stamp) -> Option<Reports> {
        self.read_queue();
        let directory = self.by_key.get_mut(&key).filter(|it| Arc::ptr_eq(&it.names, names))?;
        if let Validity::Unchanged { stamp: unchanged, since } = directory.validity
            && (unchanged != stamp || since.elapsed() >= FOLDED_AGE_MAX)
        {
            return None;
        }
        Some(Reports(std::mem::take(&mut directory.reports)))
    }

    fn own_change(&mut self, key: IndexKey) -> OwnReports {
        match self.by_key.get(&key) {
            None => return OwnReports::NoTable,
            Some(Directory { validity: Validity::Unchanged { .. }, .. }) => return OwnReports::NotReported,
            Some(_) => self.read_queue(),
        }
        match self.by_key.get(&key) {
            Some(directory) if directory.reports.len() > INDEX_REPORTS_APPLIED => OwnReports::Many,
            _ => OwnReports::Few,
        }
    }

    /// Distributes the kernel's reports to their directories.
    fn read_queue(&mut self) {
        let kernel = self.kernel.clone();
        let read = kernel.read(|event| match event {
            Event::Added { number, name } => self.take_report(number, Change::Added, name),
            Event::Removed { number, name } => self.take_report(number, Change::Removed, name),
            Event::MovedAway { number, name } => self.take_report(number, Change::MovedAway, name),
            Event::Ended { number } => {
                self.tables_of(number).into_iter().flatten().for_each(|key| self.remove(key));
            }
            Event::Lost => {
                tracing::debug!("the kernel's reports on directories were lost; their names are read again");
                self.clear();
            }
        });
        if let Err(error) = read {
            tracing::error!(%error, "cannot read the kernel's reports on directories; their names are read again");
            self.clear();
            self.kernel = DirectoryReports::new();
        }
        // The reports have their part in the budget.
        self.make_room();
    }

    fn take_report(&mut self, number: i32, change: Change, name: &[u8]) {
        for key in self.tables_of(number).into_iter().flatten() {
            let Some(directory) = self.by_key.get_mut(&key) else { continue };
            // No client has looked up a name there for a long time, because a look-up applies the reports.
            if directory.reports.len() >= INDEX_REPORTS_MAX {
                self.remove(key);
                continue;
            }
            let report = Report { change, name: name.into() };
            directory.bytes = directory.bytes.saturating_add(report.bytes());
            self.bytes = self.bytes.saturating_add(report.bytes());
            directory.reports.push(report);
        }
    }

    /// The tables of the directory that the kernel reports on under this number.
    fn tables_of(&self, number: i32) -> [Option<IndexKey>; FORMS.len()] {
        FORMS.map(|forms| {
            let key = (*self.watched.get(&number)?, forms);
            let validity = &self.by_key.get(&key)?.validity;
            matches!(validity, Validity::Watched(it) if *it == number).then_some(key)
        })
    }

    fn clear(&mut self) {
        let keys: Vec<IndexKey> = self.by_key.keys().copied().collect();
        for key in keys {
            self.remove(key);
        }
    }
}

/// Changes that are to be applied to a table.
#[must_use]
struct Reports(Vec<Report>);

impl Reports {
    /// Applies the changes of a directory in their order. Returns false if the table cannot hold them.
    #[must_use]
    fn apply_to(self, table: &mut NameTable, directory: BorrowedFd<'_>) -> bool {
        self.0.into_iter().all(|Report { change, name }| {
            let is_gone = match change {
                Change::Added => return table.insert(&name),
                Change::Removed => true,
                // The kernel reports changes that follow this check.
                Change::MovedAway => {
                    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
                    match rustix::fs::statat(directory, &*name, flags) {
                        Ok(_) => false,
                        Err(Errno::NOENT) => true,
                        Err(_) => return false,
                    }
                }
            };
            if is_gone {
                table.remove(&name);
            }
            true
        })
    }
}

impl Report {
    fn bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::resolve::{device, statx_fd};
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    /// A stamp of no directory: only names that the kernel reports on are found with it.
    const NO_STAMP: Stamp = Stamp([(0, 0); 2]);

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    fn key_of(fd: &OwnedFd) -> IndexKey {
        let raw = statx_fd(fd.as_fd()).unwrap();
        ((device(&raw), raw.stx_ino), Forms::Exact)
    }

    /// Fills the table of a directory with so many names, which need not be on disk.
    fn fill(index: &NameIndex, fd: &OwnedFd, count: usize) {
        let filling = index.begin(key_of(fd), Some(fd.as_fd()), NO_STAMP);
        let mut names = NameTable::new(Forms::Exact);
        (0..count).for_each(|number| assert!(names.insert(format!("name {number}").as_bytes())));
        filling.keep(fd.as_fd(), names, || true);
    }

    fn find(index: &NameIndex, fd: &OwnedFd, name: &str) -> Option<bool> {
        index.look_up(key_of(fd), fd.as_fd(), NO_STAMP, |names| names.find(name).is_some())
    }

    #[test]
    fn reports_are_applied_to_all_tables_of_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let index = NameIndex::new(1 << 20);
        let fd = open(directory.path());
        let (inode, _) = key_of(&fd);
        for forms in FORMS {
            let filling = index.begin((inode, forms), Some(fd.as_fd()), NO_STAMP);
            // A change during the scan, which the scan has not seen.
            std::fs::write(directory.path().join(format!("During {forms:?}")), "").unwrap();
            filling.keep(fd.as_fd(), NameTable::new(forms), || false);
        }
        std::fs::rename(directory.path().join("During Any"), directory.path().join("Then")).unwrap();
        for forms in FORMS {
            let names = index.look_up((inode, forms), fd.as_fd(), NO_STAMP, |names| {
                ["DURING EXACT", "DURING ANY", "THEN"].map(|name| names.find(name).is_some())
            });
            // The first table was there before the second.
            assert_eq!(names, Some([forms == Forms::Exact, false, true]), "{forms:?}");
        }
        let watches = index.locked(|directories| directories.watched.len());
        assert_eq!(watches, 1);
    }

    #[test]
    fn the_directory_that_was_not_used_for_the_longest_time_is_dropped_first() {
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let fds: Vec<_> = directories.iter().map(|directory| open(directory.path())).collect();
        let mut table = NameTable::new(Forms::Exact);
        (0..1000).for_each(|number| assert!(table.insert(format!("name {number}").as_bytes())));
        let index = NameIndex::new(table.size_bytes() * 5 / 2);
        fill(&index, &fds[0], 1000);
        fill(&index, &fds[1], 1000);
        assert_eq!(find(&index, &fds[0], "NAME 1"), Some(true));
        fill(&index, &fds[2], 1000);
        let kept: Vec<_> = fds.iter().map(|fd| find(&index, fd, "NAME 1")).collect();
        assert_eq!(kept, [Some(true), None, Some(true)]);
        index.locked(|directories| {
            assert!(directories.bytes <= directories.bytes_max, "{}", directories.bytes);
            assert_eq!((directories.watched.len(), directories.by_key.len()), (2, 2));
        });
        // A directory that is too large alone leaves the others in memory.
        fill(&index, &fds[1], 5000);
        let kept: Vec<_> = fds.iter().map(|fd| find(&index, fd, "NAME 1")).collect();
        assert_eq!(kept, [Some(true), None, Some(true)]);
    }

    #[test]
    fn tables_that_are_being_filled_share_a_budget() {
        let directories: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let fds: Vec<_> = directories.iter().map(|directory| open(directory.path())).collect();
        let mut table = NameTable::new(Forms::Exact);
        (0..1000).for_each(|number| assert!(table.insert(format!("name {number}").as_bytes())));
        let index = NameIndex::new(table.size_bytes() * 3 / 2);
        let begin = |fd: &OwnedFd| index.begin(key_of(fd), Some(fd.as_fd()), NO_STAMP);
        let (mut one, mut other) = (begin(&fds[0]), begin(&fds[1]));
        assert!(one.has_room_for(&table));
        assert!(one.has_room_for(&table), "the same table counts once");
        assert!(!other.has_room_for(&table));
        drop((one, other));
        assert!(begin(&fds[1]).has_room_for(&table));
        assert_eq!(index.locked(|directories| directories.filling_bytes), 0);
    }

    #[test]
    fn reports_that_nobody_reads_are_part_of_the_budget() {
        let directories: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let fds: Vec<_> = directories.iter().map(|directory| open(directory.path())).collect();
        let index = NameIndex::new(16 << 10);
        fds.iter().for_each(|fd| fill(&index, fd, 1));
        for number in 0..1000 {
            std::fs::write(directories[0].path().join(format!("name {number}")), "").unwrap();
        }
        assert_eq!(find(&index, &fds[1], "NAME 0"), Some(true));
        index.locked(|directories| {
            assert!(directories.bytes <= directories.bytes_max, "{}", directories.bytes);
            assert!(!directories.by_key.contains_key(&key_of(&fds[0])));
        });
    }

    #[test]
    fn the_number_of_directories_is_limited() {
        let top = tempfile::tempdir().unwrap();
        let index = NameIndex::new(1 << 30);
        for number in 0..INDEX_DIRECTORIES_MAX + 10 {
            let path = top.path().join(number.to_string());
            std::fs::create_dir(&path).unwrap();
            fill(&index, &open(&path), 1);
        }
        index.locked(|directories| {
            assert_eq!(directories.by_key.len(), INDEX_DIRECTORIES_MAX);
            assert_eq!(directories.watched.len(), INDEX_DIRECTORIES_MAX);
        });
        assert_eq!(find(&index, &open(&top.path().join("9")), "NAME 0"), None);
        assert_eq!(find(&index, &open(&top.path().join("10")), "NAME 0"), Some(true));
    }

    #[test]
    fn a_directory_that_is_removed_has_no_names_and_no_watch() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("directory");
        std::fs::create_dir(&path).unwrap();
        let index = NameIndex::new(1 << 20);
        let fd = open(&path);
        fill(&index, &fd, 1);
        let key = key_of(&fd);
        drop(fd);
        std::fs::remove_dir(&path).unwrap();
        let other = open(top.path());
        assert_eq!(index.look_up(key, other.as_fd(), NO_STAMP, |names| names.len()), None);
        index.locked(|directories| assert!(directories.watched.is_empty() && directories.bytes == 0));
    }

    #[test]
    fn changes_that_nobody_looks_up_drop_the_names() {
        let directory = tempfile::tempdir().unwrap();
        let index = NameIndex::new(1 << 30);
        let fd = open(directory.path());
        fill(&index, &fd, 1);
        for _ in 0..=INDEX_REPORTS_MAX {
            index.locked(|directories| {
                let number = *directories.watched.keys().next().unwrap();
                directories.take_report(number, Change::Added, b"name");
            });
            if !index.contains(key_of(&fd)) {
                break;
            }
        }
        assert!(!index.contains(key_of(&fd)));
        index.locked(|directories| assert_eq!(directories.bytes, 0));
    }

    #[test]
    fn names_without_reports_last_until_the_times_change() {
        let directory = tempfile::tempdir().unwrap();
        let index = NameIndex::new(1 << 20);
        let fd = open(directory.path());
        let key = key_of(&fd);
        let stamp = || Stamp::of(&statx_fd(fd.as_fd()).unwrap());
        let keep = |is_undisturbed| {
            let filling = index.begin(key, None, stamp());
            filling.keep(fd.as_fd(), NameTable::new(Forms::Exact), || is_undisturbed);
        };
        let count = |stamp| index.look_up(key, fd.as_fd(), stamp, |names| names.len());
        keep(false);
        assert_eq!(count(stamp()), None);
        keep(true);
        assert_eq!(count(NO_STAMP), None);
        let before = stamp();
        // An own change is applied, and the names are valid with the times after it.
        index.changed(key.0, fd.as_fd(), before, || Some(NO_STAMP), (None, Some(b"own")));
        assert_eq!(count(NO_STAMP), Some(1));
        // Another program has changed the directory before this own change.
        index.changed(key.0, fd.as_fd(), before, || Some(NO_STAMP), (Some(b"own"), None));
        assert!(!index.contains(key));
    }
}
