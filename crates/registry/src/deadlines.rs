//! The deadlines of breaks that are to be acknowledged, of orphans that are to be reclaimed, and of logons.

use std::collections::BTreeSet;
use std::ops::Bound;

use wire::{FileGlobalId, Guid, SessionGlobalId};

use crate::caching::Caching;
use crate::{CloseReason, Effects, EndReason, LeaseId, Shell, State, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    OplockBreak(FileGlobalId),
    LeaseBreak(LeaseId),
    Durable(FileGlobalId),
    Logon(SessionGlobalId),
    Expiration(SessionGlobalId),
}

/// A break that a client has to acknowledge, with its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedBreak {
    by: Time,
    what: Deadline,
}

/// Deadlines in the order of time. The caller that sets a deadline keeps its time, to clear it.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    set: BTreeSet<(Time, Deadline)>,
    /// The leases among them, in the order of their clients.
    leases: BTreeSet<LeaseId>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, at: Time, what: Deadline) {
        self.set.insert((at, what));
        if let Deadline::LeaseBreak(lease) = what {
            self.leases.insert(lease);
        }
    }

    pub(crate) fn clear(&mut self, at: Time, what: Deadline) {
        self.set.remove(&(at, what));
        if let Deadline::LeaseBreak(lease) = what {
            self.leases.remove(&lease);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    pub(crate) fn contains(&self, at: Time, what: Deadline) -> bool {
        self.set.contains(&(at, what))
    }

    /// The leases of a client that are being broken, after this one.
    pub(crate) fn lease_breaks(&self, client: Guid, after: Option<LeaseId>) -> impl Iterator<Item = LeaseId> {
        let first = Bound::Included(LeaseId { client, key: Guid::default() });
        let first = after.map_or(first, Bound::Excluded);
        self.leases.range((first, Bound::Unbounded)).take_while(move |it| it.client == client).copied()
    }

    fn next(&self) -> Option<(Time, Deadline)> {
        self.set.first().copied()
    }
}

impl<S: Shell> State<S> {
    /// True if a break has neither been acknowledged nor timed out.
    pub fn is_awaited(&self, awaited: &AwaitedBreak) -> bool {
        self.deadlines.contains(awaited.by, awaited.what)
    }

    pub(crate) fn awaited_oplock_break(&self, id: FileGlobalId) -> Option<AwaitedBreak> {
        match self.opens.get(&id)?.caching {
            Caching::Oplock { breaking: Some(breaking), .. } => {
                Some(AwaitedBreak { by: breaking.deadline, what: Deadline::OplockBreak(id) })
            }
            _ => None,
        }
    }

    pub(crate) fn awaited_lease_break(&self, id: LeaseId) -> Option<AwaitedBreak> {
        let breaking = self.leases.get(&id)?.breaking?;
        Some(AwaitedBreak { by: breaking.deadline, what: Deadline::LeaseBreak(id) })
    }

    /// The time for the next call of [`handle_timeout`](Self::handle_timeout). Any change of the state may change it.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.next().map(|(at, _)| at)
    }

    /// Handles the deadlines that have passed: breaks that were not acknowledged take effect (MS-SMB2 3.3.6.1,
    /// 3.3.6.5), orphans whose client did not reclaim them are closed (MS-SMB2 3.3.6.2), and sessions whose logon was
    /// not finished end, and sessions whose authentication has an end expire (MS-SMB2 3.3.6.3). Deadlines for which this hold of the lock had no time [stay due](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        while let Some((at, deadline)) = self.deadlines.next()
            && at <= now
            && self.has_time(&effects)
        {
            effects.spent = effects.spent.saturating_add(1);
            self.deadlines.clear(at, deadline);
            match deadline {
                Deadline::OplockBreak(open) => self.oplock_break_timed_out(open, now, &mut effects),
                Deadline::LeaseBreak(lease) => self.lease_break_timed_out(lease, now, &mut effects),
                Deadline::Durable(open) => {
                    self.end_open(open, CloseReason::DurableExpired, now, &mut effects)
                }
                Deadline::Logon(session) => {
                    self.end_session(session, EndReason::LogonFailed, now, &mut effects)
                }
                Deadline::Expiration(session) => self.expire(session),
            }
        }
        effects
    }
}
