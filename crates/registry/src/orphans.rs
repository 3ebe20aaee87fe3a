//! The durable opens that wait for their clients, by user and by age: each pins a handle of the store and stands in
//! others' way, so a user may leave only so many behind. The oldest goes first.

use std::collections::{BTreeMap, BTreeSet};

use wire::FileGlobalId;

use crate::open::Open;
use crate::{CloseReason, Effects, Shell, State, Time};

/// Orphans in order of when they became it.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    by_age: BTreeSet<Place>,
    by_user: BTreeMap<String, BTreeSet<Place>>,
    last: u64,
}

/// The order in which opens lost their clients, and the open.
type Place = (u64, FileGlobalId);

impl Orphans {
    pub(crate) fn len(&self) -> usize {
        self.by_age.len()
    }

    pub(crate) fn contains(&self, user: &str, id: FileGlobalId, number: u64) -> bool {
        let place = (number, id);
        self.by_age.contains(&place) && self.by_user.get(user).is_some_and(|it| it.contains(&place))
    }

    /// The number of places by user, for the invariants.
    pub(crate) fn by_user_len(&self) -> usize {
        self.by_user.values().map(BTreeSet::len).sum()
    }

    /// The orphans after this one, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = FileGlobalId> {
        self.by_age.iter().map(|(_, id)| *id)
    }

    fn insert(&mut self, user: String, id: FileGlobalId) -> u64 {
        self.last = self.last.saturating_add(1);
        self.by_age.insert((self.last, id));
        self.by_user.entry(user).or_default().insert((self.last, id));
        self.last
    }

    fn remove(&mut self, user: &str, id: FileGlobalId, number: u64) {
        self.by_age.remove(&(number, id));
        if let Some(own) = self.by_user.get_mut(user) {
            own.remove(&(number, id));
            if own.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    fn oldest_of(&self, user: &str, limit: usize) -> Option<FileGlobalId> {
        let own = self.by_user.get(user).filter(|own| own.len() > limit)?;
        own.first().map(|(_, id)| *id)
    }

    fn oldest(&self, limit: usize) -> Option<FileGlobalId> {
        self.by_age.first().filter(|_| self.by_age.len() > limit).map(|(_, id)| *id)
    }
}

impl<S: Shell> State<S> {
    /// Notes that an open has lost its client. Where its user or all users together leave too many behind, the
    /// oldest one ends; a reconnect does not find it (STATUS_OBJECT_NAME_NOT_FOUND).
    pub(crate) fn enter_orphan(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        let Some(open) = self.opens.get_mut(&id) else { return };
        let user = open.owner.key();
        open.orphaned = Some(self.orphans.insert(user.clone(), id));
        let too_many = self
            .orphans
            .oldest_of(&user, self.limits.orphans_per_user)
            .or_else(|| self.orphans.oldest(self.limits.orphans));
        if let Some(oldest) = too_many {
            self.end_open(oldest, CloseReason::DurableExpired, now, effects);
        }
    }

    /// Notes that an orphan has a client again, or is over.
    pub(crate) fn leave_orphans(orphans: &mut Orphans, id: FileGlobalId, open: &mut Open<S>) {
        if let Some(number) = open.orphaned.take() {
            orphans.remove(&open.owner.key(), id, number);
        }
    }
}
