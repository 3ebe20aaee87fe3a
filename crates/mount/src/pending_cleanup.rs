//! The steps of renames and removals that could not be finished because the connection was lost for longer
//! than a call may take; they are finished or undone after a reconnection.
//!
//! The list is kept in memory: if the server is still unreachable at the end of a mount, the files keep their
//! temporary names, and their original names are lost.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::identity::Identity;
use crate::limits;
use crate::rename::{PutAway, PutBack, is_lost};
use crate::volume::Volume;

/// A file with a temporary name.
#[derive(Clone, Debug)]
pub(crate) enum Leftover {
    /// A replaced file that must be deleted.
    Discard(PutAway),
    /// A file that must get its name back, unless the file that was to replace it has done so.
    PutBack {
        /// The file.
        away: PutAway,
        /// The original path.
        path: String,
        /// The file that was to replace it.
        replacing: Identity,
    },
}

/// The unfinished steps of a mount.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    leftovers: Mutex<InOrder<Leftover>>,
    added: Notify,
}

/// Items in the order of their creation: a file to be restored may have to be handled before a later one gets
/// its name.
#[derive(Debug)]
struct InOrder<T>(VecDeque<T>);

impl<T: Clone> InOrder<T> {
    /// Appends an item if there is space.
    fn add(&mut self, new: T) -> bool {
        let fits = self.0.len() < limits::UNFINISHED_MAX;
        if fits {
            self.0.push_back(new);
        }
        fits
    }

    /// The item to try next.
    fn first(&self) -> Option<T> {
        self.0.front().cloned()
    }

    /// Removes the first item after an attempt; if a rest of it remains, that becomes the first.
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
    /// Adds a step. Beyond [`limits::UNFINISHED_MAX`] it is dropped.
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
    /// Finishes steps as long as the mount lasts.
    pub(crate) async fn finish_leftovers(&self) {
        loop {
            self.unfinished.added.notified().await;
            while !self.changing(self.try_leftovers()).await {
                tokio::time::sleep(limits::UNFINISHED_PAUSE).await;
            }
        }
    }

    /// Tries all steps until one must wait; true if none is left.
    pub(crate) async fn try_leftovers(&self) -> bool {
        loop {
            let Some(leftover) = self.unfinished.lock().first() else { return true };
            let left = self.try_leftover(&leftover).await;
            // If the connection is lost for one step, it is lost for all.
            let stop = left.is_some();
            self.unfinished.lock().tried(left);
            if stop {
                return false;
            }
        }
    }

    /// Tries a step; returns the step that remains, or `None` if it is finished or can never be.
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
    fn an_unfinished_item_stays_first() {
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
