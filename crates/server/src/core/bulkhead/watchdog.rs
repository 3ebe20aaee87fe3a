//! The watchdog thread, which looks for calls that take too long.
//!
//! As long as all calls are short, they run on the runtime's workers, and nothing is counted. If two ticks in a row
//! ([`limits::CALL_TICK`]) find a thread in the same call, the bulkhead of that call is stalled: later calls behind it
//! run on other threads. Workers that are stuck are replaced from a reserve: threads of the runtime that sleep in tasks
//! which do nothing else, until they are needed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::runtime::Handle;

use super::slots;
use crate::core::limits;

/// True while the watchdog sleeps, so that a thread that makes a call has to wake it.
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// True if calls may not run on workers, because no worker is left to replace one that is stuck.
static EXHAUSTED: AtomicBool = AtomicBool::new(false);

static SLEEPER: Mutex<Option<Thread>> = Mutex::new(None);

/// Wakes the watchdog if it sleeps, because a call begins.
pub(super) fn notice() {
    if ASLEEP.load(Ordering::Relaxed) && ASLEEP.swap(false, Ordering::Relaxed) {
        let sleeper = SLEEPER.lock();
        if let Some(thread) = &*sleeper {
            thread.unpark();
        }
    }
}

/// True if calls may run on workers of the runtime.
pub(super) fn may_hold_workers() -> bool {
    !EXHAUSTED.load(Ordering::Relaxed)
}

/// A watchdog over a runtime, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    reserve: Arc<Reserve>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the watchdog; `reserve` of the runtime's workers sleep.
    pub(crate) fn start(runtime: &Handle, reserve: usize) -> std::io::Result<Self> {
        let kept = Kept { wanted: reserve, ..Kept::default() };
        let reserve = Arc::new(Reserve { size: reserve, kept: Mutex::new(kept), changed: Condvar::new() });
        // They must sleep before the first call, because later calls could hold all workers.
        reserve.keep(runtime);
        reserve.wait_until_asleep();
        let (kept, handle) = (Arc::clone(&reserve), runtime.clone());
        let thread =
            thread::Builder::new().name(String::from("watchdog")).spawn(move || watch(&handle, &kept))?;
        Ok(Self { reserve, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut kept = self.reserve.kept();
        kept.is_over = true;
        kept.wanted = 0;
        self.reserve.changed.notify_all();
        drop(kept);
        // Otherwise it would affect the calls of the next runtime.
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the watchdog has been reported already.
            let _ = thread.join();
        }
    }
}

fn watch(runtime: &Handle, reserve: &Arc<Reserve>) {
    let mut seen: HashMap<*const slots::Slot, u64> = HashMap::new();
    let mut quiet_ticks = 0;
    while reserve.keep(runtime) {
        thread::sleep(limits::CALL_TICK);
        let slots = slots::all();
        let mut before = std::mem::take(&mut seen);
        let mut is_quiet = true;
        let mut stalled = HashSet::new();
        let mut stuck_workers = 0;
        for slot in &slots {
            let key = Arc::as_ptr(slot);
            let call = slot.call();
            let turn = call.map_or_else(|| slot.turn(), |call| call.turn);
            let has_moved = before.remove(&key) != Some(turn);
            seen.insert(key, turn);
            is_quiet &= !has_moved && call.is_none();
            if let Some(call) = call.filter(|_| !has_moved) {
                stuck_workers += usize::from(call.holds_worker);
                if !call.is_patient {
                    stalled.insert(call.bulkhead);
                }
            }
        }
        super::mark_stalled(&stalled);
        let too_few = stuck_workers.saturating_add(1) >= reserve.size || reserve.kept().coming != 0;
        if too_few {
            // This must happen before the last of the reserve wake up, so that they do not get stuck as well.
            EXHAUSTED.store(true, Ordering::Relaxed);
        }
        reserve.release(stuck_workers);
        if !too_few {
            EXHAUSTED.store(false, Ordering::Relaxed);
        }
        if stuck_workers != 0 {
            // A worker that is woken takes over the tasks of the stuck ones, and polls the network in their place.
            runtime.spawn(async {});
        }
        quiet_ticks = if is_quiet { quiet_ticks + 1 } else { 0 };
        if quiet_ticks > limits::QUIET_TICKS {
            sleep();
            quiet_ticks = 0;
        }
    }
}

