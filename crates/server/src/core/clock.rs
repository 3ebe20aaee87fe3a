//! The clocks of the server: one that never goes back, for deadlines, and the system's time, for everything that others
//! compare with their own clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use registry::Time;
use tokio::time::Instant;
use wire::FileTime;

/// A clock that starts at the system's time and never goes back. It does not follow when the system's time is set, and
/// stands still while the machine is suspended.
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

    /// The time on this clock at which the system's time will be `end`, if nobody sets it until then. `system` is the
    /// system's time now.
    pub(crate) fn time_of(&self, end: FileTime, system: FileTime) -> Time {
        Time(self.now().0.saturating_add(end.0.saturating_sub(system.0) / FILE_TIMES_PER_MS))
    }

    fn since_epoch(&self) -> Duration {
        self.origin_unix + self.origin.elapsed()
    }
}

/// The system's time, as for tickets and messages: it may have been set since the server started.
pub(crate) fn system_time() -> FileTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    FileTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos())
}

/// A FILETIME counts 100 nanoseconds (MS-DTYP 2.3.3).
const FILE_TIMES_PER_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The system's time was set ten minutes forward after the clock started.
    #[test]
    fn deadlines_count_from_the_systems_time_as_it_is_now() {
        let clock = Clock::new();
        let system = FileTime(system_time().0 + 600 * 1_000 * FILE_TIMES_PER_MS);
        let end = FileTime(system.0 + 5_000 * FILE_TIMES_PER_MS);
        let (before, deadline, after) = (clock.now(), clock.time_of(end, system), clock.now());
        assert!((before.0 + 5_000..=after.0 + 5_000).contains(&deadline.0));
        assert!(clock.time_of(system, end).0 <= clock.now().0, "a ticket that has ended");
    }
}
