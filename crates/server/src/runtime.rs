//! The runtime that a server runs on.

use std::io;

use tokio::runtime::Builder;

use crate::bulkhead::Watchdog;
use crate::limits;

/// A runtime for servers: one that goes on working when calls into file systems hang.
#[derive(Debug)]
pub struct Runtime {
    runtime: tokio::runtime::Runtime,
    watchdog: Watchdog,
}

impl Runtime {
    /// Starts it, with threads by the number of processors.
    pub fn start() -> io::Result<Self> {
        // Calls wait for a disk in place: more threads than processors keep the others served.
        let workers = std::thread::available_parallelism().map_or(4, |count| count.get().max(2) * 2);
        let reserve = workers * RESERVE_FACTOR;
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers + reserve)
            .max_blocking_threads(limits::BLOCKING_THREADS)
            .enable_all()
            .build()?;
        let watchdog = Watchdog::start(runtime.handle(), reserve)?;
        Ok(Self { runtime, watchdog })
    }

    /// Runs a future to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Ends it without waiting for calls that are under way.
    pub fn shut_down(self) {
        drop(self.watchdog);
        self.runtime.shutdown_background();
    }
}

/// Workers in reserve for each that works: two shares may hang at once with all workers in them, and then another one.
const RESERVE_FACTOR: usize = 3;
