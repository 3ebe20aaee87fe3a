//! The caching of files by clients, and its breaks: oplocks and leases (MS-FSA 2.1.4.12, MS-SMB2 3.3.4.6, 3.3.4.7,
//! 3.3.5.22).
//!
//! Both are sets of read, write and handle caching: a batch oplock has all three, an exclusive one read and write, a
//! level II one read. They differ in their holders (one open, or all opens with a lease key) and in the states to which
//! they can be broken.
//!
//! ```text
//!             grant                break (to be acknowledged)
//!    None ------1-----> Held ----------------2-------------> Breaking
//!      ^                 | ^                                    |
//!      +--------3--------+ +------------------4-----------------+
//!         break of read caching,       acknowledged, or 5 timed out
//!         not to be acknowledged
//! ```
//!
//! 1 `grant_caching`; 2, 3 `break_holder`; 4 [`State::acknowledge_oplock`], [`State::acknowledge_lease`], which begin
//! again at 2 if another request has required more since; 5 [`State::handle_timeout`].

use wire::{FileGlobalId, Guid, LeaseState, OplockLevel, SessionGlobalId};

use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::open::Open;
use crate::statistics::count;
use crate::{
    BreakKind, BreakNotice, CloseReason, Effects, FileKey, LeaseId, NotFound, OpenRef, Readiness, RequestKey,
    Shell, State, Time, cost,
};

/// The oplock or lease under which an open caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    None,
    Oplock { level: OplockLevel, breaking: Option<OplockBreaking> },
    Lease(LeaseId),
}

/// `Open.OplockState` Breaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OplockBreaking {
    /// The level that the break notification named.
    pub(crate) to: OplockLevel,
    /// The level that is required by now.
    pub(crate) required: OplockLevel,
    /// `Open.OplockTimeout`.
    pub(crate) deadline: Time,
}

/// The holder of a cache of a file: an open with an oplock, or a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Oplock(FileGlobalId),
    Lease(LeaseId),
}

/// The result of breaking a holder's caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A break was sent, now or before, and is not acknowledged yet.
    Pending,
    /// The holder no longer has the caching; no acknowledgment is required.
    Done,
    /// The holder had no client, and its opens have been closed.
    Gone,
}

/// The caching that an oplock level stands for (MS-FSA 2.1.4.12).
pub(crate) fn level_caches(level: OplockLevel) -> LeaseState {
    match level {
        OplockLevel::BATCH => LeaseState::READ | LeaseState::WRITE | LeaseState::HANDLE,
        OplockLevel::EXCLUSIVE => LeaseState::READ | LeaseState::WRITE,
        OplockLevel::LEVEL_II => LeaseState::READ,
        _ => LeaseState::NONE,
    }
}

/// The highest oplock level whose caching is contained in `caches`.
pub(crate) fn level_within(caches: LeaseState) -> OplockLevel {
    [OplockLevel::BATCH, OplockLevel::EXCLUSIVE, OplockLevel::LEVEL_II]
        .into_iter()
        .find(|level| caches.contains(level_caches(*level)))
        .unwrap_or(OplockLevel::NONE)
}

