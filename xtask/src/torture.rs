//! `cargo xtask torture`: runs smbtorture against several servers in parallel, and compares the results with a list
//! of known failures and with those of Samba's own server.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use testkit::torture::{Outcome, TortureTarget, Verdict, empty, list, run_test, selects};
use testkit::{Setup, Share, Subject};

use crate::shell;
use crate::smbtorture::{self, Smbtorture};
use crate::test::Counts;

/// The suites that every change must hold.
const QUICK: &[&str] = &[
    "smb2.connect",
    "smb2.tcon",
    "smb2.read",
    "smb2.rw",
    "smb2.lock",
    "smb2.sharemode",
    "smb2.compound",
    "smb2.create",
    "smb2.dir",
    "smb2.rename",
    "smb2.deny",
    "smb2.credits",
    "smb2.session-id",
    "smb2.secleak",
    "rpc.srvsvc",
    "rpc.wkssvc",
    "smb2.maxfid",
];

/// Tests that do not check a server's behaviour: helpers that hold a file and wait, benchmarks, scanners that print
/// their findings, and tests that hang without one of Samba's own share settings.
const NEVER: &[&str] = &[
    "smb2.hold-oplock",
    "smb2.hold-sharemode",
    "smb2.check-sharemode",
    "smb2.bench.*",
    "smb2.create.bench-path-contention-shared",
    "smb2.scan.*",
    "smb2.aio_delay",
    "smb2.change_notify_disabled",
];

/// Tests that block their own connections, with iptables: they take a network of their own, and root.
const BLOCKING: &[&str] = &[
    "smb2.multichannel.leases.test2",
    "smb2.multichannel.leases.test4",
    "smb2.multichannel.oplocks.test2",
    "smb2.multichannel.oplocks.test3_*",
    "smb2.oplock.batch22b",
    "smb2.replay.dhv2-pending3*",
];

/// Tests of persistent handles: their share keeps its opens.
const CONTINUOUS: &[&str] = &["smb2.persistent-open.*", "smb2.*persistent*"];

/// Tests of a hundred cases and more, which wait for seconds each; their limit is a multiple of that of the others.
const LONG: &[&str] = &[
    "smb2.persistent-open-reconnect-contended.reconnect-contended",
    "smb2.persistent-open-reconnect-contended.reconnect-contended-two",
];

/// The factor of [`LONG`].
const LONG_FACTOR: u32 = 5;

/// The variable that is set in the process with a separate network.
const ALONE: &str = "SHAREWARD_TORTURE_ALONE";

const USAGE: &str = "\
usage: cargo xtask torture [OPTION...] [SELECTOR...]

  SELECTOR      a suite (smb2.lock), a test (smb2.lock.contend) or a glob; all of smb2 without any
  --quick       the suites that `cargo xtask test` runs
  --jobs N      servers side by side (default 6: the tests mostly wait)
  --limit SECS  for one test (default 120)
  --logs DIR    keeps what each test printed (default target/torture)
  --all         also what tests/torture/not-applicable.txt leaves out
  --list        only names the tests
SHAREWARD_TEST_SUBJECT=samba runs the same against smbd, SHAREWARD_BIN=FILE against that binary. smbtorture 4.25 comes
from Debian's packages, which are unpacked beside the build; SHAREWARD_SMBTORTURE=FILE is taken instead.
";

struct Plan {
    selectors: Vec<String>,
    jobs: usize,
    limit: Duration,
    logs: PathBuf,
    all: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            selectors: Vec::new(),
            jobs: 6,
            limit: Duration::from_secs(120),
            logs: shell::target_directory().join("torture"),
            all: false,
        }
    }
}

