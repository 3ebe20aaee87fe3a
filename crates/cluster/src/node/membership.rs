//! The lease of a node, its renewal, its registration, and the end of all writing before the lease ends.

use std::time::Duration;

use super::{Following, Node, Purpose};
use crate::clock::Moment;
use crate::gate::NodeGate;
use crate::ids::{Incarnation, LeaseId, RequestId, Revision};
use crate::keys::Key;
use crate::protocol::{Action, Compare, FenceReason, Outcome, Report, Transaction, Write};
use crate::records::{self, NodeRecord};

/// The membership of a node.
#[derive(Debug)]
pub(super) enum Standing {
    /// Without a lease; requests one at that time.
    Outside { grant_at: Moment },
    /// With a lease.
    Joined(Membership),
    /// A lease is requested.
    Joining { request: RequestId, sent: Moment },
    /// An administrator has ended the membership.
    Left,
}

impl Standing {
    pub(super) fn next_wake(&self) -> Moment {
        match self {
            Self::Outside { grant_at } => *grant_at,
            Self::Joined(it) => {
                let registration = match it.registration {
                    Registration::Wanted { at } => at,
                    _ => Moment::NEVER,
                };
                it.keep_alive_at.min(it.deadline).min(registration)
            }
            Self::Joining { .. } | Self::Left => Moment::NEVER,
        }
    }
}

/// A lease and what hangs on it.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) lease: LeaseId,
    pub(super) incarnation: Incarnation,
    pub(super) gate: NodeGate,
    /// The end of the write permission.
    pub(super) deadline: Moment,
    keep_alive_at: Moment,
    /// The renewals that are not answered, with the times of their sending.
    renewals: Vec<(RequestId, Moment)>,
    pub(super) registration: Registration,
    /// The time since which another has the name.
    name_taken: Option<(Moment, bool)>,
}

/// The key with the node's name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registration {
    /// The key is in the view, and was created at that revision.
    Done {
        created: Revision,
    },
    InFlight {
        request: RequestId,
    },
    /// The transaction was done at that revision, which the view does not have yet.
    Until {
        revision: Revision,
    },
    Wanted {
        at: Moment,
    },
}

impl Node {
    pub(super) fn advance_membership(&mut self) {
        let is_following = matches!(self.following, Following::Watching { .. });
        if let Standing::Outside { grant_at } = self.standing
            && grant_at <= self.now
            && self.leaving.is_none()
        {
            if is_following && self.schema_fault.is_none() {
                let request = self.next_request();
                self.standing = Standing::Joining { request, sent: self.now };
                self.actions.push(Action::Grant { request, ttl: self.settings.timing.ttl });
            } else {
                // A change of the keys, or the end of the reading, is an event.
                self.standing = Standing::Outside { grant_at: self.retry_at() };
            }
        }
        let now = self.now;
        let next = self.now.after(self.settings.timing.keep_alive);
        if self.membership().is_some_and(|it| it.keep_alive_at <= now) {
            let request = self.next_request();
            if let Standing::Joined(membership) = &mut self.standing {
                membership.keep_alive_at = next;
                if membership.renewals.len() >= RENEWALS_MAX {
                    membership.renewals.remove(0);
                }
                membership.renewals.push((request, now));
                let lease = membership.lease;
                self.actions.push(Action::KeepAlive { request, lease });
            }
        }
        self.register();
    }

    pub(super) fn granted(&mut self, request: RequestId, lease: LeaseId, ttl: Duration) {
        let sent = match self.standing {
            Standing::Joining { request: current, sent } if current == request => sent,
            _ => {
                // Nobody waits for it any more.
                if self.membership().is_none_or(|it| it.lease != lease) {
                    self.actions.push(Action::Revoke { lease });
                }
                return;
            }
        };
        let sent = if self.flaws.counts_from_answer { self.now } else { sent };
        let deadline = self.settings.timing.deadline(sent, ttl);
        if deadline <= self.now {
            self.actions.push(Action::Revoke { lease });
            self.standing = Standing::Outside { grant_at: self.retry_at() };
            return;
        }
        self.incarnations += 1;
        let gate = NodeGate::default();
        gate.permit_until(deadline);
        self.standing = Standing::Joined(Membership {
            lease,
            incarnation: Incarnation { boot: self.settings.boot, count: self.incarnations },
            gate,
            deadline,
            keep_alive_at: self.now.after(self.settings.timing.keep_alive),
            renewals: Vec::new(),
            registration: Registration::Wanted { at: self.now },
            name_taken: None,
        });
        self.register();
    }

    pub(super) fn grant_failed(&mut self, request: RequestId, again: Moment) {
        if matches!(self.standing, Standing::Joining { request: current, .. } if current == request) {
            self.standing = Standing::Outside { grant_at: again };
        }
    }

