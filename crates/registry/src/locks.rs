//! Byte-range locks: LOCK, and the checks of READ and WRITE (MS-FSA 2.1.5.8, 2.1.5.9; MS-SMB2 3.3.5.14).

use wire::{AccessMask, FileGlobalId, ShareAccess};

use crate::events::EventKind;
use crate::ranges::{Held, LockElement, Waiter};
use crate::refusals::{Refusal, RefusalKind};
use crate::statistics::count;
use crate::waiting::Waiting;
use crate::{
    Cancelled, Effects, FileKey, LimitReached, OpenRef, Outcome, RequestKey, Shell, State, Time, limits,
};

/// A byte-range lock for administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    /// The range.
    pub element: LockElement,
    /// True if the open waits for the lock, false if it holds it.
    pub waiting: bool,
}

/// The result of a lock request that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// All elements are locked.
    Granted,
    /// The request waits; its key will be in [`Effects::granted`] or [`Effects::cancelled`]. For a request by
    /// [`State::lock_outside`] it will be in [`Effects::retry`] or [`Effects::cancelled`].
    Waiting,
    /// The request waits for a lock outside of the registry; there is no conflict here.
    WaitingOutside,
}

/// The reason for refusing a lock or unlock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError {
    /// There is no such open: STATUS_FILE_CLOSED.
    NoSuchOpen,
    /// The open is not of a file, there are no elements or too many, or several elements with `wait`:
    /// STATUS_INVALID_PARAMETER.
    InvalidParameter,
    /// The range ends beyond 2^64: STATUS_INVALID_LOCK_RANGE.
    InvalidRange,
    /// STATUS_LOCK_NOT_GRANTED.
    NotGranted {
        /// The open whose lock conflicts.
        blocker: FileGlobalId,
    },
    /// A lock outside of the registry conflicts, and none here: STATUS_LOCK_NOT_GRANTED.
    HeldOutside,
    /// STATUS_RANGE_NOT_LOCKED.
    RangeNotLocked,
    /// A limit was reached.
    LimitReached(LimitReached),
}

/// The refusal of a READ or WRITE because of a byte-range lock: STATUS_FILE_LOCK_CONFLICT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoRefused {
    /// The open that holds the lock.
    pub blocker: FileGlobalId,
}

/// A lock request.
struct Wanted<'a> {
    elements: &'a [LockElement],
    wait: bool,
    request: RequestKey,
    /// Set if the caller needs locks outside of the registry, too: true if it has them.
    outside: Option<bool>,
}

impl<S: Shell> State<S> {
    /// Locks ranges of a file, all or none (MS-SMB2 3.3.5.14.2); at most
    /// [`LOCKS_PER_CALL`](crate::limits::LOCKS_PER_CALL). With `wait`, a single element waits until the lock can be
    /// granted.
    pub fn lock(
        &mut self,
        open: impl Into<OpenRef>,
        elements: &[LockElement],
        wait: bool,
        request: RequestKey,
        now: Time,
    ) -> (Result<LockOutcome, LockError>, Effects<S>) {
        let mut effects = Effects::none();
        let wanted = Wanted { elements, wait, request, outside: None };
        let result = self.try_lock(open.into(), &wanted, now, &mut effects);
        (result, effects)
    }

    /// Locks ranges as [`Self::lock`] does, for a caller that needs the same locks outside of the registry and has
    /// requested them there first. `is_free` is true if it has them. If the locks are not granted here, the caller
    /// releases those.
    ///
    /// Only [`Self::retry_lock`] grants a request that waits. When the conflict here is over, the request's key is in
    /// [`Effects::retry`], and no other request gets the range until the caller has called that function or
    /// [`Self::refused_outside`]. The caller itself watches for the end of conflicts outside.
    pub fn lock_outside(
        &mut self,
        open: impl Into<OpenRef>,
        elements: &[LockElement],
        wait: bool,
        request: RequestKey,
        is_free: bool,
        now: Time,
    ) -> (Result<LockOutcome, LockError>, Effects<S>) {
        let mut effects = Effects::none();
        let wanted = Wanted { elements, wait, request, outside: Some(is_free) };
        let result = self.try_lock(open.into(), &wanted, now, &mut effects);
        (result, effects)
    }

