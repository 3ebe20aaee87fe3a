//! Where calls that may wait for a disk run.
//!
//! Opening, metadata and writes into the page cache run in place: handing them to another thread
//! costs more than they do. What certainly waits (a flush), and what would wait (a read that is not
//! in memory), runs here.

use wire::NtStatus;

/// Runs `work` on the blocking pool.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NtStatus> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NtStatus::INTERNAL_ERROR)
}
