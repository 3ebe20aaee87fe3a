//! The end of a break, by an acknowledgment (MS-SMB2 3.3.5.22) or a timeout (MS-SMB2 3.3.6.1, 3.3.6.5).

use wire::{FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId};

use crate::caching::Caching;
use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::statistics::count;
use crate::{Effects, LeaseId, Shell, State, Time};

/// The reason for refusing an oplock break acknowledgment (MS-SMB2 3.3.5.22.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgeOplockError {
    /// There is no such open: STATUS_FILE_CLOSED.
    NoSuchOpen,
    /// The level is a lease's; the oplock is lost: STATUS_INVALID_PARAMETER.
    LevelOfLease,
    /// The level is neither II nor none; the oplock is lost: STATUS_INVALID_OPLOCK_PROTOCOL.
    BadLevel,
    /// No acknowledgment is expected: STATUS_INVALID_DEVICE_STATE by MS-SMB2 3.3.5.22.1; Windows answers
    /// STATUS_INVALID_OPLOCK_PROTOCOL if a level II oplock was broken.
    NotBreaking,
}

/// The reason for refusing a lease break acknowledgment (MS-SMB2 3.3.5.22.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcknowledgeLeaseError {
    /// There is no such lease: STATUS_OBJECT_NAME_NOT_FOUND.
    NoSuchLease,
    /// No acknowledgment is expected: STATUS_UNSUCCESSFUL.
    NotBreaking,
    /// The state is more than the break allows: STATUS_REQUEST_NOT_ACCEPTED.
    BadState,
}

impl<S: Shell> State<S> {
    /// Processes an oplock break acknowledgment (MS-SMB2 3.3.5.22.1) and returns the level that remains.
    pub fn acknowledge_oplock(
        &mut self,
        session: SessionId,
        file_id: FileId,
        level: OplockLevel,
        now: Time,
    ) -> (Result<OplockLevel, AcknowledgeOplockError>, Effects<S>) {
        let mut effects = Effects::none();
        let result = self.try_acknowledge_oplock(session, file_id, level, now, &mut effects);
        (result, effects)
    }

    /// Processes a lease break acknowledgment (MS-SMB2 3.3.5.22.2) and returns the state that remains.
    pub fn acknowledge_lease(
        &mut self,
        client: Guid,
        key: Guid,
        state: LeaseState,
        now: Time,
    ) -> Result<(LeaseState, Effects<S>), AcknowledgeLeaseError> {
        let id = LeaseId { client, key };
        let lease = self.leases.get_mut(&id).ok_or(AcknowledgeLeaseError::NoSuchLease)?;
        for open in std::mem::take(&mut lease.replayable).iter().copied() {
            self.forget_replay(open);
        }
        let lease = self.leases.get_mut(&id).ok_or(AcknowledgeLeaseError::NoSuchLease)?;
        let breaking = lease.breaking.ok_or(AcknowledgeLeaseError::NotBreaking)?;
        if !breaking.to.contains(state) {
            return Err(AcknowledgeLeaseError::BadState);
        }
        lease.breaking = None;
        let (file, open) = (lease.file, lease.opens.first().copied());
        if let Some(open) = open {
            self.report_acknowledged(open, now);
        }
        self.deadlines.clear(breaking.deadline, Deadline::LeaseBreak(id));
        self.set_lease_state(id, state);
        let mut effects = Effects::none();
        let step = next_step(state, breaking.required);
        if step != state {
            self.break_lease(id, step, breaking.required, now, &mut effects);
        }
        self.wake(file, &mut effects);
        Ok((state, effects))
    }

    pub(crate) fn oplock_break_timed_out(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        self.report_timeout(id, now);
        self.set_oplock(id, OplockLevel::NONE, None);
        if let Some(open) = self.opens.get_mut(&id) {
            open.unanswered_breaks = open.unanswered_breaks.saturating_add(1);
        }
        if let Some(file) = self.opens.get(&id).and_then(|open| open.target.file()) {
            self.wake(file, effects);
        }
    }

    pub(crate) fn lease_break_timed_out(&mut self, id: LeaseId, now: Time, effects: &mut Effects<S>) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        lease.breaking = None;
        lease.unanswered_breaks = lease.unanswered_breaks.saturating_add(1);
        let (file, open) = (lease.file, lease.opens.first().copied());
        if let Some(open) = open {
            self.report_timeout(open, now);
        }
        self.set_lease_state(id, LeaseState::NONE);
        self.wake(file, effects);
    }

    fn try_acknowledge_oplock(
        &mut self,
        session: SessionId,
        file_id: FileId,
        level: OplockLevel,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<OplockLevel, AcknowledgeOplockError> {
        use AcknowledgeOplockError::{BadLevel, LevelOfLease, NoSuchOpen, NotBreaking};
        let info = self.open_of(session, file_id).ok_or(NoSuchOpen)?;
        self.forget_replay(info.global_id);
        let caching = self.opens.get(&info.global_id).ok_or(NoSuchOpen)?.caching;
        let Caching::Oplock { breaking: Some(breaking), .. } = caching else {
            return Err(NotBreaking);
        };
        self.report_acknowledged(info.global_id, now);
        if level != OplockLevel::LEVEL_II && level != OplockLevel::NONE {
            // The client has answered, although wrongly, so requests that wait for the break continue.
            self.finish_oplock_break(info.global_id, OplockLevel::NONE, effects);
            return Err(if level == OplockLevel::LEASE { LevelOfLease } else { BadLevel });
        }
        let left = if breaking.to == OplockLevel::NONE { OplockLevel::NONE } else { level };
        self.finish_oplock_break(info.global_id, left, effects);
        if left != OplockLevel::NONE && breaking.required == OplockLevel::NONE {
            self.break_oplock(info.global_id, OplockLevel::NONE, now, effects);
        }
        Ok(left)
    }

    fn finish_oplock_break(&mut self, id: FileGlobalId, level: OplockLevel, effects: &mut Effects<S>) {
        self.set_oplock(id, level, None);
        if let Some(file) = self.opens.get(&id).and_then(|open| open.target.file()) {
            self.wake(file, effects);
        }
    }

    fn report_acknowledged(&mut self, id: FileGlobalId, now: Time) {
        if let Some(open) = self.opens.get(&id) {
            self.events.push(now, EventKind::BreakAcknowledged { open: open.event(id) });
        }
    }

    fn report_timeout(&mut self, id: FileGlobalId, now: Time) {
        count(&self.statistics.breaks_timed_out);
        if let Some(open) = self.opens.get(&id) {
            self.events.push(now, EventKind::BreakTimedOut { open: open.event(id) });
        }
    }
}

/// The next state on the way to `required`: handle caching is broken before read caching, as in Windows when more was
/// required during the break.
fn next_step(state: LeaseState, required: LeaseState) -> LeaseState {
    let target = state & required;
    if target != state && state.contains(LeaseState::READ | LeaseState::HANDLE) && target.is_none() {
        return LeaseState::READ;
    }
    target
}
