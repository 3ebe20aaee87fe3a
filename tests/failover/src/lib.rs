//! A cluster of servers under faults: three nodes, three members of etcd and clients, each on a host of its own, which is a
//! network namespace, and one storage that all nodes share.
//!
//! A run has rounds. In each, faults that a seed chooses disturb the cluster ([`faults`]) while clients go on with their
//! persistent opens wherever their share is served ([`workers`]). After the last fault of a round, each client must
//! work again within a bound. At the end, the checks of [`history`] go over all that the clients saw: no acknowledged byte
//! is lost, no lock is held by two at once, and no owner that was fenced has written.
#![forbid(unsafe_code)]

mod client;
mod disk;
mod faults;
mod figures;
mod history;
mod limits;
mod options;
mod report;
mod workers;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use testkit::{find, is_root};

use client::Open;
use history::{Entry, check_locks, check_ring};
use limits::{AGAIN, BACK_MAX};
use workers::{Counter, Ring};
use world::{CLIENTS, SHARES, World};

pub use figures::{Figures, figures};
pub use options::Options;
pub use report::Report;

/// The programs and rights that a run needs and this machine lacks. `None` if there are none.
pub fn lacks() -> Option<String> {
    let programs = ["etcd", "etcdctl", "ip", "mkfs.ext4", "fsfreeze"];
    let missing: Vec<_> = programs.into_iter().filter(|name| find(name).is_none()).collect();
    match (is_root(), missing.is_empty()) {
        (false, _) => Some(String::from("root")),
        (true, false) => Some(missing.join(", ")),
        (true, true) => None,
    }
}

/// Runs rounds of faults, and checks what the clients saw. It needs what [`lacks`] names.
pub fn run(options: &Options) -> Report {
    let fences = options.fences.unwrap_or(options.seed % 2 == 1);
    let world = Arc::new(World::start(fences));
    let mut report = Report { seed: options.seed, fences, ..Report::default() };
    let clients = Clients::start(&world);
    let started = Instant::now();
    let mut round = options.first_round;
    clients.wait(&world, Duration::ZERO);
    while report.rounds == 0 || started.elapsed() < options.length {
        let planned = faults::plan(options.seed, round);
        eprintln!("[{:7.2} s] round {round} {planned:?}", world.now().as_secs_f64());
        faults::carry_out(&world, &planned);
        world.heal();
        let healed = world.now();
        report.rounds += 1;
        let Some(back) = clients.wait(&world, healed) else { break };
        report.back.push(back);
        world.wait_for_nodes();
        round += 1;
    }
    world.end();
    clients.check(&world, &mut report);
    world.check_logs();
    (report.told, report.findings) = (world.told(), world.findings());
    if !report.is_good() {
        eprintln!("{}", world.logs());
    }
    report
}

/// The clients of all shares, on a thread of their own.
struct Clients {
    progress: Vec<(String, Arc<AtomicU64>)>,
    done: mpsc::Receiver<Done>,
    thread: JoinHandle<()>,
}