    /// Grants a waiting request of [`Self::lock_outside`] whose caller now has the lock outside, unless there is a
    /// conflict here. Returns `None` if the request no longer waits: it was cancelled, or its open has ended.
    pub fn retry_lock(&mut self, request: RequestKey, now: Time) -> (Option<LockOutcome>, Effects<S>) {
        let mut effects = Effects::none();
        let Some(Waiting::Lock { file: key, open: id }) = self.waiting.get(&request).copied() else {
            return (None, effects);
        };
        let Some(file) = self.files.get_mut(&key) else { return (None, effects) };
        if !file.ranges.grant(request) {
            return (Some(LockOutcome::Waiting), effects);
        }
        self.count_locks(key);
        self.waited_for_lock(request, id, now, &mut effects);
        (Some(LockOutcome::Granted), effects)
    }

    /// Records that the caller of a waiting request of [`Self::lock_outside`] has tried again outside and was refused
    /// there, so that other requests no longer wait for that. Returns false if the request no longer waits, as in
    /// [`Self::retry_lock`].
    pub fn refused_outside(&mut self, request: RequestKey) -> bool {
        let Some(Waiting::Lock { file: key, .. }) = self.waiting.get(&request) else { return false };
        self.files.get_mut(key).is_some_and(|file| file.ranges.has_tried(request))
    }

    /// Releases locks one after the other, each by exactly its range (MS-SMB2 3.3.5.14.1). If one is not held, the
    /// elements before it stay unlocked. The kind of an element is not compared.
    pub fn unlock(
        &mut self,
        open: impl Into<OpenRef>,
        elements: &[LockElement],
        now: Time,
    ) -> (Result<(), LockError>, Effects<S>) {
        let (_, result, effects) = self.unlock_each(open, elements, now);
        (result, effects)
    }

    /// Releases locks as [`Self::unlock`] does, and returns those that were released, with their kinds, even if a later
    /// one was not held.
    pub fn unlock_each(
        &mut self,
        open: impl Into<OpenRef>,
        elements: &[LockElement],
        now: Time,
    ) -> (Vec<LockElement>, Result<(), LockError>, Effects<S>) {
        let mut effects = Effects::none();
        let mut released = Vec::new();
        let Ok((id, key)) = self.file_open(open.into()) else {
            return (released, Err(LockError::NoSuchOpen), effects);
        };
        let mut result = Ok(());
        for element in elements {
            if !element.is_valid() {
                result = Err(LockError::InvalidRange);
                break;
            }
            let Some(given_up) = self.files.get_mut(&key).and_then(|file| file.ranges.unlock(id, element))
            else {
                result = Err(LockError::RangeNotLocked);
                break;
            };
            released.push(given_up);
        }
        if let Some(open) = self.opens.get_mut(&id) {
            open.locks = open.locks.saturating_sub(released.len());
        }
        self.after_release(key, &released, now, &mut effects);
        (released, result, effects)
    }

    /// Releases the locks that a request has taken before one of its elements was refused (MS-SMB2 3.3.5.14.2): exactly
    /// these, with their kinds.
    pub fn take_back_locks(
        &mut self,
        open: impl Into<OpenRef>,
        elements: &[LockElement],
        now: Time,
    ) -> Effects<S> {
        let mut effects = Effects::none();
        let Ok((id, key)) = self.file_open(open.into()) else {
            return effects;
        };
        let Some(file) = self.files.get_mut(&key) else {
            return effects;
        };
        let is_held = |it: &&LockElement| file.ranges.remove(&Held { open: id, element: **it });
        let released: Vec<LockElement> = elements.iter().filter(is_held).copied().collect();
        if let Some(open) = self.opens.get_mut(&id) {
            open.locks = open.locks.saturating_sub(released.len());
        }
        self.after_release(key, &released, now, &mut effects);
        effects
    }

    /// Refuses a READ or WRITE that a byte-range lock does not allow (MS-FSA 2.1.4.10). The server calls this if
    /// [`OpenShared::has_locks`](crate::OpenShared::has_locks) is true.
    pub fn check_io(
        &mut self,
        open: impl Into<OpenRef>,
        offset: u64,
        length: u64,
        write: bool,
        now: Time,
    ) -> Result<(), IoRefused> {
        let Ok((id, key)) = self.file_open(open.into()) else {
            return Ok(());
        };
        if length == 0 {
            return Ok(());
        }
        let range = LockElement { offset, length, exclusive: write };
        let blocker = self.files.get(&key).and_then(|file| file.ranges.denies(id, &range, write));
        match blocker {
            Some(blocker) => {
                self.remember_conflict(RefusalKind::IoConflict, id, &range, blocker, now);
                Err(IoRefused { blocker })
            }
            None => Ok(()),
        }
    }

