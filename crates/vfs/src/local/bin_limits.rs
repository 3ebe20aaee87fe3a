//! The limits of a bin: old files are removed, and the oldest while all together are too large.

use super::directory;
use super::metadata;
use super::names;
use super::recycle::DIRECTORY;
use super::resolve::{Root, open_entry, statx, statx_fd};
use super::vetoed::entries;
use crate::backend::{Actor, BinLimits, Trimmed};
use crate::error::{Error, Result};
use crate::limits::{BIN_AGES_MAX, RECYCLED_DEPTH_MAX};
use crate::path::RelativePath;
use crate::stat::Kind;
use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Removes files of a bin that exceed the limits, and directories that are empty then.
pub(super) fn trim(root: &Root, directory: &RelativePath, limits: &BinLimits) -> Result<Trimmed> {
    let bin = open(root, directory)?;
    let mut walk = Walk { before: limits.since.map_or(i64::MIN, nanoseconds), ..Walk::default() };
    walk.all(bin.as_fd())?;
    let files = walk.removed;
    let size = walk.ages.total;
    let Some(before) = limits.bytes.filter(|(most, _)| size > *most).map(|(_, left)| walk.ages.before(left))
    else {
        return Ok(Trimmed { files, bytes_left: size });
    };
    let mut walk = Walk { before, ..Walk::default() };
    walk.all(bin.as_fd())?;
    Ok(Trimmed { files: files.saturating_add(walk.removed), bytes_left: walk.ages.total })
}

/// Opens the directory of a bin, which the server owns.
fn open(root: &Root, directory: &RelativePath) -> Result<OwnedFd> {
    let mut at = root.open_at(b"", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let process = root.credentials.uid(&Actor::Process);
    for component in directory.components() {
        at = open_entry(at.as_fd(), &names::encode(component)?, DIRECTORY, Mode::empty())?;
        if statx_fd(at.as_fd())?.stx_uid != process {
            return Err(Error::AccessDenied);
        }
    }
    Ok(at)
}

/// A walk through a bin, which removes files that are too old and measures the others. The age of a file is that of its
/// last change, which the move to the bin is, too. Times are nanoseconds since 1970.
#[derive(Default)]
struct Walk {
    /// Files that were changed before are removed.
    before: i64,
    removed: u64,
    ages: Ages,
}

impl Walk {
    /// Walks through the directories of all users.
    fn all(&mut self, bin: BorrowedFd<'_>) -> Result<()> {
        let mut failed = None;
        for name in entries(bin)? {
            // An error in the directory of one user does not keep files of other users.
            if let Err(error) = self.entry(bin, &name, None, RECYCLED_DEPTH_MAX) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Walks through an entry. A directory that the user of the bin does not own is left: the user may have moved it there
    /// with files in it that the user could not delete.
    fn entry(&mut self, at: BorrowedFd<'_>, name: &[u8], user: Option<u32>, depth: u32) -> Result<()> {
        let raw = match statx(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            raw => raw?,
        };
        let changed = changed(&raw);
        if metadata::kind(&raw) != Kind::Directory {
            if changed >= self.before {
                self.ages.add(changed, raw.stx_size);
            } else if removed_or_gone(rustix::fs::unlinkat(at, name, AtFlags::empty()))? {
                self.removed = self.removed.saturating_add(1);
            }
            return Ok(());
        }
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        let below = open_entry(at, name, DIRECTORY, Mode::empty())?;
        let owner = statx_fd(below.as_fd())?.stx_uid;
        if user.is_some_and(|user| user != owner) {
            return Ok(());
        }
        for name in entries(below.as_fd())? {
            self.entry(below.as_fd(), &name, Some(owner), depth)?;
        }
        if changed < self.before && directory::is_empty(below.as_fd())? {
            removed_or_gone(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR))?;
        }
        Ok(())
    }
}

/// False if a user has removed it, or used its directory, meanwhile.
fn removed_or_gone(result: std::result::Result<(), Errno>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The time of the last change of a file.
fn changed(raw: &Statx) -> i64 {
    raw.stx_ctime.tv_sec.saturating_mul(SECOND).saturating_add(i64::from(raw.stx_ctime.tv_nsec))
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// The bytes of files by the times of their last changes.
struct Ages {
    /// The length of a span of time whose files are counted together.
    span: i64,
    /// The bytes of each span, by its number.
    bytes: BTreeMap<i64, u64>,
    /// The bytes of all files.
    total: u64,
}

impl Default for Ages {
    fn default() -> Self {
        Self { span: 1, bytes: BTreeMap::new(), total: 0 }
    }
}

impl Ages {
    fn add(&mut self, changed: i64, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        let of_span = self.bytes.entry(changed.div_euclid(self.span)).or_default();
        *of_span = of_span.saturating_add(bytes);
        while self.bytes.len() > BIN_AGES_MAX {
            self.span = self.span.saturating_mul(2);
            let mut wider = BTreeMap::<i64, u64>::new();
            for (span, bytes) in std::mem::take(&mut self.bytes) {
                let of_span = wider.entry(span.div_euclid(2)).or_default();
                *of_span = of_span.saturating_add(bytes);
            }
            self.bytes = wider;
        }
    }

    /// The time such that the files that were changed before must be removed for at most `most` bytes to be left.
    fn before(&self, most: u64) -> i64 {
        let mut left = self.total;
        let mut before = i64::MIN;
        for (span, bytes) in &self.bytes {
            if left <= most {
                break;
            }
            left = left.saturating_sub(*bytes);
            before = span.saturating_add(1).saturating_mul(self.span);
        }
        before
    }
}

const SECOND: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_bytes_go_until_the_rest_fits() {
        let mut ages = Ages::default();
        for (changed, bytes) in [(30, 5), (10, 7), (20, 1), (10, 3)] {
            ages.add(changed, bytes);
        }
        assert_eq!(ages.total, 16);
        for (most, before) in [(16, i64::MIN), (15, 11), (6, 11), (5, 21), (0, 31)] {
            assert_eq!(ages.before(most), before, "{most}");
        }
    }

    #[test]
    fn many_ages_are_counted_in_longer_spans_without_loss() {
        let mut ages = Ages::default();
        let files = i64::try_from(BIN_AGES_MAX * 3).unwrap();
        for changed in 0..files {
            ages.add(changed, 1);
        }
        assert!(ages.bytes.len() <= BIN_AGES_MAX);
        let half = u64::try_from(files / 2).unwrap();
        let before = ages.before(half);
        // At least as many go as have to, and at most one span more.
        let gone = u64::try_from(before).unwrap();
        assert!(gone >= half && gone < half + 8, "{before}");
    }
}