/// Runs the selected tests. Returns true if the results are as listed.
pub(crate) fn main(arguments: &[String]) -> bool {
    let mut plan = Plan::default();
    let mut only_list = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().unwrap_or_default();
        match word.as_str() {
            "--quick" => plan.selectors.extend(QUICK.iter().map(ToString::to_string)),
            "--jobs" => plan.jobs = value().parse().unwrap_or(plan.jobs).max(1),
            "--limit" => plan.limit = value().parse().map_or(plan.limit, Duration::from_secs),
            "--logs" => plan.logs = value().into(),
            "--all" => plan.all = true,
            "--list" => only_list = true,
            _ if word.starts_with('-') => {
                eprint!("{USAGE}");
                return word == "--help";
            }
            _ if word == "smb2" || word == "rpc" || word.starts_with("smb2.") || word.starts_with("rpc.") => {
                plan.selectors.push(word.clone());
            }
            _ => plan.selectors.push(format!("smb2.{word}")),
        }
    }
    if plan.selectors.is_empty() {
        plan.selectors.push("smb2".into());
    }
    let Some(smbtorture) = smbtorture::find() else { return false };
    if only_list {
        selected(&plan, &smbtorture).iter().for_each(|id| println!("{id}"));
        return true;
    }
    // The build may replace this very program.
    let Ok(this) = std::env::current_exe() else {
        eprintln!("xtask: its own program cannot be found");
        return false;
    };
    let build = ["build", "--quiet", "--locked", "--workspace", "--bins"];
    let given = std::env::var_os("SHAREWARD_BIN").is_some();
    if !samba() && !given && !shell::succeeds(shell::cargo(&build)) {
        return false;
    }
    if !is_alone() && may_be_alone() {
        return alone(&this, arguments);
    }
    let counts = run(&plan, &smbtorture);
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    counts.failed == 0
}

/// The step of `cargo xtask test`.
pub(crate) fn quick() -> Counts {
    let Some(smbtorture) = smbtorture::find() else { return Counts { skipped: 1, ..Counts::default() } };
    let plan = Plan { selectors: QUICK.iter().map(ToString::to_string).collect(), ..Plan::default() };
    run(&plan, &smbtorture)
}

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

fn may_be_alone() -> bool {
    let missing: Vec<_> =
        ["iptables", "unshare", "ip"].into_iter().filter(|program| !shell::installed(program)).collect();
    if !missing.is_empty() || !testkit::is_root() {
        println!("without root, or without {}: no tests that block connections", missing.join(", "));
        return false;
    }
    true
}

/// Runs the same command in a separate network namespace, which ends with it.
fn alone(this: &Path, arguments: &[String]) -> bool {
    // smbtorture requires an interface other than the loopback. If a connection is blocked while an acknowledgment is
    // outstanding, the kernel retransmits that data first, and later data does not leave.
    const SCRIPT: &str = "ip link set lo up && ip tuntap add t0 mode tap && ip address add 192.0.2.1/24 dev t0 && \
                          ip link set t0 up && ip route replace local 127.0.0.1 dev lo table local proto kernel \
                          scope host src 127.0.0.1 quickack 1 && exec \"$0\" torture \"$@\"";
    let mut command = shell::command("unshare", &["--net", "sh", "-c", SCRIPT]);
    command.arg(this).args(arguments).env(ALONE, "1");
    shell::succeeds(command)
}

fn samba() -> bool {
    std::env::var("SHAREWARD_TEST_SUBJECT").is_ok_and(|subject| subject == "samba")
}

fn selected(plan: &Plan, smbtorture: &Smbtorture) -> Vec<String> {
    let not_applicable = list_file("not-applicable.txt");
    let excluded = |id: &str| {
        NEVER.iter().any(|glob| selects(glob, id))
            || (!is_alone() && BLOCKING.iter().any(|glob| selects(glob, id)))
            || (!plan.all && not_applicable.keys().any(|glob| selects(glob, id)))
    };
    let wanted = |id: &String| plan.selectors.iter().any(|selector| selects(selector, id)) && !excluded(id);
    list(&smbtorture.program).into_iter().filter(wanted).collect()
}

