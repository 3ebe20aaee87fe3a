//! `cargo xtask test`: every check there is, in order of cost, with one line of counts at the end.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::{book, fuzz, package, packages, shell, tidy, torture};

/// The results of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    fn one(good: bool) -> Self {
        Self { passed: usize::from(good), failed: usize::from(!good), skipped: 0 }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Counts,
}

/// The steps, the cheap ones first.
const STEPS: &[Step] = &[
    Step { name: "install", about: "the Debian packages of the peers, and fsx", run: install },
    Step { name: "format", about: "cargo fmt --check", run: format },
    Step { name: "tidy", about: "the house rules", run: || Counts::one(tidy::main()) },
    Step {
        name: "book",
        about: "the documents as a book with its links, where mdbook can be had",
        run: book,
    },
    Step { name: "clippy", about: "clippy with warnings as errors, all targets", run: clippy },
    Step { name: "deny", about: "cargo-deny, where it is installed", run: deny },
    Step { name: "build", about: "the binaries and the tests of the later steps", run: build },
    Step { name: "unit", about: "the crates' own tests", run: unit },
    Step { name: "fuzz-corpus", about: "what fuzzing has found, again", run: fuzz_corpus },
    Step { name: "peers", about: "smbclient, rpcclient, impacket, the kernel client", run: peers },
    Step { name: "rust-clients", about: "the crates smb2 and smb", run: rust_clients },
    Step { name: "package", about: "the Debian package, in a copy of this root", run: package::quick },
    Step { name: "torture", about: "smbtorture, the suites that must hold", run: torture::quick },
];

/// Runs the named steps, or all. True when nothing failed.
pub(crate) fn main(arguments: &[String]) -> bool {
    if arguments.iter().any(|argument| argument == "--list") {
        for step in STEPS {
            println!("{:14}{}", step.name, step.about);
        }
        return true;
    }
    if let Some(unknown) = arguments.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        eprintln!("xtask: no step {unknown}; `cargo xtask test --list` names them");
        return false;
    }
    // Tests of the binary need a current binary.
    let tests_binary = ["peers", "rust-clients", "package", "torture"];
    let implied =
        |name: &str| name == "build" && arguments.iter().any(|a| tests_binary.contains(&a.as_str()));
    let chosen = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name) || implied(name);

    let mut total = Counts::default();
    let mut table = String::new();
    for step in STEPS.iter().filter(|step| chosen(step.name)) {
        println!("\n=== {}: {}", step.name, step.about);
        let started = Instant::now();
        let counts = (step.run)();
        total.add(counts);
        let Counts { passed, failed, skipped } = counts;
        let (name, seconds) = (step.name, started.elapsed().as_secs_f64());
        table +=
            &format!("{name:14}{passed:6} passed {failed:4} failed {skipped:4} skipped {seconds:8.1} s\n");
    }
    println!("\n{table}\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    total.failed == 0
}

fn install() -> Counts {
    Counts::one(packages::install())
}

fn format() -> Counts {
    let workspace = shell::succeeds(shell::cargo(&["fmt", "--all", "--check"]));
    let clients = rust_clients_manifest();
    let apart = !clients.exists() || {
        let mut command = shell::cargo(&["fmt", "--check", "--manifest-path"]);
        command.arg(clients);
        shell::succeeds(command)
    };
    Counts::one(workspace && apart)
}

fn clippy() -> Counts {
    let arguments = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Counts::one(shell::succeeds(shell::cargo(&arguments)))
}

fn book() -> Counts {
    if let Err(reason) = book::install() {
        println!("{reason}");
        return Counts { skipped: 1, ..Counts::default() };
    }
    Counts::one(book::main())
}

