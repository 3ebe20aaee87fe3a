//! File systems that a soak mounts for itself, and takes away again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A share whose disk is soon full: a few megabytes of memory.
pub(crate) struct Small {
    directory: PathBuf,
}

impl Small {
    /// Mounts it; `None` if this process may not.
    pub(crate) fn mount(directory: &Path) -> Option<Self> {
        if !testkit::is_root() {
            return None;
        }
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=4m,mode=0777", "soak"]).arg(directory);
        let mounted = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self { directory: directory.to_owned() })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.directory);
    }
}

/// Takes away a mount, whatever uses it.
pub(crate) fn unmount(directory: &Path) {
    let _ = Command::new("umount").arg("-l").arg(directory).stderr(Stdio::null()).status();
}
