//! The shares of a node: acquiring, opening, serving, stopping and giving away.
//!
//! ```text
//!   no slot --turn--> Acquiring --+
//!      |                          | the owner key names this incarnation
//!      +--handed over by another--+--> Opening --> Serving --> Stopping --> Giving --> no slot
//!                                        ^  |                                  |
//!                            Raising <---+--+ the log has a later stamp        | the key is still here
//!                                        ^                                     v
//!                                        +--------------------------------- Reclaiming
//! ```
//!
//! A share that goes to another node, or is deleted, is prepared while it is still served, with its gate open
//! (`Preparation`).
//!
//! A transaction without an answer may still be carried out later, and no reading can exclude that. So nothing is
//! concluded from what etcd has meanwhile: an acquisition is simply tried again, and after a handover the node serves
//! again only when it has written its owner key once more, after which the handover's condition can never be met.

use super::{Node, Purpose, Vacancy};
use crate::clock::Moment;
use crate::gate::WriteGate;
use crate::ids::{Attempt, Generation, NodeName, RequestId, Revision, ShareKey};
use crate::keys::Key;
use crate::placement;
use crate::protocol::{Action, Compare, Outcome, Report, Stamp, StopReason, Transaction, Write};
use crate::records::{self, OwnerRecord};
use crate::view::{OwnKey, Owner};

/// The state of a share on this node.
#[derive(Debug)]
pub(super) enum Slot {
    /// A transaction makes this node the owner.
    Acquiring { step: Step },
    /// A transaction gives the share to `to`, or to nobody.
    Giving { step: Step },
    /// The storage is being opened.
    Opening { attempt: Attempt, key: OwnKey, phase: Phase, busy_since: Option<Moment> },
    /// A transaction raises the generation above that in the log. The storage is locked.
    Raising { attempt: Attempt, step: Step, found: Generation },
    /// A transaction writes the owner key again, above the revision `above`.
    Reclaiming { step: Step, above: Revision },
    /// The share is served.
    Serving { attempt: Attempt, key: OwnKey, gate: WriteGate, handover: Preparation },
    /// The attempt ends.
    Stopping { attempt: Attempt, after: After },
}

/// The progress of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    InFlight(RequestId),
    /// The view tells the result when it has this revision.
    Until(Revision),
    /// There was no answer; the view is looked at then.
    After(Moment),
}

/// The progress of opening a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// [`Action::OpenStorage`] is not answered.
    Asked,
    /// The fencing hook runs.
    Fencing,
    /// Tries again at that time.
    Waiting { until: Moment },
}

/// The preparation of a share for another owner, while it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparation {
    /// The share stays, as far as is known.
    None,
    /// [`Action::PrepareHandover`] is not answered.
    Asked,
    /// The share can be stopped.
    Done,
}

/// The continuation after an attempt has stopped.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// Looks at the view.
    Nothing,
    /// Gives the share to a node, or to nobody.
    Give { to: Option<NodeName> },
}

impl Slot {
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping { .. })
    }

    /// True if the share is being prepared for another owner.
    pub(super) fn is_prepared(&self) -> bool {
        matches!(self, Self::Serving { handover, .. } if *handover != Preparation::None)
    }

    /// The revision that the slot waits for.
    pub(super) fn waits_for(&self) -> Option<Revision> {
        match self {
            Self::Acquiring { step: Step::Until(revision) }
            | Self::Giving { step: Step::Until(revision) }
            | Self::Raising { step: Step::Until(revision), .. }
            | Self::Reclaiming { step: Step::Until(revision), .. } => Some(*revision),
            _ => None,
        }
    }

    fn step_mut(&mut self) -> Option<&mut Step> {
        match self {
            Self::Acquiring { step }
            | Self::Giving { step }
            | Self::Raising { step, .. }
            | Self::Reclaiming { step, .. } => Some(step),
            Self::Opening { .. } | Self::Serving { .. } | Self::Stopping { .. } => None,
        }
    }
}

