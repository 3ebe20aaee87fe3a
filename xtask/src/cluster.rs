//! A cluster of servers under faults, for minutes (`tests/failover`).

use crate::shell;

/// Builds the binary and the run, and runs it. True when nothing was found.
pub(crate) fn main(arguments: &[String]) -> bool {
    if !shell::succeeds(shell::cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"])) {
        return false;
    }
    let program = shell::target_directory().join("debug/failover");
    let mut command = shell::command(&program.to_string_lossy(), &[]);
    command.args(arguments);
    shell::succeeds(command)
}
