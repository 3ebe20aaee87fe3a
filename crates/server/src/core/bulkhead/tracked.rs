//! Tasks that do not get stuck behind the call of another task.
//!
//! A worker of the runtime runs the task that was woken last next, and other workers cannot take that task over. If a
//! task wakes another and then hangs, the other would not run. So tasks are spawned here, their wakers record the task
//! that the running thread has woken, and before a call that may hang, [`let_go`] puts an empty task into that place.

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

/// Wraps a task that is spawned by other means than [`spawn`].
pub(crate) fn tracked<F: Future>(task: F) -> Tracked<F> {
    Tracked::new(task)
}

thread_local! {
    /// The id of the task that the running thread has woken last and not run since; 0 if there is none.
    static WOKEN: Cell<u64> = const { Cell::new(0) };
}

/// Makes the task that the running worker reserves for itself available to other workers, if there is such a task.
pub(super) fn let_go() {
    if WOKEN.try_with(Cell::get).is_ok_and(|woken| woken != 0) {
        let _ = WOKEN.try_with(|woken| woken.set(0));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async {});
        }
    }
}

/// Does the same as [`let_go`] if no record shows whether there is such a task.
pub(super) fn let_go_always() {
    let _ = WOKEN.try_with(|woken| woken.set(0));
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async {});
    }
}

/// A task whose wakers record that they wake it.
pub(crate) struct Tracked<F> {
    task: Pin<Box<F>>,
    id: u64,
    /// The runtime's waker, and the recording waker around it.
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

/// A waker that records the task that the thread has woken.
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

    /// True if a task that was woken by another runs while that other one blocks its thread.
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
            // The waiter is no longer running when this task continues.
            tokio::task::yield_now().await;
            told.send(()).unwrap();
            let_go();
            has_run.recv_timeout(Duration::from_secs(10)).is_ok()
        }));
        runtime.block_on(blocking).unwrap()
    }

    #[test]
    fn task_woken_before_a_hanging_call_runs() {
        assert!(runs_beside_who_woke_it());
    }
}