/// A client that has ended.
enum Done {
    Ring(Open, u64),
    Counter(&'static str, Open, u64),
}

impl Clients {
    fn start(world: &Arc<World>) -> Self {
        let (ended, done) = mpsc::channel();
        let (mut progress, mut rings, mut counters) = (Vec::new(), Vec::new(), Vec::new());
        for (share, first) in SHARES.into_iter().zip((0..).step_by(3)) {
            let mut open = |number: u64, name: &str| {
                let open = Open::new(world, number, share, name);
                progress.push((open.who.clone(), Arc::clone(&open.progress)));
                open
            };
            rings.push(Ring::new(open(first, RING)));
            counters.push((share, Counter::new(open(first + 1, COUNTER))));
            counters.push((share, Counter::new(open(first + 2, COUNTER))));
        }
        let world = Arc::clone(world);
        let thread = thread::spawn(move || {
            world.network.enter(CLIENTS);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let mut tasks = Vec::new();
                for ring in rings {
                    let ended = ended.clone();
                    tasks.push(tokio::spawn(async move {
                        let (open, records) = ring.run().await;
                        ended.send(Done::Ring(open, records)).ok();
                    }));
                }
                for (share, counter) in counters {
                    let ended = ended.clone();
                    tasks.push(tokio::spawn(async move {
                        let (open, increments) = counter.run().await;
                        ended.send(Done::Counter(share, open, increments)).ok();
                    }));
                }
                for task in tasks {
                    task.await.ok();
                }
            });
        });
        Self { progress, done, thread }
    }

    /// Waits until all clients have done something after this time, and returns how long that took. `None` if one does not
    /// within the bound, which is a finding.
    fn wait(&self, world: &World, since: Duration) -> Option<Duration> {
        loop {
            let now = world.now();
            let is_behind = |it: &Arc<AtomicU64>| Duration::from_millis(it.load(Ordering::Relaxed)) <= since;
            let behind: Vec<_> = self.progress.iter().filter(|(_, it)| is_behind(it)).collect();
            if behind.is_empty() {
                return Some(now.saturating_sub(since));
            }
            if now.saturating_sub(since) > BACK_MAX {
                let names: Vec<_> = behind.iter().map(|(name, _)| name.as_str()).collect();
                let status = world.command(0, &["cluster", "status"]).text();
                world.finding(format!("{} are not back after {BACK_MAX:?}\n{status}", names.join(", ")));
                return None;
            }
            // A fence_command may have killed a node when the faults were over.
            world.heal();
            thread::sleep(AGAIN);
        }
    }

    /// Waits for the end of all clients, and checks what they saw, and the files.
    fn check(self, world: &World, report: &mut Report) {
        let mut counters: Vec<(&str, String, Vec<Entry>, u64)> = Vec::new();
        for _ in &self.progress {
            match self.done.recv_timeout(BACK_MAX) {
                Ok(Done::Ring(mut open, records)) => {
                    let file = world.disk.path().join(SHARES[share_of(open.number)]).join(RING);
                    let slots = std::fs::read(&file).map_err(|error| error.to_string());
                    match slots.and_then(|bytes| workers::entries(&bytes, open.number)) {
                        Ok(slots) => open.history.extend(slots),
                        Err(error) => world.finding(format!("{}: {error}", open.who)),
                    }
                    for found in check_ring(&open.history) {
                        world.finding(format!("{}: {found}", open.who));
                    }
                    let reads = open.history.iter().filter(|it| matches!(it, Entry::Read { .. }));
                    report.read += reads.count();
                    report.records += records;
                }
                Ok(Done::Counter(share, open, increments)) => {
                    report.increments += increments;
                    counters.push((share, open.who, open.history, increments));
                }
                Err(_) => return world.finding("a client does not end"),
            }
        }
        figures::end_of(Some(self.thread));
        for share in SHARES {
            let of_share = counters.iter().filter(|(it, ..)| *it == share);
            let histories: Vec<_> =
                of_share.clone().map(|(_, who, history, _)| (who.clone(), history.clone())).collect();
            check_locks(&histories).into_iter().for_each(|it| world.finding(it));
            let expected: u64 = of_share.map(|(.., increments)| increments).sum();
            let bytes = std::fs::read(world.disk.path().join(share).join(COUNTER)).unwrap_or_default();
            let value = bytes.get(..8).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes);
            if value != expected {
                world.finding(format!("{share}: {expected} increments were made, the number is {value}"));
            }
        }
    }
}

fn share_of(client: u64) -> usize {
    usize::try_from(client / 3).unwrap_or(0) % SHARES.len()
}

/// The file of the client that writes into a ring.
const RING: &str = "ring";

/// The file of the clients that increment a number.
const COUNTER: &str = "number";
