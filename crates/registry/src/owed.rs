//! Breaks of leases whose client is away. A lease with handle caching and a persistent open stays as it is while the
//! client is away: its break is kept, and is sent when the client is back (MS-SMB2 3.3.4.7). Opens that have to wait for
//! the break wait until then, or until the open ends, as with Windows and Samba.

use wire::LeaseState;

use crate::caching::{Broken, Holder};
use crate::lease::{Lease, usable};
use crate::{Effects, LeaseId, Shell, State, Time};

impl Lease {
    /// The state, the version and the epoch that a log keeps. A server that starts does not send an owed break: the
    /// client gets the state after the break when it reclaims the open.
    pub(crate) fn logged_state(&self) -> (LeaseState, u8, u16) {
        match self.owed {
            Some(owed) if self.version >= 2 => (owed, self.version, self.epoch.wrapping_add(1)),
            Some(owed) => (owed, self.version, self.epoch),
            None => (self.state, self.version, self.epoch),
        }
    }
}

impl<S: Shell> State<S> {
    /// Breaks a holder's caching to no more than `keep` for an open, as [`Self::break_holder`] does. The break of a
    /// lease with handle caching whose client is away, and has a persistent open, is owed.
    pub(crate) fn break_or_owe(
        &mut self,
        holder: Holder,
        keep: LeaseState,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Broken {
        match holder {
            Holder::Lease(id) if !keep.contains(self.held(holder)) && self.keeps_lease(id) => {
                self.owe_break(id, keep, effects);
                Broken::Pending
            }
            _ => self.break_holder(holder, keep, now, effects),
        }
    }

    /// True if a lease is owed a break.
    pub(crate) fn is_owed(&self, holder: Holder) -> bool {
        matches!(holder, Holder::Lease(id) if self.leases.get(&id).is_some_and(|lease| lease.owed.is_some()))
    }

    /// Sends the break that a lease is owed, if its client is back.
    pub(crate) fn send_owed_break(&mut self, id: LeaseId, now: Time, effects: &mut Effects<S>) {
        let holder = Holder::Lease(id);
        if !self.is_owed(holder) || self.is_orphaned(holder) {
            return;
        }
        if let Some(owed) = self.leases.get_mut(&id).and_then(|lease| lease.owed.take()) {
            let _ = self.break_holder(holder, owed, now, effects);
        }
    }

    /// Grants a lease again whose client reclaims the first of its opens, a persistent one. As in Windows, a lease
    /// without write caching ends if the file has byte-range locks, and one without handle caching, which was not
    /// protected while the client was away, continues with the epoch that the client has; one of read caching counts as
    /// acquired anew.
    pub(crate) fn renew_lease(&mut self, id: LeaseId, epoch: u16) {
        let Some(lease) = self.leases.get(&id) else { return };
        let is_protected = lease.owed.is_some() || lease.breaking.is_some();
        if is_protected || !self.is_orphaned(Holder::Lease(id)) {
            return;
        }
        let has_locks = self.files.get(&lease.file).is_some_and(|file| file.ranges.len() != 0);
        if has_locks && !lease.state.is_none() && !lease.state.contains(LeaseState::WRITE) {
            self.set_lease_state(id, LeaseState::NONE);
        }
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.version < 2 || lease.state.contains(LeaseState::HANDLE) {
            return;
        }
        // The epoch of a lease that lost its caching meanwhile may be later than the client's.
        if epoch.wrapping_sub(lease.epoch) <= LATEST {
            lease.epoch = epoch;
        }
        if lease.state == LeaseState::READ {
            lease.advance_epoch();
        }
        self.touch_lease_log(id);
    }

    fn keeps_lease(&self, id: LeaseId) -> bool {
        let Some(lease) = self.leases.get(&id) else { return false };
        lease.state.contains(LeaseState::HANDLE)
            && lease.breaking.is_none()
            && self.is_orphaned(Holder::Lease(id))
            && lease.opens.iter().any(|open| self.opens.get(open).is_some_and(|it| it.is_persistent()))
    }

    fn owe_break(&mut self, id: LeaseId, keep: LeaseState, effects: &mut Effects<S>) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let owed = usable(lease.owed.unwrap_or(lease.state) & keep);
        if lease.owed != Some(owed) {
            lease.owed = Some(owed);
            effects.logs.extend(lease.logs.keys());
            self.touch_lease_log(id);
        }
    }
}

/// The largest difference by which an epoch counts as later (MS-SMB2 3.2.5.7.5).
const LATEST: u16 = 0x7fff;
