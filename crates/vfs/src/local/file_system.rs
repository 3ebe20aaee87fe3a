//! The file systems that a share consists of: its root's, and those that are mounted below.
//!
//! Inode numbers are one file system's. What clients are told tells the files of all of them apart, and is the same after
//! a restart, when devices may be numbered otherwise.

use super::resolve::{device, mount, statx_fd};
use crate::error::Result;
use crate::limits::FILE_SYSTEMS_MAX;
use rustix::fs::{major, minor};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use parking_lot::{Mutex, MutexGuard};

/// Ids below this one are reserved by HFS+, and macOS shows no file that has one.
const FIRST_FILE_ID: u64 = 17;

/// The file systems of a share, by their device numbers.
#[derive(Default)]
pub(super) struct FileSystems(Mutex<BTreeMap<u64, u64>>);

impl FileSystems {
    /// What tells the file system on `device` from others, also after a restart; `fd` is of a file in it.
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

    /// The same, of a file system that was asked for before.
    pub(super) fn known(&self, device: u64) -> Option<u64> {
        self.table().get(&device).copied()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.0.lock()
    }
}

/// Whether a file of the root's file system is known by its inode number.
pub(super) fn is_plain(inode: u64) -> bool {
    inode >= FIRST_FILE_ID
}

/// The id of a file that is not known by its inode number. No two files of a file system have the same.
pub(super) fn file_id(key: u64, inode: u64) -> u64 {
    let mut id = mixed(key) ^ inode;
    loop {
        id = mixed(id);
        if is_plain(id) {
            return id;
        }
    }
}

/// The finalizer of SplitMix64, which takes no two numbers to one.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// What statfs(2) calls the file system, which comes from its UUID in most. Where it has no name, or only that of its
/// device, it is what is mounted there.
fn key_of(fd: BorrowedFd<'_>) -> Result<u64> {
    let device = device(&statx_fd(fd)?);
    let told = rustix::fs::fstatvfs(fd)?.f_fsid;
    let (major, minor) = (u64::from(major(device)), u64::from(minor(device)));
    // As the kernel's huge_encode_dev puts a device number together, in which xfs, vfat and others have it.
    let numbered = minor & 0xff | major << 8 | (minor & !0xff) << 12;
    if told != 0 && told != numbered {
        return Ok(told);
    }
    Ok(mounted(mount(fd)?).unwrap_or(device))
}

/// What proc(5) says of a mount: what is mounted, of which type, and where.
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
    fn what_is_mounted_tells_file_systems_apart_that_have_no_name() {
        let [proc, dev] = ["/proc", "/dev"].map(|path| std::fs::File::open(path).unwrap());
        let [proc, dev] = [proc, dev].map(|file| mounted(mount(file.as_fd()).unwrap()));
        assert!(proc.is_some() && dev.is_some() && proc != dev, "{proc:?} {dev:?}");
        assert_eq!(mounted(0), None);
    }
}
