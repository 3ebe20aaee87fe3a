//! What is done to files on nobody's request, in order, and how its causer waits for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Bulkhead, ORDERED};
use crate::core::limits;

/// The jobs of a bulkhead that are not done.
#[derive(Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    is_running: bool,
    /// When the running one has begun.
    begun: Option<Instant>,
    /// How many of them later requests are to find done, the running one included.
    ordered: usize,
}

impl Jobs {
    /// Whether the running one has lasted so long that nobody is to wait for it, and for those behind it.
    fn are_overdue(&self) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() >= limits::JOB_OVERDUE)
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

struct Job {
    work: Box<dyn FnOnce() + Send>,
    is_ordered: bool,
    done: oneshot::Sender<()>,
}

/// Hears when a job is done.
pub(crate) type Submitted = oneshot::Receiver<()>;

thread_local! {
    /// The jobs that the running request has caused; none where nobody asks.
    static CAUSED: RefCell<Option<Caused>> = const { RefCell::new(None) };
}

/// Jobs that somebody waits for.
#[derive(Default)]
struct Caused {
    jobs: Vec<Submitted>,
    /// Whether overdue ones are among them.
    all: bool,
}

/// Jobs done since the process began: as long as the number rises, waiting for more makes sense.
static DONE: AtomicU64 = AtomicU64::new(0);

impl Bulkhead {
    /// Does `work` behind the bulkhead: at once if the running thread is behind it already, otherwise on the blocking
    /// pool after all that was submitted before. Requests that come later find an ordered job done, unless it lasts.
    pub(crate) fn submit(self: &Arc<Self>, is_ordered: bool, work: impl FnOnce() + Send + 'static) {
        if self.is_current() {
            return work();
        }
        let Ok(runtime) = Handle::try_current() else { return self.call_apart(work) };
        let (done, hears) = oneshot::channel();
        let mut jobs = self.jobs();
        jobs.waiting.push_back(Job { work: Box::new(work), is_ordered, done });
        jobs.ordered += usize::from(is_ordered);
        if is_ordered {
            self.set(ORDERED, true);
        }
        if !std::mem::replace(&mut jobs.is_running, true) {
            let bulkhead = Arc::clone(self);
            runtime.spawn_blocking(move || bulkhead.run_jobs());
        }
        let are_overdue = jobs.are_overdue();
        drop(jobs);
        CAUSED.with_borrow_mut(|caused| {
            if let Some(caused) = caused.as_mut().filter(|caused| caused.all || !are_overdue) {
                caused.jobs.push(hears);
            }
        });
    }

    /// How many jobs wait to be done.
    pub(crate) fn jobs_waiting(&self) -> usize {
        self.jobs().waiting.len()
    }

    fn run_jobs(&self) {
        loop {
            let mut jobs = self.jobs();
            let Some(job) = jobs.waiting.pop_front() else {
                jobs.is_running = false;
                jobs.begun = None;
                return;
            };
            jobs.begun = Some(Instant::now());
            drop(jobs);
            let Job { work, is_ordered, done } = job;
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.call_job(work))).is_err() {
                tracing::error!(share = %self.name, "what was to be done to a file ended in a panic");
            }
            let mut jobs = self.jobs();
            jobs.ordered -= usize::from(is_ordered);
            self.set(ORDERED, jobs.ordered != 0);
            drop(jobs);
            DONE.fetch_add(1, Ordering::Relaxed);
            self.done.notify_waiters();
            // Nobody may be waiting.
            let _ = done.send(());
        }
    }

    fn call_job(&self, work: Box<dyn FnOnce() + Send>) {
        super::slots::within(self.id, super::Mode::SpecialFile, work);
    }

    /// Returns once the ordered jobs are done or have lasted too long; none if there are none to be waited for.
    pub(super) fn jobs_done(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let id = self.id;
        let has_ordered = move || {
            let bulkhead = super::by_id(id)?;
            let jobs = bulkhead.jobs();
            let has_some = jobs.ordered != 0 && !jobs.are_overdue();
            drop(jobs);
            has_some.then_some(bulkhead)
        };
        has_ordered()?;
        Some(async move {
            let all_done = async {
                loop {
                    let Some(bulkhead) = has_ordered() else { return };
                    let mut done = std::pin::pin!(bulkhead.done.notified());
                    done.as_mut().enable();
                    if bulkhead.jobs().ordered == 0 {
                        return;
                    }
                    done.await;
                }
            };
            // Those that are not done by then are overdue.
            let _ = tokio::time::timeout(limits::JOBS_WAIT, all_done).await;
        })
    }
}

/// Runs `work`, and says which jobs it has caused that are to be waited for.
pub(crate) fn collected<T>(work: impl FnOnce() -> T) -> (T, Vec<Submitted>) {
    let mut caused = Caused::default();
    let done = caused.collect(work);
    (done, caused.jobs)
}

/// The same, with jobs of file systems that seem to hang.
pub(crate) fn collected_all<T>(work: impl FnOnce() -> T) -> (T, Vec<Submitted>) {
    let mut caused = Caused { all: true, ..Caused::default() };
    let done = caused.collect(work);
    (done, caused.jobs)
}

impl Caused {
    fn collect<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let outer = CAUSED.replace(Some(std::mem::take(self)));
        let done = work();
        *self = CAUSED.replace(outer).unwrap_or_default();
        done
    }
}

/// Carries out what may cause jobs, and waits for these a while before it says that it is done.
pub(crate) async fn settled<F: Future>(mut work: Pin<&mut F>) -> F::Output {
    let mut caused = Caused::default();
    let done = std::future::poll_fn(|context| caused.collect(|| work.as_mut().poll(context))).await;
    if !caused.jobs.is_empty() {
        settle(caused.jobs).await;
    }
    done
}

/// As [`settled`], of what need not stay where it is.
pub(crate) async fn settling<F: Future>(work: F) -> F::Output {
    settled(std::pin::pin!(work)).await
}

/// Waits for jobs, but not longer than [`limits::JOBS_WAIT`]; false: some are not done.
pub(crate) async fn settle(jobs: Vec<Submitted>) -> bool {
    let all = async {
        for job in jobs {
            // One whose sender is gone was given up.
            let _ = job.await;
        }
    };
    tokio::time::timeout(limits::JOBS_WAIT, all).await.is_ok()
}

/// Waits for jobs as long as any are being done, of whatever bulkhead; false: some are stuck.
pub(crate) async fn settle_all(jobs: Vec<Submitted>) -> bool {
    for mut job in jobs {
        loop {
            let before = DONE.load(Ordering::Relaxed);
            if tokio::time::timeout(limits::STOP_PATIENCE, &mut job).await.is_ok() {
                break;
            }
            if DONE.load(Ordering::Relaxed) == before {
                return false;
            }
        }
    }
    true
}
