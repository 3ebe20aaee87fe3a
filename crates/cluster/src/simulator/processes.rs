//! Hosts and processes: what a shell does with the actions of a node.

use std::collections::BTreeMap;

use super::network::{Link, Request, Watcher};
use super::{CLUSTER, Item, Locks, PREFIX, ProcessId, Violation, World};
use crate::clock::Moment;
use crate::gate::WriteGate;
use crate::ids::{Attempt, Generation, NodeName, ShareKey};
use crate::node::Node;
use crate::protocol::{Action, Event, Report, Stamp, StopReason};
use crate::settings::{Balance, Settings};

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: NodeName,
    /// The rate of its clock, in parts per million more than real time.
    rate: i64,
    /// The time of its clock at the beginning.
    offset: u64,
    pub(super) process: Option<ProcessId>,
    pub(super) paused_until: u64,
    pub(super) link: Link,
    pub(super) slow_stops_until: u64,
    pub(super) storage_fails_until: u64,
    /// The time after which a node that has left is started again.
    pub(super) starts_after_leaving: u64,
}

impl Host {
    pub(super) fn new(name: NodeName, rate: i64, offset: u64) -> Self {
        Self {
            name,
            rate,
            offset,
            process: None,
            paused_until: 0,
            link: Link::default(),
            slow_stops_until: 0,
            storage_fails_until: 0,
            starts_after_leaving: 0,
        }
    }

    /// The time of the host's clock.
    pub(super) fn clock(&self, real: u64) -> u64 {
        // A run takes minutes, so that the product in parts per million fits.
        let passed = real.cast_signed().saturating_mul(1_000_000 + self.rate) / 1_000_000;
        self.offset.saturating_add_signed(passed)
    }

    /// The real time at which the clock has reached `moment`.
    fn real(&self, moment: Moment) -> u64 {
        let passed = moment.0.saturating_sub(self.offset).checked_mul(1_000_000);
        let rate = (1_000_000 + self.rate).unsigned_abs();
        passed.and_then(|it| it.checked_div(rate)).unwrap_or(u64::MAX - 1).saturating_add(1)
    }
}

/// A process with a node.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) host: usize,
    pub(super) node: Node,
    pub(super) alive: bool,
    pub(super) serving: BTreeMap<ShareKey, Serving>,
    attempts: BTreeMap<ShareKey, AttemptState>,
    pub(super) watcher: Option<Watcher>,
    wakes_at: u64,
    /// The steps since time has passed.
    steps: (u64, u32),
}

/// A share that is served.
#[derive(Debug)]
pub(super) struct Serving {
    /// The number of the share.
    pub(super) number: usize,
    pub(super) attempt: Attempt,
    pub(super) gate: WriteGate,
}

#[derive(Debug)]
struct AttemptState {
    attempt: Attempt,
    generation: Generation,
    /// The writes on their way to the storage.
    writes: u32,
    stopping: Option<StopReason>,
}

