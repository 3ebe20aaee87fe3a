//! The registry's one lock.
//!
//! It is a blocking mutex and not an asynchronous one: a hold of it does a few table lookups and never waits, so a
//! suspended task can never hold it. Work that has to wait (releasing a handle, sending a break) is in the
//! [`Effects`](crate::Effects) and is done after the guard is dropped. The lock is a leaf: its holder takes no other
//! lock.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use crate::moves::MoveCounter;
use crate::{MoveCount, Shell, State};

/// [`State`] behind one lock.
pub struct Registry<S: Shell> {
    state: Mutex<State<S>>,
    happened: Box<dyn Fn() + Send + Sync>,
    moves: MoveCounter,
}

impl<S: Shell> Registry<S> {
    /// Puts a state behind the lock. After a hold of the lock that has added events, `happened` is called when the lock
    /// is free again; it should be quick.
    pub fn new(state: State<S>, happened: impl Fn() + Send + Sync + 'static) -> Self {
        Self { moves: state.moves.counter(), state: Mutex::new(state), happened: Box::new(happened) }
    }

    /// The count of renames that have been carried out. A caller reads it before it looks a name up; later it shows if
    /// the name may stand for another file by then. Takes no lock.
    pub fn moves(&self) -> MoveCount {
        self.moves.now()
    }

    /// Takes the lock; `purpose` names the holder in the report of the feature `lock-report`.
    ///
    /// If a holder panics, the state stays as it was at that moment: changes are complete up to a panic, and a server
    /// that refused all requests from then on would be worse.
    pub fn lock(&self, purpose: &'static str) -> Guard<'_, S> {
        let state = self.state.lock();
        let before = state.last_event();
        let announcement = Announcement { happened: &*self.happened, due: false };
        Guard { before, state, announcement, _report: Report::start(purpose) }
    }
}

/// Exclusive access to the state, until it is dropped.
pub struct Guard<'a, S: Shell> {
    before: u64,
    state: MutexGuard<'a, State<S>>,
    /// Dropped after the state, so that the callback finds the lock free.
    announcement: Announcement<'a>,
    _report: Report,
}

impl<S: Shell> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        self.announcement.due = self.state.last_event() != self.before;
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

impl<S: Shell> Deref for Guard<'_, S> {
    type Target = State<S>;

    fn deref(&self) -> &State<S> {
        &self.state
    }
}

impl<S: Shell> DerefMut for Guard<'_, S> {
    fn deref_mut(&mut self) -> &mut State<S> {
        &mut self.state
    }
}

#[cfg(feature = "lock-report")]
#[derive(Debug)]
struct Report {
    purpose: &'static str,
    since: std::time::Instant,
}

#[cfg(feature = "lock-report")]
impl Report {
    fn start(purpose: &'static str) -> Self {
        Self { purpose, since: std::time::Instant::now() }
    }
}

#[cfg(feature = "lock-report")]
impl Drop for Report {
    #[expect(clippy::print_stderr, reason = "a debugging aid that must not depend on the logger")]
    fn drop(&mut self) {
        const HELD_MS_MAX: u128 = 1;
        let held = self.since.elapsed();
        if held.as_millis() >= HELD_MS_MAX {
            eprintln!("registry lock held {held:?} by {:?}", self.purpose);
        }
        totals::add(self.purpose, held);
    }
}

/// The holds of the lock by purpose, reported once in a while.
#[cfg(feature = "lock-report")]
mod totals {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;

    static TOTALS: Mutex<Totals> = Mutex::new(Totals { since: None, by_purpose: BTreeMap::new() });

    struct Totals {
        since: Option<Instant>,
        /// The number of holds and their time.
        by_purpose: BTreeMap<&'static str, (u32, Duration)>,
    }

    #[expect(clippy::print_stderr, reason = "a debugging aid that must not depend on the logger")]
    pub(super) fn add(purpose: &'static str, held: Duration) {
        const EVERY: Duration = Duration::from_secs(2);
        let mut totals = TOTALS.lock();
        let (count, time) = totals.by_purpose.entry(purpose).or_default();
        (*count, *time) = (count.saturating_add(1), time.saturating_add(held));
        let since = *totals.since.get_or_insert_with(Instant::now);
        if since.elapsed() < EVERY {
            return;
        }
        let by_purpose = std::mem::take(&mut totals.by_purpose);
        totals.since = None;
        drop(totals);
        for (purpose, (count, time)) in by_purpose {
            let each = time.checked_div(count).unwrap_or_default();
            eprintln!("registry lock: {count} holds by {purpose:?}, {each:?} each, {time:?} together");
        }
    }
}

#[cfg(not(feature = "lock-report"))]
#[derive(Debug)]
struct Report;

#[cfg(not(feature = "lock-report"))]
impl Report {
    const fn start(_purpose: &'static str) -> Self {
        Self
    }
}
