//! What renames and removals could not finish, because the connection stayed lost for longer than a call may take: it is
//! finished, or undone, when the connection is back.
//!
//! It is in memory: what is unfinished at the end of a mount, with the server still away, keeps the name that it was
//! given. Nothing but the mount knows what it was called.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    leftovers: Mutex<VecDeque<Leftover>>,
    added: Notify,
}

impl Unfinished {
    /// Remembers what is to be done. One more than [`limits::UNFINISHED_MAX`] is left as it is.
    pub(crate) fn add(&self, leftover: Leftover) {
        let mut leftovers = self.lock();
        if leftovers.len() < limits::UNFINISHED_MAX {
            leftovers.push_back(leftover);
            self.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Leftover>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Tries each of what is left over once; whether nothing is left.
    pub(crate) async fn try_leftovers(&self) -> bool {
        let count = self.unfinished.lock().len();
        for _ in 0..count {
            let Some(leftover) = self.unfinished.lock().front().cloned() else { break };
            let next = self.try_leftover(&leftover).await;
            let mut leftovers = self.unfinished.lock();
            leftovers.pop_front();
            if let Some(next) = next {
                // Where the connection is away for one it is for all.
                leftovers.push_front(next);
                return false;
            }
        }
        self.unfinished.lock().is_empty()
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
