//! Cloned ranges: two files share blocks on the disk until one of them is written to (FICLONERANGE,
//! ioctl_ficlonerange(2)).
//!
//! Unsafe code: the kernel's call has no safe wrapper.
#![expect(unsafe_code, reason = "an ioctl that rustix does not wrap")]

use super::resolve::{device, mount, statx_fd};
use crate::limits::FILE_SYSTEMS_MAX;
use parking_lot::Mutex;
use rustix::fs::{FsWord, Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct file_clone_range`.
#[repr(C)]
struct FileCloneRange {
    source: i64,
    source_offset: u64,
    source_length: u64,
    target_offset: u64,
}

/// FICLONERANGE.
const CLONE_RANGE: rustix::ioctl::Opcode = opcode::write::<FileCloneRange>(0x94, 13);

/// The bytes that a probe clones: at least a block of every file system that supports cloning.
static PROBE: [u8; 64 * 1024] = [1; 64 * 1024];

/// Clones `length` bytes of `source` into `target`.
pub(super) fn clone_range(
    source: BorrowedFd<'_>,
    source_offset: u64,
    length: u64,
    target: BorrowedFd<'_>,
    target_offset: u64,
) -> Result<(), Errno> {
    let range = FileCloneRange {
        source: source.as_raw_fd().into(),
        source_offset,
        source_length: length,
        target_offset,
    };
    // SAFETY: the opcode is FICLONERANGE, whose argument is a `struct file_clone_range` that the kernel only
    // reads; `source` is borrowed, so its descriptor stays open for the call.
    unsafe { ioctl(target, Setter::<CLONE_RANGE, _>::new(range)) }
}

/// True if the file system of a directory supports cloning. It is tried once for each file system: the trial takes the
/// kernel longer than all else that a share needs, above all on ext4, which never clones.
pub(super) fn is_supported(directory: BorrowedFd<'_>) -> bool {
    let Ok(place) = Place::of(directory) else { return try_to_clone(directory).is_ok() };
    if never_clones(place.kind) {
        return false;
    }
    if let Some(known) = TRIED.lock().get(&place) {
        return *known;
    }
    let is_supported = match try_to_clone(directory) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::INVAL | Errno::ISDIR) => false,
        // The disk is full, say, or mounted for reading only: a later trial may succeed.
        Err(_) => return false,
    };
    let mut tried = TRIED.lock();
    if tried.len() >= FILE_SYSTEMS_MAX {
        tried.clear();
    }
    tried.insert(place, is_supported);
    is_supported
}

/// The file systems that were tried, and the results.
static TRIED: Mutex<BTreeMap<Place, bool>> = Mutex::new(BTreeMap::new());

/// A mounted file system. The numbers of a mount and a device are used again after it is unmounted, and then the kind or
/// the id differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    mount: u64,
    device: u64,
    kind: FsWord,
    id: u64,
}

impl Place {
    fn of(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let (kind, id) = (rustix::fs::fstatfs(directory)?.f_type, rustix::fs::fstatvfs(directory)?.f_fsid);
        Ok(Self { mount: mount(directory)?, device: device(&statx_fd(directory)?), kind, id })
    }
}

/// True if file systems of this kind (statfs(2)) do not support cloning.
fn never_clones(kind: FsWord) -> bool {
    const KINDS: [u32; 3] = [
        0xef53,      // ext2, ext3, ext4
        0x0102_1994, // tmpfs
        0xf2f5_2010, // F2FS
    ];
    KINDS.contains(&(kind as u32))
}

/// Tries to clone with two files without names.
fn try_to_clone(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let unnamed = || rustix::fs::openat(directory, c".", flags, Mode::from_raw_mode(0o600));
    let (source, target) = (unnamed()?, unnamed()?);
    rustix::io::pwrite(&source, &PROBE, 0)?;
    let (source, target) = (std::os::fd::AsFd::as_fd(&source), std::os::fd::AsFd::as_fd(&target));
    clone_range(source, 0, PROBE.len() as u64, target, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_probe_for_cloning_predicts_its_success() {
        let directory = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(directory.path()).unwrap();
        let source = directory.path().join("source");
        std::fs::write(&source, PROBE).unwrap();
        let source = std::fs::File::open(source).unwrap();
        let target = std::fs::File::create_new(directory.path().join("target")).unwrap();
        let cloned = clone_range(source.as_fd(), 0, PROBE.len() as u64, target.as_fd(), 0);
        assert_eq!(cloned.is_ok(), is_supported(root.as_fd()));
        // From the table, and without it.
        assert_eq!(cloned.is_ok(), is_supported(root.as_fd()));
        assert_eq!(cloned.is_ok(), try_to_clone(root.as_fd()).is_ok());
        let copied = std::fs::read(directory.path().join("target")).unwrap();
        assert_eq!(copied.is_empty(), cloned.is_err());
        assert!(copied.is_empty() || copied == PROBE);
    }
}