    /// Cancels the waiting lock requests of an open.
    pub(crate) fn cancel_locks(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(open) = self.opens.get_mut(&id).filter(|open| open.waiting_locks > 0) else {
            return;
        };
        open.waiting_locks = 0;
        let Some(key) = open.target.file() else {
            return;
        };
        let waiters = self.files.get_mut(&key).map(|it| it.ranges.take_waiters_of(id)).unwrap_or_default();
        for waiter in &waiters {
            self.stop_waiting(waiter.request);
            effects.cancelled.push(Cancelled { request: waiter.request, outcome: Outcome::HandleClosed });
        }
        let released: Vec<LockElement> = waiters.iter().map(|waiter| waiter.lock.element).collect();
        self.after_release(key, &released, now, effects);
    }

    /// Releases all locks of an open.
    pub(crate) fn release_locks(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        self.cancel_locks(id, now, effects);
        let Some(open) = self.opens.get_mut(&id).filter(|open| open.locks > 0) else {
            return;
        };
        open.locks = 0;
        if let Some(key) = open.target.file()
            && let Some(file) = self.files.get_mut(&key)
        {
            let released = file.ranges.unlock_open(id);
            self.after_release(key, &released, now, effects);
        }
    }

    /// The locks of a file that an open holds or waits for.
    pub(crate) fn locks_of(&self, id: FileGlobalId, key: Option<FileKey>) -> Vec<RangeLock> {
        let Some(file) = key.and_then(|key| self.files.get(&key)) else {
            return Vec::new();
        };
        let waiting = file.ranges.waiting().filter(|waiter| waiter.lock.open == id);
        file.ranges
            .held_by(id)
            .map(|element| RangeLock { element, waiting: false })
            .chain(waiting.map(|waiter| RangeLock { element: waiter.lock.element, waiting: true }))
            .collect()
    }

    fn try_lock(
        &mut self,
        open: OpenRef,
        wanted: &Wanted<'_>,
        now: Time,
        effects: &mut Effects<S>,
    ) -> Result<LockOutcome, LockError> {
        let Wanted { elements, wait, request, outside } = *wanted;
        let id = self.open_global(open).map_err(|_| LockError::NoSuchOpen)?;
        let (id, key) = self.file_open(id.into())?;
        let first = elements.first().ok_or(LockError::InvalidParameter)?;
        if wait && elements.len() > 1 || elements.len() > limits::LOCKS_PER_CALL {
            return Err(LockError::InvalidParameter);
        }
        if !elements.iter().all(LockElement::is_valid) {
            return Err(LockError::InvalidRange);
        }
        let own = self.opens.get(&id).ok_or(LockError::NoSuchOpen)?;
        if own.locks.saturating_add(elements.len()) > self.limits.locks_per_open {
            return Err(LockError::LimitReached(LimitReached::LocksPerOpen));
        }
        let has_home = own.home.is_some();
        let file = self.files.get_mut(&key).ok_or(LockError::NoSuchOpen)?;
        if file.ranges.len().saturating_add(elements.len()) > self.limits.locks_per_file {
            return Err(LockError::LimitReached(LimitReached::LocksPerFile));
        }
        let lock = Held { open: id, element: *first };
        let behind = match wait {
            true => file.ranges.conflict_with_waiting(&lock),
            false => file.ranges.conflict_with_told(id, elements),
        };
        let result = match behind {
            Some(blocker) => Err(blocker),
            None => file.ranges.lock_all(id, elements),
        };
        match result {
            Ok(()) if outside == Some(false) => {
                for element in elements {
                    file.ranges.remove(&Held { open: id, element: *element });
                }
                count(&self.statistics.lock_conflicts);
                if !wait || !has_home {
                    return Err(LockError::HeldOutside);
                }
                self.begin_to_wait(Waiter::new(request, lock, true), key)?;
                Ok(LockOutcome::WaitingOutside)
            }
            Ok(()) => {
                self.count_locks(key);
                self.add_locks(id, elements.len(), now);
                self.break_readers(id, now, effects);
                Ok(LockOutcome::Granted)
            }
            Err(blocker) if wait && has_home => {
                self.begin_to_wait(Waiter::new(request, lock, outside.is_some()), key)?;
                self.remember_conflict(RefusalKind::LockConflict, id, first, blocker, now);
                Ok(LockOutcome::Waiting)
            }
            Err(blocker) => {
                self.remember_conflict(RefusalKind::LockConflict, id, first, blocker, now);
                Err(LockError::NotGranted { blocker })
            }
        }
    }

