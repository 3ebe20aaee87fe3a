//! The counts of answered requests by command, with their results and times.
//!
//! Each thread adds to one of several copies of the counters, so that threads rarely write to the same cache line. A
//! snapshot adds the copies up. Counting takes three additions and no lock.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use wire::NtStatus;
use wire::header::Command;

/// The result of a request, in classes that are few enough for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ResultClass {
    /// The request was carried out; also at the end of a listing or of a file, and at a step of a logon.
    Success,
    /// The name does not exist.
    NotFound,
    /// The user or the logon was refused.
    Denied,
    /// Another open, a lock or an existing name stood in the way.
    Conflict,
    /// The request was cancelled, or its open or session ended.
    Cancelled,
    /// The server or its disk failed, or a limit was reached.
    ServerError,
    /// Any other status.
    Other,
}

impl ResultClass {
    /// The number of classes.
    const COUNT: usize = Self::Other as usize + 1;

    fn of(status: NtStatus) -> Self {
        if !status.is_error() {
            return Self::Success;
        }
        match status {
            NtStatus::END_OF_FILE | NtStatus::MORE_PROCESSING_REQUIRED => Self::Success,
            NtStatus::OBJECT_NAME_NOT_FOUND
            | NtStatus::OBJECT_PATH_NOT_FOUND
            | NtStatus::NO_SUCH_FILE
            | NtStatus::BAD_NETWORK_NAME => Self::NotFound,
            NtStatus::ACCESS_DENIED
            | NtStatus::ACCOUNT_DISABLED
            | NtStatus::ACCOUNT_RESTRICTION
            | NtStatus::LOGON_FAILURE
            | NtStatus::MEDIA_WRITE_PROTECTED
            | NtStatus::PASSWORD_EXPIRED
            | NtStatus::PRIVILEGE_NOT_HELD
            | NtStatus::WRONG_PASSWORD => Self::Denied,
            NtStatus::DELETE_PENDING
            | NtStatus::FILE_LOCK_CONFLICT
            | NtStatus::LOCK_NOT_GRANTED
            | NtStatus::OBJECT_NAME_COLLISION
            | NtStatus::SHARING_VIOLATION => Self::Conflict,
            NtStatus::CANCELLED
            | NtStatus::FILE_CLOSED
            | NtStatus::NETWORK_NAME_DELETED
            | NtStatus::NETWORK_SESSION_EXPIRED
            | NtStatus::USER_SESSION_DELETED => Self::Cancelled,
            NtStatus::DISK_FULL
            | NtStatus::INSUFFICIENT_RESOURCES
            | NtStatus::INTERNAL_ERROR
            | NtStatus::IO_TIMEOUT
            | NtStatus::UNEXPECTED_IO_ERROR => Self::ServerError,
            _ => Self::Other,
        }
    }
}

/// The number of commands that are counted: those with the numbers below it (MS-SMB2 2.2.1.1).
const COMMANDS: usize = Command::OPLOCK_BREAK.0 as usize + 1;

/// The upper ends of the classes of times, in microseconds. The last class has no upper end.
pub(crate) const TIME_BOUNDS_US: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// The number of copies of the counters: more than this many threads share copies.
const COPIES: usize = 16;

/// The counters.
#[derive(Debug)]
pub(crate) struct RequestCounters {
    copies: Box<[CounterCopy]>,
}

/// One copy, which begins on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CounterCopy {
    commands: [CommandCounters; COMMANDS],
}

#[derive(Debug, Default)]
struct CommandCounters {
    results: [AtomicU64; ResultClass::COUNT],
    times: [AtomicU64; TIME_BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

/// The counts of one command since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandCounts {
    /// The command.
    pub(crate) command: Command,
    results: [u64; ResultClass::COUNT],
    /// The numbers of requests in the classes of times; a request that waited for others is in none.
    pub(crate) times: [u64; TIME_BOUNDS_US.len() + 1],
    /// The sum of these times, in microseconds.
    pub(crate) total_us: u64,
}

impl CommandCounts {
    /// The number of requests with results of a class.
    pub(crate) fn of(&self, class: ResultClass) -> u64 {
        self.results.get(class as usize).copied().unwrap_or_default()
    }

    /// The number of all requests.
    #[cfg(test)]
    fn total(&self) -> u64 {
        sum(&self.results)
    }