impl Node {
    /// Compares the state of a share with the view, and goes on.
    pub(super) fn evaluate(&mut self, share: &ShareKey) {
        let own = self.own_key(share);
        let Some(slot) = self.slots.remove(share) else {
            match own {
                Some(key) => self.adopt(share, key),
                None => self.note_vacancy(share),
            }
            return;
        };
        let keep = match slot {
            Slot::Acquiring { step } if self.is_resolved(step) => {
                match own {
                    Some(key) => self.adopt(share, key),
                    None => self.note_vacancy(share),
                }
                return;
            }
            Slot::Giving { step } if self.is_resolved(step) => {
                let was_unanswered = matches!(step, Step::After(_));
                match (own, self.order_for(share)) {
                    (None, _) => self.note_vacancy(share),
                    (Some(key), Some(to)) => self.give(share, key, to),
                    (Some(key), None) if was_unanswered && self.flaws.resumes_without_reclaim => {
                        self.adopt(share, key);
                    }
                    (Some(key), None) => self.reclaim(share, key, key.modified),
                }
                return;
            }
            Slot::Reclaiming { step, above } if self.is_resolved(step) => {
                match own {
                    None => self.note_vacancy(share),
                    Some(key) if key.modified > above => self.adopt(share, key),
                    Some(key) => self.reclaim(share, key, above),
                }
                return;
            }
            Slot::Raising { attempt, step, found } if self.is_resolved(step) => {
                match own {
                    None => self.stop(share, attempt, StopReason::Lost, After::Nothing),
                    Some(key) if key.generation > found => self.open_storage(share, attempt, key),
                    Some(key) => self.raise(share, attempt, key, found),
                }
                return;
            }
            Slot::Opening { attempt, key, phase, .. } if own != Some(key) => {
                let _ = phase;
                self.stop(share, attempt, StopReason::Lost, After::Nothing);
                return;
            }
            Slot::Opening { attempt, key, phase: Phase::Waiting { until }, busy_since }
                if until <= self.now =>
            {
                self.slots
                    .insert(share.clone(), Slot::Opening { attempt, key, phase: Phase::Asked, busy_since });
                self.send_open(share, attempt, key);
                return;
            }
            Slot::Serving { attempt, key, gate, mut handover } => {
                if own != Some(key) {
                    gate.close();
                    self.stop(share, attempt, StopReason::Lost, After::Nothing);
                    return;
                }
                let order = self.order_for(share);
                if order.is_none() {
                    handover = Preparation::None;
                } else if handover == Preparation::None && !self.has_room_to_give() {
                    // One that is prepared has its room already, also if there is less by now.
                    self.gives_wait = true;
                } else if order.is_some() && handover != Preparation::Done {
                    // Also for a share that nobody gets, because it is deleted or there is no other node: its clients
                    // still have something to write.
                    if handover == Preparation::None {
                        handover = Preparation::Asked;
                        self.actions.push(Action::PrepareHandover { share: share.clone(), attempt });
                    }
                } else if let Some(to) = order {
                    // Balancing asks once: two nodes that both want to give would pass the share to and fro.
                    self.balancing = None;
                    gate.close();
                    let why = if to.is_some() { StopReason::Handover } else { StopReason::Release };
                    self.stop(share, attempt, why, After::Give { to });
                    return;
                }
                Slot::Serving { attempt, key, gate, handover }
            }
            other => other,
        };
        self.slots.insert(share.clone(), keep);
    }

    fn is_resolved(&self, step: Step) -> bool {
        match step {
            Step::InFlight(_) => false,
            Step::Until(revision) => self.view.revision >= revision,
            Step::After(at) => self.now >= at,
        }
    }

    /// The owner key of the share, if it names this incarnation.
    fn own_key(&self, share: &ShareKey) -> Option<OwnKey> {
        let membership = self.membership()?;
        if self.flaws.ignores_incarnation
            && let Some(Owner::Known { record, modified, generation, .. }) = self.view.owner(share)
            && record.node == *self.name()
        {
            return Some(OwnKey { modified: *modified, generation: *generation, offset: record.offset });
        }
        self.view.owned_by(share, membership.incarnation, membership.lease)
    }

    /// Opens a share whose owner key names this incarnation, unless it shall go elsewhere.
    fn adopt(&mut self, share: &ShareKey, key: OwnKey) {
        self.forget_vacancy(share);
        if let Some(to) = self.order_for(share) {
            self.give(share, key, to);
            return;
        }
        let attempt = self.next_attempt();
        self.open_storage(share, attempt, key);
    }

