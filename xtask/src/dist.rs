//! `cargo xtask dist`: builds the archive for users.

use std::fs;
use std::path::Path;

use crate::shell;

/// The files next to the binary; missing ones are skipped.
const FILES: &[&str] = &[
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "packaging/shareward.service",
    "packaging/shareward.toml",
];

/// Builds for release and packs `shareward-VERSION-TARGET.tar.gz`.
pub(crate) fn main() -> bool {
    if !shell::succeeds(shell::cargo(&["build", "--release", "--locked", "--package", "shareward"])) {
        return false;
    }
    match pack() {
        Ok(path) => {
            println!("{path}");
            true
        }
        Err(error) => {
            eprintln!("xtask: dist: {error}");
            false
        }
    }
}

fn pack() -> Result<String, std::io::Error> {
    let target = shell::target_directory();
    let triple = shell::output(shell::command("rustc", &["-vV"]))
        .and_then(|text| Some(text.lines().find_map(|line| line.strip_prefix("host: "))?.to_owned()))
        .unwrap_or_else(|| "unknown".into());
    let name = format!("shareward-{}-{triple}", env!("CARGO_PKG_VERSION"));
    let dist = target.join("dist");
    let root = dist.join(&name);
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(&root)?;
    fs::copy(target.join("release/shareward"), root.join("shareward"))?;
    // The link for users who type `net session`.
    std::os::unix::fs::symlink("shareward", root.join("net"))?;
    for file in FILES {
        let from = testkit::repository().join(file);
        if from.exists() {
            fs::copy(&from, root.join(Path::new(file).file_name().unwrap_or_default()))?;
        }
    }
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = shell::command("tar", &["--owner=0", "--group=0", "--sort=name", "-czf"]);
    tar.arg(&archive).arg("-C").arg(&dist).arg(&name);
    if shell::succeeds(tar) {
        Ok(archive.display().to_string())
    } else {
        Err(std::io::Error::other("tar failed"))
    }
}