    /// The number of requests whose times were measured.
    pub(crate) fn timed(&self) -> u64 {
        sum(&self.times)
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |total, count| total.saturating_add(*count))
}

impl Default for RequestCounters {
    fn default() -> Self {
        Self { copies: (0..COPIES).map(|_| CounterCopy::default()).collect() }
    }
}

impl RequestCounters {
    /// Counts an answered request. `time` is `None` if it waited for others than the server.
    pub(crate) fn count(&self, command: Command, status: NtStatus, time: Option<Duration>) {
        let copy = self.copies.get(copy_of_thread());
        let Some(counters) = copy.and_then(|it| it.commands.get(usize::from(command.0))) else { return };
        if let Some(result) = counters.results.get(ResultClass::of(status) as usize) {
            result.fetch_add(1, Relaxed);
        }
        if let Some(time) = time {
            let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            let class = TIME_BOUNDS_US.partition_point(|bound| *bound < us);
            if let Some(class) = counters.times.get(class) {
                class.fetch_add(1, Relaxed);
            }
            counters.total_us.fetch_add(us, Relaxed);
        }
    }

    /// The counts of all commands, in the order of their numbers.
    pub(crate) fn snapshot(&self) -> Vec<CommandCounts> {
        let counts = |command: Command| {
            let mut counts = CommandCounts { command, ..CommandCounts::default() };
            for copy in &self.copies {
                let Some(counters) = copy.commands.get(usize::from(command.0)) else { continue };
                counts.results = sums(counts.results, &counters.results);
                counts.times = sums(counts.times, &counters.times);
                counts.total_us = counts.total_us.saturating_add(counters.total_us.load(Relaxed));
            }
            counts
        };
        (0..=Command::OPLOCK_BREAK.0).map(Command).map(counts).collect()
    }
}

fn sums<const N: usize>(sums: [u64; N], counters: &[AtomicU64; N]) -> [u64; N] {
    let mut counts =
        sums.iter().zip(counters).map(|(sum, counter)| sum.saturating_add(counter.load(Relaxed)));
    array::from_fn(|_| counts.next().unwrap_or_default())
}

/// The number of the copy that this thread uses.
fn copy_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static COPY: Cell<Option<usize>> = const { Cell::new(None) };
    }
    COPY.get().unwrap_or_else(|| {
        let copy = NEXT.fetch_add(1, Relaxed) % COPIES;
        COPY.set(Some(copy));
        copy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counters: &RequestCounters, command: Command) -> CommandCounts {
        counters.snapshot().into_iter().find(|it| it.command == command).unwrap()
    }

    #[test]
    fn requests_of_all_threads_are_counted_by_command_and_result() {
        let counters = RequestCounters::default();
        std::thread::scope(|scope| {
            for _ in 0..COPIES + 3 {
                scope.spawn(|| {
                    counters.count(Command::READ, NtStatus::SUCCESS, Some(Duration::from_micros(70)));
                    counters.count(Command::CREATE, NtStatus::SHARING_VIOLATION, None);
                });
            }
        });
        let threads = COPIES as u64 + 3;
        let read = counts(&counters, Command::READ);
        assert_eq!((read.total(), read.of(ResultClass::Success)), (threads, threads));
        assert_eq!((read.timed(), read.total_us), (threads, 70 * threads));
        let create = counts(&counters, Command::CREATE);
        assert_eq!((create.of(ResultClass::Conflict), create.timed()), (threads, 0));
        assert_eq!(counts(&counters, Command::WRITE).total(), 0);
    }

    #[test]
    fn a_time_is_in_the_class_whose_upper_end_it_does_not_exceed() {
        let counters = RequestCounters::default();
        for us in [0, 50, 51, 5_000_000, 5_000_001] {
            counters.count(Command::ECHO, NtStatus::SUCCESS, Some(Duration::from_micros(us)));
        }
        let times = counts(&counters, Command::ECHO).times;
        assert_eq!((times[0], times[1], times[11], times[12]), (2, 1, 1, 1));
    }

    #[test]
    fn unknown_commands_are_not_counted() {
        let counters = RequestCounters::default();
        counters.count(Command(0x7fff), NtStatus::SUCCESS, None);
        assert!(counters.snapshot().iter().all(|it| it.total() == 0));
    }
}
