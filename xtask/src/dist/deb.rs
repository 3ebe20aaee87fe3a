//! The Debian packages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Release;
use super::binary::{Binary, Machine};
use super::tree::Tree;
use crate::shell;

/// The other names of the program. They are in a directory of their own, because `net` is a program of Samba.
const LINKS: &[&str] = &["net", "openfiles", "psfile", "psloggedon"];
const LINKS_DIRECTORY: &str = "usr/lib/shareward/bin";

/// The scripts that dpkg runs.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// Makes the package for a machine in `directory`, and returns its path.
pub(crate) fn package(
    release: &Release,
    machine: &Machine,
    binary: &Binary,
    directory: &Path,
) -> io::Result<PathBuf> {
    let repository = testkit::repository();
    let packaging = repository.join("packaging");
    let debian = packaging.join("debian");
    let version = debian_version(&release.version);
    let tree = Tree::new(&directory.join("deb-tree"))?;
    tree.copy(&binary.stripped, "usr/bin/shareward", 0o755)?;
    for name in LINKS {
        tree.link(&format!("{LINKS_DIRECTORY}/{name}"), "../../../bin/shareward")?;
    }
    tree.copy(&packaging.join("shareward.service"), "usr/lib/systemd/system/shareward.service", 0o644)?;
    // `net share` and other commands change the configuration, so it cannot be a conffile, about which dpkg would ask at
    // each upgrade. The script creates it from this file if it is missing.
    tree.copy(&packaging.join("shareward.toml"), "usr/share/shareward/shareward.toml", 0o644)?;
    for name in ["grafana-dashboard.json", "prometheus-alerts.yml"] {
        tree.copy(&packaging.join(name), &format!("usr/share/shareward/{name}"), 0o644)?;
    }
    tree.directory("etc/shareward", 0o750)?;
    tree.directory("var/lib/shareward", 0o700)?;
    for page in &release.pages {
        let (name, section) = (&page.name, page.section);
        tree.write_compressed(
            &format!("usr/share/man/man{section}/{name}.{section}.gz"),
            page.roff.as_bytes(),
        )?;
    }
    completions(&tree, &packaging.join("completions"))?;
    let documents = "usr/share/doc/shareward";
    for name in ["README.md", "docs"] {
        tree.copy_all(&repository.join(name), &format!("{documents}/{name}"))?;
    }
    tree.write(&format!("{documents}/copyright"), release.copyright.as_bytes(), 0o644)?;
    let changelog = format!(
        "shareward ({version}) unstable; urgency=medium\n\n  * Release {}.\n\n -- {}  {}\n",
        release.version,
        maintainer(&debian)?,
        release.mail_date
    );
    tree.write_compressed(&format!("{documents}/changelog.gz"), changelog.as_bytes())?;
    tree.copy(&debian.join("lintian-overrides"), "usr/share/lintian/overrides/shareward", 0o644)?;

    let control = fs::read_to_string(debian.join("control"))?;
    let control = filled(
        &control,
        &[
            ("VERSION", &version),
            ("ARCHITECTURE", machine.debian),
            ("DEPENDS", &machine.depends(&binary.stripped)?),
            ("INSTALLED_SIZE", &kibibytes(&tree)?.to_string()),
        ],
    )?;
    tree.write("DEBIAN/control", control.as_bytes(), 0o644)?;
    for name in SCRIPTS {
        tree.copy(&debian.join(name), &format!("DEBIAN/{name}"), 0o755)?;
    }
    build(&tree, directory, &format!("shareward_{version}_{}.deb", machine.debian), release)
}

/// Makes the package with the debug information.
pub(crate) fn debug_package(
    release: &Release,
    machine: &Machine,
    binary: &Binary,
    directory: &Path,
) -> io::Result<PathBuf> {
    let debian = testkit::repository().join("packaging/debian");
    let version = debian_version(&release.version);
    let tree = Tree::new(&directory.join("dbgsym-tree"))?;
    let (front, rest) = binary.build_id.split_at_checked(2).unwrap_or_default();
    tree.copy(&binary.debug, &format!("usr/lib/debug/.build-id/{front}/{rest}.debug"), 0o644)?;
    tree.link("usr/share/doc/shareward-dbgsym", "shareward")?;
    let control = format!(
        "Package: shareward-dbgsym\nSource: shareward\nVersion: {version}\nAuto-Built-Package: debug-symbols\n\
         Architecture: {architecture}\nMaintainer: {maintainer}\nInstalled-Size: {size}\n\
         Depends: shareward (= {version})\nSection: debug\nPriority: optional\n\
         Description: debug symbols for shareward\nBuild-Ids: {id}\n",
        architecture = machine.debian,
        maintainer = maintainer(&debian)?,
        size = kibibytes(&tree)?,
        id = binary.build_id,
    );
    tree.write("DEBIAN/control", control.as_bytes(), 0o644)?;
    build(&tree, directory, &format!("shareward-dbgsym_{version}_{}.deb", machine.debian), release)
}

