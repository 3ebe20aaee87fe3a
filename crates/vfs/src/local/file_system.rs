//! The file systems of a share: the root's, and those mounted below.
//!
//! Inode numbers are unique per file system only. The file ids that clients receive are unique across all of
//! them, and equal after a restart, which may change device numbers.

use super::resolve::{device, mount, statx_fd};
use crate::error::Result;
use crate::limits::FILE_SYSTEMS_MAX;
use rustix::fs::{FsWord, major, minor};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// Ids below this one are reserved by HFS+, and macOS shows no file that has one.
const FIRST_FILE_ID: u64 = 17;

/// The file systems of a share, by their device numbers.
#[derive(Default)]
pub(super) struct FileSystems(Mutex<BTreeMap<u64, u64>>);

impl FileSystems {
    /// The key of the file system on `device`, which differs from those of others and survives a restart;
    /// `fd` is of a file in it.
    pub(super) fn key(&self, device: u64, fd: BorrowedFd<'_>) -> Result<u64> {
        if let Some(key) = self.known(device) {
            return Ok(key);
        }
        let key = key_of(fd)?;
        let mut known = self.table();
        if known.len() >= FILE_SYSTEMS_MAX {
            known.clear();
        }
        known.insert(device, key);
        Ok(key)
    }

    /// The key of a file system that was queried before.
    pub(super) fn known(&self, device: u64) -> Option<u64> {
        self.table().get(&device).copied()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.0.lock()
    }
}

/// The number of the file system on `device` (statfs(2)); `fd` is of a file in it. `None` if it cannot be queried.
pub(super) fn kind(device: u64, fd: BorrowedFd<'_>) -> Option<FsWord> {
    thread_local! {
        /// The device that the thread has asked about last, the answer, and the time of the question.
        static LAST: Cell<Option<(u64, Option<FsWord>, Instant)>> = const { Cell::new(None) };
    }
    if let Some((last, kind, asked)) = LAST.get()
        && last == device
        && asked.elapsed() < DEVICE_AGE_MAX
    {
        return kind;
    }
    let kind = rustix::fs::fstatfs(fd).ok().map(|it| it.f_type);
    LAST.set(Some((device, kind, Instant::now())));
    kind
}

/// The time after which the file system of a device is queried again: another one may have been mounted.
const DEVICE_AGE_MAX: Duration = Duration::from_secs(1);

/// True if a file of the root's file system has its inode number as its id.
pub(super) fn is_plain(inode: u64) -> bool {
    inode >= FIRST_FILE_ID
}

/// The id of a file whose inode number is not its id. Ids of different files in a file system differ.
pub(super) fn file_id(key: u64, inode: u64) -> u64 {
    let mut id = mixed(key) ^ inode;
    loop {
        id = mixed(id);
        if is_plain(id) {
            return id;
        }
    }
}

/// The finalizer of SplitMix64, which maps different numbers to different numbers.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The file system id of statfs(2), which most file systems derive from their UUID. If it is missing or only
/// the device number, a hash of the mount's description is used.
fn key_of(fd: BorrowedFd<'_>) -> Result<u64> {
    let device = device(&statx_fd(fd)?);
    let told = rustix::fs::fstatvfs(fd)?.f_fsid;
    let (major, minor) = (u64::from(major(device)), u64::from(minor(device)));
    // The kernel's huge_encode_dev encodes a device number like this; xfs, vfat and others use it as their
    // id.
    let numbered = minor & 0xff | major << 8 | (minor & !0xff) << 12;
    if told != 0 && told != numbered {
        return Ok(told);
    }
    Ok(mounted(mount(fd)?).unwrap_or(device))
}

/// A hash of the description of a mount in proc(5): its root, mount point, type and source.
fn mounted(id: u64) -> Option<u64> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let line = table.split(|byte| *byte == b'\n').find(|line| {
        let number = line.split(|byte| *byte == b' ').next();
        number.is_some_and(|number| number == id.to_string().as_bytes())
    })?;
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let behind = fields.iter().position(|field| *field == b"-")?;
    let (root, place) = (fields.get(3)?, fields.get(4)?);
    let (kind, source) = (fields.get(behind.saturating_add(1))?, fields.get(behind.saturating_add(2))?);
    let bytes = [*root, place, kind, source].join(&0);
    // FNV-1a.
    Some(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::fd::AsFd;

    #[test]
    fn ids_differ_within_and_across_file_systems() {
        let ids: BTreeSet<u64> =
            (0..4).flat_map(|key| (0..10_000).map(move |inode| file_id(key, inode))).collect();
        assert_eq!(ids.len(), 40_000);
        assert!(ids.iter().all(|id| is_plain(*id)));
    }

    #[test]
    fn file_systems_without_an_id_differ_by_their_mounts() {
        let [proc, dev] = ["/proc", "/dev"].map(|path| std::fs::File::open(path).unwrap());
        let [proc, dev] = [proc, dev].map(|file| mounted(mount(file.as_fd()).unwrap()));
        assert!(proc.is_some() && dev.is_some() && proc != dev, "{proc:?} {dev:?}");
        assert_eq!(mounted(0), None);
    }
}