fn run(plan: &Plan, smbtorture: &Smbtorture) -> Counts {
    let tests = selected(plan, smbtorture);
    if tests.is_empty() {
        eprintln!("xtask: no test matches {}", plan.selectors.join(" "));
        return Counts { failed: 1, ..Counts::default() };
    }
    fs::create_dir_all(&plan.logs).ok();
    let baseline = baseline();
    let known: BTreeMap<String, String> = if samba() {
        let bad = baseline.iter().filter(|(_, result)| !["success", "skip"].contains(&result.as_str()));
        bad.map(|(id, result)| (id.clone(), format!("Samba: {result}"))).collect()
    } else {
        list_file(smbtorture.known_failures)
    };
    let started = Instant::now();
    let results = side_by_side(plan, smbtorture, &tests);
    let table = Table { smbtorture, known: &known, baseline: &baseline, selected: &tests };
    let (expected, surprising): (Vec<_>, Vec<_>) =
        results.into_iter().partition(|(id, verdict)| table.expects(id, verdict.outcome));

    // Several servers and clients on few cores upset tests that measure time: a surprise must hold alone, too.
    let again: Vec<String> = surprising.iter().map(|(id, _)| id.clone()).collect();
    if !again.is_empty() {
        println!("once more, one at a time: {}", again.join(" "));
    }
    let alone = Plan { selectors: Vec::new(), jobs: 1, logs: plan.logs.clone(), ..*plan };
    let second = if again.is_empty() { BTreeMap::new() } else { side_by_side(&alone, smbtorture, &again) };
    let results: BTreeMap<String, Verdict> = expected.into_iter().chain(second).collect();
    let counts = table.print(&results);
    println!(
        "{} tests in {:.0} s; logs in {}",
        results.len(),
        started.elapsed().as_secs_f64(),
        plan.logs.display()
    );
    counts
}

/// The usual shares, which keep their opens if `continuous`, and the one by whose name smbtorture knows access-based
/// enumeration.
fn setup(continuous: bool) -> Setup {
    let mut setup = Setup::default();
    if continuous {
        setup.extra_share = String::from("continuous = true");
    }
    if let Some(first) = setup.shares.first().cloned() {
        setup.shares.push(Share { name: "hideunread".into(), hides_unreadable: true, ..first });
    }
    setup
}

