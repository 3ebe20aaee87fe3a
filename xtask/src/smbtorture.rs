//! smbtorture in the version of the lists in `tests/torture`. Distributions have older ones, so Debian's packages are
//! fetched once, without installing them, and smbtorture runs from the unpacked files.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// The version that the lists were made with, as its packages and `smbtorture --version` begin it.
const VERSION: &str = "4.25.";

/// Debian 12's, for machines without a network.
const OLDER: &str = "4.17.";

/// The Debian release that has it.
const RELEASE: &str = "sid";

const MIRROR: &str = "http://deb.debian.org/debian";

/// The key that signs the mirror's lists, from Debian's package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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

/// Fetches the packages with a separate apt state, without installing them, and unpacks them.
fn fetch(place: &Path) -> Result<(), String> {
    let missing: Vec<_> = ["apt-get", "dpkg-deb"].into_iter().filter(|it| !shell::installed(it)).collect();
    if !missing.is_empty() {
        return Err(format!("no {} to fetch Debian's packages with", missing.join(" and no ")));
    }
    println!("fetching smbtorture {VERSION} from {MIRROR} {RELEASE} into {}", place.display());
    let wrong = |error: io::Error| format!("{}: {error}", place.display());
    if place.exists() {
        fs::remove_dir_all(place).map_err(wrong)?;
    }
    let apt = place.join("apt");
    for directory in ["etc/preferences.d", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(directory)).map_err(wrong)?;
    }
    fs::write(apt.join("status"), "").map_err(wrong)?;
    let source = format!("deb [signed-by={KEYRING}] {MIRROR} {RELEASE} main\n");
    fs::write(apt.join("sources.list"), source).map_err(wrong)?;

    let refused = || format!("Debian's mirror {MIRROR} or smbtorture {VERSION} in {RELEASE} cannot be had");
    if !shell::succeeds(apt_get(&apt, &["update"])) {
        return Err(refused());
    }
    let package = format!("samba-testsuite=2:{VERSION}*");
    if !shell::succeeds(apt_get(&apt, &["--yes", "--download-only", "install", &package])) {
        return Err(refused());
    }
    let root = place.join("root");
    for package in shell::files(&apt.join("cache/archives"), &["deb"]) {
        let words = ["--extract".as_ref(), package.as_os_str(), root.as_os_str()];
        let mut unpack = shell::command("dpkg-deb", &[]);
        unpack.args(words);
        if !shell::succeeds(unpack) {
            return Err(format!("{} cannot be unpacked", package.display()));
        }
    }
    fs::remove_dir_all(&apt).map_err(wrong)?;
    write_starter(place, &root).map_err(wrong)
}

/// apt-get that knows nothing of this system but its architecture.
fn apt_get(apt: &Path, arguments: &[&str]) -> Command {
    let mut command = shell::command("apt-get", &["-qq"]);
    let file = |name: &str| apt.join(name).to_string_lossy().into_owned();
    let options = [
        format!("Dir::Etc={}", file("etc")),
        format!("Dir::Etc::sourcelist={}", file("sources.list")),
        "Dir::Etc::sourceparts=-".into(),
        format!("Dir::State={}", apt.display()),
        format!("Dir::State::lists={}", file("lists")),
        format!("Dir::State::status={}", file("status")),
        format!("Dir::Cache={}", file("cache")),
        "Acquire::Languages=none".into(),
        // The user that apt downloads as may not come to this directory.
        "APT::Sandbox::User=root".into(),
        "APT::Install-Recommends=false".into(),
    ];
    for option in options {
        command.arg("-o").arg(option);
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
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
