//! `cargo xtask bench`: the bench package, built for speed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{debian, shell};

/// Builds the server and the load generator as `dist` does and runs the latter with these arguments. The peer is
/// Samba of [`debian::SAMBA`], which is fetched once; if it cannot be had, or with `--installed`, the installed one,
/// and with `--both` first the one and then the other. With `--vm` everything runs in user-mode Linux: slowly, but
/// with as many descriptors as needed. Files that are written there are lost with it.
pub(crate) fn main(arguments: &[String]) -> bool {
    let build =
        ["build", "--profile", "optimized", "--locked", "--package", "shareward", "--package", "bench"];
    if !shell::succeeds(shell::cargo(&build)) {
        return false;
    }
    let built = shell::target_directory().join("optimized");
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let arguments: Vec<&String> = arguments.iter().filter(|it| !OWN.contains(&it.as_str())).collect();
    if has(VM) {
        return shell::succeeds(with(in_guest(&built), &arguments));
    }
    if has(INSTRUCTIONS) {
        let mut command = with(here(&built), &arguments);
        if let Some(root) = newer_valgrind().filter(|_| !has(VALGRIND)) {
            command.arg(VALGRIND).arg(root);
        }
        return shell::succeeds(command);
    }
    let is_installed = has(INSTALLED) || WITHOUT_SAMBA.iter().any(|option| has(option));
    let newer = if is_installed { None } else { newer_samba() };
    let mut all_succeed = true;
    if let Some(root) = &newer {
        let mut command = with(here(&built), &arguments);
        command.arg("--samba").arg(root);
        all_succeed &= shell::succeeds(command);
    }
    if newer.is_none() || has(BOTH) {
        all_succeed &= shell::succeeds(with(here(&built), &arguments));
    }
    all_succeed
}

fn with(mut command: Command, arguments: &[&String]) -> Command {
    command.args(arguments);
    command
}

/// The root with the newer Samba, which is fetched if necessary; `None` after a message with the reason.
fn newer_samba() -> Option<PathBuf> {
    let packages = ["samba", "samba-common-bin"].map(|name| format!("{name}=2:{}*", debian::SAMBA));
    let root = unpacked(&format!("samba-{}x", debian::SAMBA), "usr/sbin/smbd", &[&packages[0], &packages[1]]);
    root.map_err(|reason| println!("the peer is the installed Samba: {reason}")).ok()
}

/// The root with the newer valgrind, which is fetched if necessary: that of Debian 12 has no `openat2`. `None` after a
/// message with the reason.
fn newer_valgrind() -> Option<PathBuf> {
    let root = unpacked("valgrind", "usr/bin/valgrind", &["valgrind"]);
    root.map_err(|reason| println!("the installed valgrind counts: {reason}")).ok()
}

/// The root with these packages of Debian's unstable release, which are fetched unless `program` is there.
fn unpacked(name: &str, program: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let place = std::path::absolute(shell::target_directory().join(testkit::TOOLS).join(name));
    let place = place.map_err(|error| error.to_string())?;
    let root = place.join("root");
    if root.join(program).is_file() {
        return Ok(root);
    }
    println!("fetching {} into {}", packages.join(" and "), place.display());
    debian::unpack(&place, packages)
}

fn here(built: &Path) -> Command {
    let mut command = shell::command(&built.join("bench").display().to_string(), &[]);
    command.env("SHAREWARD_BIN", built.join("shareward"));
    command
}

fn in_guest(built: &Path) -> Command {
    // The guest is for the kernel's client: port, share, user and password are of the mount that is not made.
    let mut command =
        shell::command("tools/kernel-client.sh", &["445", "-", "-", "-", "tools/bench-guest.sh"]);
    command.envs([("KC_OPTS", "none"), ("KC_MEM", GUEST_MEMORY), ("KC_TIMEOUT", GUEST_SECONDS_MAX)]);
    command.arg("env").arg(format!("SHAREWARD_BIN={}", built.join("shareward").display()));
    command.arg(built.join("bench"));
    command
}

const VM: &str = "--vm";
const INSTALLED: &str = "--installed";
const BOTH: &str = "--both";

/// Options of the bench package.
const INSTRUCTIONS: &str = "--instructions";
const VALGRIND: &str = "--valgrind";

/// The options that the bench package does not know.
const OWN: [&str; 3] = [VM, INSTALLED, BOTH];

/// Options of the bench package with which no smbd runs, or whose Samba is given.
const WITHOUT_SAMBA: [&str; 7] =
    ["--against", "--acceptors", "--full-load", "--history", "--list", "--samba", "--scrape"];

/// Two servers with 100,000 opens each, the directory tree, and `smbstatus --json`; memory is allocated on use.
const GUEST_MEMORY: &str = "8G";

/// A case that takes minutes here may take an hour there.
const GUEST_SECONDS_MAX: &str = "3600";
