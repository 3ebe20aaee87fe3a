//! The server's counters (MS-SRVS 2.2.4.39 STAT_SERVER_0), as atomics that are used without
//! the lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wire::FileGlobalId;

use crate::Time;
use crate::parts::{PARTS, Padded, Parted};

macro_rules! statistics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the server started.
        #[derive(Debug, Default)]
        pub struct Statistics {
            started: AtomicU64,
            /// The files opened, in parts that threads on different cores count: most requests count nothing else here.
            opened: [Padded<AtomicU64>; PARTS],
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct StatisticsSnapshot {
            /// `sts0_start`: the time when counting began.
            pub started: Time,
            /// `sts0_fopens`: files opened.
            pub file_opens: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Statistics {
            /// The counters now.
            pub fn snapshot(&self) -> StatisticsSnapshot {
                StatisticsSnapshot {
                    started: Time(self.started.load(Relaxed)),
                    file_opens: self.opened.iter().map(|it| it.load(Relaxed)).fold(0, u64::wrapping_add),
                    $($name: self.$name.load(Relaxed),)*
                }
            }

            /// Sets every counter to zero (MS-SRVS 3.1.4.36, STATSOPT_CLR).
            pub fn clear(&self, now: Time) {
                self.started.store(now.0, Relaxed);
                self.opened.iter().for_each(|it| it.store(0, Relaxed));
                $(self.$name.store(0, Relaxed);)*
            }
        }
    };
}

statistics! {
    /// `sts0_devopens`: pipes and devices opened.
    device_opens,
    /// `sts0_jobsqueued`: print jobs.
    jobs_queued,
    /// `sts0_sopens`: sessions started.
    session_opens,
    /// `sts0_stimedout`: sessions ended because they were idle or expired.
    sessions_timed_out,
    /// `sts0_serrorout`: sessions ended by a lost connection or another error.
    sessions_errored_out,
    /// `sts0_pwerrors`: wrong passwords.
    password_errors,
    /// `sts0_permerrors`: access denied.
    permission_errors,
    /// `sts0_syserrors`: errors of the server itself.
    system_errors,
    /// `sts0_bytessent`.
    bytes_sent,
    /// `sts0_bytesrcvd`.
    bytes_received,
    /// The time that all answered requests took, in microseconds, for `sts0_avresponse`.
    response_us,
    /// The number of answered requests, for `sts0_avresponse`.
    responses,
    /// Refused opens: sharing violations, pending deletes, lease keys, limits.
    opens_refused,
    /// Byte-range lock, READ and WRITE requests that were refused because of a lock.
    lock_conflicts,
    /// Oplock and lease breaks sent.
    breaks_sent,
    /// Breaks that were not acknowledged in time.
    breaks_timed_out,
    /// Credits granted to clients (MS-SMB2 3.3.1.2).
    credits_granted,
    /// Credits that the requests of clients have used.
    credits_charged,
}

impl Statistics {
    /// Creates counters that are zero.
    pub fn new(now: Time) -> Self {
        let statistics = Self::default();
        statistics.clear(now);
        statistics
    }

    /// Counts a file that was opened.
    pub(crate) fn count_file_open(&self, id: FileGlobalId) {
        if let Some(count) = self.opened.get(id.part().index()) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl StatisticsSnapshot {
    /// `sts0_avresponse`: the average time to an answer in milliseconds, rounded.
    pub fn average_response_ms(&self) -> u64 {
        let average_us = self.response_us.checked_div(self.responses).unwrap_or(0);
        average_us.saturating_add(500) / 1000
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
