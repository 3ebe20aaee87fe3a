//! `cargo xtask bench`: the bench package, built for speed.

use std::path::Path;
use std::process::Command;

use crate::shell;

/// Builds the server and the load generator as `dist` does and runs the latter with these arguments. With `--vm` it
/// runs, like both servers, in user-mode Linux: slowly, but with as many descriptors as needed. Files that are
/// written there are lost with it.
pub(crate) fn main(arguments: &[String]) -> bool {
    let build =
        ["build", "--profile", "optimized", "--locked", "--package", "shareward", "--package", "bench"];
    if !shell::succeeds(shell::cargo(&build)) {
        return false;
    }
    let built = shell::target_directory().join("optimized");
    let mut command = if arguments.iter().any(|it| it == VM) { in_guest(&built) } else { here(&built) };
    command.args(arguments.iter().filter(|it| *it != VM));
    shell::succeeds(command)
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

/// Two servers with 100,000 opens each, the directory tree, and `smbstatus --json`; memory is allocated on use.
const GUEST_MEMORY: &str = "8G";

/// A case that takes minutes here may take an hour there.
const GUEST_SECONDS_MAX: &str = "3600";