/// Runs the tests on `plan.jobs` servers, each with a separate share that is emptied before every test.
fn side_by_side(plan: &Plan, smbtorture: &Smbtorture, tests: &[String]) -> BTreeMap<String, Verdict> {
    let queue = Mutex::new(tests.iter().cloned().collect::<VecDeque<_>>());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (results, finished) = mpsc::channel();
    let jobs = plan.jobs.min(tests.len());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let results = results.clone();
            scope.spawn(move || {
                let (mut usual, mut continuous) = (None, None);
                while let Some(id) = next() {
                    let keeps = CONTINUOUS.iter().any(|glob| selects(glob, &id));
                    let server: &mut Option<Subject> = if keeps { &mut continuous } else { &mut usual };
                    let subject = server.get_or_insert_with(|| Subject::start(&setup(keeps)));
                    let (share, scratch) = (subject.share_dir("data"), subject.scratch());
                    empty(&share);
                    // Only administrators may query the pipes.
                    let user = subject.user(if id.starts_with("rpc.") { "admin" } else { "alice" });
                    let target = TortureTarget {
                        program: &smbtorture.program,
                        port: subject.port(),
                        share: "data",
                        user,
                        scratch: &scratch,
                        may_block: is_alone(),
                    };
                    let is_long = LONG.contains(&id.as_str());
                    let limit = if is_long { plan.limit.saturating_mul(LONG_FACTOR) } else { plan.limit };
                    let mut verdict = run_test(&target, &id, limit);
                    if !verdict.outcome.is_fine() && !subject.answers() {
                        verdict.detail = format!("[the server no longer answers] {}", verdict.detail);
                        verdict.outcome = Outcome::Crash;
                        *server = None;
                    }
                    if results.send((id, verdict)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        let mut done = BTreeMap::new();
        for (id, verdict) in finished {
            let (outcome, seconds) = (verdict.outcome.name(), verdict.took.as_secs_f64());
            println!("[{}/{}] {id}: {outcome} ({seconds:.1} s)", done.len() + 1, tests.len());
            let log = plan.logs.join(format!("{}.log", id.replace(['/', ' '], "_")));
            fs::write(log, format!("{id}: {outcome}: {}\n{}\n", verdict.detail, verdict.log)).ok();
            done.insert(id, verdict);
        }
        // A worker that panicked leaves tests undone.
        for id in tests.iter().filter(|id| !done.contains_key(*id)).collect::<HashSet<_>>() {
            let detail = "not run: its server could not be started".to_owned();
            let verdict =
                Verdict { outcome: Outcome::Crash, detail, log: String::new(), took: Duration::ZERO };
            println!("{id}: not run");
            done.insert(id.clone(), verdict);
        }
        done
    })
}

struct Table<'a> {
    smbtorture: &'a Smbtorture,
    known: &'a BTreeMap<String, String>,
    baseline: &'a BTreeMap<String, String>,
    selected: &'a [String],
}

impl Table<'_> {
    fn expects(&self, id: &str, outcome: Outcome) -> bool {
        outcome.is_fine() != self.known.contains_key(id)
    }

    /// Prints all results other than plain success, then the suites, then the differences from the list.
    fn print(&self, results: &BTreeMap<String, Verdict>) -> Counts {
        let mut counts = Counts::default();
        let mut suites: BTreeMap<String, [usize; 4]> = BTreeMap::new();
        let mut wrong = Vec::new();
        println!("\n{:<44} {:<8} {:<8} detail", "test", "here", "samba");
        for (id, verdict) in results {
            let outcome = verdict.outcome;
            let samba = self.baseline.get(id).map_or("-", String::as_str);
            if outcome != Outcome::Success {
                let detail: String = verdict.detail.chars().take(110).collect();
                println!("{id:<44} {:<8} {samba:<8} {detail}", outcome.name());
            }
            let row = suites.entry(suite(id)).or_default();
            row[3] += usize::from(samba == "success");
            match (outcome, self.known.get(id)) {
                (Outcome::Success, None) => {
                    row[0] += 1;
                    counts.passed += 1;
                }
                (Outcome::Skip, None) => {
                    row[2] += 1;
                    counts.skipped += 1;
                }
                (Outcome::Success | Outcome::Skip, Some(_)) => {
                    row[0] += 1;
                    counts.failed += 1;
                    wrong.push(format!(
                        "{id}: {}, but listed as a known failure: take it off the list",
                        outcome.name()
                    ));
                }
                (_, Some(_)) => {
                    row[1] += 1;
                    counts.skipped += 1;
                }
                (_, None) => {
                    row[1] += 1;
                    counts.failed += 1;
                    wrong.push(format!("{id}: {}: {}", outcome.name(), verdict.detail));
                }
            }
        }
        println!("\n{:<24} {:>8} {:>8} {:>8} {:>14}", "suite", "success", "failure", "skip", "samba success");
        for (suite, [success, failure, skip, samba]) in &suites {
            println!("{suite:<24} {success:>8} {failure:>8} {skip:>8} {samba:>14}");
        }
        let existing: BTreeSet<String> = list(&self.smbtorture.program).into_iter().collect();
        if !samba() {
            for id in self.known.keys().filter(|id| !existing.contains(*id)) {
                counts.failed += 1;
                wrong.push(format!("{id}: listed as a known failure, but there is no such test"));
            }
        }
        let listed = self.selected.iter().filter(|id| self.known.contains_key(*id)).count();
        println!("\nnot as listed ({listed} of the selected tests are known to fail): {}", wrong.len());
        wrong.iter().for_each(|line| println!("  {line}"));
        counts
    }
}

fn suite(id: &str) -> String {
    id.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn lists() -> PathBuf {
    testkit::repository().join("tests/torture")
}

/// The results of Samba's server, by id.
fn baseline() -> BTreeMap<String, String> {
    let text = fs::read_to_string(lists().join("baseline-samba-4.17.tsv")).unwrap_or_default();
    let rows = || {
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
    };
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    rows().for_each(|(suite, _, _)| *sizes.entry(suite).or_default() += 1);
    let id = |suite: &str, test: &str| {
        // A suite that is one test has that test's name.
        let alone = sizes.get(suite) == Some(&1) && suite.ends_with(&format!(".{test}"));
        if alone { suite.to_owned() } else { format!("{suite}.{test}") }
    };
    let older = rows().map(|(suite, test, result)| (id(suite, test), result.to_owned()));
    older.chain(list_file("baseline-samba-4.25.tsv")).collect()
}

/// A list of ids with a reason after a tab or `#`.
fn list_file(name: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(Path::new(&lists()).join(name)).unwrap_or_default();
    let entry = |line: &str| {
        let (id, reason) = line.split_once(['\t', '#']).unwrap_or((line, ""));
        let id = id.trim();
        (!id.is_empty()).then(|| (id.to_owned(), reason.trim().to_owned()))
    };
    text.lines().filter_map(entry).collect()
}
