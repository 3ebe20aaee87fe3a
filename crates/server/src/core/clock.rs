//! The clock of the server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use registry::Time;
use tokio::time::Instant;
use wire::FileTime;

/// A clock that starts at the system's time and never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_unix: Duration,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn new() -> Self {
        let origin_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_unix }
    }

    /// The time for the registry.
    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time for messages.
    pub(crate) fn file_time(&self) -> FileTime {
        let now = self.since_epoch();
        FileTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos())
    }

    fn since_epoch(&self) -> Duration {
        self.origin_unix + self.origin.elapsed()
    }
}
