//! Logons that are held back: until it is their turn to be judged, or until their refusal may be told.
//!
//! Each keeps its request in memory meanwhile, and anybody can send one. So they have places: a few on each
//! connection, and some in all. Where those are taken, the oldest goes: it is refused at once. What paces guesses is
//! not here ([`guesses`](super::guesses)), so nobody gains by that.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::core::limits;

/// The logons of all connections that are held back.
#[derive(Debug, Default)]
pub(crate) struct DelayedLogons {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By age.
    held: BTreeMap<u64, CancellationToken>,
}

impl DelayedLogons {
    /// Enters one more, and lets the oldest go where there are too many.
    pub(crate) fn enter(&self) -> (u64, CancellationToken) {
        let mut table = self.table.lock();
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

    /// Takes out one that is not held back any longer.
    pub(crate) fn leave(&self, id: u64) {
        self.table.lock().held.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let all = DelayedLogons::default();
        let held: Vec<_> = (0..limits::HELD_BACK).map(|_| all.enter()).collect();
        assert!(held.iter().all(|(_, let_go)| !let_go.is_cancelled()));
        let (last, _) = all.enter();
        let gone = held.iter().filter(|(_, let_go)| let_go.is_cancelled()).map(|(id, _)| *id);
        assert_eq!(gone.collect::<Vec<_>>(), [held[0].0]);
        for id in held.iter().map(|(id, _)| *id).chain([last]) {
            all.leave(id);
        }
        assert!(all.table.lock().held.is_empty());
    }
}
