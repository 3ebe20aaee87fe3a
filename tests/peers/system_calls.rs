//! The number of system calls that requests cost the server, counted by strace. Unlike times, these numbers do not depend
//! on the load of the machine, so a bound on them finds a regression.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use client::smb::{ClientTree, CreateParameters, close_part, query_info_part};
use testkit::{RunAs, Setup, Shareward, Subject, need};
use wire::fscc::{DirectoryEntries, FileInfoClass};
use wire::msg::{AdditionalInformation, CloseFlags, CreateDisposition, InfoType};
use wire::{AccessMask, FileId};

use crate::scripted::{rename, tree};

/// The number of cycles of which the mean is taken.
const CYCLES: u32 = 100;

/// Calls that depend on the timing of threads or on the allocator, not on the work.
const NOT_OF_REQUESTS: &[&str] = &[
    "brk",
    "clock_nanosleep",
    "epoll_wait",
    "futex",
    "getrandom",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "restart_syscall",
    "sched_yield",
    "write",
];

/// The calls of the server during some work, by name.
struct Calls(BTreeMap<String, u32>);

impl Calls {
    /// Counts the calls of the server while `work` runs.
    async fn during(subject: &Subject, work: impl AsyncFnOnce()) -> Self {
        let Subject::Shareward(server) = subject else { panic!("not our server") };
        let log = server.scratch().join("calls");
        let mut strace = Command::new("strace")
            .args(["-f", "-p", &server.pid().to_string(), "-o"])
            .arg(&log)
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace");
        let mut said = BufReader::new(strace.stderr.take().expect("its standard error"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains("attached"), "{line}");
        work().await;
        let pid = strace.id().to_string();
        Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill");
        strace.wait().expect("strace ends");
        let mut calls = BTreeMap::new();
        for line in fs::read_to_string(&log).expect("what strace wrote").lines() {
            // "PID name(arguments" or "PID <... name resumed>" or a signal.
            let call = line.split_whitespace().nth(1).and_then(|word| Some(word.split_once('(')?.0));
            if let Some(name) = call.filter(|name| !NOT_OF_REQUESTS.contains(name)) {
                *calls.entry(name.to_owned()).or_default() += 1;
            }
        }
        Self(calls)
    }

    /// The calls for each cycle.
    fn per_cycle(&self) -> f64 {
        f64::from(self.0.values().sum::<u32>()) / f64::from(CYCLES)
    }

    /// The calls for each cycle that switch the identity of a thread.
    fn switches_per_cycle(&self) -> f64 {
        let is_switch = |name: &str| name.starts_with("setre") || name == "setgroups" || name == "setfsuid";
        let switches: u32 = self.0.iter().filter(|(name, _)| is_switch(name)).map(|(_, count)| count).sum();
        f64::from(switches) / f64::from(CYCLES)
    }
}

impl std::fmt::Display for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} a cycle:", self.per_cycle())?;
        for (name, count) in &self.0 {
            write!(f, " {name} {:.2}", f64::from(*count) / f64::from(CYCLES))?;
        }
        Ok(())
    }
}

/// A server that acts as the Unix users of its sessions, or as one user; `None` if a requirement is missing.
fn server(run_as: RunAs) -> Option<Subject> {
    // The history is written in batches by a thread of its own, at its own times.
    let setup = Setup { run_as, extra_share: String::from("history = false"), ..Setup::default() };
    need(&["root", "strace"]).then(|| Subject::Shareward(Shareward::start(&setup)))
}

/// Counts the calls of a cycle, after one that is not counted, and compares them with the bounds of all calls and of
/// switches.
async fn check(subject: &Subject, what: &str, (most, most_switches): (f64, f64), cycle: impl AsyncFn(u32)) {
    cycle(CYCLES).await;
    let calls = Calls::during(subject, async || {
        for number in 0..CYCLES {
            cycle(number).await;
        }
    })
    .await;
    eprintln!("{what}: {calls}");
    assert!(calls.per_cycle() <= most, "{what}: {calls}, more than {most}");
    let switches = calls.switches_per_cycle();
    assert!(
        switches <= most_switches,
        "{what}: {switches} switches of identities, more than {most_switches}"
    );
}

/// Creates or replaces a file.
async fn put(data: &ClientTree, name: &str, content: &[u8]) {
    let file = data.create(&CreateParameters::read_write(name)).await.expect("create");
    if !content.is_empty() {
        file.write(0, content.to_vec()).await.expect("write");
    }
    file.close().await.expect("close");
}

async fn open_read_close(data: &ClientTree) {
    let file = data.create(&CreateParameters::open("f")).await.expect("open");
    assert_eq!(file.read(0, 4096).await.expect("read"), CONTENT);
    file.close().await.expect("close");
}

/// CREATE, QUERY_INFO and CLOSE in one related compound, as clients query the metadata of a name.
async fn stat(data: &ClientTree) {
    let class = FileInfoClass::ALL.0;
    let query = query_info_part(FileId::RELATED, InfoType::FILE, class, AdditionalInformation::NONE, 4096);
    let open = CreateParameters { access: AccessMask::READ_ATTRIBUTES, ..CreateParameters::open("f") };
    let close = close_part(FileId::RELATED, CloseFlags::NONE);
    let parts = vec![open.part().expect("a part"), query, close];
    for request in data.connection().submit_compound(data.scope(), parts, true).await.expect("send") {
        request.response().await.expect("an answer").success().expect("success");
    }
}

