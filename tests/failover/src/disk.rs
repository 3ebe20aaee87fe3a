//! The storage that all nodes share: a small ext4 file system in a file, which can be full, or stand still.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FallocateFlags;
use tempfile::TempDir;
use testkit::run;

use crate::limits::COMMAND_MAX;

/// The file system. Dropping it unmounts it.
pub(crate) struct Disk {
    scratch: TempDir,
}

impl Disk {
    pub(crate) fn mount() -> Self {
        unmount_abandoned();
        let prefix = format!("{PREFIX}{}.", std::process::id());
        let scratch = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a directory");
        open_to_all(scratch.path());
        let disk = Self { scratch };
        let image = disk.scratch.path().join("image");
        File::create(&image).and_then(|file| file.set_len(BYTES)).expect("the file of a file system");
        fs::create_dir(disk.path()).expect("a directory");
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-m", "0"]).arg(&image);
        run(make, b"", COMMAND_MAX).success();
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&image).arg(disk.path());
        run(mount, b"", COMMAND_MAX).success();
        open_to_all(&disk.path());
        disk
    }

    /// The directory of the file system.
    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("storage")
    }

    /// A directory for small files, on another file system.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Uses up all space.
    pub(crate) fn fill(&self) {
        let file = File::options().append(true).create(true).open(self.filler()).expect("a file");
        for size in [1 << 20, 64 << 10, 4096] {
            let mut length = file.metadata().map_or(0, |it| it.len());
            while rustix::fs::fallocate(&file, FallocateFlags::empty(), length, size).is_ok() {
                length += size;
            }
        }
    }

    /// Ends [`Self::fill`].
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).ok();
    }

    /// Has all changes of the file system wait.
    pub(crate) fn freeze(&self) {
        self.fsfreeze("-f");
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.fsfreeze("-u");
    }

    fn fsfreeze(&self, how: &str) {
        let mut command = Command::new("fsfreeze");
        command.arg(how).arg(self.path());
        run(command, b"", COMMAND_MAX);
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        // Lazily, because a process that was killed may still be on its way out.
        Command::new("umount").arg("-l").arg(self.path()).output().ok();
    }
}

/// Unmounts the file systems of runs that were killed.
fn unmount_abandoned() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for directory in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        let process = directory.split_once(PREFIX).and_then(|(_, it)| it.split('.').next());
        if process.is_some_and(|it| it.parse::<u32>().is_ok() && !Path::new("/proc").join(it).exists()) {
            Command::new("umount").arg("-l").arg(directory).output().ok();
        }
    }
}

/// The beginning of the names of directories; the process that made them follows.
const PREFIX: &str = "shareward-failover.";

pub(crate) fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
}

/// Room for the files of the clients and the logs of the shares, and quickly filled.
const BYTES: u64 = 48 << 20;
