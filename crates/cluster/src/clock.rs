//! Points in time by a node's own clock.

use std::time::Duration;

/// A point in time by the clock of one node, in microseconds since any point before the start of the node.
///
/// The clock must never go back, must not be set, and must count the time in which the machine was suspended: on Linux
/// CLOCK_BOOTTIME, not CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// A point that is never reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point that is `span` later, [`Moment::NEVER`] at most.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
