//! `cargo xtask package`: the Debian package, installed, used, upgraded, removed and purged in roots of Debian.

mod checks;
mod holder;
mod root;
mod scenario;
mod unit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::dist::{self, Machine, Release};
use crate::shell;
use crate::test::Counts;

/// The releases of Debian that the package must work on: stable and old stable.
const SUITES: &[&str] = &["trixie", "bookworm"];

/// The version that the test upgrades from. It is lower than every release.
const OLD_VERSION: &str = "0.0.1";

/// A check and its outcome.
type Outcome = Result<(), Trouble>;

/// The reason why a check has not passed.
#[derive(Debug)]
pub(crate) enum Trouble {
    Failed(String),
    Skipped(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs all checks; fresh roots of Debian are made by debootstrap, which needs a mirror of Debian. `--inside` is the part
/// that runs in namespaces of its own.
pub(crate) fn main(arguments: &[String]) -> bool {
    if let [inside, rest @ ..] = arguments
        && inside == "--inside"
    {
        return scenario::main(rest);
    }
    let unknown = arguments.iter().find(|suite| !SUITES.contains(&suite.as_str()));
    if let Some(unknown) = unknown {
        eprintln!("xtask: no suite {unknown}; `cargo xtask package` knows {}", SUITES.join(", "));
        return false;
    }
    let chosen: Vec<&str> = SUITES
        .iter()
        .copied()
        .filter(|suite| arguments.is_empty() || arguments.iter().any(|it| it == suite))
        .collect();
    if crate::test::build().failed > 0 {
        return false;
    }
    let Counts { passed, failed, skipped } = run(&chosen);
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}

/// The checks that take no network and little time, with the development build: in a copy of this machine's own root.
pub(crate) fn quick() -> Counts {
    run(&[])
}

fn run(suites: &[&str]) -> Counts {
    let mut counts = Counts::default();
    let packages = match Packages::make() {
        Ok(packages) => packages,
        Err(error) => {
            println!("failed: build of the packages: {error}");
            return Counts { failed: 1, ..counts };
        }
    };
    let mut report = |name: &str, outcome: Outcome| match outcome {
        Ok(()) => {
            println!("passed: {name}");
            counts.passed += 1;
        }
        Err(Trouble::Failed(reason)) => {
            println!("failed: {name}: {reason}");
            counts.failed += 1;
        }
        Err(Trouble::Skipped(reason)) => {
            println!("skipped: {name}: {reason}");
            counts.skipped += 1;
        }
    };
    report(
        "every command has a page with all its switches",
        checks::pages(&packages.release, &packages.program),
    );
    report("manual pages without warnings", checks::formatting(&packages.release, &packages.directory));
    report("lintian on the package", checks::lintian(&packages.new));
    report("lintian on the package of debug symbols", checks::lintian(&packages.debug));
    report("life of the package on this machine", root::this_machine().and_then(|root| packages.live(&root)));
    for suite in suites {
        let name = format!("life of the package on a fresh Debian {suite}");
        report(&name, root::fresh(suite).and_then(|root| packages.live(&root)));
    }
    counts
}

/// The packages of two versions.
struct Packages {
    directory: PathBuf,
    program: PathBuf,
    release: Release,
    old: PathBuf,
    new: PathBuf,
    /// The debug symbols of the new one.
    debug: PathBuf,
}

impl Packages {
    /// Makes them from the development build, which the caller has built.
    fn make() -> io::Result<Self> {
        let directory = shell::target_directory().join("package");
        let machine = Machine::host()?;
        let program = shell::target_directory().join("debug/shareward");
        let binary = machine.split(&program, &directory.join("parts"))?;
        let mut release = Release::of(&program, &machine, OLD_VERSION)?;
        // The build of a package takes most of the test's time.
        release.compression = 1;
        let old = dist::package(&release, &machine, &binary, &directory)?;
        release.version = env!("CARGO_PKG_VERSION").to_owned();
        let new = dist::package(&release, &machine, &binary, &directory)?;
        let debug = dist::debug_package(&release, &machine, &binary, &directory)?;
        Ok(Self { directory, program, release, old, new, debug })
    }

    /// Runs [`scenario`] in namespaces of its own, so that it can mount, use port 445, and leaves no process.
    fn live(&self, root: &Path) -> Outcome {
        // The path of this program, even if a build has replaced its file.
        let program = format!("/proc/{}/exe", std::process::id());
        let work = self.directory.join("work");
        fs::create_dir_all(&work)?;
        let mut command = shell::command("timeout", &["--kill-after=10", "600", "unshare"]);
        command.args(["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"]);
        // The first process of the namespace collects the results of orphans.
        command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
        command.arg(program).args(["package", "--inside"]).args([root, &work, &self.old, &self.new]);
        let (good, text) = shell::watched(command);
        match text.lines().last().and_then(|line| line.strip_prefix("skipped: ")) {
            Some(reason) => Err(Trouble::Skipped(reason.into())),
            None if good => Ok(()),
            None => Err(Trouble::Failed("see above".into())),
        }
    }
}
