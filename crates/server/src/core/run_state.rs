//! Whether the Server service takes anybody new, and whether it is to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// What the Server service is doing.
#[derive(Debug, Default)]
pub(crate) struct Running {
    paused: AtomicBool,
    stopping: AtomicBool,
    stop: Notify,
}

impl Running {
    /// Whether nobody new is taken.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Takes nobody new, or everybody again.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Whether it is about to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Asks for a stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    /// Returns when a stop was asked for, and whoever asked has had time to hear the answer.
    pub(crate) async fn stop_asked(&self) {
        self.stop.notified().await;
        tokio::time::sleep(ANSWER_TIME).await;
    }
}

/// How long an answer takes from here to whoever asked for the stop, on a bad day.
const ANSWER_TIME: Duration = Duration::from_millis(200);
