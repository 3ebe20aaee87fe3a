//! The requests to etcd, their delays and losses, and the watches.

use std::time::Duration;

use super::{Item, ProcessId, World};
use crate::ids::{LeaseId, RequestId, Revision};
use crate::protocol::{Event, Outcome, Transaction};

/// A request to etcd.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Grant { request: RequestId, ttl: u64 },
    KeepAlive { request: RequestId, lease: LeaseId },
    Read { request: RequestId },
    Revoke { lease: LeaseId },
    Transact { request: RequestId, transaction: Transaction },
    Watch { watch: u64, from: Revision },
}

/// The watch of a process at etcd.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    watch: u64,
    next: u64,
    /// The arrival of the last batch, which the next one cannot overtake.
    last_at: u64,
    is_broken: bool,
}

/// The link of a host to etcd, with the ends of its faults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) requests_lost_until: u64,
    pub(super) answers_lost_until: u64,
    pub(super) watch_stalls_until: u64,
    pub(super) slow_until: u64,
}

impl World<'_> {
    /// Sends a request, with the time limit of the shell.
    pub(super) fn send(&mut self, process: ProcessId, request: Request) {
        let failure = match &request {
            Request::Grant { request, .. } | Request::Read { request } => {
                Some(Event::RequestFailed { request: *request })
            }
            Request::Transact { request, .. } => {
                Some(Event::TransactionAnswered { request: *request, outcome: Outcome::Unknown })
            }
            Request::Watch { watch, .. } if !self.can_send(process) || self.etcd_down_until > self.now => {
                Some(Event::WatchLost { watch: *watch })
            }
            Request::KeepAlive { .. } | Request::Revoke { .. } | Request::Watch { .. } => None,
        };
        if let Some(event) = failure {
            self.push_after(REQUEST_LIMIT, Item::Deliver { process, event });
        }
        if !self.can_send(process) {
            return;
        }
        let delay = self.delay(process);
        if self.random.chance(2) {
            let again = self.delay(process);
            self.push_after(delay + again, Item::Request { process, request: request.clone() });
        }
        self.push_after(delay, Item::Request { process, request });
    }

    fn link(&self, process: ProcessId) -> Link {
        let host = self.processes.get(process.0).and_then(|it| self.hosts.get(it.host));
        host.map_or_else(Link::default, |it| it.link)
    }

    fn can_send(&self, process: ProcessId) -> bool {
        self.link(process).requests_lost_until <= self.now
    }

    fn can_answer(&self, process: ProcessId) -> bool {
        self.link(process).answers_lost_until <= self.now
    }

    fn delay(&mut self, process: ProcessId) -> u64 {
        if self.link(process).slow_until > self.now {
            // etcd may carry a request out seconds after its client has given up.
            let most = if self.random.chance(30) { 5_000_000 } else { 1_200_000 };
            self.random.between(50_000, most)
        } else if self.random.chance(2) {
            self.random.between(5_000, 200_000)
        } else {
            self.random.between(300, 8_000)
        }
    }

    /// The end of a lease of `ttl` by the clock of etcd's leader, with the time until the leader looks at it.
    pub(super) fn lease_end_from(&mut self, ttl: u64) -> u64 {
        let by_leader = i128::from(ttl) * 1_000_000 / i128::from(1_000_000 + self.etcd_rate);
        self.now + u64::try_from(by_leader).unwrap_or(ttl) + 1
    }

    pub(super) fn lease_end(&mut self, lease: LeaseId) {
        let Some(ends) = self.etcd.lease_end(lease) else { return };
        if self.etcd_down_until > self.now {
            // Nothing ends without a majority; a new leader renews all leases.
            return;
        }
        if ends > self.now {
            // etcd looks for ended leases twice a second.
            let late = self.random.below(500_000);
            self.push(ends + late, Item::LeaseEnd { lease });
            return;
        }
        self.trace(|| format!("{lease:?} ends"));
        self.etcd.revoke(lease);
        self.send_changes();
    }

    /// A request reaches etcd.
    pub(super) fn serve_request(&mut self, process: ProcessId, request: Request) {
        if self.etcd_down_until > self.now {
            if let Request::Watch { watch, .. } = request {
                // The shell waits for the beginning of the stream, as for any answer.
                self.push_after(REQUEST_LIMIT, Item::Deliver { process, event: Event::WatchLost { watch } });
            }
            return;
        }
        let event = match request {
            Request::Grant { request, ttl } => {
                let ends = self.lease_end_from(ttl);
                let lease = self.etcd.grant(ttl, ends);
                self.push(ends, Item::LeaseEnd { lease });
                Event::LeaseGranted { request, lease, ttl: Duration::from_micros(ttl) }
            }
            Request::KeepAlive { request, lease } => {
                self.summary.renewals += 1;
                let ends = self.lease_end_from(self.scenario.timing.ttl.as_micros() as u64);
                let ttl = self.etcd.keep_alive(lease, |_| ends);
                Event::KeepAliveAnswered { request, ttl: Duration::from_micros(ttl) }
            }
            Request::Read { request } => {
                self.summary.readings += 1;
                Event::Snapshot {
                    request,
                    revision: Revision(self.etcd.revision),
                    store: self.etcd.store,
                    entries: self.etcd.read(),
                }
            }
            Request::Revoke { lease } => {
                self.etcd.revoke(lease);
                self.send_changes();
                return;
            }
            Request::Transact { request, transaction } => {
                self.summary.transactions += 1;
                let outcome = self.etcd.transact(&transaction);
                self.trace(|| format!("{process:?} {request:?} {outcome:?} {transaction:?}"));
                self.send_changes();
                Event::TransactionAnswered { request, outcome }
            }
            Request::Watch { watch, from } => {
                let watcher = Watcher { watch, next: from.0, last_at: self.now, is_broken: false };
                if let Some(process) = self.processes.get_mut(process.0)
                    && process.watcher.as_ref().is_none_or(|it| it.watch < watch)
                {
                    process.watcher = Some(watcher);
                }
                self.send_changes();
                return;
            }
        };
        if self.can_answer(process) {
            let delay = self.delay(process);
            if self.random.chance(2) {
                let again = self.delay(process);
                self.push_after(delay + again, Item::Deliver { process, event: event.clone() });
            }
            self.push_after(delay, Item::Deliver { process, event });
        }
    }

    /// Sends new changes to all watchers.
    pub(super) fn send_changes(&mut self) {
        for number in 0..self.processes.len() {
            let process = ProcessId(number);
            let link = self.link(process);
            let delay = self.delay(process);
            let found_after = self.random.between(300_000, 4_000_000);
            let Some(it) = self.processes.get_mut(number).filter(|it| it.alive) else { continue };
            let Some(watcher) = it.watcher.as_mut().filter(|it| !it.is_broken) else { continue };
            if watcher.next > self.etcd.revision {
                continue;
            }
            let watch = watcher.watch;
            let is_cut = link.answers_lost_until > self.now || link.watch_stalls_until > self.now;
            let changes = self.etcd.changes_from(watcher.next).filter(|_| !is_cut);
            let Some(changes) = changes else {
                // The stream is torn, or its changes are compacted. The shell finds out in time.
                watcher.is_broken = true;
                self.push_after(found_after, Item::Deliver { process, event: Event::WatchLost { watch } });
                continue;
            };
            self.summary.watched_changes += changes.len() as u64;
            let at = (self.now + delay).max(watcher.last_at);
            watcher.last_at = at;
            watcher.next = self.etcd.revision + 1;
            let revision = Revision(self.etcd.revision);
            self.push(at, Item::Deliver { process, event: Event::WatchBatch { watch, revision, changes } });
        }
    }

    /// etcd has a majority again, or is restored.
    pub(super) fn etcd_back(&mut self, restored: bool) {
        if self.etcd_down_until > self.now {
            return;
        }
        self.trace(|| format!("etcd is back, restored: {restored}"));
        if restored {
            let store = self.etcd.store + 1;
            let backup = self.backup.clone();
            self.etcd.restore(&backup, store);
            for number in 0..self.processes.len() {
                let Some(watcher) = self.processes.get_mut(number).and_then(|it| it.watcher.as_mut()) else {
                    continue;
                };
                watcher.is_broken = true;
                let event = Event::WatchLost { watch: watcher.watch };
                self.push_after(50_000, Item::Deliver { process: ProcessId(number), event });
            }
        }
        if self.healed_at <= self.now {
            self.remove_leftovers();
        }
        // The new leader gives every lease its whole time again.
        let ends = self.lease_end_from(self.scenario.timing.ttl.as_micros() as u64);
        self.etcd.renew_all(|_| ends);
        for lease in self.etcd.leases() {
            self.push(ends, Item::LeaseEnd { lease });
        }
        self.send_changes();
    }
}

/// The time limit of the shell for a request.
const REQUEST_LIMIT: u64 = 1_000_000;