    fn open_storage(&mut self, share: &ShareKey, attempt: Attempt, key: OwnKey) {
        let slot = Slot::Opening { attempt, key, phase: Phase::Asked, busy_since: None };
        self.slots.insert(share.clone(), slot);
        self.send_open(share, attempt, key);
    }

    fn send_open(&mut self, share: &ShareKey, attempt: Attempt, key: OwnKey) {
        let Some(incarnation) = self.incarnation() else { return };
        let stamp = Stamp { node: self.name().clone(), incarnation, generation: key.generation };
        self.actions.push(Action::OpenStorage { share: share.clone(), attempt, stamp });
    }

    pub(super) fn storage_opened(&mut self, share: &ShareKey, attempt: Attempt) {
        let Some(Slot::Opening { attempt: current, key, phase: Phase::Asked, .. }) = self.slots.get(share)
        else {
            return;
        };
        let (current, key) = (*current, *key);
        let Some(gate) = self.membership().map(|it| it.gate.share()).filter(|_| current == attempt) else {
            return;
        };
        self.rests.remove(share);
        let handover = Preparation::None;
        self.slots.insert(share.clone(), Slot::Serving { attempt, key, gate: gate.clone(), handover });
        self.actions.push(Action::StartServing { share: share.clone(), attempt, gate });
        self.evaluate(share);
    }

    /// A share can be stopped, if it shall still go to another node.
    pub(super) fn handover_prepared(&mut self, share: &ShareKey, attempt: Attempt) {
        if let Some(Slot::Serving { attempt: current, handover, .. }) = self.slots.get_mut(share)
            && *current == attempt
            && *handover == Preparation::Asked
        {
            *handover = Preparation::Done;
            self.evaluate(share);
        }
    }

    pub(super) fn storage_ahead(&mut self, share: &ShareKey, attempt: Attempt, found: Generation) {
        if let Some(Slot::Opening { attempt: current, key, phase: Phase::Asked, .. }) = self.slots.get(share)
            && *current == attempt
            && key.generation <= found
        {
            let key = *key;
            self.raise(share, attempt, key, found);
        }
    }

    pub(super) fn storage_busy(&mut self, share: &ShareKey, attempt: Attempt, holder: Option<Stamp>) {
        let (now, timing) = (self.now, self.settings.timing.clone());
        let own_name = self.settings.node.clone();
        let Some(Slot::Opening { attempt: current, phase, busy_since, .. }) = self.slots.get_mut(share)
        else {
            return;
        };
        if *current != attempt || *phase != Phase::Asked {
            return;
        }
        let since = *busy_since.get_or_insert(now);
        // An earlier process of this node is not fenced, which would cut off this one: its lock ends with it.
        let is_own = holder.as_ref().is_some_and(|it| it.node == own_name);
        if now.since(since) >= timing.fence_after && !is_own {
            *phase = Phase::Fencing;
            *busy_since = Some(now);
            self.actions
                .push(Action::Report(Report::StorageBusy { share: share.clone(), holder: holder.clone() }));
            self.actions.push(Action::RunFence { share: share.clone(), attempt, holder });
            return;
        }
        let until = now.after(timing.busy_retry);
        *phase = Phase::Waiting { until };
        self.set_timer(until, share);
    }

    pub(super) fn fence_ended(&mut self, share: &ShareKey, attempt: Attempt, done: bool) {
        let (now, busy_retry) = (self.now, self.settings.timing.busy_retry);
        let Some(Slot::Opening { attempt: current, phase, .. }) = self.slots.get_mut(share) else { return };
        if *current != attempt || *phase != Phase::Fencing {
            return;
        }
        let until = if done { now } else { now.after(busy_retry) };
        *phase = Phase::Waiting { until };
        if !done {
            self.actions.push(Action::Report(Report::FenceFailed { share: share.clone() }));
        }
        self.set_timer(until, share);
    }

