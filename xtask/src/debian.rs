//! Programs of Debian's unstable release, unpacked below the build directory and not installed: distributions have
//! older versions of Samba than the one that this project compares itself with.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// The version of Samba to compare with, as its packages begin it.
pub(crate) const SAMBA: &str = "4.25.";

/// The Debian release that has it.
const RELEASE: &str = "sid";

const MIRROR: &str = "http://deb.debian.org/debian";

/// The key that signs the mirror's lists, from Debian's package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Directories that the package `base-files` has as links, which no other package depends on.
const LINKS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Directories that programs in a `chroot` expect.
const DIRECTORIES: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Fetches packages with a separate apt state, with all that they depend on, and unpacks them into a root below
/// `place`, which it returns. What was in `place` is removed. An error names what is missing.
pub(crate) fn unpack(place: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let missing: Vec<_> = ["apt-get", "dpkg-deb"].into_iter().filter(|it| !shell::installed(it)).collect();
    if !missing.is_empty() {
        return Err(format!("no {} to fetch Debian's packages with", missing.join(" and no ")));
    }
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

    let refused = || format!("{} of Debian {RELEASE} cannot be had from {MIRROR}", packages.join(", "));
    if !shell::succeeds(apt_get(&apt, &["update"])) {
        return Err(refused());
    }
    let words: Vec<&str> = ["--yes", "--download-only", "install"].iter().chain(packages).copied().collect();
    if !shell::succeeds(apt_get(&apt, &words)) {
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
    complete(&root).map_err(wrong)?;
    Ok(root)
}

/// Makes the links and directories that a `chroot` needs and that come from no package that was fetched.
fn complete(root: &Path) -> io::Result<()> {
    for link in LINKS {
        let path = root.join(link);
        if path.symlink_metadata().is_err() && root.join("usr").join(link).exists() {
            symlink(Path::new("usr").join(link), path)?;
        }
    }
    DIRECTORIES.iter().try_for_each(|name| fs::create_dir_all(root.join(name)))
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
