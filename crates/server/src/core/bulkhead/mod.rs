//! Bulkheads, which keep a file system that hangs from blocking requests to other file systems.
//!
//! File systems are called synchronously, and such a call may never return: a network file system whose server is gone,
//! a FUSE file system whose process is stuck. Each share has a [`Bulkhead`], and requests that may call into its file
//! system are polled behind that ([`Bulkhead::poll`]):
//!
//! - As long as all calls are short, the request runs in place, on a worker of the runtime; nothing is counted.
//! - Requests that change directories wait for each other in the kernel. They hold only a part of the workers
//!   ([`changes`]).
//! - When a watchdog ([`watchdog`]) finds a call that takes too long, the bulkhead is stalled. Requests behind it
//!   become separate tasks (`smb/connection/handling.rs`), wait for one of the bulkhead's places, and run where they
//!   hold no worker. Workers that are already stuck are replaced from a reserve.
//! - Work on files at the end of an open, other than by its client's CLOSE, is a job: the bulkhead's jobs are done in
//!   order, one at a time, on the blocking pool ([`Bulkhead::submit`]). The request that caused them waits for them for
//!   a limited time ([`settled`]).
//!
//! Pipes and logons have bulkheads, too, because they may call a name service that hangs.

mod changes;
mod jobs;
mod slots;
mod tracked;
mod watchdog;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::core::limits;
pub(crate) use changes::set_workers_max;
use jobs::Jobs;
pub(crate) use jobs::{collected, collected_all, settle, settle_all, settled, settling};
use slots::Mode;
pub(crate) use tracked::{spawn, tracked};
pub(crate) use watchdog::Watchdog;

/// A bulkhead around the calls into one share's files.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    id: u64,
    /// The name of the bulkhead, for the log.
    name: Box<str>,
    /// [`STALLED`] and [`ORDERED`]; 0 if requests may run in place.
    state: AtomicU8,
    places: Arc<Semaphore>,
    /// Permits for requests that use files of this share and another one at the same time.
    crossings: Arc<Semaphore>,
    /// The number of ticks of the watchdog for which the bulkhead has been stalled.
    stalled_ticks: AtomicU32,
    jobs: Mutex<Jobs>,
    /// Notified when jobs are done.
    done: Notify,
}

/// The flag of a bulkhead with a call that takes too long.
const STALLED: u8 = 1;

/// The flag of a bulkhead with jobs that later requests must find done.
const ORDERED: u8 = 2;

/// A place behind a bulkhead: the right to use a thread that may get stuck there.
pub(crate) type Permit = OwnedSemaphorePermit;

/// All bulkheads, by their ids.
static ALL: Mutex<Option<HashMap<u64, Weak<Bulkhead>>>> = Mutex::new(None);

static LAST_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// True if the task that is being polled belongs to one request.
    static IS_APART: Cell<bool> = const { Cell::new(false) };
    /// True if the request that was just polled must become a separate task.
    static WANTS_APART: Cell<bool> = const { Cell::new(false) };
    /// True if the request that was just polled waits for a place.
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

impl Bulkhead {
    /// Creates a bulkhead with this name for the log and this number of places.
    pub(crate) fn new(name: &str, places: usize) -> Arc<Self> {
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let bulkhead = Arc::new(Self {
            id,
            name: name.into(),
            state: AtomicU8::new(0),
            places: Arc::new(Semaphore::new(places)),
            crossings: Arc::new(Semaphore::new(limits::CROSSINGS)),
            stalled_ticks: AtomicU32::new(0),
            jobs: Mutex::default(),
            done: Notify::new(),
        });
        let mut all = ALL.lock();
        all.get_or_insert_default().insert(id, Arc::downgrade(&bulkhead));
        bulkhead
    }