/// The completion files, under the names by which the shells look for them. Those of `net` are left to Samba; the one for
/// zsh names all programs itself.
fn completions(tree: &Tree, from: &Path) -> io::Result<()> {
    let bash = "usr/share/bash-completion/completions";
    let fish = "usr/share/fish/vendor_completions.d";
    tree.copy(&from.join("shareward.bash"), &format!("{bash}/shareward"), 0o644)?;
    tree.copy(&from.join("_shareward"), "usr/share/zsh/vendor-completions/_shareward", 0o644)?;
    tree.copy(&from.join("shareward.fish"), &format!("{fish}/shareward.fish"), 0o644)?;
    for name in LINKS.iter().filter(|name| **name != "net") {
        tree.link(&format!("{bash}/{name}"), "shareward")?;
        tree.link(&format!("{fish}/{name}.fish"), "shareward.fish")?;
    }
    Ok(())
}

/// Writes the checksums and packs the tree.
fn build(tree: &Tree, directory: &Path, name: &str, release: &Release) -> io::Result<PathBuf> {
    let files: Vec<PathBuf> = tree.files()?.into_iter().filter(|path| !path.starts_with("DEBIAN")).collect();
    let plain = files.iter().filter(|path| !tree.root().join(path).is_symlink());
    let mut md5sum = shell::command("md5sum", &["--"]);
    md5sum.args(plain).current_dir(tree.root());
    let sums = shell::output(md5sum).ok_or_else(|| io::Error::other("md5sum failed"))?;
    tree.write("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
    let path = directory.join(name);
    // Not zstd, which the older dpkg of derived distributions cannot read.
    let mut dpkg = shell::command("dpkg-deb", &["--root-owner-group", "-Zxz"]);
    dpkg.arg(format!("-z{}", release.compression)).arg("--build");
    dpkg.arg(tree.root()).arg(&path).env("SOURCE_DATE_EPOCH", release.seconds.to_string());
    let built = shell::output(dpkg).is_some();
    fs::remove_dir_all(tree.root())?;
    if built { Ok(path) } else { Err(io::Error::other("dpkg-deb failed")) }
}

/// A version as Debian orders it: `1.0.0-rc.1` is older than `1.0.0`.
pub(crate) fn debian_version(version: &str) -> String {
    version.replacen('-', "~", 1).replace('-', ".")
}

/// Replaces `@NAME@`. A name that is not given, or that the text lacks, is an error.
fn filled(template: &str, values: &[(&str, &str)]) -> io::Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        let mark = format!("@{name}@");
        if !text.contains(&mark) {
            return Err(io::Error::other(format!("packaging/debian/control lacks {mark}")));
        }
        text = text.replace(&mark, value);
    }
    let is_name = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    match text.split('@').skip(1).find(is_name) {
        Some(name) => {
            Err(io::Error::other(format!("packaging/debian/control has @{name}@, which is unknown")))
        }
        None => Ok(text),
    }
}

fn maintainer(debian: &Path) -> io::Result<String> {
    let control = fs::read_to_string(debian.join("control"))?;
    let field = control.lines().find_map(|line| line.strip_prefix("Maintainer: "));
    field.map(str::to_owned).ok_or_else(|| io::Error::other("packaging/debian/control has no maintainer"))
}

/// The size of all files in units of 1,024 bytes, each rounded up (Debian policy 5.6.20).
fn kibibytes(tree: &Tree) -> io::Result<u64> {
    tree.files()?
        .iter()
        .map(|path| Ok(fs::symlink_metadata(tree.root().join(path))?.len().div_ceil(1024)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prereleases_are_older_than_the_release() {
        assert_eq!(debian_version("1.0.0"), "1.0.0");
        assert_eq!(debian_version("1.0.0-rc.1"), "1.0.0~rc.1");
    }

    #[test]
    fn control_file_gets_exactly_the_values_that_it_names() {
        assert_eq!(filled("A: @X@\n<a@b.c>\n", &[("X", "1")]).unwrap(), "A: 1\n<a@b.c>\n");
        assert!(filled("A: @X@ @Y@\n", &[("X", "1")]).is_err());
        assert!(filled("M: <a@b.c>\nA: @X@ @Y@\n", &[("X", "1")]).is_err());
        assert!(filled("A: 1\n", &[("X", "1")]).is_err());
    }
}
