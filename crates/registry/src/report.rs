//! The report of the feature `lock-report`: how long the registry's locks are held, and by whom.

#[cfg(feature = "lock-report")]
pub(crate) use reporting::Report;
#[cfg(feature = "lock-report")]
pub use reporting::{Held, take_holds};

#[cfg(not(feature = "lock-report"))]
#[derive(Debug)]
pub(crate) struct Report;

#[cfg(not(feature = "lock-report"))]
impl Report {
    pub(crate) const fn start(_purpose: &'static str) -> Self {
        Self
    }
}

#[cfg(feature = "lock-report")]
mod reporting {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;

    /// A hold of a lock, from its beginning to its drop.
    #[derive(Debug)]
    pub(crate) struct Report {
        purpose: &'static str,
        since: Instant,
    }

    impl Report {
        pub(crate) fn start(purpose: &'static str) -> Self {
            Self { purpose, since: Instant::now() }
        }
    }

    impl Drop for Report {
        #[expect(clippy::print_stderr, reason = "a debugging aid that must not depend on the logger")]
        fn drop(&mut self) {
            const HELD_MS_MAX: u128 = 1;
            let held = self.since.elapsed();
            if held.as_millis() >= HELD_MS_MAX {
                eprintln!("registry lock held {held:?} by {:?}", self.purpose);
            }
            OWN.with_borrow_mut(|own| {
                own.add(self.purpose, held);
                // A report takes locks of its own, which the holds of other threads should not show.
                if own.count >= TOGETHER {
                    hand_on(std::mem::take(own));
                }
            });
        }
    }

    /// The holds of one purpose.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Held {
        /// Their number.
        pub count: u32,
        /// Their time together.
        pub time: Duration,
    }

    /// Takes the holds since the last call, by purpose: of this thread, and those that others have handed on. From the
    /// first call on they are not printed.
    pub fn take_holds() -> BTreeMap<&'static str, Held> {
        IS_TAKEN.store(true, Relaxed);
        hand_on(OWN.take());
        std::mem::take(&mut TOTALS.lock().by_purpose)
    }

    #[derive(Default)]
    struct Holds {
        count: u32,
        /// A short list, which is searched.
        by_purpose: Vec<(&'static str, Held)>,
    }

    impl Holds {
        fn add(&mut self, purpose: &'static str, time: Duration) {
            self.count = self.count.saturating_add(1);
            let known = self.by_purpose.iter_mut().find(|(it, _)| std::ptr::eq(*it, purpose));
            let held = match known {
                Some((_, held)) => held,
                None => {
                    self.by_purpose.push((purpose, Held::default()));
                    let Some((_, held)) = self.by_purpose.last_mut() else { return };
                    held
                }
            };
            held.count = held.count.saturating_add(1);
            held.time = held.time.saturating_add(time);
        }
    }

    thread_local! {
        static OWN: RefCell<Holds> = RefCell::default();
    }

    /// The number of holds of a thread that are handed on together.
    const TOGETHER: u32 = 64;

    /// True if a program takes the holds instead of having them printed.
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);

    /// The holds of all threads, reported once in a while.
    struct Totals {
        since: Option<Instant>,
        by_purpose: BTreeMap<&'static str, Held>,
    }

    static TOTALS: Mutex<Totals> = Mutex::new(Totals { since: None, by_purpose: BTreeMap::new() });

    #[expect(clippy::print_stderr, reason = "a debugging aid that must not depend on the logger")]
    fn hand_on(holds: Holds) {
        const EVERY: Duration = Duration::from_secs(2);
        let mut totals = TOTALS.lock();
        for (purpose, held) in holds.by_purpose {
            let total = totals.by_purpose.entry(purpose).or_default();
            total.count = total.count.saturating_add(held.count);
            total.time = total.time.saturating_add(held.time);
        }
        let since = *totals.since.get_or_insert_with(Instant::now);
        if since.elapsed() < EVERY || IS_TAKEN.load(Relaxed) {
            return;
        }
        let by_purpose = std::mem::take(&mut totals.by_purpose);
        totals.since = None;
        drop(totals);
        for (purpose, Held { count, time }) in by_purpose {
            let each = time.checked_div(count).unwrap_or_default();
            eprintln!("registry lock: {count} holds by {purpose:?}, {each:?} each, {time:?} together");
        }
    }
}