/// Lists a directory of `ENTRIES` files.
async fn list(data: &ClientTree) {
    const CLASS: FileInfoClass = FileInfoClass::ID_BOTH_DIRECTORY;
    let directory = data.create(&CreateParameters::directory("d")).await.expect("open");
    let mut listing = directory.list(CLASS, "*");
    let mut entries = 0;
    while let Some(buffer) = listing.next_buffer().await.expect("list") {
        entries += DirectoryEntries::new(CLASS, &buffer).into_iter().flatten().flatten().count();
    }
    directory.close().await.expect("close");
    assert_eq!(entries, ENTRIES + 2, "with itself and its parent");
}

async fn remove(data: &ClientTree, name: &str) {
    let file = data
        .create(&CreateParameters { access: AccessMask::DELETE, ..CreateParameters::open(name) })
        .await
        .expect("open");
    file.set_delete_on_close(true).await.expect("delete");
    file.close().await.expect("close");
}

/// The most calls of a cycle: of all kinds, and those that switch the identity of a thread.
struct Bounds {
    open_read_close: (f64, f64),
    stat: (f64, f64),
    list: (f64, f64),
    create_write_close: (f64, f64),
    rename: (f64, f64),
    delete: (f64, f64),
}

async fn check_all(run_as: RunAs, bounds: Bounds) {
    let Some(subject) = server(run_as) else { return };
    let data = tree(&subject, "alice", "data").await;
    put(&data, "f", CONTENT).await;
    let made =
        CreateParameters { disposition: CreateDisposition::CREATE, ..CreateParameters::directory("d") };
    data.create(&made).await.expect("create a directory").close().await.expect("close");
    for number in 0..ENTRIES {
        put(&data, &format!(r"d\entry {number}"), b"").await;
    }
    check(&subject, "open-read-close", bounds.open_read_close, async |_| open_read_close(&data).await).await;
    check(&subject, "stat", bounds.stat, async |_| stat(&data).await).await;
    check(&subject, "list", bounds.list, async |_| list(&data).await).await;
    let create = async |number| put(&data, &format!("new {number}"), CONTENT).await;
    check(&subject, "create-write-close", bounds.create_write_close, create).await;
    let rename = async |number| {
        let name = format!("new {number}");
        let deletable = CreateParameters { access: AccessMask::DELETE, ..CreateParameters::open(&name) };
        let file = data.create(&deletable).await.expect("open");
        rename(&file, &format!("newer {number}")).await.expect("rename");
        file.close().await.expect("close");
    };
    check(&subject, "rename", bounds.rename, rename).await;
    let delete = async |number| remove(&data, &format!("newer {number}")).await;
    check(&subject, "delete", bounds.delete, delete).await;
}

/// The bounds are a little above the numbers, because a thread sets its groups at its first switch. A change that needs
/// fewer calls lowers the bounds.
#[tokio::test]
async fn calls_of_a_server_with_unix_identities_are_bounded() {
    let bounds = Bounds {
        open_read_close: (17.8, 4.3),
        stat: (11.8, 4.3),
        list: (131.0, 4.3),
        create_write_close: (43.0, 8.3),
        rename: (52.0, 12.3),
        delete: (50.5, 12.3),
    };
    check_all(RunAs::Root, bounds).await;
}

#[tokio::test]
async fn calls_of_a_server_with_one_identity_are_bounded() {
    let bounds = Bounds {
        open_read_close: (15.0, 0.0),
        stat: (7.8, 0.0),
        list: (128.0, 0.0),
        create_write_close: (35.5, 0.0),
        rename: (42.5, 0.0),
        delete: (39.5, 0.0),
    };
    check_all(RunAs::Ordinary, bounds).await;
}

/// The data of large unsigned WRITEs go from the socket to the file without a copy. The first one is read, because only the
/// next is expected to be large.
#[tokio::test]
async fn large_unsigned_writes_are_spliced() {
    let Some(subject) = server(RunAs::Root) else { return };
    let data = tree(&subject, "alice", "data").await;
    let file = data.create(&CreateParameters::read_write("large")).await.expect("create");
    let content = vec![7; 1 << 20];
    file.write(0, content.clone()).await.expect("write");
    let calls = Calls::during(&subject, async || {
        for number in 0..CYCLES {
            file.write(u64::from(number % 8) << 20, content.clone()).await.expect("write");
        }
    })
    .await;
    eprintln!("large write: {calls}");
    let count = |name: &str| calls.0.get(name).copied().unwrap_or_default();
    // A frame that takes long to arrive is read.
    assert!(count("pwrite64") <= CYCLES / 4, "{calls}");
    assert!(count("splice") >= CYCLES, "{calls}");
}

/// The content of a file.
const CONTENT: &[u8] = b"content";

/// The entries of the directory that is listed.
const ENTRIES: usize = 100;
