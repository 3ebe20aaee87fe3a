//! Nodes in a world of models: etcd, the network, clocks and the storage of shares, with faults of all kinds.
//!
//! A run is a function of its [`Scenario`] and [`Schedule`]. After each event it is checked that at most one node may
//! write to a share, each by its own clock, and that the storage sees writes in rising generations only; after the last
//! fault each share must be served again.

mod etcd;
mod faults;
mod network;
mod processes;
mod queue;
mod random;
mod schedule;
mod storage;

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
use queue::Queue;
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
    /// A run ends before that if every share has been served for this time since the last fault.
    pub quiet: Duration,
    /// The pace of the clients' writes: they wait so many times as long between two of them.
    pub pace: u64,
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
            quiet: Duration::from_secs(25),
            pace: 1,
            trace: false,
        }
    }

    /// Storages without locks: only the arithmetic of leases keeps owners apart. The faults that this arithmetic does not
    /// cover do not happen.
    pub fn with_time_alone() -> Self {
        let covered = |fault: &Fault| {
            !matches!(fault, Fault::ClockBack | Fault::EarlyEnd | Fault::OwnerDeleted | Fault::Hostile)
        };
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
    ("clock-set-back", |it| it.faults = vec![Fault::ClockBack, Fault::Cut, Fault::Crash]),
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
    queue: Queue<Item>,
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
    /// The time at which each share was last served, by its number.
    last_served: Vec<Option<u64>>,
    /// The host that may write to each share, by its number.
    owners: Vec<Option<usize>>,
    /// True if a node has taken an event, or a fault has begun, since the last check.
    has_stepped: bool,
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
            queue: Queue::default(),
            etcd,
            etcd_rate,
            etcd_down_until: 0,
            backup,
            hosts,
            processes: Vec::new(),
            last_served: vec![None; shares.len()],
            owners: Vec::new(),
            has_stepped: false,
            shares,
            storage: Storage::default(),
            summary: Summary::default(),
            healed_at: u64::MAX,
            ends_at: u64::MAX,
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
        while let Some((at, item)) = self.queue.pop() {
            if at > self.ends_at {
                break;
            }
            self.now = at;
            self.summary.events += 1;
            self.process(item);
            if std::mem::take(&mut self.has_stepped) {
                self.check();
            }
            if let Some(violation) = self.violation {
                return Err(violation);
            }
        }
        let quiet = self.ends_at.saturating_sub(FINAL_WINDOW);
        for (share, last_served) in self.shares.iter().zip(&self.last_served) {
            if last_served.unwrap_or(0) < quiet {
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
        self.queue.push(at.max(self.now), item);
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

    /// Checks the invariants. That is needed after the step of a node, or a fault: otherwise time only closes gates.
    fn check(&mut self) {
        let (now, mut all_served) = (self.now, true);
        self.owners.clear();
        self.owners.resize(self.shares.len(), None);
        for (number, host) in self.hosts.iter().enumerate() {
            let process = host.process.and_then(|it| Some((it, self.processes.get(it.0)?)));
            let Some((process, it)) = process.filter(|it| !it.1.serving.is_empty()) else { continue };
            let clock = Moment(host.clock(now));
            for (share, serving) in &it.serving {
                let is_open = serving.gate.permits(clock);
                if !is_open || self.storage.is_fenced(process, share, serving.attempt) {
                    continue;
                }
                let Some(owner) = self.owners.get_mut(serving.number) else { continue };
                if let Some(first) = owner.replace(number).and_then(|it| self.hosts.get(it)) {
                    let nodes = [first.name.clone(), host.name.clone()];
                    let at = Duration::from_micros(now);
                    self.violation = Some(Violation::TwoOwners { share: share.clone(), nodes, at });
                    return;
                }
            }
        }
        for (owner, last_served) in self.owners.iter().zip(&mut self.last_served) {
            if owner.is_none() {
                all_served = false;
            } else if let Some(before) = last_served.replace(now) {
                let outage = Duration::from_micros(now - before);
                self.summary.longest_outage = self.summary.longest_outage.max(outage);
            }
        }
        let quiet = self.scenario.quiet.as_micros() as u64;
        if all_served && now.saturating_sub(self.last_unserved.max(self.healed_at)) >= quiet {
            self.ends_at = self.ends_at.min(now);
        }
        if !all_served && now < self.healed_at.saturating_add(self.scenario.settle.as_micros() as u64) {
            self.last_unserved = now;
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