fn sleep() {
    *SLEEPER.lock() = Some(thread::current());
    ASLEEP.store(true, Ordering::SeqCst);
    // If a thread began a call without seeing that the watchdog sleeps, its call is found when this time is over.
    thread::park_timeout(limits::WATCHDOG_NAP);
    ASLEEP.store(false, Ordering::Relaxed);
}

/// Workers of the runtime that sleep until others are stuck.
#[derive(Debug)]
struct Reserve {
    size: usize,
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of workers that should sleep.
    wanted: usize,
    /// The number of workers that sleep.
    asleep: usize,
    /// The number of tasks that are about to make a worker sleep.
    coming: usize,
    /// The number of ticks since a worker was stuck.
    calm_ticks: u32,
    is_over: bool,
}

impl Reserve {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }

    /// Makes as many workers sleep as should. Returns false when the watchdog ends.
    fn keep(self: &Arc<Self>, runtime: &Handle) -> bool {
        let mut kept = self.kept();
        if kept.is_over {
            return false;
        }
        while kept.asleep + kept.coming < kept.wanted {
            // Until it sleeps, a worker could be held by a call as well.
            EXHAUSTED.store(true, Ordering::Relaxed);
            kept.coming += 1;
            let reserve = Arc::clone(self);
            runtime.spawn(async move { reserve.sleep() });
        }
        true
    }

    fn wait_until_asleep(&self) {
        let mut kept = self.kept();
        let waited = self.changed.wait_while_for(&mut kept, |kept| kept.coming != 0, limits::RESERVE_WAIT);
        drop(kept);
        if !waited.timed_out() {
            EXHAUSTED.store(false, Ordering::Relaxed);
        }
    }

    /// Wakes as many workers as are stuck. They sleep again long after that is over.
    fn release(&self, stuck: usize) {
        if self.kept().adjust(self.size, stuck) {
            self.changed.notify_all();
        }
    }

    /// Makes the running worker sleep as long as it should.
    fn sleep(&self) {
        super::tracked::let_go_always();
        let mut kept = self.kept();
        kept.coming -= 1;
        kept.asleep += 1;
        self.changed.notify_all();
        while kept.asleep <= kept.wanted {
            self.changed.wait(&mut kept);
        }
        kept.asleep -= 1;
    }
}

impl Kept {
    /// Adjusts the number of workers of a reserve of `size` that should sleep while `stuck` workers are stuck. Returns true
    /// if some of those that sleep have to wake up: waking all of them at each tick would take more time than most requests.
    fn adjust(&mut self, size: usize, stuck: usize) -> bool {
        let before = self.wanted;
        let wanted = size.saturating_sub(stuck);
        self.calm_ticks = if stuck == 0 { self.calm_ticks.saturating_add(1) } else { 0 };
        if wanted < before || self.calm_ticks > limits::CALM_TICKS {
            self.wanted = if self.is_over { 0 } else { wanted };
        }
        self.wanted < before
    }
}

const _: () = assert!(limits::CALL_TICK.as_nanos() < Duration::from_millis(100).as_nanos());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_woken_only_when_more_workers_are_stuck() {
        const SIZE: usize = 12;
        let calm = usize::try_from(limits::CALM_TICKS).unwrap();
        let mut kept = Kept { wanted: SIZE, asleep: SIZE, ..Kept::default() };
        let woken = |kept: &mut Kept, stuck: usize, ticks: usize| {
            (0..ticks).filter(|_| kept.adjust(SIZE, stuck)).count()
        };
        assert_eq!(woken(&mut kept, 0, 3 * calm), 0, "nothing is stuck");
        assert_eq!((woken(&mut kept, 2, 10), kept.wanted), (1, SIZE - 2));
        assert_eq!((woken(&mut kept, 3, 10), kept.wanted), (1, SIZE - 3));
        // Those that are awake stay so for a while.
        assert_eq!((woken(&mut kept, 0, calm), kept.wanted), (0, SIZE - 3));
        assert_eq!((woken(&mut kept, 0, 3 * calm), kept.wanted), (0, SIZE));
        assert_eq!((woken(&mut kept, SIZE + 1, 1), kept.wanted), (1, 0));
    }
}