    pub(super) fn storage_failed(&mut self, share: &ShareKey, attempt: Attempt, reason: String) {
        let until = self.now.after(self.settings.timing.rest);
        let has_other = placement::best_other(&self.view, share, self.name()).is_some();
        if let Some(Slot::Serving { attempt: current, gate, .. }) = self.slots.get(share)
            && *current == attempt
        {
            gate.close();
            self.actions.push(Action::Report(Report::StorageFailed { share: share.clone(), reason }));
            let after = if has_other { After::Give { to: None } } else { After::Nothing };
            if has_other {
                self.rests.insert(share.clone(), until);
            }
            self.stop(share, attempt, StopReason::Release, after);
            return;
        }
        let Some(Slot::Opening { attempt: current, key, phase: Phase::Asked, .. }) = self.slots.get(share)
        else {
            return;
        };
        let (current, key) = (*current, *key);
        if current != attempt {
            return;
        }
        self.actions.push(Action::Report(Report::StorageFailed { share: share.clone(), reason }));
        if has_other {
            // Others find the share without an owner; this node is not among them for a while.
            self.rests.insert(share.clone(), until);
            self.give(share, key, None);
        } else {
            let slot = Slot::Opening { attempt, key, phase: Phase::Waiting { until }, busy_since: None };
            self.slots.insert(share.clone(), slot);
            self.set_timer(until, share);
        }
    }

    fn stop(&mut self, share: &ShareKey, attempt: Attempt, why: StopReason, after: After) {
        self.slots.insert(share.clone(), Slot::Stopping { attempt, after });
        self.actions.push(Action::StopServing { share: share.clone(), attempt, why });
    }

    /// Stops everything: the membership has ended.
    pub(super) fn stop_all(&mut self) {
        for (share, slot) in std::mem::take(&mut self.slots) {
            match slot {
                Slot::Opening { attempt, .. } | Slot::Raising { attempt, .. } => {
                    self.stop(&share, attempt, StopReason::Fence, After::Nothing);
                }
                Slot::Serving { attempt, gate, .. } => {
                    gate.close();
                    self.stop(&share, attempt, StopReason::Fence, After::Nothing);
                }
                Slot::Stopping { attempt, .. } => {
                    self.slots.insert(share, Slot::Stopping { attempt, after: After::Nothing });
                }
                // Their transactions name the incarnation that has ended.
                Slot::Acquiring { .. } | Slot::Giving { .. } | Slot::Reclaiming { .. } => {
                    self.note_vacancy(&share);
                }
            }
        }
    }

    pub(super) fn stopped(&mut self, share: &ShareKey, attempt: Attempt) {
        let after = match self.slots.get(share) {
            Some(Slot::Stopping { attempt: current, after }) if *current == attempt => after.clone(),
            _ => return,
        };
        self.slots.remove(share);
        match (after, self.own_key(share)) {
            (After::Give { to }, Some(key)) => self.give(share, key, to),
            _ => self.evaluate(share),
        }
        self.revoke_abandoned();
    }

    /// Gives the share to a member, or to nobody. Nothing of it is open here.
    fn give(&mut self, share: &ShareKey, key: OwnKey, to: Option<NodeName>) {
        let mut compares = vec![Compare::Modified(Key::Owner(share.clone()), key.modified)];
        let mut writes = Vec::new();
        match to.and_then(|to| Some((to.clone(), self.view.members().get(&to)?))) {
            Some((to, member)) => {
                compares.push(Compare::Created(Key::Node(to.clone()), member.created));
                let owner = OwnerRecord { node: to, incarnation: member.record.incarnation, offset: 0 };
                writes.push(put_owner(share, &owner, member.lease));
            }
            None => writes.push(Write::Delete(Key::Owner(share.clone()))),
        }
        if self.view.move_target(share).is_some() {
            writes.push(Write::Delete(Key::Move(share.clone())));
        }
        let request = self.transact(Purpose::Shares(vec![share.clone()]), Transaction { compares, writes });
        self.slots.insert(share.clone(), Slot::Giving { step: Step::InFlight(request) });
    }

    /// Writes the own key again, so that an earlier handover can no longer be done.
    fn reclaim(&mut self, share: &ShareKey, key: OwnKey, above: Revision) {
        let Some(transaction) = self.rewrite(share, key, key.offset) else { return };
        let request = self.transact(Purpose::Shares(vec![share.clone()]), transaction);
        self.slots.insert(share.clone(), Slot::Reclaiming { step: Step::InFlight(request), above });
    }

    /// Raises the generation above that in the log.
    fn raise(&mut self, share: &ShareKey, attempt: Attempt, key: OwnKey, found: Generation) {
        let Some(transaction) = self.rewrite(share, key, found.0) else { return };
        let request = self.transact(Purpose::Shares(vec![share.clone()]), transaction);
        let step = Step::InFlight(request);
        self.slots.insert(share.clone(), Slot::Raising { attempt, step, found });
    }

