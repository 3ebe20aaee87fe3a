//! What renames and removals could not finish, because the connection stayed lost for longer than a call may take: it is
//! finished, or undone, when the connection is back.
//!
//! It is in memory: what is unfinished at the end of a mount, with the server still away, keeps the name that it was
//! given. Nothing but the mount knows what it was called.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::identity::Identity;
use crate::limits;
use crate::rename::{PutAway, PutBack, is_lost};
use crate::volume::Volume;

/// Something that has a name which is not its own.
#[derive(Clone, Debug)]
pub(crate) enum Leftover {
    /// It was replaced and is to be deleted.
    Discard(PutAway),
    /// It is to get its name back, unless the file that was to replace it has done so.
    PutBack {
        /// What it is.
        away: PutAway,
        /// Its name.
        path: String,
        /// The file that was to take its place.
        replacing: Identity,
    },
}

/// All that there is of it.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    leftovers: Mutex<InOrder<Leftover>>,
    added: Notify,
}

/// Things to be done in the order in which they came up: a file that is to be put back may have to go before a later one
/// gets its name.
#[derive(Debug)]
struct InOrder<T>(VecDeque<T>);

impl<T: Clone> InOrder<T> {
    /// Adds one behind the others, where there is room.
    fn add(&mut self, new: T) -> bool {
        let fits = self.0.len() < limits::UNFINISHED_MAX;
        if fits {
            self.0.push_back(new);
        }
        fits
    }

    /// The one to be tried next.
    fn first(&self) -> Option<T> {
        self.0.front().cloned()
    }

    /// The first was tried. If something is left of it, that is the first, before all that came later.
    fn tried(&mut self, left: Option<T>) {
        self.0.pop_front();
        if let Some(left) = left {
            self.0.push_front(left);
        }
    }
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl Unfinished {
    /// Remembers what is to be done. One more than [`limits::UNFINISHED_MAX`] is left as it is.
    pub(crate) fn add(&self, leftover: Leftover) {
        if self.lock().add(leftover) {
            self.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, InOrder<Leftover>> {
        self.leftovers.lock()
    }
}

impl Volume {
    /// Finishes what is left over, for as long as the mount lasts.
    pub(crate) async fn finish_leftovers(&self) {
        loop {
            self.unfinished.added.notified().await;
            while !self.try_leftovers().await {
                tokio::time::sleep(limits::UNFINISHED_PAUSE).await;
            }
        }
    }

    /// Tries what is left over, until something cannot be done yet; whether nothing is left.
    pub(crate) async fn try_leftovers(&self) -> bool {
        loop {
            let Some(leftover) = self.unfinished.lock().first() else { return true };
            let left = self.try_leftover(&leftover).await;
            // Where the connection is away for one it is for all.
            let stop = left.is_some();
            self.unfinished.lock().tried(left);
            if stop {
                return false;
            }
        }
    }

    /// What is still to be done then; nothing also where it cannot be done, and so stays as it is.
    async fn try_leftover(&self, leftover: &Leftover) -> Option<Leftover> {
        let lost = match leftover {
            Leftover::Discard(away) => self.try_discard(away).await.is_err_and(|errno| is_lost(&errno)),
            Leftover::PutBack { away, path, replacing } => {
                match self.try_put_back(away, path, *replacing).await {
                    Ok(PutBack::Replaced) => {
                        let discard = Leftover::Discard(away.clone());
                        let refused = self.try_discard(away).await;
                        return refused.is_err_and(|errno| is_lost(&errno)).then_some(discard);
                    }
                    Ok(PutBack::Done | PutBack::Failed) => false,
                    Err(errno) => is_lost(&errno),
                }
            }
        };
        lost.then(|| leftover.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_stays_before_what_came_later() {
        let mut leftovers = InOrder::default();
        for name in ["first", "second"] {
            assert!(leftovers.add(name));
        }
        leftovers.tried(Some("rest of the first"));
        leftovers.add("third");
        for expected in ["rest of the first", "second", "third"] {
            assert_eq!(leftovers.first(), Some(expected));
            leftovers.tried(None);
        }
        assert_eq!(leftovers.first(), None);
    }
}
