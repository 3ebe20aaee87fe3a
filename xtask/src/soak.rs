//! Clients of all kinds, for hours (`tests/soak`).

use crate::shell;

/// Builds the binary and the soak, and runs it. True when nothing failed.
pub(crate) fn main(arguments: &[String]) -> bool {
    if !shell::succeeds(shell::cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"])) {
        return false;
    }
    let mut command = shell::command("nice", &[]);
    command.arg(shell::target_directory().join("debug/soak")).args(arguments);
    shell::succeeds(command)
}
