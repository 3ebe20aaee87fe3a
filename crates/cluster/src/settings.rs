//! The settings of a node, and the arithmetic of its write permission.

use std::time::Duration;

use crate::clock::Moment;
use crate::ids::NodeName;

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name, which no other node of the cluster may have.
    pub node: NodeName,
    /// The prefix of the cluster's keys, made by [`crate::keys::prefix`].
    pub prefix: String,
    /// The id of the cluster. Keys of another cluster are not used.
    pub cluster: String,
    /// The addresses under which clients reach the node.
    pub addresses: Vec<String>,
    /// The node's part of the shares, in proportion to the weights of the others.
    pub weight: u32,
    /// A random number of this process. Two processes with one number would be taken for one.
    pub boot: u64,
    /// Times.
    pub timing: Timing,
    /// Balancing.
    pub balance: Balance,
}

/// The times of the protocol. They may differ among nodes: each permission follows from the lease that etcd has granted for it.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The time that etcd keeps a lease after its last renewal. Whole seconds, since etcd has no shorter unit.
    pub ttl: Duration,
    /// The largest relative difference in the rates of the node's clock and that of etcd's leader, in parts per million.
    pub drift_ppm: u32,
    /// The time that is kept between the end of the write permission and the end of the lease, for writes that were
    /// admitted and have not yet reached the storage.
    pub margin: Duration,
    /// The time between two renewals.
    pub keep_alive: Duration,
    /// The time before a request that failed is repeated.
    pub retry: Duration,
    /// The time by which each candidate for a share waits longer than the one before it.
    pub rank_step: Duration,
    /// The time that the view may be behind a revision that etcd has answered with, before it is read again.
    pub catch_up: Duration,
    /// The time between two attempts to open a storage whose lock is held.
    pub busy_retry: Duration,
    /// The time that a former owner may hold the lock of the storage before the fencing hook is run. At least `ttl`, so
    /// that the permission of an owner whose lease was ended by hand is over.
    pub fence_after: Duration,
    /// The time for which a node does not acquire a share again whose storage failed.
    pub rest: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3),
            drift_ppm: 10_000,
            margin: Duration::from_millis(500),
            keep_alive: Duration::from_millis(500),
            retry: Duration::from_millis(300),
            rank_step: Duration::from_millis(250),
            catch_up: Duration::from_secs(2),
            busy_retry: Duration::from_millis(100),
            fence_after: Duration::from_secs(4),
            rest: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// Sets the time of leases, and the one for a former owner that follows from it.
    pub fn set_lease(&mut self, ttl: Duration) {
        self.ttl = ttl;
        // Beyond the time of a lease, the permission of whoever holds a storage is over.
        self.fence_after = ttl.saturating_add(Duration::from_secs(1));
    }

    /// Checks that the times make sense together.
    ///
    /// # Errors
    /// [`InvalidTiming`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), InvalidTiming> {
        if self.ttl.subsec_nanos() != 0 || self.ttl < TTL_MIN || self.ttl > TTL_MAX {
            return Err(InvalidTiming::Ttl);
        }
        if self.drift_ppm == 0 || self.drift_ppm > DRIFT_PPM_MAX {
            return Err(InvalidTiming::Drift);
        }
        if self.margin < MARGIN_MIN {
            return Err(InvalidTiming::Margin);
        }
        let steps = [self.retry, self.rank_step, self.catch_up, self.busy_retry, self.keep_alive];
        if steps.iter().any(Duration::is_zero) {
            return Err(InvalidTiming::Zero);
        }
        if self.fence_after < self.ttl {
            return Err(InvalidTiming::FenceAfter);
        }
        // One renewal may be lost without an interruption.
        if self.permission(self.ttl) < self.keep_alive.saturating_mul(2) {
            return Err(InvalidTiming::Short);
        }
        Ok(())
    }

    /// The time for which a renewal with the answer `ttl` permits writes, counted from the sending of the request.
    pub fn permission(&self, ttl: Duration) -> Duration {
        let parts = 1_000_000_u32.saturating_sub(self.drift_ppm);
        let by_own_clock = ttl.min(TTL_MAX).saturating_mul(parts) / 1_000_000;
        by_own_clock.saturating_sub(self.margin)
    }

    /// The end of the write permission by a renewal that was sent at `sent` and answered with `ttl`.
    pub fn deadline(&self, sent: Moment, ttl: Duration) -> Moment {
        sent.after(self.permission(ttl))
    }
}

