//! The counts of a connection for the server's statistics (MS-SRVS 2.2.4.39).
//!
//! Each connection counts its own requests without contention, and adds the sums to the server's shared
//! counters once in each turn of its task.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use registry::Statistics;
use wire::NtStatus;

/// The counts since they were last added to the server's.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    responses: AtomicU64,
    response_us: AtomicU64,
    permission_errors: AtomicU64,
    system_errors: AtomicU64,
    credits_granted: AtomicU64,
    credits_charged: AtomicU64,
}

impl Traffic {
    /// Counts received bytes.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts sent bytes.
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Counts the status of an answer.
    pub(super) fn answered(&self, status: NtStatus) {
        match status {
            NtStatus::ACCESS_DENIED => self.permission_errors.fetch_add(1, Relaxed),
            NtStatus::INTERNAL_ERROR | NtStatus::UNEXPECTED_IO_ERROR | NtStatus::INSUFFICIENT_RESOURCES => {
                self.system_errors.fetch_add(1, Relaxed)
            }
            _ => return,
        };
    }

    /// Counts the time of a request that waited only for the server.
    pub(super) fn took(&self, time: Duration) {
        self.responses.fetch_add(1, Relaxed);
        self.response_us.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts granted credits.
    pub(super) fn granted(&self, credits: u16) {
        self.credits_granted.fetch_add(u64::from(credits), Relaxed);
    }

    /// Counts the credits of a request.
    pub(super) fn charged(&self, credits: u16) {
        self.credits_charged.fetch_add(u64::from(credits), Relaxed);
    }

    /// Adds the counts to the server's and resets them.
    pub(super) fn hand_on(&self, to: &Statistics) {
        for (from, to) in [
            (&self.received, &to.bytes_received),
            (&self.sent, &to.bytes_sent),
            (&self.responses, &to.responses),
            (&self.response_us, &to.response_us),
            (&self.permission_errors, &to.permission_errors),
            (&self.system_errors, &to.system_errors),
            (&self.credits_granted, &to.credits_granted),
            (&self.credits_charged, &to.credits_charged),
        ] {
            let count = from.load(Relaxed);
            if count != 0 {
                from.fetch_sub(count, Relaxed);
                to.fetch_add(count, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_to_the_servers_once() {
        let (traffic, statistics) = (Traffic::default(), Statistics::default());
        traffic.received(3);
        traffic.sent(4);
        traffic.took(Duration::from_micros(5));
        traffic.granted(6);
        traffic.charged(2);
        for status in [NtStatus::SUCCESS, NtStatus::ACCESS_DENIED, NtStatus::INTERNAL_ERROR] {
            traffic.answered(status);
        }
        traffic.hand_on(&statistics);
        traffic.hand_on(&statistics);
        let counted = statistics.snapshot();
        assert_eq!((counted.bytes_received, counted.bytes_sent), (3, 4));
        assert_eq!((counted.responses, counted.response_us), (1, 5));
        assert_eq!((counted.credits_granted, counted.credits_charged), (6, 2));
        assert_eq!((counted.permission_errors, counted.system_errors), (1, 1));
    }
}
