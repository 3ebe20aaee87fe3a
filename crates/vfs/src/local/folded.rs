//! Finding a name without regard to case: one pass over the directory, remembered for long directories.
//!
//! Every creation in a share must know that no other spelling exists; without memory, filling a directory
//! costs the square of its length. What is remembered is only ever a hint about *other spellings*: exact names
//! are always asked of the kernel, permission to list is checked each time, and whatever is found is opened
//! through the kernel again. A memory counts while the directory's times are what they were after the scan or
//! after this server's own last change in it, and for [`FOLDED_AGE_MAX`] at most. This server's own change only
//! keeps a memory that was right just before ([`OwnChange`]). So the worst it can do is to miss, for that long,
//! another spelling that a local process created in the same clock tick, or in the moment of an own change.
//!
//! The memory is the process's, as the lock on a directory is: two shares may show the same one.

use super::inode::InodeKey;
use super::names;
use super::resolve::{device, statx_fd};
use crate::error::Result;
use crate::fold::{Forms, fold_in};
use crate::limits::{
    DIRECTORY_BUFFER_BYTES, FOLDED_AGE_MAX, FOLDED_DIRECTORIES_MAX, FOLDED_NAMES_MAX, FOLDED_NAMES_MIN,
};
use crate::short_name;
use rustix::fs::{Mode, OFlags, RawDir, Statx};
use rustix::io::Errno;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

/// What is remembered of directories. The lock is held for map look-ups only.
static REMEMBERED: Mutex<BTreeMap<RememberedKey, Directory>> = Mutex::new(BTreeMap::new());

/// Counts what this process changes in directories, each under the number of its inode: a scan that such a change
/// fell into is not remembered.
static OWN_CHANGES: [AtomicU64; OWN_CHANGE_COUNTERS] = [const { AtomicU64::new(0) }; OWN_CHANGE_COUNTERS];

/// How many counters there are: so many that a scan seldom meets the changes of another directory.
const OWN_CHANGE_COUNTERS: usize = 256;

/// Shares that take other forms for one name remember on their own.
type RememberedKey = (InodeKey, Forms);

struct Directory {
    stamp: Stamp,
    scanned: Instant,
    /// Names on disk by how they compare; a directory where two compare equal is not remembered.
    names: HashMap<String, Vec<u8>>,
}

/// The times of a directory that change with its entries: modified and changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([(i64, u32); 2]);

impl Stamp {
    pub(super) fn of(raw: &Statx) -> Self {
        Self([(raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec), (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec)])
    }

    /// The change time, which nobody can set.
    pub(super) fn changed(self) -> (i64, u32) {
        let [_, changed] = self.0;
        changed
    }
}

/// The entry of a directory that is `wanted` but for case and for `forms` that are one name, the first by its bytes if there are several;
/// or the one that `wanted` is the short name of.
///
/// A directory that the thread may search but not list has only exact names.
pub(super) fn find(directory: BorrowedFd<'_>, forms: Forms, wanted: &str) -> Result<Option<Vec<u8>>> {
    let raw = statx_fd(directory)?;
    let key = key(&raw);
    let counter = own_changes(key);
    let changes = counter.load(Ordering::SeqCst);
    // The directory's lock is not held, so others may change it during the scan.
    let is_undisturbed = || counter.load(Ordering::SeqCst) == changes;
    find_at(directory, (key, forms), Stamp::of(&raw), wanted, is_undisturbed)
}

fn find_at(
    directory: BorrowedFd<'_>,
    (key, forms): RememberedKey,
    stamp: Stamp,
    wanted: &str,
    is_undisturbed: impl FnOnce() -> bool,
) -> Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(directory, c".", flags, Mode::empty()) {
        Err(Errno::ACCESS) => return Ok(None),
        result => result?,
    };
    if let Some(remembered) = remembered().get(&(key, forms)).filter(|remembered| remembered.is_valid(stamp))
    {
        let found =
            remembered.names.get(&comparable(forms, wanted)).or_else(|| remembered.by_short_name(wanted));
        return Ok(found.cloned());
    }
    let scanned = Instant::now();
    let scan = scan(fd, forms, wanted)?;
    if let Some(names) = scan.names.filter(|names| names.len() >= FOLDED_NAMES_MIN) {
        remember((key, forms), Directory { stamp, scanned, names }, is_undisturbed);
    }
    Ok(scan.best.or(scan.by_short_name))
}

/// A directory whose lock this thread holds, in which it changes entries.
pub(super) struct OwnChange<'a> {
    directory: BorrowedFd<'a>,
    key: InodeKey,
    /// How the directory was before what is changed next.
    before: Cell<Stamp>,
}

impl<'a> OwnChange<'a> {
    /// Looks how the directory is now.
    pub(super) fn begin(directory: BorrowedFd<'a>) -> Result<Self> {
        let raw = statx_fd(directory)?;
        own_changes(key(&raw)).fetch_add(1, Ordering::SeqCst);
        Ok(Self { directory, key: key(&raw), before: Cell::new(Stamp::of(&raw)) })
    }