    fn begin_to_wait(&mut self, waiter: Waiter, key: FileKey) -> Result<(), LockError> {
        let waiting = self.files.get(&key).map_or(0, |file| file.ranges.waiting_len());
        if waiting >= self.limits.waiting_locks_per_file {
            return Err(LockError::LimitReached(LimitReached::WaitingLocksPerFile));
        }
        self.may_wait(waiter.request).map_err(LockError::LimitReached)?;
        self.queue(waiter, key);
        Ok(())
    }

    fn queue(&mut self, waiter: Waiter, key: FileKey) {
        let open = waiter.lock.open;
        if let Some(connection) = self.connections.get_mut(&waiter.request.connection) {
            connection.waiting.insert(waiter.request);
        }
        if let Some(open) = self.opens.get_mut(&open) {
            open.waiting_locks = open.waiting_locks.saturating_add(1);
        }
        self.waiting.insert(waiter.request, Waiting::Lock { file: key, open });
        if let Some(file) = self.files.get_mut(&key) {
            file.ranges.push_waiter(waiter);
        }
    }

    pub(crate) fn after_release(
        &mut self,
        key: FileKey,
        released: &[LockElement],
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        let woken = file.ranges.grant_waiting(released);
        self.count_locks(key);
        for waiter in woken.granted {
            self.waited_for_lock(waiter.request, waiter.lock.open, now, effects);
            effects.granted.push(waiter.request);
        }
        effects.retry.extend(woken.retry);
    }

    /// Updates the counts of the locks of a file and of all files.
    pub(crate) fn count_locks(&mut self, key: FileKey) {
        let Some(file) = self.files.get(&key) else { return };
        let before = file.shared.lock_count() as usize;
        let now = file.ranges.len();
        file.shared.set_lock_count(now);
        self.lock_total = self.lock_total.saturating_sub(before).saturating_add(now);
    }

    /// Counts new locks of an open, and adds the event of the first one.
    fn add_locks(&mut self, id: FileGlobalId, added: usize, now: Time) {
        let Some(open) = self.opens.get_mut(&id) else { return };
        let is_first = open.locks == 0;
        open.locks = open.locks.saturating_add(added);
        let is_due = open.locked_event.is_none_or(|last| now.since_ms(last) >= limits::LOCKED_EVENT_MS);
        if is_first && is_due {
            open.locked_event = Some(now);
            self.events.push(now, EventKind::Locked { open: open.event(id) });
        }
    }

    /// Records that a request that waited now holds its lock.
    fn waited_for_lock(
        &mut self,
        request: RequestKey,
        id: FileGlobalId,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        self.stop_waiting(request);
        if let Some(open) = self.opens.get_mut(&id) {
            open.waiting_locks = open.waiting_locks.saturating_sub(1);
        }
        self.add_locks(id, 1, now);
        self.break_readers(id, now, effects);
    }

    fn file_open(&self, open: OpenRef) -> Result<(FileGlobalId, FileKey), LockError> {
        let id = self.open_global(open).map_err(|_| LockError::NoSuchOpen)?;
        let key = self.opens.get(&id).and_then(|open| open.target.file());
        key.map(|key| (id, key)).ok_or(LockError::InvalidParameter)
    }

    fn remember_conflict(
        &mut self,
        kind: RefusalKind,
        id: FileGlobalId,
        range: &LockElement,
        blocker: FileGlobalId,
        now: Time,
    ) {
        let Some(open) = self.opens.get(&id) else {
            return;
        };
        count(&self.statistics.lock_conflicts);
        let refusal = Refusal {
            number: 0,
            time: now,
            kind,
            user: open.owner.user.clone(),
            user_kind: open.owner.kind,
            user_sid: open.owner.sid,
            domain: open.owner.domain.clone(),
            client: open.owner.client.clone(),
            session: open.home.map(|home| home.session),
            share: open.origin.share_name.clone(),
            path: open.path.clone(),
            access: if range.exclusive { AccessMask::WRITE_DATA } else { AccessMask::READ_DATA },
            share_access: ShareAccess::NONE,
            range: Some((range.offset, range.length)),
            blocker: self.refusal_open(blocker),
        };
        self.refuse(refusal);
    }
}
