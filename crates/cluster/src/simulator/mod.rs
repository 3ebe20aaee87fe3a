//! Nodes in a world of models: etcd, the network, clocks and the storage of shares, with faults of all kinds.
//!
//! A run is a function of its [`Scenario`] and [`Schedule`]. After each event it is checked that at most one node may
//! write to a share, each by its own clock, and that the storage sees writes in rising generations only; after the last
//! fault each share must be served again.

mod etcd;
mod faults;
mod network;
mod processes;
mod random;
mod schedule;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::flaws::Flaws;
use crate::ids::{Attempt, Generation, LeaseId, NodeName, ShareKey};
use crate::protocol::{Event, Stamp};
use crate::records::{self, SCHEMA, SchemaRecord, ShareRecord};
use crate::settings::Timing;
use etcd::Etcd;
use network::Request;
use processes::{Host, Process};
use random::Random;
pub use schedule::{FAULTS, Fault, Schedule, Step};
use storage::Storage;

/// The conditions of a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The number of nodes.
    pub nodes: usize,
    /// The number of shares.
    pub shares: usize,
    /// The locks of the storage.
    pub locks: Locks,
    /// The clocks.
    pub clocks: Clocks,
    /// The deliberate faults of the nodes.
    pub flaws: Flaws,
    /// The times of the nodes.
    pub timing: Timing,
    /// The time that a write takes from the question at the gate to the storage, at most. Must be below the margin for
    /// safety without locks.
    pub write_time: Duration,
    /// False if a write that is on its way ends during a pause of its process, as one that is in the kernel.
    pub pauses_hold_writes: bool,
    /// The faults that happen; others of the schedule are left out.
    pub faults: Vec<Fault>,
    /// The time after the last fault in which every share must be served.
    pub settle: Duration,
    /// True if faults, transactions and actions are written to standard error.
    pub trace: bool,
}

/// The locks of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// The storage grants a lock to one process at a time.
    Honoured,
    /// The storage grants every lock, so that only time keeps owners apart.
    Ignored,
}

/// The clocks of nodes and of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// The rates differ by more than the nodes assume: those of the nodes are slow.
    BeyondBound,
    /// The rates differ by the drift that the nodes assume, or less.
    WithinBound,
}

impl Scenario {
    /// Storages with locks, as a cluster should have; every fault happens.
    pub fn with_locks() -> Self {
        Self {
            nodes: 4,
            shares: 5,
            locks: Locks::Honoured,
            clocks: Clocks::WithinBound,
            flaws: Flaws::default(),
            timing: Timing::default(),
            write_time: Duration::from_millis(400),
            pauses_hold_writes: true,
            faults: FAULTS.to_vec(),
            settle: Duration::from_secs(25),
            trace: false,
        }
    }

    /// Storages without locks: only the arithmetic of leases keeps owners apart. The faults that this arithmetic does not
    /// cover do not happen.
    pub fn with_time_alone() -> Self {
        let covered =
            |fault: &Fault| !matches!(fault, Fault::EarlyEnd | Fault::OwnerDeleted | Fault::Hostile);
        Self {
            locks: Locks::Ignored,
            pauses_hold_writes: false,
            faults: FAULTS.iter().copied().filter(covered).collect(),
            ..Self::with_locks()
        }
    }
}

