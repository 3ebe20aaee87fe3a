//! The runtime that a server runs on.

use std::io;

use tokio::runtime::Builder;

use crate::core::bulkhead::Watchdog;
use crate::core::limits;

/// A runtime for servers: one that goes on working when calls into file systems hang. A process has one at a time.
#[derive(Debug)]
pub struct Runtime {
    /// First to go: the workers that it keeps asleep would keep the runtime from ending.
    watchdog: Watchdog,
    runtime: tokio::runtime::Runtime,
}

impl Runtime {
    /// Starts it, with threads by the number of processors.
    pub fn start() -> io::Result<Self> {
        // Calls wait for a disk in place: more threads than processors keep the others served.
        let workers = std::thread::available_parallelism().map_or(4, |count| count.get().max(2) * 2);
        let reserve = (workers * 3).min(workers + RESERVE_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers + reserve)
            .max_blocking_threads(limits::BLOCKING_THREADS)
            .enable_all()
            .build()?;
        let watchdog = Watchdog::start(runtime.handle(), reserve)?;
        Ok(Self { watchdog, runtime })
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

/// Workers in reserve beyond one for each that works: as many as do not matter on a large machine. Every share may get
/// all workers that are free stuck before the watchdog notices; once fewer than two are left in reserve, no call runs on
/// a worker any more.
const RESERVE_MAX: usize = 32;
