//! Peers that may be missing: tests are skipped visibly on a developer's machine, and fail where all tests must run.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::paths::build_directory;

/// Returns true if all `programs` are installed; otherwise reports the missing ones and that the test is skipped.
///
/// With `SHAREWARD_REQUIRE_PEERS=1`, which `cargo xtask test` sets, a missing program panics instead. A name with a
/// slash is a path that must exist; `python:NAME` is a Python module; `root` requires the superuser.
#[track_caller]
pub fn need(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !present(name)).collect();
    if missing.is_empty() {
        return true;
    }
    let reason = format!("not available here: {}", missing.join(", "));
    let required = std::env::var_os("SHAREWARD_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{reason} (`cargo xtask test`, run as root, installs what Debian has)");
    skip(&reason);
    false
}

/// Reports that the running test is skipped and the reason, also to `cargo xtask test`.
#[track_caller]
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    eprintln!("SKIPPED {test}: {reason}");
    // The test runner hides the output of passing tests, so the count goes through a file.
    if let Some(path) = std::env::var_os("SHAREWARD_SKIPS")
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        writeln!(file, "{test}\t{reason}").ok();
    }
}

/// The directory below cargo's target directory that `cargo install --root` gets for the tests' own tools.
pub const TOOLS: &str = "tools";

fn present(name: &str) -> bool {
    if name == "root" {
        return is_root();
    }
    if let Some(module) = name.strip_prefix("python:") {
        let mut python = std::process::Command::new(crate::peer::PYTHON);
        let import = python.args(["-c", &format!("import {module}")]);
        return import.output().is_ok_and(|output| output.status.success());
    }
    if name.contains('/') {
        return Path::new(name).exists();
    }
    find(name).is_some()
}

/// Finds a program in the search path, in Debian's directories for daemons, or where `cargo xtask test install` puts
/// programs without a package.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    let target = build_directory().and_then(|directory| Some(directory.parent()?.join(TOOLS)));
    directories.extend(target.map(|tools| tools.join("bin")));
    directories.into_iter().map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Returns true if this process runs as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
