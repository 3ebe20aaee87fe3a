//! A request that is being handled: in its connection's task, or in one of its own where its share's calls last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::task::JoinHandle;

use super::dispatch::{self, Violation};
use super::{Answer, Connection};
use crate::bulkhead;

/// What comes of a frame.
type Handled = Result<Option<Answer>, Violation>;

type Work = Pin<Box<dyn Future<Output = Handled> + Send>>;

/// The requests of a frame.
pub(super) struct Handling {
    connection: Arc<Connection>,
    bytes: usize,
    at: At,
}

enum At {
    /// In the connection's task.
    Here(Work),
    /// In a task of its own, which ends with this.
    Apart(JoinHandle<Handled>),
    Over,
}

impl Handling {
    /// Begins to handle a frame.
    pub(super) fn new(connection: &Arc<Connection>, frame: BytesMut) -> Self {
        let bytes = frame.len();
        let of = Arc::clone(connection);
        let work = Box::pin(async move { dispatch::process(&of, frame).await });
        Self { connection: Arc::clone(connection), bytes, at: At::Here(work) }
    }

    fn leave(&mut self, work: Work) -> JoinHandle<Handled> {
        let connection = Arc::clone(&self.connection);
        connection.apart_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        connection.apart_requests.fetch_add(1, Ordering::Relaxed);
        bulkhead::spawn(Apart { connection, bytes: self.bytes, work: Some(work) })
    }
}

impl Future for Handling {
    type Output = Handled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let this = &mut *self;
        if let At::Here(work) = &mut this.at {
            let (polled, wants_apart) = bulkhead::poll_here(|| work.as_mut().poll(context));
            if !wants_apart {
                return polled;
            }
            if let At::Here(work) = std::mem::replace(&mut this.at, At::Over) {
                this.at = At::Apart(this.leave(work));
            }
        }
        match &mut this.at {
            At::Apart(task) => match Pin::new(task).poll(context) {
                Poll::Ready(Ok(handled)) => Poll::Ready(handled),
                // Only a panic ends it so, as it would have ended the connection's task.
                Poll::Ready(Err(_)) => Poll::Ready(Err(Violation::Failed)),
                Poll::Pending => Poll::Pending,
            },
            At::Here(_) | At::Over => Poll::Pending,
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if let At::Apart(task) = &self.at {
            task.abort();
        }
    }
}

/// A request in a task of its own.
struct Apart {
    connection: Arc<Connection>,
    bytes: usize,
    work: Option<Work>,
}

impl Future for Apart {
    type Output = Handled;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = bulkhead::poll_apart(|| work.as_mut().poll(context));
        if polled.is_ready() {
            self.work = None;
        } else if self.connection.has_output() {
            // An interim answer.
            self.connection.output_ready.notify_one();
        }
        polled
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.connection.apart_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.connection.apart_requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(work) = self.work.take() {
            discard(work);
        }
    }
}

/// Gives up what may have files open, where closing them keeps nobody waiting.
pub(super) fn discard<T: Send + 'static>(work: T) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(work))),
        Err(_) => drop(work),
    }
}
