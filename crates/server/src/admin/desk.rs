//! How many may ask at the same time what takes a while.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Room for those who ask.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Control pipes of administrators.
    pub(crate) administrators: Arc<Semaphore>,
    /// Control pipes of everybody else.
    pub(crate) others: Arc<Semaphore>,
    /// Closes that wait for their client.
    pub(crate) closes: Arc<Semaphore>,
    /// Questions who has something that wait until nobody has.
    pub(crate) waits: Arc<Semaphore>,
    /// Readers of the event stream.
    pub(crate) watchers: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            administrators: Arc::new(Semaphore::new(ADMINISTRATORS_PIPES)),
            others: Arc::new(Semaphore::new(OTHERS_PIPES)),
            closes: Arc::new(Semaphore::new(CLOSES)),
            waits: Arc::new(Semaphore::new(WAITS)),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }
}

/// Control pipes of administrators in use at the same time. One more is STATUS_PIPE_NOT_AVAILABLE.
const ADMINISTRATORS_PIPES: usize = 128;

/// Control pipes of everybody else in use at the same time. One more is STATUS_PIPE_NOT_AVAILABLE.
const OTHERS_PIPES: usize = 256;

/// Closes that wait for their client at the same time: a script that closes what a whole share has open.
/// One more is ERROR_BUSY.
const CLOSES: usize = 256;

/// Questions that wait at the same time. One more is ERROR_BUSY.
const WAITS: usize = 64;

/// Readers of the event stream at the same time: each is told of every event. One more is ERROR_BUSY.
const WATCHERS: usize = 32;
