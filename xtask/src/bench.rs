//! `cargo xtask bench`: the bench package, built for speed.

use crate::shell;

/// Builds the server and the load generator in release and runs the latter with these arguments.
pub(crate) fn main(arguments: &[String]) -> bool {
    let build = ["build", "--release", "--locked", "--package", "shareward", "--package", "bench"];
    if !shell::succeeds(shell::cargo(&build)) {
        return false;
    }
    let release = shell::target_directory().join("release");
    let mut command = shell::command(&release.join("bench").display().to_string(), &[]);
    command.args(arguments).env("SHAREWARD_BIN", release.join("shareward"));
    shell::succeeds(command)
}
