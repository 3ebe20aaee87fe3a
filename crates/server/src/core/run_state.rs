//! The state of the Server service: paused or stopping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The state of the Server service.
#[derive(Debug, Default)]
pub(crate) struct Running {
    paused: AtomicBool,
    stopping: AtomicBool,
    stop: Notify,
}

impl Running {
    /// True if new sessions are refused, except those of administrators.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Refuses new sessions, except those of administrators, or accepts them again.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// True if the server is about to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Requests a stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    /// Returns when a stop was requested, after the time that the answer to the request needs.
    pub(crate) async fn stop_asked(&self) {
        self.stop.notified().await;
        tokio::time::sleep(ANSWER_TIME).await;
    }
}

/// The time that an answer to the request may need.
const ANSWER_TIME: Duration = Duration::from_millis(200);
