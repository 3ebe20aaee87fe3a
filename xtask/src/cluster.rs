//! A cluster of servers under faults, for minutes (`tests/failover`).

use crate::shell;

/// Builds the binary and the run, and runs it. True when nothing was found. With `--optimized`, the binary is built as the
/// benchmark's is; with `--scale`, the costs of many nodes and shares are measured instead.
pub(crate) fn main(arguments: &[String]) -> bool {
    if arguments.first().is_some_and(|it| it == "--scale") {
        return scale();
    }
    let is_optimized = arguments.iter().any(|it| it == "--optimized");
    let build: &[&str] = if is_optimized {
        &[
            "build",
            "--quiet",
            "--locked",
            "--profile",
            "optimized",
            "--package",
            "shareward",
            "--package",
            "failover",
        ]
    } else {
        &["build", "--quiet", "--locked", "--workspace", "--bins"]
    };
    if !shell::succeeds(shell::cargo(build)) {
        return false;
    }
    let directory = if is_optimized { "optimized" } else { "debug" };
    // The run takes the binary beside it.
    let program = shell::target_directory().join(directory).join("failover");
    let mut command = shell::command(&program.to_string_lossy(), &[]);
    command.args(arguments.iter().filter(|it| *it != "--optimized"));
    shell::succeeds(command)
}

/// Measures the state machine of one node among 1,000 with 100,000 shares, and the real etcd with their keys.
fn scale() -> bool {
    let node = ["run", "--release", "--locked", "--package", "shareward-cluster", "--example", "scale"];
    let store = ["run", "--release", "--locked", "--package", "shareward-etcd", "--example", "store"];
    shell::succeeds(shell::cargo(&node)) && shell::succeeds(shell::cargo(&store))
}
