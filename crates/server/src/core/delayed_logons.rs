//! Logons that are delayed: until their password may be checked, or until their refusal may be sent.
//!
//! The request of each stays in memory meanwhile, and any client can send one. So their number is limited on each
//! connection and in all. Beyond the limit, the oldest is refused at once. An attacker gains nothing by that, because
//! this is not what limits guesses ([`guesses`](super::guesses)).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::core::limits;

/// The delayed logons of all connections.
#[derive(Debug, Default)]
pub(crate) struct DelayedLogons {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// The delayed logons by age.
    held: BTreeMap<u64, CancellationToken>,
}

impl DelayedLogons {
    /// Enters a logon, and releases the oldest if there are too many.
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

    /// The number of delayed logons.
    pub(crate) fn count(&self) -> usize {
        self.table.lock().held.len()
    }

    /// Removes a logon that is no longer delayed.
    pub(crate) fn leave(&self, id: u64) {
        self.table.lock().held.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_delayed_logon_is_released_beyond_the_limit() {
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
