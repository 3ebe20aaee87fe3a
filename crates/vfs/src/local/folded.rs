//! Case-insensitive lookup of names: a scan of a short directory, the [`NameIndex`] for a long one.
//!
//! Every creation in a share must check that no other spelling exists. Without an index, filling a directory would take
//! quadratic time. The index only has *other spellings*: the kernel resolves exact names, the permission to list is
//! checked each time, and the kernel opens every name that was found.
//!
//! A CREATE looks for a name twice: before it decides, and when it has locked the directory. The second search of a short
//! directory is left out if the directory has not changed since the first ([`Absence`]).

use super::directory_reports::is_changed_here_only;
use super::inode::{self, InodeKey, Purpose};
use super::name_index::{IndexKey, NameIndex, Stamp};
use super::name_table::NameTable;
use super::resolve::{device, statx_fd};
use super::{file_system, names};
use crate::error::Result;
use crate::fold::Forms;
use crate::limits::{DIRECTORY_BUFFER_BYTES, INDEX_BYTES_MAX, SCANNED_NAMES_MAX};
use crate::short_name;
use rustix::fs::{Access, AtFlags, Mode, OFlags, RawDir, SeekFrom, Statx};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

static INDEX: NameIndex = NameIndex::new(INDEX_BYTES_MAX);

/// Counters of this process's changes of directories, selected by inode number: a scan during which its counter changes
/// is not kept if the kernel does not report changes.
static OWN_CHANGES: [AtomicU64; OWN_CHANGE_COUNTERS] = [const { AtomicU64::new(0) }; OWN_CHANGE_COUNTERS];

/// The number of counters: so many that a scan is seldom disturbed by changes of another directory.
const OWN_CHANGE_COUNTERS: usize = 256;

/// Prepares for looking names up. The thread must act as the process.
pub(super) fn prepare() {
    INDEX.prepare();
}

/// Finds the entry of a directory that equals `wanted` in all but case and the normalization `forms` (the
/// first by its bytes if there are several), or the one whose short name is `wanted`.
///
/// The caller has just read the metadata of the directory, `raw`. A directory that the thread may search but not list has
/// only exact names.
pub(super) fn find(
    directory: BorrowedFd<'_>,
    raw: &Statx,
    forms: Forms,
    wanted: &str,
) -> Result<Option<Vec<u8>>> {
    let key = key(raw);
    let counter = own_changes(key);
    let changes = counter.load(Ordering::SeqCst);
    // The directory's lock is not held, so others may change it during the scan.
    let is_undisturbed = || counter.load(Ordering::SeqCst) == changes;
    find_at(directory, (key, forms), Stamp::of(raw), wanted, is_undisturbed)
}

