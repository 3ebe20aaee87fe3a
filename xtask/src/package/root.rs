//! Roots of Debian to install into.

use std::fs;
use std::path::{Path, PathBuf};

use super::Trouble;
use crate::shell;

/// This machine's own root, if it is one of Debian. It is only read.
pub(super) fn this_machine() -> Result<PathBuf, Trouble> {
    needs_root()?;
    if !Path::new("/usr/bin/deb-systemd-helper").exists() {
        return Err(Trouble::Skipped("this machine has no Debian".into()));
    }
    Ok(PathBuf::from("/"))
}

/// A fresh minimal root of a suite. It is made once, below the build directory.
pub(super) fn fresh(suite: &str) -> Result<PathBuf, Trouble> {
    needs_root()?;
    let roots = shell::target_directory().join("package/roots");
    let root = roots.join(suite);
    if root.exists() {
        return Ok(root);
    }
    if !shell::installed("debootstrap") {
        return Err(Trouble::Skipped("debootstrap is not installed".into()));
    }
    println!("making a root of Debian {suite}");
    fs::create_dir_all(&roots)?;
    let partial = roots.join(format!("{suite}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let mut command = shell::command("debootstrap", &["--variant=minbase", suite]);
    command.arg(&partial);
    if shell::output(command).is_none() {
        return Err(Trouble::Skipped(format!(
            "debootstrap could not make {suite}; see {}",
            partial.join("debootstrap/debootstrap.log").display()
        )));
    }
    fs::rename(&partial, &root)?;
    Ok(root)
}

fn needs_root() -> Result<(), Trouble> {
    let id = shell::output(shell::command("id", &["-u"])).unwrap_or_default();
    if id.trim() == "0" { Ok(()) } else { Err(Trouble::Skipped("only root can install packages".into())) }
}
