//! Logons that are held back: until it is their turn to be judged, or until their refusal may be told.
//!
//! Each keeps its request in memory meanwhile, and anybody can send one. So they have places: a few on each
//! connection, and some in all. Where those are taken, the oldest goes: it is refused at once. What paces guesses is
//! not here (`crate::core::guesses`), so nobody gains by that.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Connection;
use crate::core::limits;

/// The logons of all connections that are held back.
#[derive(Debug, Default)]
pub(crate) struct HeldBackLogons {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By age.
    held: BTreeMap<u64, CancellationToken>,
}

impl HeldBackLogons {
    /// Enters one more, and lets the oldest go where there are too many.
    fn enter(&self) -> (u64, CancellationToken) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.last = table.last.wrapping_add(1);
        let (id, let_go) = (table.last, CancellationToken::new());
        table.held.insert(id, let_go.clone());
        if table.held.len() > limits::HELD_BACK
            && let Some((_, oldest)) = table.held.pop_first()
        {
            oldest.cancel();
        }
        (id, let_go)
    }

    fn leave(&self, id: u64) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&id);
    }
}

/// A logon that is held back.
pub(crate) struct HeldBack<'a> {
    connection: &'a Connection,
    id: u64,
    let_go: CancellationToken,
}

impl Connection {
    /// Takes a place among the logons that are held back; none where the connection has too many.
    pub(crate) fn hold_back(&self) -> Option<HeldBack<'_>> {
        let before = self.held_back.fetch_add(1, Ordering::Relaxed);
        if before >= limits::HELD_BACK_PER_CONNECTION {
            self.held_back.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (id, let_go) = self.server.held_back.enter();
        Some(HeldBack { connection: self, id, let_go })
    }
}

impl HeldBack<'_> {
    /// Waits, at most until the connection is over or the place is needed.
    pub(crate) async fn wait(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.connection.over.cancelled() => {}
            () = self.let_go.cancelled() => {}
        }
    }

    /// Whether it may not wait any longer.
    pub(crate) fn has_to_go(&self) -> bool {
        self.let_go.is_cancelled()
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_over(&self) -> bool {
        self.connection.over.is_cancelled()
    }
}

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        self.connection.server.held_back.leave(self.id);
        self.connection.held_back.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let all = HeldBackLogons::default();
        let held: Vec<_> = (0..limits::HELD_BACK).map(|_| all.enter()).collect();
        assert!(held.iter().all(|(_, let_go)| !let_go.is_cancelled()));
        let (last, _) = all.enter();
        let gone = held.iter().filter(|(_, let_go)| let_go.is_cancelled()).map(|(id, _)| *id);
        assert_eq!(gone.collect::<Vec<_>>(), [held[0].0]);
        for id in held.iter().map(|(id, _)| *id).chain([last]) {
            all.leave(id);
        }
        assert!(all.table.lock().unwrap().held.is_empty());
    }
}