/// A wrong: its name, and the change that it makes to a scenario.
pub type Wrong = (&'static str, fn(&mut Scenario));

/// Deliberate faults of nodes, and conditions that the protocol does not allow for. The simulator must find each.
pub const WRONGS: &[Wrong] = &[
    ("clocks-beyond-bound", |it| it.clocks = Clocks::BeyondBound),
    ("counts-from-answer", |it| {
        it.flaws.counts_from_answer = true;
        it.faults = vec![Fault::Slow, Fault::RequestsLost, Fault::Cut];
    }),
    ("early-end-of-leases", |it| it.faults.push(Fault::EarlyEnd)),
    ("ignores-incarnation", |it| {
        it.flaws.ignores_incarnation = true;
        it.faults = vec![Fault::Crash, Fault::WatchStalls];
    }),
    ("no-margin", |it| {
        it.timing.margin = Duration::ZERO;
        it.faults = vec![Fault::Cut, Fault::RequestsLost, Fault::AnswersLost];
    }),
    ("owner-deleted-by-hand", |it| it.faults.push(Fault::OwnerDeleted)),
    ("pauses-hold-writes", |it| it.pauses_hold_writes = true),
    ("resumes-without-reclaim", |it| {
        it.flaws.resumes_without_reclaim = true;
        it.faults = vec![Fault::Drain, Fault::Slow];
    }),
    ("revokes-before-stop", |it| it.flaws.revokes_before_stop = true),
];

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events of all kinds.
    pub events: u64,
    /// Renewals that etcd answered.
    pub renewals: u64,
    /// Transactions that etcd carried out or refused.
    pub transactions: u64,
    /// Readings of all keys.
    pub readings: u64,
    /// Changes that etcd sent to watchers.
    pub watched_changes: u64,
    /// Writes that reached a storage.
    pub writes: u64,
    /// Attempts to serve a share that ended with a fence.
    pub fences: u64,
    /// Attempts to serve a share that ended with a handover.
    pub handovers: u64,
    /// Runs of the fencing hook.
    pub hooks: u64,
    /// Generations that had to be raised above those of the storage.
    pub raises: u64,
    /// The longest time in which a share was not served after it had been for the first time.
    pub longest_outage: Duration,
    /// The time from the last fault until all shares were served.
    pub recovery: Duration,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A write of an owner reached the storage after a write of a later owner.
    LateWrite {
        /// The share.
        share: ShareKey,
        /// The generation of the write.
        generation: Generation,
        /// The later generation.
        after: Generation,
        /// The real time.
        at: Duration,
    },
    /// A node moved several shares at a time without the command of an administrator.
    ManyMoves {
        /// The node.
        node: NodeName,
    },
    /// A share was not served in the last seconds.
    NotServed {
        /// The share.
        share: ShareKey,
    },
    /// A node asks to be woken again and again at one time.
    Spins {
        /// The node.
        node: NodeName,
    },
    /// Two nodes may write to a share.
    TwoOwners {
        /// The share.
        share: ShareKey,
        /// The nodes.
        nodes: [NodeName; 2],
        /// The real time.
        at: Duration,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Runs a schedule.
///
/// # Errors
/// The first [`Violation`].
pub fn run(scenario: &Scenario, schedule: &Schedule) -> Result<Summary, Violation> {
    World::new(scenario, schedule).run()
}

/// A process of a host; a restarted one has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProcessId(usize);

/// An event of the world.
#[derive(Clone, Debug)]
enum Item {
    /// An event for a node.
    Deliver {
        process: ProcessId,
        event: Event,
    },
    EtcdBack {
        restored: bool,
    },
    /// A fault of the schedule begins.
    Fault {
        index: usize,
    },
    FenceDone {
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
        done: bool,
    },
    /// All faults are over.
    Healed,
    /// A write reaches the storage.
    Land {
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
        generation: Generation,
    },
    LeaseEnd {
        lease: LeaseId,
    },
    Open {
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
        stamp: Stamp,
    },
    /// The lock of a process that has ended is released.
    Release {
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
    },
    /// A request reaches etcd.
    Request {
        process: ProcessId,
        request: Request,
    },
    Start {
        host: usize,
    },
    StopDone {
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
    },
    Undrain {
        host: usize,
    },
    Wake {
        process: ProcessId,
    },
    /// A client of a host wants to write.
    Write {
        host: usize,
    },
}

/// The world. Times are real, in microseconds.
#[derive(Debug)]
struct World<'a> {
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    random: Random,
    now: u64,
    queue: BTreeMap<(u64, u64), Item>,
    sequence: u64,
    etcd: Etcd,
    /// The rate of the clock of etcd's leader, in parts per million more than real time.
    etcd_rate: i64,
    /// The time at which etcd has a majority again.
    etcd_down_until: u64,
    backup: Etcd,
    hosts: Vec<Host>,
    processes: Vec<Process>,
    shares: Vec<ShareKey>,
    storage: Storage,
    summary: Summary,
    healed_at: u64,
    ends_at: u64,
    last_served: BTreeMap<ShareKey, u64>,
    last_unserved: u64,
    violation: Option<Violation>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, schedule: &'a Schedule) -> Self {
        let mut random = Random::new(schedule.seed);
        let mut etcd = Etcd::new(PREFIX);
        let schema = SchemaRecord { version: SCHEMA, cluster: CLUSTER.to_owned() };
        etcd.put(format!("{PREFIX}schema"), records::write(&schema), None);
        let shares: Vec<ShareKey> =
            (0..scenario.shares).filter_map(|number| ShareKey::new(&format!("s{number}")).ok()).collect();
        for share in &shares {
            let record = ShareRecord {
                weight: 1,
                nodes: Vec::new(),
                addresses: Vec::new(),
                definition: serde_json::Value::Null,
            };
            etcd.put(format!("{PREFIX}shares/{share}"), records::write(&record), None);
        }
        // Half of the drift for the node and half for etcd, less what the square of it is.
        let bound = i64::from(scenario.timing.drift_ppm) * 49 / 100;
        let mut rate = || i64::try_from(random.below(2 * bound as u64 + 1)).unwrap_or(0) - bound;
        let etcd_rate = rate();
        let rates: Vec<i64> = (0..scenario.nodes).map(|_| rate()).collect();
        let hosts = rates.into_iter().enumerate().filter_map(|(number, rate)| {
            let rate = if scenario.clocks == Clocks::BeyondBound { -350_000 } else { rate };
            Some(Host::new(NodeName::new(&format!("n{number}")).ok()?, rate, random.below(1 << 40)))
        });
        let hosts: Vec<Host> = hosts.collect();
        let backup = etcd.clone();
        Self {
            scenario,
            schedule,
            random,
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            etcd,
            etcd_rate,
            etcd_down_until: 0,
            backup,
            hosts,
            processes: Vec::new(),
            shares,
            storage: Storage::default(),
            summary: Summary::default(),
            healed_at: u64::MAX,
            ends_at: u64::MAX,
            last_served: BTreeMap::new(),
            last_unserved: 0,
            violation: None,
        }
    }

    fn run(mut self) -> Result<Summary, Violation> {
        for host in 0..self.hosts.len() {
            let (start, write) = (self.random.below(500_000), self.random.below(100_000));
            self.push(start, Item::Start { host });
            self.push(write, Item::Write { host });
        }
        // The nodes have time to begin before the first fault.
        let (mut at, mut end) = (4_000_000, 4_000_000);
        for (index, step) in self.schedule.steps.iter().enumerate() {
            at += step.after_ms * 1000;
            // A restoration may take longer than it says.
            end = end.max(at + step.lasts_ms.max(5_000) * 1000);
            self.push(at, Item::Fault { index });
        }
        self.push(end, Item::Healed);
        while let Some(((at, _), item)) = self.queue.pop_first() {
            if at > self.ends_at {
                break;
            }
            self.now = at;
            self.summary.events += 1;
            self.process(item);
            self.check();
            if let Some(violation) = self.violation {
                return Err(violation);
            }
        }
        let quiet = self.ends_at.saturating_sub(FINAL_WINDOW);
        for share in &self.shares {
            if self.last_served.get(share).copied().unwrap_or(0) < quiet {
                return Err(Violation::NotServed { share: share.clone() });
            }
        }
        self.summary.recovery = Duration::from_micros(self.last_unserved.saturating_sub(self.healed_at));
        Ok(self.summary)
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.scenario.trace {
            eprintln!("{:10.6} {}", Duration::from_micros(self.now).as_secs_f64(), line());
        }
    }

    fn push(&mut self, at: u64, item: Item) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), item);
    }

    fn push_after(&mut self, delay: u64, item: Item) {
        self.push(self.now + delay, item);
    }

    fn process(&mut self, item: Item) {
        match item {
            Item::Deliver { process, event } => self.deliver(process, event),
            Item::EtcdBack { restored } => self.etcd_back(restored),
            Item::Fault { index } => self.begin_fault(index),
            Item::FenceDone { process, share, attempt, done } => {
                if done {
                    self.storage.fence(&share, process);
                }
                self.deliver(process, Event::Fenced { share, attempt, done });
            }
            Item::Healed => self.heal(),
            Item::Land { process, share, attempt, generation } => {
                self.land(process, share, attempt, generation);
            }
            Item::LeaseEnd { lease } => self.lease_end(lease),
            Item::Open { process, share, attempt, stamp } => self.open(process, share, attempt, stamp),
            Item::Release { process, share, attempt } => self.storage.release(process, &share, attempt),
            Item::Request { process, request } => self.serve_request(process, request),
            Item::Start { host } => self.start(host),
            Item::StopDone { process, share, attempt } => self.stop_done(process, share, attempt),
            Item::Undrain { host } => {
                if let Some(host) = self.hosts.get(host) {
                    let path = format!("{PREFIX}drains/{}", host.name);
                    self.etcd.delete(vec![path]);
                    self.send_changes();
                }
            }
            Item::Wake { process } => self.wake(process),
            Item::Write { host } => self.write(host),
        }
    }

    /// Checks the invariants.
    fn check(&mut self) {
        let mut all_served = true;
        for share in &self.shares {
            let mut owners = self.hosts.iter().filter(|host| {
                let Some(process) = host.process else { return false };
                let serving = self.processes.get(process.0).and_then(|it| it.serving.get(share));
                serving.is_some_and(|it| {
                    it.gate.permits(Moment(host.clock(self.now)))
                        && !self.storage.is_fenced(process, share, it.attempt)
                })
            });
            if let Some(first) = owners.next() {
                if let Some(before) = self.last_served.insert(share.clone(), self.now) {
                    let outage = Duration::from_micros(self.now - before);
                    self.summary.longest_outage = self.summary.longest_outage.max(outage);
                }
                if let Some(second) = owners.next() {
                    let nodes = [first.name.clone(), second.name.clone()];
                    let at = Duration::from_micros(self.now);
                    self.violation = Some(Violation::TwoOwners { share: share.clone(), nodes, at });
                    return;
                }
            } else {
                all_served = false;
            }
        }
        if !all_served && self.now < self.healed_at.saturating_add(self.scenario.settle.as_micros() as u64) {
            self.last_unserved = self.now;
        }
    }
}

const PREFIX: &str = "/shareward/simulated/";
const CLUSTER: &str = "simulated";

/// Each share must be served in this time before the end; a share that is just being moved is not.
const FINAL_WINDOW: u64 = 3_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_that_of_a_cluster() {
        assert_eq!(crate::keys::prefix("simulated").as_deref(), Ok(PREFIX));
    }
}