impl World<'_> {
    pub(super) fn start(&mut self, host: usize) {
        let number = ProcessId(self.processes.len());
        let Some(it) = self.hosts.get_mut(host).filter(|it| it.process.is_none()) else { return };
        it.process = Some(number);
        let settings = Settings {
            node: it.name.clone(),
            prefix: PREFIX.to_owned(),
            cluster: CLUSTER.to_owned(),
            addresses: Vec::new(),
            weight: 1,
            boot: self.schedule.seed.wrapping_add(1 + number.0 as u64),
            timing: self.scenario.timing.clone(),
            balance: Balance::default(),
        };
        let now = Moment(it.clock(self.now));
        self.processes.push(Process {
            host,
            node: Node::unchecked(settings, self.scenario.flaws, now),
            alive: true,
            serving: BTreeMap::new(),
            attempts: BTreeMap::new(),
            watcher: None,
            wakes_at: u64::MAX,
            steps: (0, 0),
        });
        self.deliver(number, Event::Tick);
    }

    /// Sets the clock of a host. Its process, which sleeps by another clock of the machine, is not woken by that.
    pub(super) fn set_clock(&mut self, host: usize, change: i64) {
        if let Some(it) = self.hosts.get_mut(host) {
            it.offset = it.offset.saturating_add_signed(change);
        }
    }

    /// The time at which a process runs next: now, unless its host is paused. Returns `None` if the process has ended.
    fn runs_at(&self, process: ProcessId) -> Option<u64> {
        let it = self.processes.get(process.0).filter(|it| it.alive)?;
        Some(self.hosts.get(it.host)?.paused_until.max(self.now))
    }

    /// Puts an item off if its process is paused. Returns false if there is nothing to do now.
    fn may_run(&mut self, process: ProcessId, item: impl FnOnce() -> Item) -> bool {
        match self.runs_at(process) {
            None => false,
            Some(at) if at > self.now => {
                // The batches of a watch stay in order, also if a pause is followed by another.
                self.queue.put_off(at, item());
                false
            }
            Some(_) => true,
        }
    }

    pub(super) fn wake(&mut self, process: ProcessId) {
        if let Some(it) = self.processes.get_mut(process.0)
            && it.wakes_at <= self.now
        {
            it.wakes_at = u64::MAX;
            self.deliver(process, Event::Tick);
        }
    }

    /// Gives an event to a node and carries out its actions.
    pub(super) fn deliver(&mut self, process: ProcessId, event: Event) {
        if !self.may_run(process, || Item::Deliver { process, event: event.clone() }) {
            return;
        }
        self.has_stepped = true;
        let Some(it) = self.processes.get_mut(process.0) else { return };
        let Some(host) = self.hosts.get(it.host) else { return };
        it.steps = if it.steps.0 == self.now { (self.now, it.steps.1 + 1) } else { (self.now, 0) };
        if it.steps.1 > STEPS_AT_ONCE_MAX {
            self.violation = Some(Violation::Spins { node: host.name.clone() });
            return;
        }
        let actions = it.node.step(Moment(host.clock(self.now)), event);
        for action in actions {
            self.carry_out(process, action);
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        let Some(host) = self.hosts.get_mut(it.host) else { return };
        let wakes_at = host.real(it.node.next_wake()).max(self.now);
        if wakes_at < it.wakes_at {
            it.wakes_at = wakes_at;
            if it.node.next_wake() != Moment::NEVER {
                self.push(wakes_at, Item::Wake { process });
            }
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        if it.node.has_left() {
            it.alive = false;
            let host = it.host;
            let Some(state) = self.hosts.get_mut(host) else { return };
            state.process = None;
            let at = state.starts_after_leaving;
            self.push(at, Item::Start { host });
        }
    }

    fn carry_out(&mut self, process: ProcessId, action: Action) {
        if !matches!(action, Action::KeepAlive { .. } | Action::Transact { .. }) {
            let name = self.processes.get(process.0).map(|it| it.node.settings().node.to_string());
            self.trace(|| format!("{process:?} {} {action:?}", name.unwrap_or_default()));
        }
        match action {
            Action::Grant { request, ttl } => {
                self.send(process, Request::Grant { request, ttl: ttl.as_micros() as u64 });
            }
            Action::KeepAlive { request, lease } => self.send(process, Request::KeepAlive { request, lease }),
            Action::Read { request } => self.send(process, Request::Read { request }),
            Action::Revoke { lease } => self.send(process, Request::Revoke { lease }),
            Action::Transact { request, transaction } => {
                self.send(process, Request::Transact { request, transaction });
            }
            Action::Watch { watch, from } => self.send(process, Request::Watch { watch, from }),
            Action::OpenStorage { share, attempt, stamp } => {
                let delay = self.random.between(500, 20_000);
                let Some(it) = self.processes.get_mut(process.0) else { return };
                let generation = stamp.generation;
                let state = AttemptState { attempt, generation, writes: 0, stopping: None };
                it.attempts.insert(share.clone(), state);
                self.push_after(delay, Item::Open { process, share, attempt, stamp });
            }
            Action::StartServing { share, attempt, gate } => {
                let number = self.shares.iter().position(|it| *it == share);
                if let (Some(number), Some(it)) = (number, self.processes.get_mut(process.0)) {
                    it.serving.insert(share, Serving { number, attempt, gate });
                }
            }
            Action::StopServing { share, attempt, why } => self.stop_serving(process, share, attempt, why),
            Action::PrepareHandover { share, attempt } => {
                // Clients that cache something take a while, others none.
                let delay = if self.random.chance(50) { 0 } else { self.random.between(1_000, 2_000_000) };
                let event = Event::HandoverPrepared { share, attempt };
                self.push_after(delay, Item::Deliver { process, event });
            }
            Action::RunFence { share, attempt, .. } => {
                self.summary.hooks += 1;
                let (delay, done) = (self.random.between(100_000, 1_500_000), self.random.chance(80));
                self.push_after(delay, Item::FenceDone { process, share, attempt, done });
            }
            Action::Report(Report::Fenced(_)) | Action::Report(_) | Action::AnswerAdmin { .. } => {}
        }
    }

    fn stop_serving(&mut self, process: ProcessId, share: ShareKey, attempt: Attempt, why: StopReason) {
        match why {
            StopReason::Fence => self.summary.fences += 1,
            StopReason::Handover => self.summary.handovers += 1,
            StopReason::Lost | StopReason::Release => {}
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        it.serving.remove(&share);
        if let Some(state) = it.attempts.get_mut(&share).filter(|state| state.attempt == attempt) {
            state.stopping = Some(why);
        }
        let moves = it.attempts.values().filter(|state| state.stopping == Some(StopReason::Handover)).count();
        let by_order = [super::Fault::Move, super::Fault::Drain, super::Fault::Leave];
        if moves > 1 && !by_order.iter().any(|fault| self.scenario.faults.contains(fault)) {
            self.violation = Some(Violation::ManyMoves { node: it.node.settings().node.clone() });
        }
        let is_slow = self.hosts.get(it.host).is_some_and(|host| host.slow_stops_until > self.now);
        let delay = if is_slow {
            self.random.between(500_000, 6_000_000)
        } else {
            self.random.between(1_000, 100_000)
        };
        self.push_after(delay, Item::StopDone { process, share, attempt });
    }

    pub(super) fn stop_done(&mut self, process: ProcessId, share: ShareKey, attempt: Attempt) {
        let item = Item::StopDone { process, share: share.clone(), attempt };
        if !self.may_run(process, || item.clone()) {
            return;
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        let state = it.attempts.get(&share).filter(|state| state.attempt == attempt);
        if state.is_some_and(|state| state.writes > 0) {
            self.push_after(20_000, item);
            return;
        }
        if state.is_some() {
            it.attempts.remove(&share);
        }
        self.storage.release(process, &share, attempt);
        self.deliver(process, Event::Stopped { share, attempt });
    }

    pub(super) fn open(&mut self, process: ProcessId, share: ShareKey, attempt: Attempt, stamp: Stamp) {
        let item = Item::Open { process, share: share.clone(), attempt, stamp: stamp.clone() };
        if !self.may_run(process, || item) {
            return;
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        let is_wanted = it.attempts.get(&share).is_some_and(|state| {
            state.attempt == attempt && state.generation == stamp.generation && state.stopping.is_none()
        });
        if !is_wanted {
            return;
        }
        if self.hosts.get(it.host).is_some_and(|host| host.storage_fails_until > self.now) {
            self.storage.release(process, &share, attempt);
            let reason = "the storage fails".to_owned();
            self.deliver(process, Event::StorageFailed { share, attempt, reason });
            return;
        }
        let event = self.storage.open(self.scenario.locks, process, share, attempt, stamp);
        self.trace(|| format!("{process:?} {event:?}"));
        if matches!(event, Event::StorageAhead { .. }) {
            self.summary.raises += 1;
        }
        self.deliver(process, event);
    }

    /// A client wants to write to one of the shares of a host.
    pub(super) fn write(&mut self, host: usize) {
        let next = self.random.between(20_000, 90_000).saturating_mul(self.scenario.pace);
        self.push_after(next, Item::Write { host });
        let (choice, is_long) = (self.random.any() as usize, self.random.chance(30));
        let most = if is_long { self.scenario.write_time.as_micros() as u64 } else { 5_000 };
        let delay = self.random.between(200, most);
        let Some(state) = self.hosts.get(host).filter(|it| it.paused_until <= self.now) else { return };
        let Some(process) = state.process else { return };
        let now = Moment(state.clock(self.now));
        let Some(it) = self.processes.get_mut(process.0).filter(|it| it.alive) else { return };
        let count = it.serving.len().max(1);
        let Some((share, serving)) = it.serving.iter().nth(choice % count) else { return };
        if !serving.gate.permits(now) {
            return;
        }
        let (share, attempt) = (share.clone(), serving.attempt);
        let Some(state) = it.attempts.get_mut(&share).filter(|state| state.attempt == attempt) else {
            return;
        };
        state.writes += 1;
        let generation = state.generation;
        self.push_after(delay, Item::Land { process, share, attempt, generation });
    }

    pub(super) fn land(
        &mut self,
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
        generation: Generation,
    ) {
        let is_locked = self.scenario.locks == Locks::Honoured;
        let Some(it) = self.processes.get(process.0) else { return };
        if !it.alive && is_locked {
            return;
        }
        if self.scenario.pauses_hold_writes
            && let Some(at) = self.runs_at(process).filter(|at| *at > self.now)
        {
            self.push(at, Item::Land { process, share, attempt, generation });
            return;
        }
        if self.storage.is_fenced(process, &share, attempt) {
            let reason = "the process is cut off".to_owned();
            self.deliver(process, Event::StorageFailed { share: share.clone(), attempt, reason });
        }
        self.summary.writes += 1;
        if let Some(after) = self.storage.write(process, &share, attempt, generation) {
            let at = std::time::Duration::from_micros(self.now);
            self.violation = Some(Violation::LateWrite { share: share.clone(), generation, after, at });
        }
        let Some(it) = self.processes.get_mut(process.0) else { return };
        if let Some(state) = it.attempts.get_mut(&share).filter(|state| state.attempt == attempt) {
            state.writes = state.writes.saturating_sub(1);
        }
    }

    /// Kills the process of a host.
    pub(super) fn kill(&mut self, host: usize) {
        let Some(process) = self.hosts.get_mut(host).and_then(|it| it.process.take()) else { return };
        if let Some(it) = self.processes.get_mut(process.0) {
            it.alive = false;
            it.serving.clear();
            it.watcher = None;
        }
        for (share, attempt) in self.storage.held_by(process) {
            // A remote file system notices the end of its client only after a while.
            let delay = self.random.below(3_000_000);
            self.push_after(delay, Item::Release { process, share, attempt });
        }
    }
}

/// A node is done with all that happens at one time in fewer steps.
const STEPS_AT_ONCE_MAX: u32 = 2_000;
