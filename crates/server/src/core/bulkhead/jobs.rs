//! Jobs: work on files that no request waits for directly, done in order, and the wait of the request that caused it.

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

/// The unfinished jobs of a bulkhead.
#[derive(Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    is_running: bool,
    /// The start of the running job.
    begun: Option<Instant>,
    /// The number of unfinished jobs that later requests must find done, including the running one.
    ordered: usize,
}

impl Jobs {
    /// True if the running job has taken so long that no request should wait for it and for those behind it.
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

/// A channel that reports the end of a job.
pub(crate) type Submitted = oneshot::Receiver<()>;

thread_local! {
    /// The jobs that the running request has caused; `None` if they are not collected.
    static CAUSED: RefCell<Option<Caused>> = const { RefCell::new(None) };
}

/// Jobs that a request waits for.
#[derive(Default)]
struct Caused {
    jobs: Vec<Submitted>,
    /// True if overdue jobs are included.
    all: bool,
}

/// The number of jobs that were done since the process began. While it rises, it makes sense to wait for more.
static DONE: AtomicU64 = AtomicU64::new(0);

impl Bulkhead {
    /// Does `work` behind the bulkhead: at once if the running thread is already behind it, otherwise on the blocking
    /// pool after all jobs that were submitted before. Later requests wait for an ordered job, unless it takes too
    /// long.
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

    /// The number of jobs that wait to be done.
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
                tracing::error!(share = %self.name, "a job on a file ended in a panic");
            }
            let mut jobs = self.jobs();
            jobs.ordered -= usize::from(is_ordered);
            self.set(ORDERED, jobs.ordered != 0);
            drop(jobs);
            DONE.fetch_add(1, Ordering::Relaxed);
            self.done.notify_waiters();
            // The send fails if no request waits for the job, which is no error.
            let _ = done.send(());
        }
    }

    fn call_job(&self, work: Box<dyn FnOnce() + Send>) {
        super::slots::within(self.id, super::Mode::Apart, work);
    }

    /// A future that ends when the ordered jobs are done or have taken too long; `None` if there are no jobs to wait
    /// for.
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
            // Jobs that are not done by then are overdue.
            let _ = tokio::time::timeout(limits::JOBS_WAIT, all_done).await;
        })
    }
}

/// Runs `work`, and returns the jobs that it has caused and that are to be waited for.
pub(crate) fn collected<T>(work: impl FnOnce() -> T) -> (T, Vec<Submitted>) {
    let mut caused = Caused::default();
    let done = caused.collect(work);
    (done, caused.jobs)
}

/// Runs `work` as [`collected`] does, and returns jobs of stalled file systems, too.
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

/// Runs `work`, and waits for the jobs that it has caused, for a limited time.
pub(crate) async fn settled<F: Future>(mut work: Pin<&mut F>) -> F::Output {
    let mut caused = Caused::default();
    let done = std::future::poll_fn(|context| caused.collect(|| work.as_mut().poll(context))).await;
    if !caused.jobs.is_empty() {
        settle(caused.jobs).await;
    }
    done
}

/// Runs `work` as [`settled`] does, for a future that need not be pinned.
pub(crate) async fn settling<F: Future>(work: F) -> F::Output {
    settled(std::pin::pin!(work)).await
}

/// Waits for jobs, at most for [`limits::JOBS_WAIT`]. Returns false if some are not done.
pub(crate) async fn settle(jobs: Vec<Submitted>) -> bool {
    let all = async {
        for job in jobs {
            // If the sender is gone, the job was abandoned.
            let _ = job.await;
        }
    };
    tokio::time::timeout(limits::JOBS_WAIT, all).await.is_ok()
}

/// Waits for jobs as long as any jobs of any bulkhead are being done. Returns false if no job makes progress.
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
