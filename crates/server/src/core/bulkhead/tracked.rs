//! Tasks that do not get stuck behind another task's call.
//!
//! A worker of the runtime keeps the task that was woken last to itself, and runs it next; all others can be taken
//! over by other workers. A task that wakes another and then hangs would keep that one from running. So tasks are
//! spawned here, their wakers note who was woken by the running thread, and before a call that may hang
//! [`let_go`] puts an empty task into that place.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Spawns a task on the runtime.
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(tracked(task))
}

/// A task that is to be spawned other than by [`spawn`].
pub(crate) fn tracked<F: Future>(task: F) -> Tracked<F> {
    Tracked::new(task)
}

thread_local! {
    /// The task that the running thread has woken last and not run since; 0 for none.
    static WOKEN: Cell<u64> = const { Cell::new(0) };
}

/// Lets other workers have the task that the running one keeps to itself, if it does.
pub(super) fn let_go() {
    if WOKEN.try_with(Cell::get).is_ok_and(|woken| woken != 0) {
        let _ = WOKEN.try_with(|woken| woken.set(0));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async {});
        }
    }
}

/// The same, where nobody has noted whether it does.
pub(super) fn let_go_always() {
    let _ = WOKEN.try_with(|woken| woken.set(0));
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async {});
    }
}

/// A task whose wakers note that they wake it.
pub(crate) struct Tracked<F> {
    task: Pin<Box<F>>,
    id: u64,
    /// The runtime's waker, and the one that stands before it.
    wakers: Option<(Waker, Waker)>,
}

impl<F> Tracked<F> {
    fn new(task: F) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { task: Box::pin(task), id: LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1), wakers: None }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _ = WOKEN.try_with(|woken| {
            if woken.get() == this.id {
                woken.set(0);
            }
        });
        let is_known = this.wakers.as_ref().is_some_and(|(known, _)| known.will_wake(context.waker()));
        if !is_known {
            let inner = context.waker().clone();
            let noting = Waker::from(Arc::new(Noting { id: this.id, inner: inner.clone() }));
            this.wakers = Some((inner, noting));
        }
        match &this.wakers {
            Some((_, noting)) => this.task.as_mut().poll(&mut Context::from_waker(noting)),
            None => this.task.as_mut().poll(context),
        }
    }
}

/// A waker that notes whom the thread has woken.
struct Noting {
    id: u64,
    inner: Waker,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = WOKEN.try_with(|woken| woken.set(self.id));
        self.inner.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Whether a task that was woken by another runs while that other one blocks its thread.
    fn runs_beside_who_woke_it() -> bool {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (ran, has_run) = mpsc::channel();
        let (told, hears) = tokio::sync::oneshot::channel::<()>();
        let (waits, is_waiting) = mpsc::channel();
        runtime.spawn(Tracked::new(async move {
            waits.send(()).unwrap();
            hears.await.unwrap();
            ran.send(()).unwrap();
        }));
        is_waiting.recv().unwrap();
        let blocking = runtime.spawn(Tracked::new(async move {
            // The waiter is not running any more when this is.
            tokio::task::yield_now().await;
            told.send(()).unwrap();
            let_go();
            has_run.recv_timeout(Duration::from_secs(10)).is_ok()
        }));
        runtime.block_on(blocking).unwrap()
    }

    #[test]
    fn who_is_woken_before_a_call_that_hangs_runs_all_the_same() {
        assert!(runs_beside_who_woke_it());
    }
}
