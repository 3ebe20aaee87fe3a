//! Moves, drains, leaving and balancing.

use super::membership::{Registration, Standing};
use super::ownership::{Preparation, Slot};
use super::{Leaving, Node, Purpose};
use crate::clock::Moment;
use crate::ids::{Incarnation, LeaseId, NodeName, Revision, ShareKey};
use crate::keys::Key;
use crate::placement;
use crate::protocol::{Action, AdminOutcome, Command, Compare, Report, Transaction, Write};
use crate::records::{self, DrainRecord, MoveRecord};
use crate::view::Owner;

impl Node {
    /// Begins to carry out a command.
    pub(super) fn order(&mut self, ticket: u64, command: Command) -> Result<(), AdminOutcome> {
        if let Command::Leave = command {
            self.leaving = Some(Leaving { ticket, tell_at: self.now });
            return Ok(());
        }
        if self.registered().is_none() {
            return Err(AdminOutcome::NotJoined);
        }
        let transaction = match command {
            Command::Leave => return Ok(()),
            Command::Drain(node) => {
                if !self.view.members().contains_key(&node) {
                    return Err(AdminOutcome::UnknownNode);
                }
                let value = records::write(&DrainRecord {});
                let key = Key::Drain(node);
                Transaction { compares: Vec::new(), writes: vec![Write::Put { key, value, lease: None }] }
            }
            Command::Undrain(node) => {
                Transaction { compares: Vec::new(), writes: vec![Write::Delete(Key::Drain(node))] }
            }
            Command::Move { share, target } => {
                if !self.view.shares().contains_key(&share) {
                    return Err(AdminOutcome::UnknownShare);
                }
                let member = self.view.members().get(&target).ok_or(AdminOutcome::UnknownNode)?;
                if !placement::is_candidate(&self.view, &share, &target) {
                    return Err(AdminOutcome::Unreachable);
                }
                if let Some(Owner::Known { record, .. }) = self.view.owner(&share)
                    && record.node == target
                {
                    return Err(AdminOutcome::Accepted);
                }
                let value = records::write(&MoveRecord { target: target.clone() });
                Transaction {
                    compares: vec![
                        Compare::Present(Key::Share(share.clone())),
                        Compare::Created(Key::Node(target), member.created),
                    ],
                    writes: vec![Write::Put { key: Key::Move(share), value, lease: Some(member.lease) }],
                }
            }
        };
        self.transact(Purpose::Admin { ticket }, transaction);
        Ok(())
    }

    /// The next owner of a share of this node: `Some(None)` if it shall be given up without one. Returns `None` if the
    /// share stays.
    pub(super) fn order_for(&self, share: &ShareKey) -> Option<Option<NodeName>> {
        let own = self.name();
        if !self.view.shares().contains_key(share) {
            return Some(None);
        }
        if let Some(target) = self.view.move_target(share)
            && target != own
            && placement::is_candidate(&self.view, share, target)
        {
            return Some(Some(target.clone()));
        }
        if self.leaving.is_some() {
            return Some(placement::best_other(&self.view, share, own));
        }
        if !placement::is_candidate(&self.view, share, own) {
            return placement::best_other(&self.view, share, own).map(Some);
        }
        match &self.balancing {
            Some((moving, to)) if moving == share && self.view.members().contains_key(to) => {
                Some(Some(to.clone()))
            }
            _ => None,
        }
    }

    /// True if another share may be stopped to be given away.
    pub(super) fn has_room_to_give(&self) -> bool {
        self.leaving_shares() < self.handovers_max()
    }

    /// The shares that may be on their way to other nodes at a time.
    fn handovers_max(&self) -> usize {
        (self.slots.len() / SHARES_PER_HANDOVER).clamp(HANDOVERS_MIN, HANDOVERS_MAX)
    }

    fn leaving_shares(&self) -> usize {
        let is_leaving = |slot: &&Slot| {
            matches!(slot, Slot::Stopping { .. } | Slot::Giving { .. } | Slot::Reclaiming { .. })
                || slot.is_prepared()
        };
        self.slots.values().filter(is_leaving).count()
    }

    pub(super) fn advance_orders(&mut self) {
        let is_draining = self.view.is_draining(self.name());
        if self.leaving.is_some() || is_draining || self.gives_wait {
            self.give_all();
        }
        if let Some(leaving) = self.leaving {
            self.leave(leaving);
        } else if self.balance_at <= self.now {
            self.balance_at = self.now.after(self.settings.balance.cooldown);
            self.balance();
        }
    }