/// The rules for moving shares from nodes with many to nodes with few.
#[derive(Clone, Debug)]
pub struct Balance {
    /// False if the node never gives a share away by itself.
    pub enabled: bool,
    /// A node gives shares away if it has more than its part by this many per cent of its part.
    pub threshold_percent: u32,
    /// The time between two moves of one node, and the time for which the set of nodes must be unchanged before.
    pub cooldown: Duration,
}

impl Default for Balance {
    fn default() -> Self {
        Self { enabled: true, threshold_percent: 25, cooldown: Duration::from_secs(5) }
    }
}

/// A rule for [`Timing`] that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTiming {
    /// The time of the lease.
    #[error("the lease must last 2 to 60 whole seconds")]
    Ttl,
    /// The drift.
    #[error("the drift must be between 1 and 200,000 ppm")]
    Drift,
    /// The wait before the fencing hook.
    #[error("the fencing hook must wait for the time of a lease at least")]
    FenceAfter,
    /// The margin.
    #[error("the margin must be 50 ms or more")]
    Margin,
    /// A step of no time would repeat requests without a pause.
    #[error("a time between two attempts must not be zero")]
    Zero,
    /// The permission of one renewal is too short.
    #[error(
        "a renewal must permit writes for at least two intervals of renewal: raise the lease time or lower the margin"
    )]
    Short,
}

/// With the default election timeout etcd raises a shorter time to 2 s.
const TTL_MIN: Duration = Duration::from_secs(2);

/// The shares of a dead node are not served for so long. An answer of etcd with a longer time counts as this.
const TTL_MAX: Duration = Duration::from_secs(60);

/// Beyond this a clock is broken, not imprecise.
const DRIFT_PPM_MAX: u32 = 200_000;

/// Less than this is no time for a write to reach the storage.
const MARGIN_MIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_times_are_valid() {
        assert_eq!(Timing::default().check(), Ok(()));
    }

    #[test]
    fn permission_ends_before_the_lease_by_drift_and_margin() {
        let timing = Timing::default();
        assert_eq!(timing.permission(Duration::from_secs(3)), Duration::from_millis(2470));
        assert_eq!(timing.permission(Duration::ZERO), Duration::ZERO);
        // An answer of any length is no permission for ever.
        assert!(timing.permission(Duration::MAX) < TTL_MAX);
    }

    #[test]
    fn each_lease_of_whole_seconds_makes_valid_times() {
        let mut timing = Timing::default();
        for seconds in 2..=60 {
            timing.set_lease(Duration::from_secs(seconds));
            assert_eq!(timing.check(), Ok(()), "{seconds}");
        }
        timing.set_lease(Duration::from_secs(61));
        assert_eq!(timing.check(), Err(InvalidTiming::Ttl));
    }

    #[test]
    fn times_that_break_a_rule_are_refused() {
        let changed = |change: fn(&mut Timing)| {
            let mut timing = Timing::default();
            change(&mut timing);
            timing.check()
        };
        assert_eq!(changed(|t| t.ttl = Duration::from_millis(2500)), Err(InvalidTiming::Ttl));
        assert_eq!(changed(|t| t.drift_ppm = 0), Err(InvalidTiming::Drift));
        assert_eq!(changed(|t| t.margin = Duration::ZERO), Err(InvalidTiming::Margin));
        assert_eq!(changed(|t| t.fence_after = Duration::from_secs(2)), Err(InvalidTiming::FenceAfter));
        assert_eq!(changed(|t| t.retry = Duration::ZERO), Err(InvalidTiming::Zero));
        assert_eq!(changed(|t| t.margin = Duration::from_millis(2100)), Err(InvalidTiming::Short));
    }
}
