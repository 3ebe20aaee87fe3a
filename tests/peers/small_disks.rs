//! Small file systems, which can be full, or stand still.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use testkit::run;

/// A file system whose changes wait until this is dropped.
pub(crate) struct Frozen(PathBuf);

impl Frozen {
    pub(crate) fn freeze(directory: &Path) -> Self {
        let mut freeze = Process::new("fsfreeze");
        freeze.arg("-f").arg(directory);
        run(freeze, b"", Duration::from_secs(30)).success();
        Self(directory.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Process::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

/// A small file system in memory or in a file.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn on(directory: &Path) -> Self {
        let mut mount = Process::new("mount");
        mount.args(["-t", "tmpfs", "-o", "mode=777,size=4m", "tmpfs"]).arg(directory);
        run(mount, b"", Duration::from_secs(30)).success();
        Self(directory.to_owned())
    }

    pub(crate) fn ext4(image: &Path, directory: &Path) -> Self {
        fs::File::create(image).and_then(|file| file.set_len(32 << 20)).expect("a file");
        let mut make = Process::new("mkfs.ext4");
        make.args(["-q", "-F"]).arg(image);
        run(make, b"", Duration::from_secs(30)).success();
        let mut mount = Process::new("mount");
        mount.args(["-o", "loop"]).arg(image).arg(directory);
        run(mount, b"", Duration::from_secs(30)).success();
        fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("chmod");
        Self(directory.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Fills a disk to the last block.
pub(crate) fn fill(filler: &Path) {
    let mut file = fs::File::create(filler).expect("create");
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}