    /// The directory.
    pub(super) fn fd(&self) -> BorrowedFd<'a> {
        self.directory
    }

    /// What tells the directory from others.
    pub(super) fn key(&self) -> InodeKey {
        self.key
    }

    /// How the directory was before the change.
    pub(super) fn before(&self) -> Stamp {
        self.before.get()
    }

    /// As [`find`].
    pub(super) fn find(&self, forms: Forms, wanted: &str) -> Result<Option<Vec<u8>>> {
        find_at(self.directory, (self.key, forms), self.before.get(), wanted, || true)
    }

    /// Notes that this thread has just taken an entry from the directory, given it one, or both. What was
    /// remembered of a directory that was another before is forgotten: a local process has changed it as well.
    pub(super) fn done(&self, removed: Option<&[u8]>, added: Option<&[u8]>) {
        let before = self.before.get();
        let after = statx_fd(self.directory).map(|raw| Stamp::of(&raw));
        own_changes(self.key).fetch_add(1, Ordering::SeqCst);
        let mut directories = remembered();
        let Ok(after) = after else {
            for forms in FORMS {
                directories.remove(&(self.key, forms));
            }
            return;
        };
        self.before.set(after);
        for forms in FORMS {
            let Some(known) = directories.get_mut(&(self.key, forms)) else { continue };
            let mut is_right = known.stamp == before;
            if let Some(name) = removed {
                known.names.remove(&comparable_disk(forms, name));
            }
            if let Some(name) = added {
                let previous = known.names.insert(comparable_disk(forms, name), name.to_vec());
                is_right &= previous.is_none_or(|previous| previous == name);
            }
            known.stamp = after;
            if !is_right || known.names.len() > FOLDED_NAMES_MAX {
                directories.remove(&(self.key, forms));
            }
        }
    }
}

/// The settings that a directory's names can be remembered for.
const FORMS: [Forms; 2] = [Forms::Exact, Forms::Any];

fn own_changes(key: InodeKey) -> &'static AtomicU64 {
    let index = usize::try_from(key.1 % OWN_CHANGE_COUNTERS as u64).unwrap_or(0);
    let [first, ..] = &OWN_CHANGES;
    OWN_CHANGES.get(index).unwrap_or(first)
}

fn remember(key: RememberedKey, directory: Directory, is_undisturbed: impl FnOnce() -> bool) {
    let mut directories = remembered();
    if !is_undisturbed() {
        return;
    }
    if directories.len() >= FOLDED_DIRECTORIES_MAX {
        let oldest = directories.iter().min_by_key(|(_, directory)| directory.scanned);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            directories.remove(&oldest);
        }
    }
    directories.insert(key, directory);
}

fn remembered() -> MutexGuard<'static, BTreeMap<RememberedKey, Directory>> {
    REMEMBERED.lock()
}

impl Directory {
    fn is_valid(&self, stamp: Stamp) -> bool {
        self.stamp == stamp && self.scanned.elapsed() < FOLDED_AGE_MAX
    }

    fn by_short_name(&self, wanted: &str) -> Option<&Vec<u8>> {
        if !short_name::may_be_derived(wanted) {
            return None;
        }
        self.names.values().filter(|name| short_name::stands_for(wanted, &names::decode(name))).min()
    }
}

struct Scan {
    best: Option<Vec<u8>>,
    by_short_name: Option<Vec<u8>>,
    /// All names, unless there are too many or two compare equal.
    names: Option<HashMap<String, Vec<u8>>>,
}

fn scan(fd: OwnedFd, forms: Forms, wanted: &str) -> Result<Scan> {
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
    let mut entries = RawDir::new(fd, &mut buffer);
    let mut best: Option<Vec<u8>> = None;
    let mut by_short_name: Option<Vec<u8>> = None;
    let may_be_short = short_name::may_be_derived(wanted);
    // The names, each ended by NUL: folding waits until it is known that there are enough of them.
    let mut all = Vec::new();
    let mut count = 0_usize;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if names::matches(forms, name, wanted) && best.as_deref().is_none_or(|best| name < best) {
            best = Some(name.to_vec());
        }
        if may_be_short
            && by_short_name.as_deref().is_none_or(|first| name < first)
            && short_name::stands_for(wanted, &names::decode(name))
        {
            by_short_name = Some(name.to_vec());
        }
        count = count.saturating_add(1);
        if count <= FOLDED_NAMES_MAX {
            all.extend_from_slice(entry.file_name().to_bytes_with_nul());
        }
    }
    if !(FOLDED_NAMES_MIN..=FOLDED_NAMES_MAX).contains(&count) {
        return Ok(Scan { best, by_short_name, names: None });
    }
    let mut folded = HashMap::with_capacity(count);
    for name in all.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if folded.insert(comparable_disk(forms, name), name.to_vec()).is_some() {
            return Ok(Scan { best, by_short_name, names: None });
        }
    }
    Ok(Scan { best, by_short_name, names: Some(folded) })
}

fn comparable(forms: Forms, wanted: &str) -> String {
    fold_in(forms, &names::with_end_mapped(wanted))
}

fn comparable_disk(forms: Forms, name: &[u8]) -> String {
    fold_in(forms, &names::decode(name))
}

fn key(raw: &Statx) -> InodeKey {
    (device(raw), raw.stx_ino)
}
