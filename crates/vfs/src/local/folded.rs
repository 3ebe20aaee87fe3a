//! Finding a name without regard to case: one pass over the directory, remembered for long directories.
//!
//! Every creation in a share must know that no other spelling exists; without memory, filling a directory
//! costs the square of its length. What is remembered is only ever a hint about *other spellings*: exact names
//! are always asked of the kernel, permission to list is checked each time, and whatever is found is opened
//! through the kernel again. A memory counts while the directory's times are what they were after the scan or
//! after this server's own last change in it, and for [`FOLDED_AGE_MAX`] at most. So the worst it can do is
//! to miss, for that long, another spelling that somebody else created in the same clock tick.

use super::names;
use super::resolve::{device, statx_fd};
use crate::error::Result;
use crate::fold::fold;
use crate::limits::{
    DIRECTORY_BUFFER_BYTES, FOLDED_AGE_MAX, FOLDED_DIRECTORIES_MAX, FOLDED_NAMES_MAX, FOLDED_NAMES_MIN,
};
use crate::short_name;
use rustix::fs::{Mode, OFlags, RawDir, Statx};
use rustix::io::Errno;
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What is remembered of a share's directories. The lock is held for map look-ups only.
#[derive(Default)]
pub(super) struct FoldedNames {
    directories: Mutex<HashMap<(u64, u64), Directory>>,
}

struct Directory {
    stamp: Stamp,
    scanned: Instant,
    /// Names on disk by how they compare; a directory where two compare equal is not remembered.
    names: HashMap<String, Vec<u8>>,
}

/// The times of a directory that change with its entries: modified and changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([(i64, u32); 2]);

impl FoldedNames {
    /// The entry of a directory that is `wanted` but for case, the first by its bytes if there are several;
    /// or the one that `wanted` is the short name of.
    ///
    /// A directory that the thread may search but not list has only exact names.
    pub(super) fn find(&self, directory: BorrowedFd<'_>, wanted: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(directory, c".", flags, Mode::empty()) {
            Err(Errno::ACCESS) => return Ok(None),
            result => result?,
        };
        let raw = statx_fd(directory)?;
        if let Some(remembered) = self.lock().get(&key(&raw)).filter(|remembered| remembered.is_valid(&raw)) {
            let found =
                remembered.names.get(&comparable(wanted)).or_else(|| remembered.by_short_name(wanted));
            return Ok(found.cloned());
        }
        let scanned = Instant::now();
        let scan = scan(fd, wanted)?;
        if let Some(names) = scan.names.filter(|names| names.len() >= FOLDED_NAMES_MIN) {
            self.remember(key(&raw), Directory { stamp: stamp(&raw), scanned, names });
        }
        Ok(scan.best.or(scan.by_short_name))
    }

    /// Notes that this server just gave the directory an entry.
    pub(super) fn added(&self, directory: BorrowedFd<'_>, name: &[u8]) {
        let Ok(raw) = statx_fd(directory) else { return };
        let mut directories = self.lock();
        let Some(remembered) = directories.get_mut(&key(&raw)) else { return };
        let previous = remembered.names.insert(comparable_disk(name), name.to_vec());
        remembered.stamp = stamp(&raw);
        if previous.is_some_and(|previous| previous != name) {
            directories.remove(&key(&raw));
        }
    }

    /// Notes that this server just took an entry from the directory.
    pub(super) fn removed(&self, directory: BorrowedFd<'_>, name: &[u8]) {
        let Ok(raw) = statx_fd(directory) else { return };
        let mut directories = self.lock();
        let Some(remembered) = directories.get_mut(&key(&raw)) else { return };
        remembered.names.remove(&comparable_disk(name));
        remembered.stamp = stamp(&raw);
    }

    fn remember(&self, key: (u64, u64), directory: Directory) {
        let mut directories = self.lock();
        if directories.len() >= FOLDED_DIRECTORIES_MAX {
            let oldest = directories.iter().min_by_key(|(_, directory)| directory.scanned);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                directories.remove(&oldest);
            }
        }
        directories.insert(key, directory);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, u64), Directory>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    fn is_valid(&self, raw: &Statx) -> bool {
        self.stamp == stamp(raw) && self.scanned.elapsed() < FOLDED_AGE_MAX
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

fn scan(fd: OwnedFd, wanted: &str) -> Result<Scan> {
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
        if names::matches(name, wanted) && best.as_deref().is_none_or(|best| name < best) {
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
        if folded.insert(comparable_disk(name), name.to_vec()).is_some() {
            return Ok(Scan { best, by_short_name, names: None });
        }
    }
    Ok(Scan { best, by_short_name, names: Some(folded) })
}

fn comparable(wanted: &str) -> String {
    fold(&names::with_end_mapped(wanted))
}

fn comparable_disk(name: &[u8]) -> String {
    fold(&names::decode(name))
}

fn key(raw: &Statx) -> (u64, u64) {
    (device(raw), raw.stx_ino)
}

fn stamp(raw: &Statx) -> Stamp {
    Stamp([(raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec), (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec)])
}
