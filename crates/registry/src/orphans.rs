//! Orphans: durable opens that wait for their clients, by user and by age. Each holds a handle of the store and can
//! conflict with other opens, so their number is limited for each user; the oldest is closed first.

use std::collections::{BTreeSet, HashMap};

use wire::FileGlobalId;

use crate::open::Open;
use crate::user_counts::UserKey;
use crate::{CloseReason, Effects, Shell, State, Time, cost};

/// The orphans in the order in which they lost their clients.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orphans {
    by_age: BTreeSet<Numbered>,
    by_user: HashMap<UserKey, BTreeSet<Numbered>>,
    /// The orphans of each share, which end when the share is removed.
    by_share: BTreeSet<(u32, FileGlobalId)>,
}

/// An open with its number in the order in which opens lost their clients.
type Numbered = (u64, FileGlobalId);

impl Orphans {
    pub(crate) fn len(&self) -> usize {
        self.by_share.len()
    }

    /// An orphan of a share.
    pub(crate) fn first_of_share(&self, share: u32) -> Option<FileGlobalId> {
        cost::step();
        let all = (share, FileGlobalId::MIN)..=(share, FileGlobalId::MAX);
        self.by_share.range(all).next().map(|(_, id)| *id)
    }

    pub(crate) fn enter<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        let Some(number) = open.orphaned else { return };
        // The number of persistent opens is limited by that of the logged ones.
        if !open.is_persistent() {
            self.by_age.insert((number, id));
            self.by_user.entry(open.user.clone()).or_default().insert((number, id));
        }
        self.by_share.insert((open.origin.share_id, id));
    }

    /// Removes an open that has a client again, or that ends.
    pub(crate) fn leave<S: Shell>(&mut self, id: FileGlobalId, open: &mut Open<S>) {
        let Some(number) = open.orphaned.take() else { return };
        self.by_age.remove(&(number, id));
        self.by_share.remove(&(open.origin.share_id, id));
        if let Some(own) = self.by_user.get_mut(&open.user) {
            own.remove(&(number, id));
            if own.is_empty() {
                self.by_user.remove(&open.user);
            }
        }
    }

    fn next_number(&self) -> u64 {
        self.by_age.last().map_or(1, |(last, _)| last.saturating_add(1))
    }

    fn oldest_of(&self, user: &UserKey, limit: usize) -> Option<FileGlobalId> {
        let own = self.by_user.get(user).filter(|own| own.len() > limit)?;
        own.first().map(|(_, id)| *id)
    }

    fn oldest(&self, limit: usize) -> Option<FileGlobalId> {
        self.by_age.first().filter(|_| self.by_age.len() > limit).map(|(_, id)| *id)
    }
}

impl<S: Shell> State<S> {
    /// Enters an open that has lost its client. If its user, or all users together, have too many orphans, the oldest
    /// is closed. A reconnect to it fails with STATUS_OBJECT_NAME_NOT_FOUND.
    pub(crate) fn enter_orphan(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(open) = self.opens.get_mut(&id) else { return };
        open.orphaned = Some(self.orphans.next_number());
        let user = open.user.clone();
        self.orphans.enter(id, open);
        let too_many = self
            .orphans
            .oldest_of(&user, self.limits.orphans_per_user)
            .or_else(|| self.orphans.oldest(self.limits.orphans));
        if let Some(oldest) = too_many {
            self.end_open(oldest, CloseReason::DurableExpired, now, effects);
        }
    }
}