fn find_at(
    directory: BorrowedFd<'_>,
    key: IndexKey,
    stamp: Stamp,
    wanted: &str,
    is_undisturbed: impl FnOnce() -> bool,
) -> Result<Option<Vec<u8>>> {
    if Absence::is_known(key, stamp, wanted) {
        return Ok(None);
    }
    if INDEX.contains(key) {
        match rustix::fs::accessat(directory, c".", Access::READ_OK, AtFlags::EACCESS) {
            Err(Errno::ACCESS) => return Ok(None),
            result => result?,
        }
        if let Some(found) = indexed(directory, key, stamp, wanted) {
            return Ok(found);
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(directory, c".", flags, Mode::empty()) {
        Err(Errno::ACCESS) => return Ok(None),
        result => result?,
    };
    let mut search = Search::new(key.1, wanted);
    let mut count = 0_usize;
    let is_settled = is_over(stamp);
    let is_short = scan(&fd, |name| {
        search.consider(name);
        count = count.saturating_add(1);
        count <= SCANNED_NAMES_MAX
    })?;
    if !is_short {
        return find_in_long(fd, key, wanted, is_undisturbed);
    }
    let found = search.found();
    let (device, _) = key.0;
    if found.is_none()
        && is_settled
        && file_system::kind(device, fd.as_fd()).is_some_and(is_changed_here_only)
    {
        Absence::keep(key, stamp, wanted);
    }
    Ok(found)
}

/// A name that the last search of this thread in a short directory has not found. It is still not there if the directory
/// has the same times: on file systems that only this machine changes, each change of an entry sets them.
struct Absence {
    key: IndexKey,
    stamp: Stamp,
    name: String,
}

thread_local! {
    static ABSENCE: RefCell<Option<Absence>> = const { RefCell::new(None) };
}

impl Absence {
    fn is_known(key: IndexKey, stamp: Stamp, name: &str) -> bool {
        ABSENCE.with_borrow(|known| {
            known.as_ref().is_some_and(|it| it.key == key && it.stamp == stamp && it.name == name)
        })
    }

    /// Keeps the result of a scan that began when the times of the directory, `stamp`, were over.
    fn keep(key: IndexKey, stamp: Stamp, name: &str) {
        ABSENCE.with_borrow_mut(|known| {
            // With the memory of the previous name.
            let mut text = known.take().map(|it| it.name).unwrap_or_default();
            text.clear();
            text.push_str(name);
            *known = Some(Self { key, stamp, name: text });
        });
    }
}

/// True if the kernel's clock of file times has moved on since the times of a directory: any change from now on gives it
/// other times.
fn is_over(stamp: Stamp) -> bool {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    is_before(stamp.changed(), (now.tv_sec, now.tv_nsec))
}

/// True if a change at the time `now` has another change time than `changed`.
fn is_before((seconds, nanoseconds): (i64, u32), now: (i64, i64)) -> bool {
    // Without nanoseconds, the file system may keep whole seconds only, as ext4 does with inodes of 128 bytes.
    let now = if nanoseconds == 0 { (now.0, 0) } else { now };
    now > (seconds, i64::from(nanoseconds))
}

/// Finds a name in a long directory, and keeps all of its names in memory.
fn find_in_long(
    fd: OwnedFd,
    key: IndexKey,
    wanted: &str,
    is_undisturbed: impl FnOnce() -> bool,
) -> Result<Option<Vec<u8>>> {
    // One scan is enough for all who wait for it.
    let _lock = inode::lock(Purpose::Names, key.0);
    let stamp = Stamp::of(&statx_fd(fd.as_fd())?);
    if let Some(found) = indexed(fd.as_fd(), key, stamp, wanted) {
        return Ok(found);
    }
    let mut search = Search::new(key.1, wanted);
    let folds = folds_case(&fd) && std::str::from_utf8(&names::encode(wanted)?).is_ok();
    if folds && !search.may_be_short {
        return Ok(None);
    }
    let kind = rustix::fs::fstatfs(&fd)?.f_type;
    let watched = is_changed_here_only(kind).then(|| fd.as_fd());
    let mut filling = (!folds).then(|| (INDEX.begin(key, watched, stamp), NameTable::new(key.1)));
    rustix::fs::seek(&fd, SeekFrom::Start(0))?;
    scan(&fd, |name| {
        search.consider(name);
        if let Some((index, names)) = &mut filling {
            let is_full = !names.insert(name)
                || (names.len().is_multiple_of(ROOM_CHECKED_EVERY) && !index.has_room_for(names));
            if is_full {
                filling = None;
            }
        }
        true
    })?;
    if let Some((index, names)) = filling {
        index.keep(fd.as_fd(), names, is_undisturbed);
    }
    Ok(search.found())
}

fn indexed(directory: BorrowedFd<'_>, key: IndexKey, stamp: Stamp, wanted: &str) -> Option<Option<Vec<u8>>> {
    INDEX.look_up(key, directory, stamp, |names| names.find(wanted).map(<[u8]>::to_vec))
}

/// Reads the names of a directory, without `.` and `..`, until `next` returns false. Returns true if it read all.
fn scan(directory: &OwnedFd, mut next: impl FnMut(&[u8]) -> bool) -> Result<bool> {
    #[cfg(test)]
    tests::SCANS.set(tests::SCANS.get() + 1);
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !next(name) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if the kernel itself finds names of the directory in another case (ext4, F2FS, tmpfs).
fn folds_case(directory: &OwnedFd) -> bool {
    rustix::fs::ioctl_getflags(directory).is_ok_and(|flags| flags.bits() & CASEFOLD != 0)
}

/// FS_CASEFOLD_FL of Linux.
const CASEFOLD: u32 = 0x4000_0000;

/// The number of names after which a scan checks whether they can be kept.
const ROOM_CHECKED_EVERY: usize = 4096;

/// The search for a name in a scan.
struct Search<'a> {
    forms: Forms,
    wanted: &'a str,
    /// True if the name has the form of a derived short name.
    may_be_short: bool,
    spelling: Option<Vec<u8>>,
    by_short_name: Option<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn new(forms: Forms, wanted: &'a str) -> Self {
        let may_be_short = short_name::may_be_derived(wanted);
        Self { forms, wanted, may_be_short, spelling: None, by_short_name: None }
    }

    fn consider(&mut self, name: &[u8]) {
        let is_before = |found: &Option<Vec<u8>>| found.as_deref().is_none_or(|found| name < found);
        if names::matches(self.forms, name, self.wanted) && is_before(&self.spelling) {
            self.spelling = Some(name.to_vec());
        }
        if self.may_be_short
            && is_before(&self.by_short_name)
            && short_name::stands_for(self.wanted, &names::decode(name))
        {
            self.by_short_name = Some(name.to_vec());
        }
    }

    fn found(self) -> Option<Vec<u8>> {
        self.spelling.or(self.by_short_name)
    }
}

/// A directory whose lock this thread holds while it changes entries.
pub(super) struct OwnChange<'a> {
    directory: BorrowedFd<'a>,
    key: InodeKey,
    /// The mode of the directory.
    mode: u32,
    /// The times of the directory before the next change.
    before: Cell<Stamp>,
}

impl<'a> OwnChange<'a> {
    /// Reads the directory's current times.
    pub(super) fn begin(directory: BorrowedFd<'a>) -> Result<Self> {
        let raw = statx_fd(directory)?;
        own_changes(key(&raw)).fetch_add(1, Ordering::SeqCst);
        let (key, mode) = (key(&raw), u32::from(raw.stx_mode));
        Ok(Self { directory, key, mode, before: Cell::new(Stamp::of(&raw)) })
    }

    /// The directory.
    pub(super) fn fd(&self) -> BorrowedFd<'a> {
        self.directory
    }

    /// The device and inode of the directory.
    pub(super) fn key(&self) -> InodeKey {
        self.key
    }

    /// The mode of the directory when the change began.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    /// The times of the directory before the change.
    pub(super) fn before(&self) -> Stamp {
        self.before.get()
    }

    /// Finds an entry as the function [`find`] does.
    pub(super) fn find(&self, forms: Forms, wanted: &str) -> Result<Option<Vec<u8>>> {
        find_at(self.directory, (self.key, forms), self.before.get(), wanted, || true)
    }

    /// Records that this thread has just removed an entry, added one, or both.
    pub(super) fn done(&self, removed: Option<&[u8]>, added: Option<&[u8]>) {
        own_changes(self.key).fetch_add(1, Ordering::SeqCst);
        let after = || {
            let after = statx_fd(self.directory).map(|raw| Stamp::of(&raw)).ok()?;
            self.before.set(after);
            Some(after)
        };
        INDEX.changed(self.key, self.directory, self.before.get(), after, (removed, added));
    }
}