    pub(super) fn renewed(&mut self, request: RequestId, ttl: Duration) {
        let counts_from_answer = self.flaws.counts_from_answer;
        let (now, timing) = (self.now, self.settings.timing.clone());
        let Standing::Joined(membership) = &mut self.standing else { return };
        let Some(index) = membership.renewals.iter().position(|it| it.0 == request) else { return };
        let (_, sent) = membership.renewals.swap_remove(index);
        if ttl.is_zero() {
            self.fence(FenceReason::LeaseGone);
            return;
        }
        let from = if counts_from_answer { now } else { sent };
        membership.deadline = membership.deadline.max(timing.deadline(from, ttl));
        membership.gate.permit_until(membership.deadline);
    }

    pub(super) fn check_deadline(&mut self) {
        if self.membership().is_some_and(|it| it.deadline <= self.now) {
            self.fence(FenceReason::Expired);
        }
    }

    /// Ends the membership: nothing is written from here on, all shares stop, and a new lease with a new incarnation is
    /// needed before anything is served.
    pub(super) fn fence(&mut self, why: FenceReason) {
        let Standing::Joined(membership) = &self.standing else { return };
        membership.gate.close();
        let lease = membership.lease;
        self.standing = Standing::Outside { grant_at: self.retry_at() };
        self.actions.push(Action::Report(Report::Fenced(why)));
        if self.flaws.revokes_before_stop {
            self.actions.push(Action::Revoke { lease });
        }
        self.abandoned = Some(lease);
        self.stop_all();
        self.revoke_abandoned();
    }

    /// Ends the lease of an earlier incarnation when all shares have stopped, so that others need not wait for its end.
    pub(super) fn revoke_abandoned(&mut self) {
        if self.slots.values().all(|slot| !slot.is_stopping())
            && let Some(lease) = self.abandoned.take()
        {
            self.actions.push(Action::Revoke { lease });
        }
    }

    fn register(&mut self) {
        let (now, node) = (self.now, self.settings.node.clone());
        let patience = self.settings.timing.ttl.saturating_mul(2);
        let Standing::Joined(membership) = &mut self.standing else { return };
        let Registration::Wanted { at } = membership.registration else { return };
        if at > now {
            return;
        }
        if let Some(other) = self.view.members().get(&node) {
            // The key of an earlier incarnation ends with its lease, that of another machine does not.
            let by = other.record.incarnation;
            let (since, reported) = membership.name_taken.unwrap_or((now, false));
            let is_late = now.since(since) > patience;
            membership.name_taken = Some((since, reported || is_late));
            if is_late && !reported {
                self.actions.push(Action::Report(Report::NameTaken { by }));
            }
            let again = self.retry_at();
            self.set_registration(Registration::Wanted { at: again });
            return;
        }
        let record = NodeRecord {
            incarnation: membership.incarnation,
            addresses: self.settings.addresses.clone(),
            weight: self.settings.weight,
        };
        let lease = Some(membership.lease);
        let transaction = Transaction {
            compares: vec![Compare::Absent(Key::Node(node.clone()))],
            writes: vec![Write::Put { key: Key::Node(node), value: records::write(&record), lease }],
        };
        let request = self.transact(Purpose::Register, transaction);
        self.set_registration(Registration::InFlight { request });
    }

    pub(super) fn registration_answered(&mut self, request: RequestId, outcome: Outcome) {
        let again = self.retry_at();
        let Some(membership) = self.membership() else { return };
        if !matches!(membership.registration, Registration::InFlight { request: current } if current == request)
        {
            return;
        }
        let next = match outcome {
            Outcome::Done { revision } => Registration::Until { revision },
            // A registration without an answer may still be done: then the key appears in the view.
            Outcome::Failed { .. } | Outcome::Unknown => Registration::Wanted { at: again },
        };
        self.set_registration(next);
        self.registration_changed();
    }

    fn set_registration(&mut self, registration: Registration) {
        if let Standing::Joined(membership) = &mut self.standing {
            membership.registration = registration;
        }
    }

    /// Compares the registration with the view.
    pub(super) fn registration_changed(&mut self) {
        let Some(membership) = self.membership() else { return };
        let own = self
            .view
            .members()
            .get(self.name())
            .filter(|it| it.record.incarnation == membership.incarnation && it.lease == membership.lease);
        let own = own.map(|it| it.created);
        match (membership.registration, own) {
            (Registration::Done { created }, Some(now)) if created == now => {}
            (Registration::Done { .. }, _) => self.fence(FenceReason::NameLost),
            (_, Some(created)) => {
                self.set_registration(Registration::Done { created });
                self.restart_vacancies();
                // Shares may have been handed to this incarnation already.
                let Some((incarnation, lease)) = self.membership().map(|it| (it.incarnation, it.lease))
                else {
                    return;
                };
                let owned = self.view.owners().keys();
                let owned: Vec<_> = owned
                    .filter(|it| {
                        self.flaws.ignores_incarnation || self.view.owned_by(it, incarnation, lease).is_some()
                    })
                    .cloned()
                    .collect();
                owned.iter().for_each(|share| self.evaluate(share));
            }
            (Registration::Until { revision }, None) if self.view.revision >= revision => {
                self.fence(FenceReason::NameLost);
            }
            _ => {}
        }
    }
}

/// Answers that are older than this many intervals extend nothing.
const RENEWALS_MAX: usize = 32;