impl<S: Shell> State<S> {
    /// Breaks read caching of a file whose data change through this open: its size, its content, a byte-range lock
    /// (MS-FSA 2.1.4.12, operations WRITE, SET_INFORMATION and LOCK_CONTROL). The open's own lease or exclusive oplock
    /// stays; its own level II oplock is broken. The change does not wait for the breaks.
    pub fn break_for_write(&mut self, open: impl Into<OpenRef>, now: Time) -> Result<Effects<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let mut effects = Effects::none();
        self.break_readers(id, now, &mut effects);
        Ok(effects)
    }

    /// Breaks all caching of a file that the CREATE of this open has emptied, including data that were read since the
    /// open was admitted. The open's own caching is of the empty file and stays.
    pub fn break_for_overwrite(
        &mut self,
        open: impl Into<OpenRef>,
        now: Time,
    ) -> Result<Effects<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let own = self.opens.get(&id).ok_or(NotFound)?;
        let file = own.target.file().ok_or(NotFound)?;
        let own = self.holder_of(id, own);
        let mut effects = Effects::none();
        for holder in self.holders(file) {
            if own != Some(holder) {
                let _ = self.break_or_owe(holder, LeaseState::NONE, now, &mut effects);
            }
        }
        Ok(effects)
    }

    /// Breaks the handle caching that others have of this open's file, before the file is renamed or a delete becomes
    /// pending (MS-FSA 2.1.5.15.11, 2.1.5.15.3). The open's own caching stays.
    pub fn break_handle_caching(
        &mut self,
        open: impl Into<OpenRef>,
        request: RequestKey,
        now: Time,
    ) -> Result<(Readiness, Effects<S>), NotFound> {
        let id = self.open_global(open.into())?;
        let own = self.opens.get(&id).ok_or(NotFound)?;
        let file = own.target.file().ok_or(NotFound)?;
        let except = self.holder_of(id, own);
        let session = own.home.map(|home| home.session);
        Ok(self.break_handles(file, except, request, session, now))
    }

    /// Breaks handle caching of a file that the request has not opened: the target of a rename, or a file below a
    /// directory that is renamed.
    pub fn break_handle_caching_of(
        &mut self,
        file: FileKey,
        request: RequestKey,
        now: Time,
    ) -> (Readiness, Effects<S>) {
        self.break_handles(file, None, request, None, now)
    }

    /// Breaks caching of a directory whose entries change (MS-FSA 2.1.4.12, PARENT_OBJECT), except for a lease with the
    /// parent lease key of the open that makes the change. The change does not wait for the breaks.
    pub fn break_directory_caching(
        &mut self,
        directory: FileKey,
        parent_key: Option<Guid>,
        now: Time,
    ) -> Effects<S> {
        let mut effects = Effects::none();
        for holder in self.holders(directory) {
            // Windows' object store compares lease keys without regard to the client, too.
            let is_spared = matches!(holder, Holder::Lease(lease) if parent_key == Some(lease.key));
            if !is_spared {
                let _ = self.break_holder(holder, LeaseState::NONE, now, &mut effects);
            }
        }
        effects
    }

    /// Breaks caching of a file or directory that a local program has changed.
    pub fn break_for_outsider(&mut self, file: FileKey, now: Time) -> Effects<S> {
        self.break_directory_caching(file, None, now)
    }

    pub(crate) fn holders(&self, file: FileKey) -> Vec<Holder> {
        let Some(file) = self.files.get(&file) else {
            return Vec::new();
        };
        file.caching.iter().inspect(|_| cost::step()).copied().collect()
    }

    pub(crate) fn holder_of(&self, id: FileGlobalId, open: &Open<S>) -> Option<Holder> {
        match open.caching {
            Caching::None => None,
            Caching::Oplock { .. } => Some(Holder::Oplock(id)),
            Caching::Lease(lease) => Some(Holder::Lease(lease)),
        }
    }

    /// The caching of a holder. It keeps this until it has acknowledged a break.
    pub(crate) fn held(&self, holder: Holder) -> LeaseState {
        match holder {
            Holder::Oplock(open) => match self.opens.get(&open).map(|it| it.caching) {
                Some(Caching::Oplock { level, .. }) => level_caches(level),
                _ => LeaseState::NONE,
            },
            Holder::Lease(lease) => self.leases.get(&lease).map_or(LeaseState::NONE, |it| it.state),
        }
    }

    pub(crate) fn is_breaking(&self, holder: Holder) -> bool {
        match holder {
            Holder::Oplock(open) => self
                .opens
                .get(&open)
                .is_some_and(|it| matches!(it.caching, Caching::Oplock { breaking: Some(_), .. })),
            Holder::Lease(lease) => self.leases.get(&lease).is_some_and(|it| it.breaking.is_some()),
        }
    }

    /// `Open.OplockLevel` and the state of its lease.
    pub(crate) fn caching_of(&self, open: &Open<S>) -> (OplockLevel, LeaseState) {
        match open.caching {
            Caching::None => (OplockLevel::NONE, LeaseState::NONE),
            Caching::Oplock { level, .. } => (level, LeaseState::NONE),
            Caching::Lease(lease) => (OplockLevel::LEASE, self.held(Holder::Lease(lease))),
        }
    }

    /// Breaks a holder's caching to no more than `keep`.
    pub(crate) fn break_holder(
        &mut self,
        holder: Holder,
        keep: LeaseState,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Broken {
        if keep.contains(self.held(holder)) {
            return Broken::Done;
        }
        if self.is_orphaned(holder) && self.opens_of(holder).iter().any(|id| self.is_persistent_open(*id)) {
            self.take_caching(holder, keep, effects);
            return Broken::Done;
        }
        if self.is_orphaned(holder) {
            for open in self.opens_of(holder) {
                self.end_open(open, CloseReason::DurableConflict, now, effects);
            }
            return Broken::Gone;
        }
        match holder {
            Holder::Oplock(open) => self.break_oplock(open, level_left(keep), now, effects),
            Holder::Lease(lease) => {
                let to = self.held(holder) & keep;
                if let Some(lease) = self.leases.get_mut(&lease).filter(|it| it.breaking.is_none()) {
                    lease.advance_epoch();
                }
                self.touch_lease_log(lease);
                self.break_lease(lease, to, to, now, effects);
            }
        }
        if self.is_breaking(holder) { Broken::Pending } else { Broken::Done }
    }

    pub(crate) fn break_readers(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(own) = self.opens.get(&id) else {
            return;
        };
        let Some(file) = own.target.file() else {
            return;
        };
        let own = self.holder_of(id, own);
        for holder in self.holders(file) {
            let is_own = own == Some(holder);
            let level_ii = matches!(holder, Holder::Oplock(_)) && self.held(holder) == LeaseState::READ;
            if (!is_own || level_ii) && self.held(holder).contains(LeaseState::READ) {
                let _ = self.break_holder(holder, LeaseState::NONE, now, effects);
            }
        }
    }

    /// Sets an open's oplock and removes the deadline of a break under way.
    pub(crate) fn set_oplock(
        &mut self,
        id: FileGlobalId,
        level: OplockLevel,
        breaking: Option<OplockBreaking>,
    ) {
        let Some(open) = self.opens.get_mut(&id) else {
            return;
        };
        if let Caching::Oplock { breaking: Some(before), .. } = open.caching {
            self.deadlines.clear(before.deadline, Deadline::OplockBreak(id));
        }
        if let Some(breaking) = breaking {
            self.deadlines.set(breaking.deadline, Deadline::OplockBreak(id));
        }
        let held = level != OplockLevel::NONE;
        let denied = open.denies_write_caching();
        open.caching = if held { Caching::Oplock { level, breaking } } else { Caching::None };
        open.shared.set_oplock(level);
        let log = open.logged();
        let denies = open.denies_write_caching();
        if let Some(file) = open.target.file().and_then(|key| self.files.get_mut(&key)) {
            if denied != denies {
                file.count_denial(true, denies);
            }
            if held {
                file.oplocks.insert(id);
                file.caching.insert(Holder::Oplock(id));
            } else {
                file.oplocks.remove(&id);
                file.caching.remove(&Holder::Oplock(id));
            }
            file.refresh_cachers();
        }
        if log.is_some() {
            self.touch_log(id);
        }
    }

    /// Takes caching from a persistent open whose client is lost: the open stays, and its client gets the new state when
    /// it reclaims the open (MS-SMB2 3.3.4.6, 3.3.4.7). Requests that wait for an earlier break go on.
    fn take_caching(&mut self, holder: Holder, keep: LeaseState, effects: &mut Effects<S>) {
        let file = match holder {
            Holder::Oplock(id) => {
                self.set_oplock(id, level_left(keep), None);
                let Some(open) = self.opens.get(&id) else { return };
                effects.logs.extend(open.logged());
                open.target.file()
            }
            Holder::Lease(id) => {
                let held = self.held(holder);
                let Some(lease) = self.leases.get_mut(&id) else { return };
                let left = held & keep & lease.owed.take().unwrap_or(held);
                effects.logs.extend(lease.logs.keys());
                lease.advance_epoch();
                if let Some(breaking) = lease.breaking.take() {
                    self.deadlines.clear(breaking.deadline, Deadline::LeaseBreak(id));
                }
                let file = lease.file;
                self.set_lease_state(id, crate::lease::usable(left));
                Some(file)
            }
        };
        if let Some(file) = file {
            self.wake(file, effects);
        }
    }

    fn is_persistent_open(&self, id: FileGlobalId) -> bool {
        self.opens.get(&id).is_some_and(|open| open.is_persistent())
    }

    fn break_handles(
        &mut self,
        file: FileKey,
        except: Option<Holder>,
        request: RequestKey,
        session: Option<SessionGlobalId>,
        now: Time,
    ) -> (Readiness, Effects<S>) {
        let mut effects = Effects::none();
        let mut wait = false;
        for holder in self.holders(file) {
            let held = self.held(holder);
            if except != Some(holder) && held.contains(LeaseState::HANDLE) {
                let keep = held.without(LeaseState::HANDLE);
                wait |= self.break_holder(holder, keep, now, &mut effects) == Broken::Pending;
            }
        }
        (self.wait_if(wait, file, request, session), effects)
    }

    pub(crate) fn break_oplock(
        &mut self,
        id: FileGlobalId,
        to: OplockLevel,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(Caching::Oplock { level, breaking }) = self.opens.get(&id).map(|open| open.caching) else {
            return;
        };
        if let Some(breaking) = breaking {
            let required = if to == OplockLevel::NONE { to } else { breaking.required };
            self.set_oplock(id, level, Some(OplockBreaking { required, ..breaking }));
            return;
        }
        if level == OplockLevel::LEVEL_II {
            self.set_oplock(id, OplockLevel::NONE, None);
        } else {
            let deadline = now.after_ms(self.limits.break_timeout_ms);
            self.set_oplock(id, level, Some(OplockBreaking { to, required: to, deadline }));
        }
        if let Some(open) = self.opens.get(&id) {
            let kind = BreakKind::Oplock { file_id: open.file_id, level: to };
            self.notify(id, kind, now, effects);
        }
    }

    pub(crate) fn notify(&mut self, id: FileGlobalId, kind: BreakKind, now: Time, effects: &mut Effects<S>) {
        let Some(open) = self.opens.get(&id) else {
            return;
        };
        let Some(session) = open.home.and_then(|home| self.sessions.get(&home.session)) else {
            return;
        };
        let sealed = self.is_sealed(id);
        let (channels, awaited) = match open.caching {
            // Only the session's own connections have its keys.
            Caching::Lease(lease) if sealed => (session.channels.clone(), self.awaited_lease_break(lease)),
            Caching::Lease(lease) => (self.channels_of_lease(lease), self.awaited_lease_break(lease)),
            _ => {
                // The server may use any channel (MS-SMB2 3.3.4.1.6); the client uses this one for the file.
                let first = open.home.map(|home| home.connection);
                let mut channels = session.channels.clone();
                channels.sort_by_key(|channel| Some(*channel) != first);
                (channels, self.awaited_oplock_break(id))
            }
        };
        let connections =
            channels.iter().filter_map(|id| self.connections.get(id)).map(|it| it.attached.clone()).collect();
        effects.breaks.push(BreakNotice {
            connections,
            session: session.attached.clone(),
            session_id: session.session_id,
            sealed,
            kind,
            awaited,
        });
        count(&self.statistics.breaks_sent);
        self.events.push(now, EventKind::BreakSent { open: open.event(id) });
    }

    fn opens_of(&self, holder: Holder) -> Vec<FileGlobalId> {
        match holder {
            Holder::Oplock(open) => vec![open],
            Holder::Lease(lease) => {
                self.leases.get(&lease).map(|it| it.opens.iter().copied().collect()).unwrap_or_default()
            }
        }
    }

    pub(crate) fn is_orphaned(&self, holder: Holder) -> bool {
        let orphan = |open: &FileGlobalId| self.opens.get(open).is_some_and(|it| it.home.is_none());
        match holder {
            Holder::Oplock(open) => orphan(&open),
            Holder::Lease(lease) => self.leases.get(&lease).is_some_and(|it| it.opens.iter().all(orphan)),
        }
    }
}

/// The oplock level that remains: an oplock can be broken to level II and to none.
fn level_left(keep: LeaseState) -> OplockLevel {
    if keep.contains(LeaseState::READ) { OplockLevel::LEVEL_II } else { OplockLevel::NONE }
}