fn own_changes(key: InodeKey) -> &'static AtomicU64 {
    let index = usize::try_from(key.1 % OWN_CHANGE_COUNTERS as u64).unwrap_or(0);
    let [first, ..] = &OWN_CHANGES;
    OWN_CHANGES.get(index).unwrap_or(first)
}

fn key(raw: &Statx) -> InodeKey {
    (device(raw), raw.stx_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{remove_file, rename, write};
    use std::path::Path;
    use std::time::Instant;
    use tempfile::TempDir;

    thread_local! {
        /// The scans of directories by this thread.
        pub(super) static SCANS: Cell<usize> = const { Cell::new(0) };
    }

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    /// A directory with one entry, whose times are over.
    fn settled() -> (TempDir, OwnedFd) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path().join("entry"), "").unwrap();
        let fd = open(directory.path());
        wait_until_over(&fd);
        (directory, fd)
    }

    fn wait_until_over(fd: &OwnedFd) {
        let started = Instant::now();
        while !is_over(Stamp::of(&statx_fd(fd.as_fd()).unwrap())) {
            assert!(started.elapsed().as_secs() < 20, "the clock stands still");
            std::thread::yield_now();
        }
    }

    fn search(fd: &OwnedFd, name: &str) -> Option<Vec<u8>> {
        find(fd.as_fd(), &statx_fd(fd.as_fd()).unwrap(), Forms::Exact, name).unwrap()
    }

    fn scans(act: impl FnOnce()) -> usize {
        let before = SCANS.get();
        act();
        SCANS.get() - before
    }

    #[test]
    fn a_name_that_was_not_found_is_not_searched_again_in_an_unchanged_directory() {
        let (_directory, fd) = settled();
        assert_eq!(scans(|| assert_eq!(search(&fd, "New"), None)), 1);
        let change = OwnChange::begin(fd.as_fd()).unwrap();
        assert_eq!(scans(|| assert_eq!(change.find(Forms::Exact, "New").unwrap(), None)), 0);
        // Another name, and another rule for the comparison.
        assert_eq!(scans(|| assert!(change.find(Forms::Exact, "ENTRY").unwrap().is_some())), 1);
        assert_eq!(scans(|| assert_eq!(change.find(Forms::Any, "New").unwrap(), None)), 1);
    }

    #[test]
    fn a_name_that_appears_after_the_first_search_is_found_by_the_second() {
        let (directory, fd) = settled();
        let other = directory.path().join("NEW");
        for round in 0..300 {
            // Half of the rounds begin in the tick of the last change.
            if round % 2 == 0 {
                wait_until_over(&fd);
            }
            assert_eq!(search(&fd, "new"), None, "round {round}");
            match round % 3 {
                0 => write(&other, "").unwrap(),
                _ => rename(directory.path().join("entry"), &other).unwrap(),
            }
            let change = OwnChange::begin(fd.as_fd()).unwrap();
            assert_eq!(change.find(Forms::Exact, "new").unwrap(), Some(b"NEW".to_vec()), "round {round}");
            match round % 3 {
                0 => remove_file(&other).unwrap(),
                _ => rename(&other, directory.path().join("entry")).unwrap(),
            }
        }
    }

    #[test]
    fn times_in_whole_seconds_are_over_with_their_second() {
        assert!(is_before((5, 7), (5, 8)) && !is_before((5, 7), (5, 7)));
        assert!(!is_before((5, 0), (5, 999_999_999)) && is_before((5, 0), (6, 0)));
        assert!(!is_before((6, 0), (5, 1)));
    }

    #[test]
    fn an_own_change_ends_what_is_known_of_a_name() {
        let (directory, fd) = settled();
        assert_eq!(search(&fd, "new"), None);
        let change = OwnChange::begin(fd.as_fd()).unwrap();
        write(directory.path().join("New"), "").unwrap();
        change.done(None, Some(b"New"));
        assert_eq!(search(&fd, "new"), Some(b"New".to_vec()));
    }
}