fn deny() -> Counts {
    if !shell::installed("cargo-deny") && shell::in_cargo_home("cargo-deny").is_none() {
        println!("cargo-deny is not installed (`cargo install --locked cargo-deny`)");
        return Counts { skipped: 1, ..Counts::default() };
    }
    Counts::one(shell::succeeds(shell::cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"])))
}

pub(crate) fn build() -> Counts {
    // The whole workspace with its tests, as the later steps want it: cargo chooses the features of a crate by what is
    // built together, and each other choice would build everything once more.
    let arguments = ["build", "--quiet", "--locked", "--workspace", "--bins", "--tests"];
    Counts::one(shell::succeeds(shell::cargo(&arguments)))
}

fn unit() -> Counts {
    if nextest() {
        tests(&["--workspace", "-E", "not (package(peers) or package(shareward-fuzzing))"], false)
    } else {
        tests(&["--workspace", "--exclude", "peers", "--exclude", "shareward-fuzzing"], false)
    }
}

fn fuzz_corpus() -> Counts {
    println!("{} inputs in files", fuzz::corpus_size());
    tests(&of_package("shareward-fuzzing"), false)
}

fn peers() -> Counts {
    let mut selection = of_package("peers");
    if nextest() {
        // These tests often wait: for answers, deadlines, and peers that start.
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get()) * 2;
        selection.push(format!("--test-threads={threads}"));
    }
    tests(&selection, true)
}

/// The arguments that select one package's tests and, where nextest can do that, build it with the whole workspace's
/// features.
fn of_package(name: &str) -> Vec<String> {
    if nextest() {
        vec!["--workspace".to_owned(), "-E".to_owned(), format!("package({name})")]
    } else {
        vec!["--package".to_owned(), name.to_owned()]
    }
}

/// The kernel client's tests, the long ones too. True when nothing failed.
pub(crate) fn kernel(words: &[String]) -> bool {
    if build().failed > 0 {
        return false;
    }
    let mut selection = of_package("peers");
    let (prefixed, options): (Vec<_>, Vec<_>) = words.iter().partition(|word| !word.starts_with('-'));
    if let Some(option) = options.first() {
        eprintln!("xtask: {option}? `cargo xtask kernel` takes words of tests' names");
        return false;
    }
    if prefixed.is_empty() {
        selection.push("kernel::".to_owned());
    }
    selection.extend(prefixed.into_iter().cloned());
    // Side by side, the machines of two tests would each wait for the other.
    let long = if nextest() {
        ["--run-ignored=all", "--test-threads=1"]
    } else {
        ["--include-ignored", "--test-threads=1"]
    };
    if !nextest() {
        selection.push("--".to_owned());
    }
    selection.extend(long.map(str::to_owned));
    let Counts { passed, failed, skipped } = tests(&selection, true);
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}

fn rust_clients() -> Counts {
    let manifest = rust_clients_manifest();
    if !manifest.exists() {
        println!("there are none");
        return Counts { skipped: 1, ..Counts::default() };
    }
    let manifest = manifest.display().to_string();
    // A separate workspace, so that the clients' many dependencies stay out of ours.
    tests(&["--manifest-path", &manifest], true)
}

fn rust_clients_manifest() -> PathBuf {
    testkit::repository().join("tests/rust-clients/Cargo.toml")
}

/// Runs tests, with nextest if it is installed, and counts them. A test that reported a skip (`testkit::skip`) counts
/// as skipped.
fn tests<S: AsRef<OsStr>>(selection: &[S], of_the_binary: bool) -> Counts {
    let nextest = nextest();
    let run: &[&str] = if nextest {
        &["nextest", "run", "--no-fail-fast", "--status-level", "retry", "--no-tests", "pass", "--locked"]
    } else {
        &["test", "--quiet", "--no-fail-fast", "--locked"]
    };
    let target = shell::target_directory();
    let skips = target.join("skipped-tests.txt");
    fs::remove_file(&skips).ok();
    let prepare = |command: &mut Command| {
        command.args(selection).env("SHAREWARD_SKIPS", &skips).env("CARGO_TARGET_DIR", &target);
        if of_the_binary {
            command.env("SHAREWARD_BIN", target.join("debug/shareward"));
            command.env("SHAREWARD_REQUIRE_PEERS", "1");
        }
    };
    let mut command = shell::cargo(run);
    prepare(&mut command);
    if nextest {
        // Nextest reports on standard error.
        command.stderr(std::process::Stdio::piped());
    }
    let (good, text) = if nextest { watched_errors(command) } else { shell::watched(command) };
    let mut counts = if nextest { count_nextest(&text) } else { count_cargo_test(&text) };
    for name in flaky(&text) {
        println!("flaky, passed when it was repeated: {name}");
    }
    if !good && counts.failed == 0 {
        counts.failed = 1;
    }
    let reported = fs::read_to_string(&skips).unwrap_or_default();
    for line in reported.lines() {
        println!("skipped: {line}");
    }
    let reported = reported.lines().count().min(counts.passed);
    counts.passed -= reported;
    counts.skipped += reported;
    counts
}

fn nextest() -> bool {
    shell::installed("cargo-nextest") || shell::in_cargo_home("cargo-nextest").is_some()
}

fn watched_errors(mut command: Command) -> (bool, String) {
    use std::io::{BufRead, BufReader};
    let Ok(mut child) = command.spawn() else {
        eprintln!("xtask: cannot run cargo nextest");
        return (false, String::new());
    };
    let mut text = String::new();
    for line in
        child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
    {
        eprintln!("{line}");
        text += &line;
        text.push('\n');
    }
    (child.wait().is_ok_and(|status| status.success()), text)
}

/// `Summary [ 1.2s] 61 tests run: 55 passed (1 slow), 6 failed, 4 skipped`
fn count_nextest(text: &str) -> Counts {
    let summary =
        text.lines().rev().find(|line| line.trim_start().starts_with("Summary [")).unwrap_or_default();
    let of = |word: &str| before(summary, word);
    Counts { passed: of(" passed"), failed: of(" failed") + of(" timed out"), skipped: of(" skipped") }
}

/// The tests that failed and passed when they were repeated:
/// `   FLAKY 2/2 [   0.3s] (1/9) shareward-vfs::store disks::streams`.
fn flaky(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| line.trim_start().starts_with("FLAKY "))
        .filter_map(|line| Some(line.split_once("] ")?.1))
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; ...`, once for each test binary.
fn count_cargo_test(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines().filter(|line| line.starts_with("test result: ")) {
        counts.add(Counts {
            passed: before(line, " passed"),
            failed: before(line, " failed"),
            skipped: before(line, " ignored"),
        });
    }
    counts
}

/// The number before a word.
fn before(line: &str, word: &str) -> usize {
    let Some((front, _)) = line.split_once(word) else { return 0 };
    let digits = front.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_both_runners() {
        let nextest = "     Summary [  20.8s] 61 tests run: 55 passed (2 slow), 6 failed, 4 skipped\nerror: test run failed\n";
        let Counts { passed, failed, skipped } = count_nextest(nextest);
        assert_eq!((passed, failed, skipped), (55, 6, 4));
        let again = "   FLAKY 2/2 [   0.336s] (1129/1297) shareward-vfs::store disks::streams\n";
        assert_eq!(flaky(again).collect::<Vec<_>>(), ["(1129/1297) shareward-vfs::store disks::streams"]);
        let line =
            "test result: ok. 5 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        let Counts { passed, failed, skipped } = count_cargo_test(&line.repeat(2));
        assert_eq!((passed, failed, skipped), (10, 2, 4));
    }
}
