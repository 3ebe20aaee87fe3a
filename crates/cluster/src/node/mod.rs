//! The state machine of one node.
//!
//! ```text
//!   Outside --grant--> Joining --lease--> Joined --expired, lost--> Outside, with another incarnation next
//! ```
//!
//! A share that concerns the node has a slot; the head of `ownership.rs` draws its states. The owner key in etcd decides:
//! whichever way it came to name this incarnation, the node opens the share; when it names another, the node stops.

mod membership;
mod orders;
mod ownership;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::flaws::Flaws;
use crate::ids::{Attempt, Incarnation, LeaseId, NodeName, RequestId, Revision, ShareKey};
use crate::placement;
use crate::protocol::{
    Action, AdminOutcome, Change, Command, Event, FenceReason, Outcome, Report, SchemaFault, Transaction,
};
use crate::records::Malformed;
use crate::settings::{InvalidTiming, Settings};
use crate::view::{Affected, View};
use membership::{Membership, Standing};
use ownership::Slot;

/// One node of the cluster.
///
/// It has no clock and does no I/O: [`Node::step`] takes an event with the time and returns actions. It is called for
/// each event, and with [`Event::Tick`] at the time of [`Node::next_wake`].
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    prefix: String,
    flaws: Flaws,
    now: Moment,
    actions: Vec<Action>,
    requests: u64,
    attempts: u64,
    incarnations: u32,
    standing: Standing,
    view: View,
    following: Following,
    watches: u64,
    store: Option<u64>,
    /// The highest revision in an answer of etcd.
    known: Revision,
    /// The time since which the view is behind `known`.
    behind_since: Option<Moment>,
    schema_fault: Option<SchemaFault>,
    transactions: BTreeMap<RequestId, Purpose>,
    slots: BTreeMap<ShareKey, Slot>,
    /// The times at which slots want to be looked at. An entry without a cause is harmless.
    timers: BTreeSet<(Moment, ShareKey)>,
    /// The shares without an owner, with the times at which it is this node's turn.
    vacancies: BTreeMap<ShareKey, Vacancy>,
    turns: BTreeSet<(Moment, ShareKey)>,
    rests: BTreeMap<ShareKey, Moment>,
    balance_at: Moment,
    leaving: Option<Leaving>,
    /// The lease of an earlier incarnation, to be revoked when all its shares have stopped.
    abandoned: Option<LeaseId>,
    nobody_reported: bool,
    /// The share that balancing moves, and its next owner.
    balancing: Option<(ShareKey, NodeName)>,
    /// True if a share shall go when others are gone.
    gives_wait: bool,
}

/// The source of the view.
#[derive(Clone, Copy, Debug)]
enum Following {
    /// Nothing yet, or the watch is lost: read again at that time.
    Nothing {
        read_at: Moment,
    },
    Reading {
        request: RequestId,
        known: Revision,
    },
    Watching {
        watch: u64,
    },
}

/// The use of a transaction.
#[derive(Clone, Debug)]
enum Purpose {
    Admin {
        ticket: u64,
    },
    /// A clean-up that is repeated if it fails.
    Housekeeping,
    Register,
    Shares(Vec<ShareKey>),
}

#[derive(Clone, Copy, Debug)]
struct Vacancy {
    since: Moment,
    turn: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    ticket: u64,
    /// The time at which the others are told, again.
    tell_at: Moment,
}

impl Node {
    /// A node that begins at `now`.
    ///
    /// # Errors
    /// [`InvalidTiming`] if the times break a rule.
    pub fn new(settings: Settings, now: Moment) -> Result<Self, InvalidTiming> {
        settings.timing.check()?;
        Ok(Self::unchecked(settings, Flaws::default(), now))
    }

    /// Has the node ask for leases of this time from its next one on, in whole seconds. The lease that it has stays as it is:
    /// permissions count what etcd has granted, so that nodes whose leases last for different times are as safe as others.
    ///
    /// # Errors
    /// [`InvalidTiming`] if the times break a rule then; nothing changes.
    pub fn set_lease(&mut self, ttl: Duration) -> Result<(), InvalidTiming> {
        let mut timing = self.settings.timing.clone();
        timing.set_lease(ttl);
        timing.check()?;
        self.settings.timing = timing;
        Ok(())
    }

