//! The choice of the calls that fail, and of the failures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Result};

/// The frequency of each kind of failure, per 1,024 calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// A call fails without effect.
    pub fails: u16,
    /// A call takes effect, but reports an error.
    pub tears: u16,
    /// A write is shorter than requested.
    pub shortens: u16,
    /// A call takes [`Rates::slowness`] longer.
    pub slows: u16,
    /// The additional duration of a slow call.
    pub slowness: Duration,
}

impl Rates {
    /// No failures.
    pub const NONE: Self = Self { fails: 0, tears: 0, shortens: 0, slows: 0, slowness: Duration::ZERO };
}

/// The failures of a [`FaultyBackend`](super::FaultyBackend) and its handles, and the counts of its calls.
pub struct Faults {
    state: Mutex<State>,
    hooks: Mutex<Vec<(&'static str, When, Hook)>>,
    handles: AtomicUsize,
}

#[derive(Debug)]
struct State {
    random: u64,
    rates: Rates,
    /// The numbers of calls and of failed calls, by name.
    calls: BTreeMap<&'static str, (u64, u64)>,
}

/// A function that runs before or after a call.
type Hook = Box<dyn FnOnce() + Send>;

/// The time at which a [`Hook`] runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// The chosen result of a call.
enum Fate {
    Succeeds,
    Fails(Error),
    Tears(Error),
}

impl Faults {
    /// No failures yet; the seed determines all random choices.
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed, rates: Rates::NONE, calls: BTreeMap::new() };
        Self { state: Mutex::new(state), hooks: Mutex::default(), handles: AtomicUsize::new(0) }
    }

    /// Sets the rates of failures from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.state().rates = rates;
    }

    /// The number of existing handles.
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed)
    }

    /// The numbers of calls and of failed calls, by name.
    pub fn calls(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.state().calls.clone()
    }

    /// Runs `hook` before the next call of that name, on the thread of the call.
    pub fn before(&self, call: &'static str, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push((call, When::Before, Box::new(hook)));
    }

    /// Runs `hook` after the next call of that name, on the thread of the call: the call has taken effect,
    /// but its caller has not received the result.
    pub fn after(&self, call: &'static str, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push((call, When::After, Box::new(hook)));
    }

    /// Makes or skips the call, and reports its result or an error, as chosen.
    pub(super) fn call<T>(&self, name: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let (fate, slowness) = self.state().draw(name);
        // Sleeps without the lock, so that other calls continue.
        if let Some(slowness) = slowness {
            std::thread::sleep(slowness);
        }
        self.run_hook(name, When::Before);
        let outcome = match fate {
            Fate::Succeeds => call(),
            Fate::Fails(error) => Err(error),
            // If the call itself fails, its own error is reported.
            Fate::Tears(error) => call().and(Err(error)),
        };
        self.run_hook(name, When::After);
        outcome
    }

    fn run_hook(&self, name: &'static str, when: When) {
        let hook = {
            let mut hooks = self.hooks();
            let at = hooks.iter().position(|(call, at, _)| (*call, *at) == (name, when));
            at.map(|at| hooks.remove(at).2)
        };
        if let Some(hook) = hook {
            hook();
        }
    }

    /// The number of bytes, out of `length`, that a call processes.
    pub(super) fn shortened(&self, length: usize) -> usize {
        let mut state = self.state();
        let rate = state.rates.shortens;
        if length > 1 && state.happens(rate) { 1 + state.below(length - 1) } else { length }
    }

    pub(super) fn handle_made(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handle_dropped(&self) {
        self.handles.fetch_sub(1, Ordering::Relaxed);
    }

    fn hooks(&self) -> MutexGuard<'_, Vec<(&'static str, When, Hook)>> {
        self.hooks.lock()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn draw(&mut self, name: &'static str) -> (Fate, Option<Duration>) {
        let rates = self.rates;
        let slowness = self.happens(rates.slows).then_some(rates.slowness);
        let fate = if self.happens(rates.fails) {
            Fate::Fails(self.error_of(name))
        } else if self.happens(rates.tears) {
            Fate::Tears(self.error_of(name))
        } else {
            Fate::Succeeds
        };
        let counts = self.calls.entry(name).or_default();
        counts.0 = counts.0.saturating_add(1);
        counts.1 = counts.1.saturating_add(u64::from(!matches!(fate, Fate::Succeeds)));
        (fate, slowness)
    }

    /// An error of this call. A file system has locks of ranges or has none: that there are none is no failure, and
    /// callers go on without them.
    fn error_of(&mut self, name: &str) -> Error {
        match self.error() {
            Error::NotSupported if matches!(name, "set_range_lock" | "is_range_locked") => Error::Busy,
            error => error,
        }
    }

    /// Any error that a backend can report: one of its own, or the translation of an errno.
    fn error(&mut self) -> Error {
        let own = [
            Error::NotFound,
            Error::PathNotFound,
            Error::NotADirectory,
            Error::IsADirectory,
            Error::Exists,
            Error::AccessDenied,
            Error::Undeletable,
            Error::NotEmpty,
            Error::Loop,
            Error::TooManyLinks,
            Error::NoSpace,
            Error::Limitation,
            Error::ReadOnly,
            Error::CrossDevice,
            Error::InvalidName,
            Error::InvalidArgument,
            Error::TooManyOpen,
            Error::NotSupported,
            Error::Busy,
            Error::Replaced,
        ];
        let chosen = self.below(own.len() * 2);
        own.into_iter().nth(chosen).unwrap_or_else(|| {
            let errno = i32::try_from(1 + self.below(LAST_ERRNO)).unwrap_or(1);
            std::io::Error::from_raw_os_error(errno).into()
        })
    }

    fn happens(&mut self, of_1024: u16) -> bool {
        self.below(1024) < usize::from(of_1024)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count.max(1)).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// EHWPOISON, the last errno of Linux.
const LAST_ERRNO: usize = 133;