    /// True if a call behind the bulkhead takes too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.state.load(Ordering::Relaxed) & STALLED != 0
    }

    /// True if the running thread is in a call behind the bulkhead.
    pub(crate) fn is_current(&self) -> bool {
        slots::current() == self.id
    }

    /// Makes a call in place, in any state: for work that can neither wait nor move to another thread.
    pub(crate) fn call<T>(&self, work: impl FnOnce() -> T) -> T {
        tracked::let_go();
        slots::within(self.id, Mode::Inline, work)
    }

    /// Makes a call that may take long, on a thread that the runtime does not need.
    pub(crate) fn call_apart<T>(&self, work: impl FnOnce() -> T) -> T {
        slots::within(self.id, Mode::Patient, work)
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Option<Permit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Takes a place for an administrator, without waiting, if enough places remain for the share's users.
    pub(crate) fn spare_place(&self) -> Option<Permit> {
        if self.places.available_permits() <= limits::PLACES / 2 {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Polls a request that may make calls behind the bulkhead, as soon as it may make them.
    fn poll<F: Future>(
        &self,
        kind: Kind,
        context: &mut Context<'_>,
        request: Pin<&mut F>,
        waits: &mut Option<Waits>,
    ) -> Poll<F::Output> {
        if self.state.load(Ordering::Relaxed) == 0 && watchdog::may_hold_workers() && waits.is_none() {
            return match kind {
                Kind::Other => self.call(|| request.poll(context)),
                Kind::Change => match changes::hold_worker() {
                    Some(_held) => self.call(|| request.poll(context)),
                    None => in_place(|| slots::within(self.id, Mode::Apart, || request.poll(context))),
                },
            };
        }
        self.poll_slowly(context, request, waits)
    }

    #[cold]
    fn poll_slowly<F: Future>(
        &self,
        context: &mut Context<'_>,
        request: Pin<&mut F>,
        waits: &mut Option<Waits>,
    ) -> Poll<F::Output> {
        loop {
            match waits {
                Some(Waits::ForJobs(done)) => {
                    ready!(done.as_mut().poll(context));
                    *waits = None;
                }
                Some(Waits::ForPlace(place)) => {
                    let Poll::Ready(place) = place.as_mut().poll(context) else {
                        WAITS.set(true);
                        return Poll::Pending;
                    };
                    *waits = None;
                    let polled = in_place(|| slots::within(self.id, Mode::Apart, || request.poll(context)));
                    drop(place);
                    return polled;
                }
                None => {
                    let state = self.state.load(Ordering::Relaxed);
                    if state & ORDERED != 0
                        && let Some(done) = self.jobs_done()
                    {
                        *waits = Some(Waits::ForJobs(Box::pin(done)));
                    } else if (state & STALLED == 0 && watchdog::may_hold_workers()) || !can_leave() {
                        return self.call(|| request.poll(context));
                    } else if IS_APART.get() {
                        let places = Arc::clone(&self.places);
                        *waits =
                            Some(Waits::ForPlace(Box::pin(async move { places.acquire_owned().await.ok() })));
                    } else {
                        // The caller polls the request again in a separate task.
                        WANTS_APART.set(true);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn set(&self, flag: u8, to: bool) {
        if to {
            self.state.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.state.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock()
    }
}

/// The condition that a request waits for before it may make calls.
enum Waits {
    ForJobs(Pin<Box<dyn Future<Output = ()> + Send>>),
    ForPlace(Pin<Box<dyn Future<Output = Option<Permit>> + Send>>),
}

/// The kind of a request, as far as its calls differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request that may change a directory.
    Change,
    /// A request whose calls seldom wait for those of others.
    Other,
}

/// Runs a request that may make calls behind a bulkhead, if it has one.
pub(crate) async fn behind<F: Future>(
    bulkhead: Option<&Bulkhead>,
    kind: Kind,
    mut request: Pin<&mut F>,
) -> F::Output {
    let Some(bulkhead) = bulkhead else { return request.await };
    let mut waits = None;
    std::future::poll_fn(|context| bulkhead.poll(kind, context, request.as_mut(), &mut waits)).await
}

/// Waits until a request may use files of two shares at once: if one of them hangs, the other has most of its places
/// left. Returns `None` if both are the same share.
pub(crate) async fn cross(one: &Bulkhead, other: &Bulkhead) -> Option<(Permit, Permit)> {
    if one.id == other.id {
        return None;
    }
    let (first, second) = if one.id < other.id { (one, other) } else { (other, one) };
    let first = Arc::clone(&first.crossings).acquire_owned().await.ok()?;
    Some((first, Arc::clone(&second.crossings).acquire_owned().await.ok()?))
}

/// The bulkhead of the call that the running thread is in.
pub(crate) fn current() -> Option<Arc<Bulkhead>> {
    match slots::current() {
        0 => None,
        id => by_id(id),
    }
}

fn by_id(id: u64) -> Option<Arc<Bulkhead>> {
    ALL.lock().as_ref()?.get(&id)?.upgrade()
}

/// Polls a future that may have to become a separate task; returns true if it has to.
pub(crate) fn poll_here<T>(poll: impl FnOnce() -> Poll<T>) -> (Poll<T>, bool) {
    WANTS_APART.set(false);
    let polled = poll();
    let wants = WANTS_APART.replace(false) && polled.is_pending();
    (polled, wants)
}

/// Polls a task that belongs to one request; returns true if it waits for a place.
pub(crate) fn poll_apart<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    /// Clears the mark, also after a panic.
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            IS_APART.set(false);
        }
    }
    IS_APART.set(true);
    WAITS.set(false);
    let _mark = Mark;
    (poll(), WAITS.replace(false))
}

/// True if the running thread can hand its worker's tasks over to another thread.
fn can_leave() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Runs work that may hang without holding a worker.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    if can_leave() { tokio::task::block_in_place(work) } else { work() }
}

/// Marks the bulkheads with calls that take too long.
fn mark_stalled(stalled: &HashSet<u64>) {
    let mut all = ALL.lock();
    let Some(all) = all.as_mut() else { return };
    all.retain(|id, bulkhead| {
        let Some(bulkhead) = bulkhead.upgrade() else { return false };
        let is_stalled = stalled.contains(id);
        if is_stalled != bulkhead.is_stalled() {
            bulkhead.set(STALLED, is_stalled);
        }
        if is_stalled {
            let ticks = bulkhead.stalled_ticks.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            if ticks == limits::HANG_TICKS {
                tracing::warn!(share = %bulkhead.name, "a call into the file system hangs; requests to this share wait");
            }
        } else if bulkhead.stalled_ticks.swap(0, Ordering::Relaxed) >= limits::HANG_TICKS {
            tracing::warn!(share = %bulkhead.name, "calls into the file system return again");
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::core::runtime::Runtime;

    /// A guard for tests that must run alone: a watchdog sees the calls of the whole process, which has only one
    /// runtime outside of tests.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock()
    }

    /// Runs a request as a connection does: in a separate task if it requires one.
    async fn request<T>(bulkhead: &Arc<Bulkhead>, work: impl FnOnce() -> T + Send + 'static) -> T
    where
        T: Send + 'static,
    {
        let of = Arc::clone(bulkhead);
        let mut here =
            Some(Box::pin(async move { behind(Some(&of), Kind::Other, pin!(async move { work() })).await }));
        let mut apart = None;
        std::future::poll_fn(move |context| {
            if let Some(mut request) = here.take() {
                let (polled, wants_apart) = poll_here(|| request.as_mut().poll(context));
                if !wants_apart {
                    here = Some(request);
                    return polled;
                }
                let mut own = request;
                apart = Some(spawn(std::future::poll_fn(move |context| {
                    poll_apart(|| own.as_mut().poll(context)).0
                })));
            }
            let apart = apart.as_mut().expect("the request has become a task");
            Pin::new(apart).poll(context).map(|done| done.expect("no panic"))
        })
        .await
    }

    #[test]
    fn requests_continue_when_more_calls_hang_than_there_are_threads() {
        let _alone = alone();
        let runtime = Runtime::start().unwrap();
        let (free, is_free) = mpsc::channel::<()>();
        let is_free = Arc::new(Mutex::new(is_free));
        let hung: Vec<_> = (0..6).map(|_| Bulkhead::new("hung", 4)).collect();
        let healthy = Bulkhead::new("healthy", 4);
        runtime.block_on(async {
            let mut stuck = Vec::new();
            for bulkhead in &hung {
                for _ in 0..32 {
                    let (bulkhead, is_free) = (Arc::clone(bulkhead), Arc::clone(&is_free));
                    stuck.push(spawn(async move {
                        // All calls wait until the sender is dropped.
                        let wait = move || is_free.lock().recv().is_err();
                        request(&bulkhead, wait).await;
                    }));
                }
            }
            for _ in 0..100 {
                let healthy = Arc::clone(&healthy);
                let goes_on = spawn(async move { request(&healthy, || 7).await });
                let goes_on = tokio::time::timeout(Duration::from_secs(10), goes_on).await;
                assert_eq!(goes_on.expect("it goes on").unwrap(), 7);
            }
            assert!(hung.iter().any(|bulkhead| bulkhead.is_stalled()));
            drop(free);
            for task in stuck {
                tokio::time::timeout(Duration::from_secs(30), task).await.expect("it goes on").unwrap();
            }
        });
        runtime.shut_down();
    }

    #[test]
    fn changes_leave_workers_to_other_requests() {
        let _alone = alone();
        let runtime = Runtime::start().unwrap();
        let bulkhead = Bulkhead::new("directory", 64);
        runtime.block_on(async {
            let (free, is_free) = mpsc::channel::<()>();
            let is_free = Arc::new(Mutex::new(is_free));
            let (begun, has_begun) = mpsc::channel();
            let requests: Vec<_> = (0..changes::WORKERS_MAX.load(Ordering::Relaxed) + 3)
                .map(|_| {
                    let (bulkhead, is_free, begun) =
                        (Arc::clone(&bulkhead), Arc::clone(&is_free), begun.clone());
                    let work = async move {
                        begun.send(slots::own_call().is_some_and(|call| call.holds_worker)).unwrap();
                        // All wait until the sender is dropped.
                        is_free.lock().recv().is_err()
                    };
                    spawn(async move { behind(Some(&bulkhead), Kind::Change, pin!(work)).await })
                })
                .collect();
            let mut holding: Vec<bool> = Vec::new();
            for _ in &requests {
                holding.push(has_begun.recv_timeout(Duration::from_secs(30)).expect("all run"));
            }
            drop(free);
            for request in requests {
                assert!(request.await.unwrap());
            }
            let held = holding.iter().filter(|holds| **holds).count();
            assert_eq!(held, changes::WORKERS_MAX.load(Ordering::Relaxed));
            assert!(changes::hold_worker().is_some(), "all have let go");
        });
        runtime.shut_down();
    }

    #[test]
    fn requests_find_ordered_jobs_done() {
        let _alone = alone();
        let runtime = Runtime::start().unwrap();
        let bulkhead = Bulkhead::new("ordered", 4);
        runtime.block_on(async {
            let (go, goes) = mpsc::channel::<()>();
            let done = Arc::new(Mutex::new(Vec::new()));
            let ((), jobs) = collected(|| {
                for number in 0..3 {
                    let done = Arc::clone(&done);
                    bulkhead.submit(number == 2, move || done.lock().push(number));
                }
            });
            assert!(settle(jobs).await);
            bulkhead.submit(true, move || goes.recv().unwrap());
            let last = Arc::clone(&done);
            bulkhead.submit(true, move || last.lock().push(3));
            let (of, seen) = (Arc::clone(&bulkhead), Arc::clone(&done));
            let waits = spawn(async move { request(&of, move || seen.lock().clone()).await });
            tokio::task::yield_now().await;
            go.send(()).unwrap();
            assert_eq!(waits.await.unwrap(), [0, 1, 2, 3]);
        });
        runtime.shut_down();
    }

    #[test]
    fn wait_for_a_hanging_job_is_limited() {
        let _alone = alone();
        let runtime = Runtime::start().unwrap();
        let bulkhead = Bulkhead::new("stuck", 4);
        runtime.block_on(async {
            let (go, goes) = mpsc::channel::<()>();
            let cause = || bulkhead.submit(true, move || assert!(goes.recv().is_err()));
            let begun = std::time::Instant::now();
            settling(async { cause() }).await;
            assert!(begun.elapsed() >= limits::JOBS_WAIT);
            let begun = std::time::Instant::now();
            settling(async { bulkhead.submit(true, || ()) }).await;
            assert_eq!(request(&bulkhead, || 7).await, 7);
            assert!(begun.elapsed() < limits::JOBS_WAIT, "overdue jobs are not waited for");
            let ((), jobs) = collected_all(|| bulkhead.submit(false, || ()));
            assert_eq!(jobs.len(), 1, "a stop waits for all jobs");
            drop(go);
            assert!(settle_all(jobs).await);
        });
        runtime.shut_down();
    }
}