    pub(crate) fn unchecked(settings: Settings, flaws: Flaws, now: Moment) -> Self {
        let prefix = settings.prefix.clone();
        Self {
            settings,
            prefix,
            flaws,
            now,
            actions: Vec::new(),
            requests: 0,
            attempts: 0,
            incarnations: 0,
            standing: Standing::Outside { grant_at: now },
            view: View::default(),
            following: Following::Nothing { read_at: now },
            watches: 0,
            store: None,
            known: Revision(0),
            behind_since: None,
            schema_fault: None,
            transactions: BTreeMap::new(),
            slots: BTreeMap::new(),
            timers: BTreeSet::new(),
            vacancies: BTreeMap::new(),
            turns: BTreeSet::new(),
            rests: BTreeMap::new(),
            balance_at: Moment::NEVER,
            leaving: None,
            abandoned: None,
            nobody_reported: false,
            balancing: None,
            gives_wait: false,
        }
    }

    /// Takes an event at `now`, and returns what is to be done, in order.
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        // Before the event: a renewal that is read after the end of the permission does not revive it.
        self.check_deadline();
        self.handle(event);
        self.advance();
        std::mem::take(&mut self.actions)
    }

    /// True if the node may change files of the share at `now`. The data path asks the gate of
    /// [`Action::StartServing`], which has the same answer.
    pub fn may_write(&self, share: &ShareKey, now: Moment) -> bool {
        matches!(self.slots.get(share), Some(Slot::Serving { gate, .. }) if gate.permits(now))
    }

    /// The shares that the node serves.
    pub fn serving(&self) -> impl Iterator<Item = &ShareKey> {
        self.slots.iter().filter(|(_, slot)| matches!(slot, Slot::Serving { .. })).map(|(share, _)| share)
    }

    /// The keys of etcd as the node knows them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The incarnation of the present membership. Returns `None` outside of one.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.membership().map(|it| it.incarnation)
    }

    /// The lease of the present membership. Returns `None` outside of one.
    pub fn lease(&self) -> Option<LeaseId> {
        self.membership().map(|it| it.lease)
    }

    /// The end of the write permission, if nothing extends it. Returns `None` outside of a membership.
    pub fn permitted_until(&self) -> Option<Moment> {
        self.membership().map(|it| it.deadline)
    }

    /// True if the node has left by the command of an administrator. It takes no further part.
    pub fn has_left(&self) -> bool {
        matches!(self.standing, Standing::Left)
    }

    /// The time of the next [`Event::Tick`].
    pub fn next_wake(&self) -> Moment {
        if self.has_left() {
            return Moment::NEVER;
        }
        let following = match self.following {
            Following::Nothing { read_at } => read_at,
            Following::Reading { .. } | Following::Watching { .. } => Moment::NEVER,
        };
        // Otherwise the view is being read already.
        let is_watching = matches!(self.following, Following::Watching { .. });
        let behind = self.behind_since.filter(|_| is_watching);
        let behind = behind.map_or(Moment::NEVER, |it| it.after(self.settings.timing.catch_up));
        let leaving = self.leaving.map_or(Moment::NEVER, |it| it.tell_at);
        let timer = self.timers.first().map_or(Moment::NEVER, |it| it.0);
        let turn = match self.turns.first() {
            Some(first) if self.may_acquire() && self.has_room() => first.0,
            _ => Moment::NEVER,
        };
        let standing = match &self.standing {
            Standing::Outside { .. } if self.leaving.is_some() => Moment::NEVER,
            standing => standing.next_wake(),
        };
        let balance = if self.leaving.is_some() { Moment::NEVER } else { self.balance_at };
        [following, behind, leaving, timer, turn, standing, balance]
            .into_iter()
            .min()
            .unwrap_or(Moment::NEVER)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Admin { ticket, command } => self.admin(ticket, command),
            Event::Fenced { share, attempt, done } => self.fence_ended(&share, attempt, done),
            Event::KeepAliveAnswered { request, ttl } => self.renewed(request, ttl),
            Event::LeaseGranted { request, lease, ttl } => self.granted(request, lease, ttl),
            Event::RequestFailed { request } => self.request_failed(request),
            Event::Snapshot { request, revision, store, entries } => {
                let changes: Vec<Change> = entries.into_iter().map(Change::Written).collect();
                self.snapshot(request, revision, store, &changes);
            }
            Event::StorageAhead { share, attempt, found } => self.storage_ahead(&share, attempt, found),
            Event::StorageBusy { share, attempt, holder } => self.storage_busy(&share, attempt, holder),
            Event::StorageFailed { share, attempt, reason } => self.storage_failed(&share, attempt, reason),
            Event::StorageOpened { share, attempt } => self.storage_opened(&share, attempt),
            Event::HandoverPrepared { share, attempt } => self.handover_prepared(&share, attempt),
            Event::Stopped { share, attempt } => self.stopped(&share, attempt),
            Event::Tick => {}
            Event::TransactionAnswered { request, outcome } => self.transaction_answered(request, outcome),
            Event::WatchBatch { watch, revision, changes } => self.watch_batch(watch, revision, &changes),
            Event::WatchLost { watch } => {
                if matches!(self.following, Following::Watching { watch: current } if current == watch) {
                    self.following = Following::Nothing { read_at: self.now };
                }
            }
        }
    }

    /// Does all that is due.
    fn advance(&mut self) {
        if self.has_left() {
            return;
        }
        self.advance_following();
        self.advance_membership();
        while let Some((at, share)) = self.timers.first().cloned().filter(|it| it.0 <= self.now) {
            self.timers.remove(&(at, share.clone()));
            self.evaluate(&share);
        }
        self.acquire_vacancies();
        self.advance_orders();
    }

    fn advance_following(&mut self) {
        let catch_up = self.settings.timing.catch_up;
        let watching = matches!(self.following, Following::Watching { .. });
        if watching && self.behind_since.is_some_and(|since| self.now >= since.after(catch_up)) {
            // The watch is alive for the shell but brings nothing.
            self.following = Following::Nothing { read_at: self.now };
        }
        if let Following::Nothing { read_at } = self.following
            && read_at <= self.now
        {
            self.behind_since = None;
            let request = self.next_request();
            self.following = Following::Reading { request, known: self.known };
            self.actions.push(Action::Read { request });
        }
    }

    fn request_failed(&mut self, request: RequestId) {
        let again = self.retry_at();
        if matches!(self.following, Following::Reading { request: current, .. } if current == request) {
            self.following = Following::Nothing { read_at: again };
        }
        self.grant_failed(request, again);
    }

    fn snapshot(&mut self, request: RequestId, revision: Revision, store: u64, changes: &[Change]) {
        let known = match self.following {
            Following::Reading { request: current, known } if current == request => known,
            _ => return,
        };
        let other_store = self.store.is_some_and(|own| own != store);
        if revision < known || other_store {
            self.actions.push(Action::Report(Report::StoreWentBack));
            self.fence(FenceReason::StoreWentBack);
            // A lease of the store that was, whose number means nothing now.
            self.abandoned = None;
            self.known = revision;
        } else if revision < self.view.revision {
            // A watch has gone further while this was on its way; it has ended, so read again.
            self.following = Following::Nothing { read_at: self.now };
            return;
        }
        self.store = Some(store);
        self.view = View::default();
        self.view.revision = revision;
        for change in changes {
            let (_, result) = self.view.apply(&self.prefix, change);
            self.report_ignored(result);
        }
        self.watches += 1;
        self.following = Following::Watching { watch: self.watches };
        self.actions
            .push(Action::Watch { watch: self.watches, from: Revision(revision.0.saturating_add(1)) });
        self.vacancies.clear();
        self.turns.clear();
        self.seen(revision);
        self.schema_changed();
        self.membership_changed();
        let own = self.membership().map(|it| (it.incarnation, it.lease));
        let mut shares: BTreeSet<ShareKey> = self.slots.keys().cloned().collect();
        shares.extend(self.view.shares().keys().filter(|it| self.view.owner(it).is_none()).cloned());
        if let Some((incarnation, lease)) = own {
            let owned =
                self.view.owners().keys().filter(|it| self.view.owned_by(it, incarnation, lease).is_some());
            shares.extend(owned.cloned());
        }
        shares.iter().for_each(|share| self.evaluate(share));
    }

    fn watch_batch(&mut self, watch: u64, revision: Revision, changes: &[Change]) {
        let is_current = matches!(self.following, Following::Watching { watch: current } if current == watch);
        if !is_current || revision < self.view.revision {
            return;
        }
        if revision == self.view.revision && !changes.is_empty() {
            // A repeated batch.
            return;
        }
        let (mut shares, mut membership, mut schema) = (BTreeSet::new(), false, false);
        for change in changes {
            let (affected, result) = self.view.apply(&self.prefix, change);
            self.report_ignored(result);
            match affected {
                Some(Affected::Share(share)) => drop(shares.insert(share)),
                Some(Affected::Membership) => membership = true,
                Some(Affected::Schema) => schema = true,
                None => {}
            }
        }
        self.view.revision = revision;
        self.seen(revision);
        if schema {
            self.schema_changed();
        }
        if membership {
            self.membership_changed();
        }
        shares.iter().for_each(|share| self.evaluate(share));
        // Slots that wait for this revision.
        let waiting: Vec<ShareKey> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.waits_for().is_some_and(|wanted| wanted <= revision))
            .map(|(share, _)| share.clone())
            .collect();
        waiting.iter().for_each(|share| self.evaluate(share));
    }

    /// Notes a revision that the view has or that etcd has answered with.
    fn seen(&mut self, revision: Revision) {
        self.known = self.known.max(revision);
        if self.view.revision >= self.known {
            self.behind_since = None;
        } else if self.behind_since.is_none() {
            self.behind_since = Some(self.now);
        }
    }

    fn report_ignored(&mut self, result: Result<(), (String, Malformed)>) {
        if let Err((path, why)) = result {
            self.actions.push(Action::Report(Report::IgnoredKey { path, why }));
        }
    }

    fn schema_changed(&mut self) {
        let fault = self.view.schema_fault(&self.settings.cluster);
        if fault != self.schema_fault
            && let Some(fault) = fault
        {
            self.actions.push(Action::Report(Report::ForeignStore(fault)));
        }
        self.schema_fault = fault;
        if fault.is_some() && self.membership().is_some() {
            self.fence(FenceReason::Schema);
        }
    }

    /// Follows a change of the members or drains: places change.
    fn membership_changed(&mut self) {
        self.registration_changed();
        self.balance_at = self.now.after(self.settings.balance.cooldown);
        self.nobody_reported = false;
        let vacant: Vec<ShareKey> = self.vacancies.keys().cloned().collect();
        vacant.iter().for_each(|share| self.note_vacancy(share));
    }

    fn transaction_answered(&mut self, request: RequestId, outcome: Outcome) {
        let Some(purpose) = self.transactions.remove(&request) else { return };
        if let Outcome::Done { revision } | Outcome::Failed { revision } = outcome {
            self.seen(revision);
        }
        match purpose {
            Purpose::Admin { ticket } => {
                let outcome = match outcome {
                    Outcome::Done { .. } => AdminOutcome::Accepted,
                    Outcome::Failed { .. } => AdminOutcome::Conflict,
                    Outcome::Unknown => AdminOutcome::Unknown,
                };
                self.actions.push(Action::AnswerAdmin { ticket, outcome });
            }
            Purpose::Housekeeping => {}
            Purpose::Register => self.registration_answered(request, outcome),
            Purpose::Shares(shares) => {
                shares.iter().for_each(|share| self.share_answered(share, request, outcome));
            }
        }
    }

    fn transact(&mut self, purpose: Purpose, transaction: Transaction) -> RequestId {
        let request = self.next_request();
        self.transactions.insert(request, purpose);
        self.actions.push(Action::Transact { request, transaction });
        request
    }

    fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn next_attempt(&mut self) -> Attempt {
        self.attempts += 1;
        Attempt(self.attempts)
    }

    fn set_timer(&mut self, at: Moment, share: &ShareKey) {
        self.timers.insert((at, share.clone()));
    }

    /// The time of another attempt. Nodes that fail together do not try again at the same moment.
    fn retry_at(&self) -> Moment {
        let retry = self.settings.timing.retry;
        let spread = placement::mix(self.settings.boot ^ self.requests) % 1000;
        self.now.after(retry).after(retry.saturating_mul(u32::try_from(spread).unwrap_or(0)) / 1000)
    }

    fn has_room(&self) -> bool {
        self.transactions.len() < TRANSACTIONS_MAX
    }

    fn membership(&self) -> Option<&Membership> {
        match &self.standing {
            Standing::Joined(membership) => Some(membership),
            _ => None,
        }
    }

    fn name(&self) -> &NodeName {
        &self.settings.node
    }

    fn admin(&mut self, ticket: u64, command: Command) {
        match self.order(ticket, command) {
            Ok(()) => {}
            Err(outcome) => self.actions.push(Action::AnswerAdmin { ticket, outcome }),
        }
    }
}

/// Enough to take over thousands of shares in seconds without a queue in etcd in which renewals would have to wait.
const TRANSACTIONS_MAX: usize = 64;
