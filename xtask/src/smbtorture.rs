//! smbtorture in the version of the lists in `tests/torture`. Distributions have older ones, so Debian's packages are
//! fetched once, without installing them, and smbtorture runs from the unpacked files.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::{debian, shell};

/// The version that the lists were made with, as its packages and `smbtorture --version` begin it.
const VERSION: &str = debian::SAMBA;

/// Debian 12's, for machines without a network.
const OLDER: &str = "4.17.";

/// Names a program to take instead.
const GIVEN: &str = "SHAREWARD_SMBTORTURE";

/// A program, and which results of it are expected.
#[derive(Debug)]
pub(crate) struct Smbtorture {
    pub(crate) program: PathBuf,
    /// The list of known failures, a file of `tests/torture`.
    pub(crate) known_failures: &'static str,
}

/// The smbtorture for measuring the server, which is fetched if necessary. If that fails, prints the reason and uses
/// the installed one, if any.
pub(crate) fn find() -> Option<Smbtorture> {
    match measure() {
        Ok(program) => Some(Smbtorture { program, known_failures: "known-failures.tsv" }),
        Err(reason) => {
            println!("no smbtorture {VERSION}x: {reason}");
            let program = testkit::find("smbtorture").filter(|program| is_of_version(program, OLDER))?;
            println!("taking the installed one, {OLDER}x, which knows less");
            Some(Smbtorture { program, known_failures: "known-failures-4.17.tsv" })
        }
    }
}

/// The path of smbtorture of [`VERSION`], or the reason that it is not available.
fn measure() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os(GIVEN) {
        return Ok(given.into());
    }
    let place = shell::target_directory().join(testkit::TOOLS).join(format!("smbtorture-{VERSION}x"));
    let place = std::path::absolute(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let program = place.join("smbtorture");
    if is_of_version(&program, VERSION) {
        return Ok(program);
    }
    fetch(&place)?;
    if is_of_version(&program, VERSION) {
        Ok(program)
    } else {
        Err(format!("what Debian's packages were unpacked to in {} does not run", place.display()))
    }
}

fn is_of_version(program: &Path, version: &str) -> bool {
    let printed =
        shell::output(shell::command(&program.to_string_lossy(), &["--version"])).unwrap_or_default();
    printed.lines().any(|line| line.trim().starts_with(&format!("Version {version}")))
}

/// Unpacks the package with all that it needs.
fn fetch(place: &Path) -> Result<(), String> {
    println!("fetching smbtorture {VERSION} into {}", place.display());
    let root = debian::unpack(place, &[&format!("samba-testsuite=2:{VERSION}*")])?;
    write_starter(place, &root).map_err(|error| format!("{}: {error}", place.display()))
}

/// Writes the script that runs smbtorture with the libraries it came with: this system's C library is another one.
fn write_starter(place: &Path, root: &Path) -> io::Result<()> {
    let below = |directory: &str, matches: &dyn Fn(&str) -> bool| -> io::Result<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(root.join(directory))? {
            let entry = entry?;
            if matches(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            }
        }
        found.sort();
        found.into_iter().next().ok_or_else(|| io::Error::other(format!("{directory}: not as expected")))
    };
    let libraries = below("usr/lib", &|name| name.ends_with("-linux-gnu"))?;
    let is_loader = |name: &str| name.starts_with("ld-linux");
    let loader = below("usr/lib64", &is_loader).or_else(|_| below("usr/lib", &is_loader))?;
    let (loader, libraries, root) = (loader.display(), libraries.display(), root.display());
    let script = format!(
        "#!/bin/sh\nexec '{loader}' --library-path '{libraries}:{libraries}/samba' '{root}/usr/bin/smbtorture' \"$@\"\n"
    );
    let program = place.join("smbtorture");
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
}
