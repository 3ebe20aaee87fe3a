//! The registry's lock.
//!
//! It is a blocking lock and not an asynchronous one: a hold of it does a few table lookups and never waits, so a
//! suspended task can never hold it. Work that has to wait (releasing a handle, sending a break) is in the
//! [`Effects`](crate::Effects) and is done after the guard is dropped. The lock is a leaf: its holder takes no lock
//! outside of the registry.
//!
//! There are two ways in. [`Registry::lock`] is alone with the whole [`State`]: what it sees is complete, and nothing
//! changes until it is dropped. [`Registry::admit`], [`Registry::close_open`] and [`Registry::forget_replay`] share the
//! registry with each other: they lock the part of each table that they change, in the order of `order.rs`, and see
//! everything else as it is. What they do is complete when they leave, so a holder of the whole never sees half of it.
//! Only opens without consequences for others are made and ended in this way; all others take the whole lock, where the
//! decision is made again from the beginning.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use lock_api::RawRwLock as _;
use parking_lot::RawRwLock;
use wire::{FileGlobalId, FileId};

use crate::announced::Announced;
use crate::gate::{Gate, Whole};
use crate::moves::MoveCounter;
use crate::order::{Rank, Ranked};
use crate::parts::Padded;
use crate::report::Report;
use crate::shared::Shared;
use crate::{
    Admission, AdmitRequest, CloseReason, Effects, GrantedOpen, MoveCount, NotFound, Shell, State, Time,
};

/// [`State`] behind its lock.
pub struct Registry<S: Shell> {
    pub(crate) gate: Gate<RawRwLock>,
    /// The state. The holder of the whole lock has a reference to it; shared holders have references to its fields only
    /// (`shared.rs`).
    pub(crate) state: UnsafeCell<State<S>>,
    happened: Box<dyn Fn() + Send + Sync>,
    announced: Padded<Announced>,
    moves: MoveCounter,
}

// SAFETY: the gate gives one thread alone the whole state, or several threads references to its fields, of which the
// mutable ones are to parts whose locks they hold. The bounds are those of a reader-writer lock.
#[allow(unsafe_code)]
unsafe impl<S: Shell> Sync for Registry<S> where State<S>: Send + Sync {}

impl<S: Shell> Registry<S> {
    /// Puts a state behind the lock. After a hold of the lock that has added events, `happened` is called when the lock
    /// is free again; it should be quick. Events that nobody has looked for are announced once: who waits for events
    /// takes the whole lock after the wait is prepared, and looks.
    pub fn new(state: State<S>, happened: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            gate: Gate::new(|| RawRwLock::INIT),
            moves: state.moves.counter(),
            state: UnsafeCell::new(state),
            happened: Box::new(happened),
            announced: Padded(Announced::new()),
        }
    }

    /// The count of renames that have been carried out. A caller reads it before it looks a name up; later it shows if
    /// the name may stand for another file by then. Takes no lock.
    pub fn moves(&self) -> MoveCount {
        self.moves.now()
    }

    /// Takes the lock of the whole; `purpose` names the holder in the report of the feature `lock-report`.
    ///
    /// If a holder panics, the state stays as it was at that moment: changes are complete up to a panic, and a server
    /// that refused all requests from then on would be worse.
    pub fn lock(&self, purpose: &'static str) -> Guard<'_, S> {
        let rank = Ranked::new(Rank::Registry);
        let whole = self.gate.whole();
        self.announced.seen();
        let announcement = Announcement { happened: &*self.happened, due: false };
        let mut guard = Guard {
            before: 0,
            registry: self,
            _whole: whole,
            _rank: rank,
            announcement,
            _report: Report::start(purpose),
        };
        guard.before = guard.last_event();
        guard
    }

    /// Decides on an open as [`State::admit`] does, beside other threads if it has no consequences for others.
    pub fn admit(
        &self,
        request: AdmitRequest,
        attach: impl FnOnce(&GrantedOpen) -> S::Open,
        now: Time,
    ) -> (Admission, Effects<S>) {
        let mut attach = Some(attach);
        let granted = self.beside_others("create beside others", |it| it.admit(&request, &mut attach, now));
        match (granted, attach) {
            (Some(granted), _) => (Admission::Granted(granted), Effects::none()),
            (None, Some(attach)) => self.lock("create").admit(request, attach, now),
            // `attach` is only called for an open that is granted.
            (None, None) => (Admission::LookAgain, Effects::none()),
        }
    }

    /// Ends an open as [`State::close_open`] does, beside other threads if that has no consequences for others.
    ///
    /// # Errors
    ///
    /// There is no such open.
    pub fn close_open(&self, open: FileId, reason: CloseReason, now: Time) -> Result<Effects<S>, NotFound> {
        match self.beside_others("close beside others", |it| it.close_open(open, reason, now)) {
            Some(effects) => Ok(effects),
            None => self.lock("close").close_open(open, reason, now),
        }
    }

    /// Records that a client uses an open, and so has received the answer to its CREATE: a replay no longer finds the
    /// open (`Open.IsReplayEligible`).
    pub fn forget_replay(&self, open: FileGlobalId) {
        Shared::enter(self, "first use beside others").forget_replay(open);
    }

    /// True if a delete of any file is pending. While there is none, no file's links and opens are affected by one.
    pub fn has_pending_deletes(&self) -> bool {
        !Shared::enter(self, "deletes beside others").common().deletions.is_empty()
    }

    /// The state, for tests that use it alone again.
    #[cfg(any(test, feature = "testing"))]
    pub fn into_state(self) -> State<S> {
        self.state.into_inner()
    }

    /// Shares the registry with others for a change, which returns something if it was made and has added an event.
    fn beside_others<T>(
        &self,
        purpose: &'static str,
        change: impl FnOnce(&Shared<'_, S>) -> Option<T>,
    ) -> Option<T> {
        let shared = Shared::enter(self, purpose);
        let done = change(&shared);
        let is_due = done.is_some() && self.announced.is_due();
        drop(shared);
        if is_due {
            (self.happened)();
        }
        done
    }
}

/// Exclusive access to the state, until it is dropped.
pub struct Guard<'a, S: Shell> {
    before: u64,
    registry: &'a Registry<S>,
    _whole: Whole<'a, RawRwLock>,
    _rank: Ranked,
    /// Dropped after the lock, so that the callback finds it free.
    announcement: Announcement<'a>,
    _report: Report,
}

impl<S: Shell> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        self.announcement.due = self.last_event() != self.before;
    }
}

/// Calls back after the lock is free, if an event was added.
struct Announcement<'a> {
    happened: &'a (dyn Fn() + Send + Sync),
    due: bool,
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        if self.due {
            (self.happened)();
        }
    }
}

impl<S: Shell> std::fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[allow(unsafe_code)]
impl<S: Shell> Deref for Guard<'_, S> {
    type Target = State<S>;

    fn deref(&self) -> &State<S> {
        // SAFETY: this has the whole lock, so there is no other reference to the state or its fields, except for those
        // that were made from this guard.
        unsafe { &*self.registry.state.get() }
    }
}

#[allow(unsafe_code)]
impl<S: Shell> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut State<S> {
        // SAFETY: as above, and this guard is borrowed mutably.
        unsafe { &mut *self.registry.state.get() }
    }
}