    fn rewrite(&self, share: &ShareKey, key: OwnKey, offset: u64) -> Option<Transaction> {
        let membership = self.membership()?;
        let incarnation = membership.incarnation;
        let owner = OwnerRecord { node: self.name().clone(), incarnation, offset };
        Some(Transaction {
            compares: vec![Compare::Modified(Key::Owner(share.clone()), key.modified)],
            writes: vec![put_owner(share, &owner, membership.lease)],
        })
    }

    /// Acquires shares with one transaction: all or none. If another node has one of them, its key is in the view when the
    /// others are tried again.
    fn acquire(&mut self, shares: Vec<ShareKey>) {
        let Some((lease, incarnation, created)) = self.registered() else { return };
        let owner = OwnerRecord { node: self.name().clone(), incarnation, offset: 0 };
        let mut compares = vec![Compare::Created(Key::Node(self.name().clone()), created)];
        let mut writes = Vec::new();
        for share in &shares {
            compares.push(Compare::Absent(Key::Owner(share.clone())));
            compares.push(Compare::Present(Key::Share(share.clone())));
            writes.push(put_owner(share, &owner, lease));
            if self.view.move_target(share) == Some(self.name()) {
                writes.push(Write::Delete(Key::Move(share.clone())));
            }
        }
        let request = self.transact(Purpose::Shares(shares.clone()), Transaction { compares, writes });
        for share in shares {
            self.slots.insert(share, Slot::Acquiring { step: Step::InFlight(request) });
        }
    }

    pub(super) fn share_answered(&mut self, share: &ShareKey, request: RequestId, outcome: Outcome) {
        let again = self.retry_at();
        let Some(step) = self.slots.get_mut(share).and_then(Slot::step_mut) else { return };
        if !matches!(*step, Step::InFlight(current) if current == request) {
            return;
        }
        *step = match outcome {
            Outcome::Done { revision } | Outcome::Failed { revision } => Step::Until(revision),
            Outcome::Unknown => Step::After(again),
        };
        if outcome == Outcome::Unknown {
            self.set_timer(again, share);
        }
        self.evaluate(share);
    }

    /// Acquires the shares whose turn it is.
    pub(super) fn acquire_vacancies(&mut self) {
        while self.may_acquire() && self.has_room() {
            let mut shares = Vec::new();
            while shares.len() < ACQUIRED_AT_ONCE
                && let Some((_, share)) = self.turns.first().cloned().filter(|it| it.0 <= self.now)
            {
                self.forget_vacancy(&share);
                shares.push(share);
            }
            if shares.is_empty() {
                return;
            }
            self.acquire(shares);
        }
    }

    /// Notes a share without an owner, with the time of this node's turn; or forgets it if it has one.
    pub(super) fn note_vacancy(&mut self, share: &ShareKey) {
        let since = self.vacancies.get(share).map_or(self.now, |it| it.since);
        self.forget_vacancy(share);
        let is_vacant = self.view.shares().contains_key(share) && self.view.owner(share).is_none();
        if !is_vacant || self.slots.contains_key(share) {
            return;
        }
        let turn = match placement::rank(&self.view, share, self.name()) {
            Some(rank) => {
                let turn = since.after(self.settings.timing.rank_step.saturating_mul(rank));
                self.rests.get(share).map_or(turn, |rest| turn.max(*rest))
            }
            None => Moment::NEVER,
        };
        self.vacancies.insert(share.clone(), Vacancy { since, turn });
        self.turns.insert((turn, share.clone()));
    }

    fn forget_vacancy(&mut self, share: &ShareKey) {
        if let Some(vacancy) = self.vacancies.remove(share) {
            self.turns.remove(&(vacancy.turn, share.clone()));
        }
    }
}

fn put_owner(share: &ShareKey, owner: &OwnerRecord, lease: crate::ids::LeaseId) -> Write {
    Write::Put { key: Key::Owner(share.clone()), value: records::write(owner), lease: Some(lease) }
}

/// etcd admits 128 conditions in a transaction: two for each share, and one for the node.
const ACQUIRED_AT_ONCE: usize = 60;