    /// Gives away the shares that shall go, a few at a time.
    fn give_all(&mut self) {
        let room = self.handovers_max().saturating_sub(self.leaving_shares());
        if room == 0 {
            return;
        }
        let due: Vec<ShareKey> = self.due_to_go().take(room).cloned().collect();
        let is_all = due.len() < room;
        due.iter().for_each(|share| self.evaluate(share));
        if !is_all {
            return;
        }
        self.gives_wait = false;
        let is_kept = |share: &&ShareKey| self.slots.get(*share).is_none_or(|slot| !slot.is_prepared());
        let kept = self.serving().find(is_kept).cloned();
        if let Some(share) = kept.filter(|_| !self.nobody_reported && self.view.is_draining(self.name())) {
            self.nobody_reported = true;
            self.actions.push(Action::Report(Report::NobodyTakes { share }));
        }
    }

    /// The shares that are served and shall go, whose clients are not being prepared already.
    fn due_to_go(&self) -> impl Iterator<Item = &ShareKey> {
        let is_due = |(share, slot): &(&ShareKey, &Slot)| {
            matches!(slot, Slot::Serving { handover, .. } if *handover != Preparation::Asked)
                && self.order_for(share).is_some()
        };
        self.slots.iter().filter(is_due).map(|(share, _)| share)
    }

    fn leave(&mut self, leaving: Leaving) {
        if self.slots.is_empty() {
            if let Standing::Joined(membership) = &self.standing {
                membership.gate.close();
                let lease = membership.lease;
                self.actions.push(Action::Revoke { lease });
            }
            self.standing = Standing::Left;
            let ticket = leaving.ticket;
            self.actions.push(Action::AnswerAdmin { ticket, outcome: AdminOutcome::Accepted });
            return;
        }
        if leaving.tell_at > self.now {
            return;
        }
        let tell_at = self.retry_at();
        self.leaving = Some(Leaving { ticket: leaving.ticket, tell_at });
        // A drain on the own lease keeps others from giving shares to this node.
        if let Some((lease, ..)) = self.registered()
            && !self.view.is_draining(self.name())
        {
            let (key, value) = (Key::Drain(self.name().clone()), records::write(&DrainRecord {}));
            let writes = vec![Write::Put { key: key.clone(), value, lease: Some(lease) }];
            self.transact(
                Purpose::Housekeeping,
                Transaction { compares: vec![Compare::Absent(key)], writes },
            );
        }
    }

    /// Gives one share away if this node has too many, and nothing else moves.
    fn balance(&mut self) {
        let is_prepared = |share| self.slots.get(share).is_some_and(Slot::is_prepared);
        if self.balancing.as_ref().is_some_and(|(share, _)| is_prepared(share)) {
            return;
        }
        self.balancing = None;
        if self.leaving_shares() > 0 || self.registered().is_none() {
            return;
        }
        let found = placement::share_to_give(&self.view, self.name(), self.serving(), &self.settings.balance);
        if let Some((share, to)) = found {
            self.balancing = Some((share.clone(), to));
            self.evaluate(&share);
        }
    }

    /// The lease, incarnation and revision of the registration. Returns `None` if the node is not registered.
    pub(super) fn registered(&self) -> Option<(LeaseId, Incarnation, Revision)> {
        let membership = self.membership()?;
        match membership.registration {
            Registration::Done { created } => Some((membership.lease, membership.incarnation, created)),
            _ => None,
        }
    }

    pub(super) fn may_acquire(&self) -> bool {
        self.leaving.is_none() && self.schema_fault.is_none() && self.registered().is_some()
    }

    /// Begins to wait for turns anew: ranks count from the time at which this node could take part.
    pub(super) fn restart_vacancies(&mut self) {
        let now: Moment = self.now;
        self.vacancies.values_mut().for_each(|it| it.since = now);
        let vacant: Vec<ShareKey> = self.vacancies.keys().cloned().collect();
        vacant.iter().for_each(|share| self.note_vacancy(share));
    }
}

/// A handover breaks leases and flushes handles, which loads the storage; others go on meanwhile.
const HANDOVERS_MIN: usize = 4;

/// A node with thousands of shares gives so many away at a time, half of its transactions at most.
const HANDOVERS_MAX: usize = 32;

/// A node has one more share on its way for so many that it has: the end of its service waits for all of them.
const SHARES_PER_HANDOVER: usize = 32;
