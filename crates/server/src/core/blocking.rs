//! Where calls that may wait for a disk run.
//!
//! Opening, metadata and writes into the page cache run in place: handing them to another thread
//! costs more than they do. What certainly waits (a flush), and what would wait (a read that is not
//! in memory), runs here.

use std::sync::Arc;

use wire::NtStatus;

use crate::core::bulkhead::{self, Bulkhead};

/// Runs `work` on the blocking pool, in one of the places of the share that the request is about: where those are all
/// taken it waits for one. Waits a while for what the work causes to be done to other files.
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
