//! The runtime that a server runs on.

use std::io;

use tokio::runtime::Builder;

use crate::core::bulkhead::{Watchdog, set_workers_max};
use crate::core::limits;

/// A runtime for servers, which continues to work when calls into file systems hang. A process has one at a time.
#[derive(Debug)]
pub struct Runtime {
    /// Dropped first: the workers that it keeps asleep would prevent the runtime from ending.
    watchdog: Watchdog,
    runtime: tokio::runtime::Runtime,
}

impl Runtime {
    /// Starts the runtime. The number of threads depends on the number of processors.
    pub fn start() -> io::Result<Self> {
        // Calls wait for a disk in place, so there are more threads than processors.
        let workers = std::thread::available_parallelism().map_or(4, |count| count.get().max(2) * 2);
        let reserve = (workers * 3).min(workers + RESERVE_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers + reserve)
            .max_blocking_threads(limits::BLOCKING_THREADS)
            .enable_all()
            .build()?;
        set_workers_max(workers / 2);
        let watchdog = Watchdog::start(runtime.handle(), reserve)?;
        Ok(Self { watchdog, runtime })
    }

    /// Runs a future until it is done.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Ends the runtime without waiting for calls under way.
    pub fn shut_down(self) {
        drop(self.watchdog);
        self.runtime.shutdown_background();
    }
}

/// The maximal number of reserve workers beyond one for each that works: a number that does not matter on a large
/// machine. Calls into one share may block all free workers before the watchdog finds them; when fewer than two are
/// left in reserve, no call runs on a worker any more.
const RESERVE_MAX: usize = 32;
