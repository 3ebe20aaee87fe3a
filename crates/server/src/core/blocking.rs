//! The execution of calls that may wait for a disk.
//!
//! Opens, metadata and writes into the page cache run in place, because handing them to another thread would cost more
//! than the calls. Calls that certainly wait (a flush), or would wait (a read of data that are not in memory), run
//! here.

use std::sync::Arc;

use wire::NtStatus;

use crate::core::bulkhead::{self, Bulkhead};

/// Runs `work` on the blocking pool, in one of the places of the share of the request; if all of these are taken, it
/// waits for one. Afterwards it waits for a limited time for the jobs that the work has caused.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NtStatus> {
    run_behind(bulkhead::current(), work).await
}

/// Runs `work` on the blocking pool in one of the places of a bulkhead, as [`run`] does.
pub(crate) async fn run_behind<T: Send + 'static>(
    bulkhead: Option<Arc<Bulkhead>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NtStatus> {
    let place = match &bulkhead {
        Some(bulkhead) => bulkhead.place().await,
        None => None,
    };
    let work = move || match bulkhead {
        Some(bulkhead) => bulkhead.call_apart(work),
        None => work(),
    };
    let done = tokio::task::spawn_blocking(move || {
        let done = bulkhead::collected(work);
        drop(place);
        done
    });
    let (done, caused) = done.await.map_err(|_| NtStatus::INTERNAL_ERROR)?;
    if !caused.is_empty() {
        bulkhead::settle(caused).await;
    }
    Ok(done)
}
