//! Case-insensitive lookup of names: one scan of the directory, cached for long directories.
//!
//! Every creation in a share must check that no other spelling exists; without a cache, filling a directory
//! would take quadratic time. The cache is only a hint about *other spellings*: the kernel resolves exact
//! names, the permission to list is checked each time, and the kernel opens every name that was found. An
//! entry is valid while the directory's times are those after the scan or after this server's own last
//! change, and for [`FOLDED_AGE_MAX`] at most. An own change updates an entry only if it was valid just
//! before ([`OwnChange`]). The worst possible error is to miss, for that time, another spelling that a local
//! process created in the same clock tick or during an own change.
//!
//! The cache belongs to the process, as the locks of directories do: two shares may contain the same
//! directory.

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
use wire::FoldedName;
use wire::private_use::with_private_end;

use parking_lot::{Mutex, MutexGuard};

/// The cached directories. The lock is held for map look-ups only.
static REMEMBERED: Mutex<BTreeMap<RememberedKey, Directory>> = Mutex::new(BTreeMap::new());

/// Counters of this process's changes of directories, selected by inode number: a scan during which its
/// counter changes is not cached.
static OWN_CHANGES: [AtomicU64; OWN_CHANGE_COUNTERS] = [const { AtomicU64::new(0) }; OWN_CHANGE_COUNTERS];

/// The number of counters: so many that a scan is seldom disturbed by changes of another directory.
const OWN_CHANGE_COUNTERS: usize = 256;

/// The key of a cached directory. Shares with different normalization rules have separate entries.
type RememberedKey = (InodeKey, Forms);

struct Directory {
    stamp: Stamp,
    scanned: Instant,
    /// The names on disk by folded name. A directory in which two names fold to the same is not cached.
    names: HashMap<FoldedName, Vec<u8>>,
}

/// The times of a directory that change with its entries: modified and changed.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// Finds the entry of a directory that equals `wanted` in all but case and the normalization `forms` (the
/// first by its bytes if there are several), or the one whose short name is `wanted`.
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

/// A directory whose lock this thread holds while it changes entries.
pub(super) struct OwnChange<'a> {
    directory: BorrowedFd<'a>,
    key: InodeKey,
    /// The times of the directory before the next change.
    before: Cell<Stamp>,
}

impl<'a> OwnChange<'a> {
    /// Reads the directory's current times.
    pub(super) fn begin(directory: BorrowedFd<'a>) -> Result<Self> {
        let raw = statx_fd(directory)?;
        own_changes(key(&raw)).fetch_add(1, Ordering::SeqCst);
        Ok(Self { directory, key: key(&raw), before: Cell::new(Stamp::of(&raw)) })
    }

    /// The directory.
    pub(super) fn fd(&self) -> BorrowedFd<'a> {
        self.directory
    }

    /// The device and inode of the directory.
    pub(super) fn key(&self) -> InodeKey {
        self.key
    }

    /// The times of the directory before the change.
    pub(super) fn before(&self) -> Stamp {
        self.before.get()
    }

    /// Finds an entry as the function [`find`] does.
    pub(super) fn find(&self, forms: Forms, wanted: &str) -> Result<Option<Vec<u8>>> {
        find_at(self.directory, (self.key, forms), self.before.get(), wanted, || true)
    }

    /// Records that this thread has just removed an entry, added one, or both. A cached directory whose times
    /// before the change were different is dropped: a local process has changed it as well.
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

/// All variants that can be cached of a directory.
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
    /// All names, unless there are too many or two of them fold to the same.
    names: Option<HashMap<FoldedName, Vec<u8>>>,
}

fn scan(fd: OwnedFd, forms: Forms, wanted: &str) -> Result<Scan> {
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
    let mut entries = RawDir::new(fd, &mut buffer);
    let mut best: Option<Vec<u8>> = None;
    let mut by_short_name: Option<Vec<u8>> = None;
    let may_be_short = short_name::may_be_derived(wanted);
    // The names, each ended by NUL: they are folded only if there are enough of them.
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

fn comparable(forms: Forms, wanted: &str) -> FoldedName {
    fold_in(forms, &with_private_end(wanted.to_owned()))
}

fn comparable_disk(forms: Forms, name: &[u8]) -> FoldedName {
    fold_in(forms, &names::decode(name))
}

fn key(raw: &Statx) -> InodeKey {
    (device(raw), raw.stx_ino)
}
