//! `cargo xtask dist`: the files of a release, below `target/dist`.

mod binary;
mod copyright;
mod deb;
pub(crate) mod man;
mod roff;
mod settings;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use binary::{Binary, Machine};
pub(crate) use deb::{debug_package, package};

use crate::shell;
use man::Page;
use tree::Tree;

/// The parts of a release that are the same on all machines.
pub(crate) struct Release {
    pub(crate) version: String,
    /// The time of the last commit, in seconds since 1970, so that a build can be repeated.
    pub(crate) seconds: u64,
    /// The time of the last commit in the form of mail headers.
    pub(crate) mail_date: String,
    pub(crate) pages: Vec<Page>,
    /// The licences of all that the binary contains.
    pub(crate) copyright: String,
    /// The level of the packages' compression, 0 to 9.
    pub(crate) compression: u8,
}

const USAGE: &str = "usage: cargo xtask dist [--profile NAME]

Builds archives and Debian packages for this machine and, if a cross compiler is
installed, for arm64, and the build file of a container image. The default
profile is optimized.
";

/// Builds everything and prints the paths.
pub(crate) fn main(arguments: &[String]) -> bool {
    let profile = match arguments {
        [] => "optimized",
        [option, profile] if option == "--profile" => profile,
        _ => {
            eprint!("{USAGE}");
            return false;
        }
    };
    match make(profile) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("xtask: dist: {error}");
            false
        }
    }
}

fn make(profile: &str) -> io::Result<()> {
    let dist = shell::target_directory().join("dist");
    let host = Machine::host()?;
    let built = host.build(profile)?;
    let release = Release::of(&built, &host, env!("CARGO_PKG_VERSION"))?;
    make_for(&release, &host, &built, &dist)?;
    match Machine::cross(&host) {
        Ok(other) => make_for(&release, &other, &other.build(profile)?, &dist)?,
        Err(reason) => println!("skipped: arm64: {reason}"),
    }
    let packaging = testkit::repository().join("packaging");
    let container = dist.join("Containerfile");
    fs::copy(packaging.join("Containerfile"), &container)?;
    show(&container)
}

/// Makes the archive and the packages for one machine.
fn make_for(release: &Release, machine: &Machine, built: &Path, dist: &Path) -> io::Result<()> {
    let name = format!("shareward-{}-{}", release.version, machine.triple);
    let binary = machine.split(built, &dist.join(format!("{name}.parts")))?;
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
    println!(
        "{}: shareward has {:.1} MB as built, {:.1} MB stripped; the debug information has {:.1} MB",
        machine.triple,
        megabytes(binary.built_size),
        megabytes(size(&binary.stripped)?),
        megabytes(size(&binary.debug)?)
    );
    show(&archive(release, &binary, dist, &name)?)?;
    let debug = dist.join(format!("{name}.debug"));
    fs::copy(&binary.debug, &debug)?;
    show(&debug)?;
    show(&package(release, machine, &binary, dist)?)?;
    show(&debug_package(release, machine, &binary, dist)?)?;
    let parts = binary.stripped.parent().unwrap_or(dist);
    fs::remove_dir_all(parts)
}

impl Release {
    /// The release with the help of `program`, which runs here.
    pub(crate) fn of(program: &Path, host: &Machine, version: &str) -> io::Result<Self> {
        let repository = testkit::repository();
        let seconds = last_change();
        let date = |format: &str| {
            let mut date = shell::command("date", &["--utc", &format!("--date=@{seconds}"), format]);
            date.env("LC_ALL", "C");
            let text = shell::output(date).map(|text| text.trim().to_owned());
            text.ok_or_else(|| io::Error::other("`date` failed"))
        };
        let settings = fs::read_to_string(repository.join("packaging/shareward.toml"))?;
        let day = date("+%Y-%m-%d")?;
        Ok(Self {
            version: version.to_owned(),
            seconds,
            mail_date: date("+%a, %d %b %Y %H:%M:%S +0000")?,
            pages: man::pages(program, &settings, &man::Release { version, date: &day })?,
            copyright: copyright::file(&host.triple, &repository)?,
            compression: 6,
        })
    }
}

/// The time of the last commit; outside of a repository, the present time.
fn last_change() -> u64 {
    let commit = shell::output(shell::command("git", &["log", "-1", "--format=%ct"]));
    let seconds = commit.and_then(|text| text.trim().parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    seconds.unwrap_or_else(now)
}

/// Packs the archive for machines without a package.
fn archive(release: &Release, binary: &Binary, dist: &Path, name: &str) -> io::Result<PathBuf> {
    let tree = Tree::new(&dist.join(name))?;
    tree.copy(&binary.stripped, "shareward", 0o755)?;
    // The link for users who type `net session`.
    tree.link("net", "shareward")?;
    copy_files(&testkit::repository(), &tree)?;
    for Page { name, section, roff } in &release.pages {
        tree.write(&format!("man/man{section}/{name}.{section}"), roff.as_bytes(), 0o644)?;
    }
    tree.write("COPYRIGHT", release.copyright.as_bytes(), 0o644)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = shell::command("tar", &["--owner=0", "--group=0", "--sort=name", "-cz"]);
    tar.arg(format!("--mtime=@{}", release.seconds));
    tar.arg("-f").arg(&archive).arg("-C").arg(dist).arg(name);
    let packed = shell::succeeds(tar);
    fs::remove_dir_all(tree.root())?;
    if packed { Ok(archive) } else { Err(io::Error::other("tar failed")) }
}

/// Copies [`FILES`] from the repository.
fn copy_files(repository: &Path, tree: &Tree) -> io::Result<()> {
    FILES.iter().try_for_each(|name| tree.copy_all(&repository.join(name), name))
}

/// The files and directories next to the binary, under the paths that the documents name.
const FILES: &[&str] = &[
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs",
    "packaging/completions",
    "packaging/grafana-dashboard.json",
    "packaging/prometheus-alerts.yml",
    "packaging/shareward.service",
    "packaging/shareward.toml",
];

fn show(path: &Path) -> io::Result<()> {
    println!("{:9.1} MB  {}", megabytes(fs::metadata(path)?.len()), path.display());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people, far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_the_documents_and_the_files_that_they_name() {
        let directory = shell::target_directory().join(format!("dist-test-{}", std::process::id()));
        let tree = Tree::new(&directory).unwrap();
        copy_files(&testkit::repository(), &tree).unwrap();
        let readme = fs::read_to_string(directory.join("README.md")).unwrap();
        let named = readme.split('`').filter(|it| it.starts_with("docs/") || it.starts_with("packaging/"));
        let missing: Vec<_> = named.filter(|it| !directory.join(it).exists()).collect();
        fs::remove_dir_all(&directory).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
