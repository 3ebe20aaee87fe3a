//! A request in progress: in its connection's task, or in a separate task while calls into its share take
//! long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use super::dispatch::{self, Violation};
use super::frame::Frame;
use super::unread::UnreadData;
use super::{Answer, SmbConnection};
use crate::core::bulkhead;

/// The result of a frame.
type Handled = Result<Option<Answer>, Violation>;

type Work = Pin<Box<dyn Future<Output = Handled> + Send>>;

/// The requests of a frame in progress.
pub(super) struct Handling {
    connection: Arc<SmbConnection>,
    bytes: usize,
    /// The data that are in the socket until the first poll.
    unread: Option<Arc<UnreadData>>,
    at: At,
}

enum At {
    /// In the connection's task.
    Here(Work),
    /// In a separate task, which ends when this is dropped.
    Apart(JoinHandle<Handled>, Arc<AtomicBool>),
    Over,
}

impl Handling {
    /// Starts handling a frame. It must be polled before the next frame is read.
    pub(super) fn new(connection: &Arc<SmbConnection>, frame: Frame) -> Self {
        let bytes = frame.size();
        let unread = frame.unread().cloned();
        let of = Arc::clone(connection);
        let work = Box::pin(async move { dispatch::process(&of, frame).await });
        Self { connection: Arc::clone(connection), bytes, unread, at: At::Here(work) }
    }

    /// Ends it if it waits for a place of its share's bulkhead, because its client is gone.
    pub(super) fn stop_waiting(&self) {
        if let At::Apart(task, waits) = &self.at
            && waits.load(Ordering::Relaxed)
        {
            task.abort();
        }
    }

    fn leave(&self, work: Work) -> At {
        let connection = Arc::clone(&self.connection);
        connection.apart_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        connection.apart_requests.fetch_add(1, Ordering::Relaxed);
        let waits = Arc::new(AtomicBool::new(false));
        let apart = ApartTask { connection, bytes: self.bytes, work: Some(work), waits: Arc::clone(&waits) };
        At::Apart(bulkhead::spawn(apart), waits)
    }
}

impl Future for Handling {
    type Output = Handled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let this = &mut *self;
        if let At::Here(work) = &mut this.at {
            let (polled, wants_apart) = bulkhead::poll_here(|| work.as_mut().poll(context));
            // Before a separate task can use them, and before the next frame is read.
            if let Some(unread) = this.unread.take()
                && let Err(error) = unread.settle(polled.is_pending())
            {
                tracing::debug!(conn = this.connection.id.0, %error, "the data of a WRITE cannot be read");
                return Poll::Ready(Err(Violation::Failed));
            }
            if !wants_apart {
                return polled;
            }
            if let At::Here(work) = std::mem::replace(&mut this.at, At::Over) {
                this.at = this.leave(work);
            }
        }
        match &mut this.at {
            At::Apart(task, _) => match Pin::new(task).poll(context) {
                Poll::Ready(Ok(handled)) => Poll::Ready(handled),
                // A panic, or the client is gone.
                Poll::Ready(Err(_)) => Poll::Ready(Err(Violation::Failed)),
                Poll::Pending => Poll::Pending,
            },
            At::Here(_) | At::Over => Poll::Pending,
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if let At::Apart(task, _) = &self.at {
            task.abort();
        }
    }
}

/// A request in a separate task.
struct ApartTask {
    connection: Arc<SmbConnection>,
    bytes: usize,
    work: Option<Work>,
    /// True while it waits for a place.
    waits: Arc<AtomicBool>,
}

impl Future for ApartTask {
    type Output = Handled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let (polled, waits) = bulkhead::poll_apart(|| work.as_mut().poll(context));
        self.waits.store(waits, Ordering::Relaxed);
        if polled.is_ready() {
            self.work = None;
        } else if self.connection.has_output() {
            // There is an interim answer.
            self.connection.output_ready.notify_one();
        }
        polled
    }
}

impl Drop for ApartTask {
    fn drop(&mut self) {
        self.connection.apart_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.connection.apart_requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(work) = self.work.take() {
            discard(work);
        }
    }
}

/// Drops work that may have files open where closing them does not block other tasks.
pub(super) fn discard<T: Send + 'static>(work: T) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(work))),
        Err(_) => drop(work),
    }
}
