//! `cargo xtask book`: builds the documents as a book.

use crate::shell;

/// Runs mdbook, which writes the book below `target/book`. Returns false if it fails or is missing.
pub(crate) fn main() -> bool {
    let mut build = shell::command("mdbook", &["build", "docs", "--dest-dir"]);
    build.arg(shell::target_directory().join("book"));
    shell::succeeds(build)
}
