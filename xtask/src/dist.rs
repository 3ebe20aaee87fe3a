//! `cargo xtask dist`: builds the archive for users.

use std::fs;
use std::path::Path;

use crate::shell;

/// The files and directories next to the binary, under the paths that the documents name.
const FILES: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE", "docs", "packaging"];

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
    copy_files(&testkit::repository(), &root)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = shell::command("tar", &["--owner=0", "--group=0", "--sort=name", "-czf"]);
    tar.arg(&archive).arg("-C").arg(&dist).arg(&name);
    if shell::succeeds(tar) {
        Ok(archive.display().to_string())
    } else {
        Err(std::io::Error::other("tar failed"))
    }
}

/// Copies [`FILES`] from the repository.
fn copy_files(repository: &Path, root: &Path) -> Result<(), std::io::Error> {
    for name in FILES {
        let from = repository.join(name);
        let files =
            if from.is_dir() { shell::files(&from, &["json", "md", "service", "toml"]) } else { vec![from] };
        for file in files {
            let to = root.join(file.strip_prefix(repository).unwrap_or(&file));
            fs::create_dir_all(to.parent().unwrap_or(root))?;
            fs::copy(&file, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_the_documents_and_the_files_that_they_name() {
        let directory = shell::target_directory().join(format!("dist-test-{}", std::process::id()));
        copy_files(&testkit::repository(), &directory).unwrap();
        let readme = fs::read_to_string(directory.join("README.md")).unwrap();
        let named = readme.split('`').filter(|it| it.starts_with("docs/") || it.starts_with("packaging/"));
        let missing: Vec<_> = named.filter(|it| !directory.join(it).exists()).collect();
        fs::remove_dir_all(&directory).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
