//! The checks after the clients of a round have left: their bytes exist, and nothing else is left.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::COMMON;
use crate::report::Report;
use crate::world::{LINE, World, lock};

/// The resources of an idle server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    /// The process, which is another one after a restart.
    pid: u32,
    descriptors: usize,
    threads: usize,
    /// The number of completed rounds of this process.
    rounds: usize,
    /// The most memory after one of the first [`WARM_ROUNDS`], KiB.
    warm: u64,
}

impl Idle {
    /// Looks at a server that has done nothing yet.
    pub(crate) fn of(world: &World) -> Self {
        // One command first, so that the memory for commands is allocated.
        world.net(&["session"]);
        let pid = world.server().pid();
        thread::sleep(Duration::from_millis(500));
        Self {
            pid,
            descriptors: world.server().descriptors(),
            threads: count(pid, "task"),
            rounds: 0,
            warm: 0,
        }
    }
}

/// Checks everything after a round.
pub(crate) fn check(world: &World, idle: &mut Idle, report: &mut Report) {
    let round = world.round();
    let mut judge = |what: &str, wrong: Vec<String>| {
        for text in &wrong {
            world.finding(what, text);
        }
        report.check(what, wrong.is_empty());
    };
    judge("registry", registry(world));
    judge("descriptors", descriptors(world, idle));
    judge("memory", memory(world, idle));
    judge("bytes", bytes(world));
    judge("appends", appends(world));
    judge("answers", if world.server().answers() { Vec::new() } else { vec!["none".into()] });
    // Checked files are removed.
    for entry in fs::read_dir(world.data()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("r{round}-")) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The final checks, which need the whole run.
pub(crate) fn check_finally(world: &World, idle: &Idle, report: &mut Report) {
    let pid = world.server().pid();
    // Threads that had blocking work leave after ten seconds without any.
    let threads = soon(Duration::from_secs(20), || count(pid, "task") <= idle.threads);
    if !threads {
        world.finding("threads", format_args!("{} of {}", count(pid, "task"), idle.threads));
    }
    report.check("threads", threads);
    let log = world.server().log();
    let bad: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.contains("panicked at"))
        .take(20)
        .collect();
    for line in &bad {
        world.finding("log", line);
    }
    report.check("log", bad.is_empty());
}

/// The entries that a command lists, under their name in its document.
pub(crate) fn listed(world: &World, command: &str, name: &str) -> Vec<Value> {
    let output = world.net(&[command, "--json"]);
    let value: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    match value[name].as_array() {
        Some(all) => all.clone(),
        None => {
            world.unlisted(&output);
            Vec::new()
        }
    }
}

/// Sessions and opens that are left. A durable open that waits for its client is legitimate, if an administrator can
/// close it.
fn registry(world: &World) -> Vec<String> {
    soon(REST_MAX, || listed(world, "session", "sessions").is_empty());
    let mut wrong = Vec::new();
    for session in listed(world, "session", "sessions") {
        wrong.push(format!("a session is left: {session}"));
    }
    if !wrong.is_empty() {
        wrong.push(format!("the clients that still hold a connection: {}", connected(world)));
    }
    soon(REST_MAX, || listed(world, "file", "files").iter().all(is_waiting_for_its_client));
    for open in listed(world, "file", "files") {
        if is_waiting_for_its_client(&open) {
            let id = open["id"].to_string();
            world.net(&["file", &id, "/close", "--force", "/yes"]);
        } else {
            wrong.push(format!("an open is left: {open}"));
        }
    }
    for open in listed(world, "file", "files") {
        wrong.push(format!("an open cannot be closed: {open}"));
    }
    wrong
}

/// The processes at the clients' end of connections to the server, as `ss` shows them.
fn connected(world: &World) -> String {
    let port = world.server().address().port();
    let filter = format!("dport = :{port}");
    let output =
        Command::new("ss").args(["--no-header", "--tcp", "--processes", "--numeric", &filter]).output();
    output
        .map_or_else(|error| error.to_string(), |it| String::from_utf8_lossy(&it.stdout).replace('\n', "; "))
}

fn is_waiting_for_its_client(open: &Value) -> bool {
    open["session_id"].is_null()
}

fn descriptors(world: &World, idle: &Idle) -> Vec<String> {
    let pid = world.server().pid();
    if soon(REST_MAX, || world.server().descriptors() <= idle.descriptors) {
        return Vec::new();
    }
    let mut kinds = BTreeMap::<String, usize>::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).map(|it| it.display().to_string()).unwrap_or_default();
        *kinds.entry(target.split(":[").next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    vec![format!("{} descriptors, not {}: {kinds:?}", world.server().descriptors(), idle.descriptors)]
}

fn memory(world: &World, idle: &mut Idle) -> Vec<String> {
    let pid = world.server().pid();
    if pid != idle.pid {
        (idle.pid, idle.rounds, idle.warm) = (pid, 0, 0);
    }
    let now = resident(pid);
    idle.rounds += 1;
    if idle.rounds <= WARM_ROUNDS {
        idle.warm = idle.warm.max(now);
        return Vec::new();
    }
    let bound = idle.warm + idle.warm / 2 + MEMORY_SLACK_KB;
    if now > bound { vec![format!("{now} KiB resident, {} when warm", idle.warm)] } else { Vec::new() }
}

fn bytes(world: &World) -> Vec<String> {
    let checked = world.ledgers().into_iter().flat_map(|(directory, ledger)| lock(&ledger).check(&directory));
    checked.collect()
}

/// Checks that every appended line exists exactly once.
fn appends(world: &World) -> Vec<String> {
    let there = fs::read(world.data().join(COMMON).join("log")).unwrap_or_default();
    let mut found = BTreeMap::<&[u8], usize>::new();
    for line in there.chunks(LINE) {
        *found.entry(line).or_default() += 1;
    }
    // The next round begins a new file.
    let appended = std::mem::take(&mut *lock(&world.appended));
    let wrong = appended.iter().filter(|line| found.get(line.as_slice()) != Some(&1)).count();
    let all = appended.len();
    let _ = fs::remove_file(world.data().join(COMMON).join("log"));
    if wrong == 0 {
        Vec::new()
    } else {
        vec![format!("{wrong} of {all} appended lines are not there, or twice")]
    }
}

fn count(pid: u32, what: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count)
}

/// Resident memory, KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn soon(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if started.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The time in which the server must notice that its clients are gone.
const REST_MAX: Duration = Duration::from_secs(10);

/// The rounds until the allocator has the memory that all clients need at the same time; a round with a restart is
/// shorter.
const WARM_ROUNDS: usize = 4;

/// The memory that depends on the last requests, in KiB.
const MEMORY_SLACK_KB: u64 = 24 << 10;
