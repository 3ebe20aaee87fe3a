//! The beginning and the end of faults.

use super::{Fault, Item, Locks, PREFIX, World};
use crate::protocol::{Command, Event};

impl World<'_> {
    pub(super) fn begin_fault(&mut self, index: usize) {
        let Some(step) = self.schedule.steps.get(index).copied() else { return };
        if !self.scenario.faults.contains(&step.fault) || self.hosts.is_empty() || self.shares.is_empty() {
            return;
        }
        self.has_stepped = true;
        let until = self.now + step.lasts_ms * 1000;
        self.trace(|| format!("fault {step:?}"));
        let number = step.object % self.hosts.len();
        let share = self.shares.get(step.object % self.shares.len()).cloned();
        let ticket = index as u64;
        let some_process =
            self.hosts.iter().filter_map(|it| it.process).nth(step.object / 16 % self.hosts.len());
        let Some(host) = self.hosts.get_mut(number) else { return };
        let name = host.name.clone();
        match step.fault {
            Fault::AnswersLost => host.link.answers_lost_until = until,
            Fault::ClockAhead => self.set_clock(number, step.lasts_ms.cast_signed() * 1000),
            Fault::ClockBack => self.set_clock(number, -step.lasts_ms.cast_signed() * 1000),
            Fault::Cut => {
                host.link.answers_lost_until = until;
                host.link.requests_lost_until = until;
            }
            Fault::Compact => {
                self.backup = self.etcd.clone();
                self.etcd.compact();
            }
            Fault::Crash => {
                self.kill(number);
                self.push(until, Item::Start { host: number });
            }
            Fault::Drain => {
                if let Some(process) = some_process {
                    let event = Event::Admin { ticket, command: Command::Drain(name) };
                    self.deliver(process, event);
                }
                self.push(until, Item::Undrain { host: number });
            }
            Fault::EarlyEnd => {
                let lease = self.etcd.entry(&format!("{PREFIX}nodes/{name}")).and_then(|it| it.lease);
                if let Some(lease) = lease {
                    self.etcd.revoke(lease);
                    self.send_changes();
                }
            }
            Fault::OwnerDeleted => {
                if let Some(share) = share {
                    self.etcd.delete(vec![format!("{PREFIX}owners/{share}")]);
                    self.send_changes();
                }
            }
            Fault::Hostile => {
                for (path, value) in hostile(step.object, &name, share.as_ref().map_or("", |it| it.as_str()))
                {
                    self.etcd.put(path, value, None);
                }
                self.send_changes();
            }
            Fault::Leave => {
                host.starts_after_leaving = until;
                if let Some(process) = host.process {
                    self.deliver(process, Event::Admin { ticket, command: Command::Leave });
                }
            }
            Fault::MajorityLost => self.stop_etcd(until, false),
            Fault::Move => {
                if let (Some(process), Some(share)) = (some_process, share) {
                    let command = Command::Move { share, target: name };
                    self.deliver(process, Event::Admin { ticket, command });
                }
            }
            Fault::Pause => host.paused_until = host.paused_until.max(until),
            Fault::RequestsLost => host.link.requests_lost_until = until,
            Fault::Restore => {
                // Time alone needs a restoration that takes longer than a lease; see docs/cluster.md.
                let least = if self.scenario.locks == Locks::Ignored { 4_500_000 } else { 50_000 };
                self.stop_etcd(until.max(self.now + least), true);
            }
            Fault::Slow => host.link.slow_until = until,
            Fault::SlowStop => host.slow_stops_until = until,
            Fault::StorageFails => host.storage_fails_until = until,
            Fault::WatchStalls => host.link.watch_stalls_until = until,
        }
    }

    fn stop_etcd(&mut self, until: u64, restored: bool) {
        self.etcd_down_until = self.etcd_down_until.max(until);
        let at = self.etcd_down_until;
        self.push(at, Item::EtcdBack { restored });
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        for host in &mut self.hosts {
            host.paused_until = host.paused_until.min(self.now);
            host.link = Default::default();
            host.slow_stops_until = 0;
            host.storage_fails_until = 0;
            host.starts_after_leaving = self.now;
        }
        if self.etcd_down_until > self.now {
            self.etcd_down_until = self.now;
            self.push(self.now, Item::EtcdBack { restored: false });
        }
        self.remove_leftovers();
        for host in 0..self.hosts.len() {
            self.push(self.now, Item::Start { host });
        }
        self.healed_at = self.now;
        self.ends_at = self.now.saturating_add(self.scenario.settle.as_micros() as u64);
    }

    /// Removes what an operator would remove: drains, and keys with nonsense.
    pub(super) fn remove_leftovers(&mut self) {
        let is_leftover = |entry: &crate::protocol::Entry| {
            entry.path.contains("/drains/")
                || entry.lease.is_none() && entry.path.contains("/owners/")
                || entry.lease.is_none() && entry.path.contains("/nodes/")
        };
        let leftovers = self.etcd.read().into_iter().filter(is_leftover).map(|it| it.path).collect();
        self.etcd.delete(leftovers);
        self.send_changes();
    }
}

/// Values that a broken program or an attacker with access to etcd could write.
fn hostile(choice: usize, node: &crate::ids::NodeName, share: &str) -> Vec<(String, Vec<u8>)> {
    let path = match choice / 32 % 6 {
        0 => format!("{PREFIX}owners/{share}"),
        1 => format!("{PREFIX}moves/{share}"),
        2 => format!("{PREFIX}nodes/{node}"),
        3 => format!("{PREFIX}nodes/../{node}"),
        4 => format!("{PREFIX}shares/UPPER"),
        _ => format!("{PREFIX}drains/"),
    };
    let value: &[u8] = match choice % 4 {
        0 => b"",
        1 => b"{\"node\": \"n0\", \"incarnation\": \"0000000000000000.0\", \"offset\": 18446744073709551615}",
        2 => &[0xff; 100],
        _ => b"{\"weight\": 0, \"target\": \"n0\"}",
    };
    vec![(path, value.to_vec())]
}
