//! The paths of the checkout and of cargo's output.

use std::path::{Path, PathBuf};

/// The checkout's top directory.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/testkit is two levels down")
        .into()
}

/// The binary under test: `SHAREWARD_BIN`, or the one in the build directory of the running test.
///
/// Panics with instructions if it does not exist.
pub fn shareward_binary() -> PathBuf {
    let given = std::env::var_os("SHAREWARD_BIN").map(PathBuf::from);
    let built = || build_directory().map(|directory| directory.join("shareward"));
    let path = given.or_else(built).unwrap_or_default();
    assert!(
        path.is_file(),
        "no binary to test at {}: run `cargo build -p shareward` first, or name one in SHAREWARD_BIN",
        path.display()
    );
    path
}

/// `target/debug` or the like: above the running executable, skipping `deps`.
pub(crate) fn build_directory() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let directory = executable.parent()?;
    let deps = directory.file_name().is_some_and(|name| name == "deps");
    Some(if deps { directory.parent()?.to_path_buf() } else { directory.to_path_buf() })
}
