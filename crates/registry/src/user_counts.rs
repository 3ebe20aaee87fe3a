//! The number of sessions, tree connects and opens of each user, so that no user takes the places that others need.

use std::collections::HashMap;
use std::sync::Arc;

use wire::AccountName;
use wire::security::Sid;

use crate::limits::USER_PART;
use crate::parts::{Count, Padded};
use crate::{Identity, Standing, UserKind};

/// A user in the form that is compared, with the rules of [`Identity::is_same_user`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UserKey {
    /// A user of the server itself: an account of the users file, a guest or the anonymous user.
    Local(UserKind, AccountName),
    /// A user of a domain, whose name may change.
    OfDomain(Arc<Sid>),
}

impl UserKey {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self::new(identity.kind(), &identity.user, identity.sid)
    }

    pub(crate) fn new(kind: UserKind, name: &str, sid: Option<Sid>) -> Self {
        match sid {
            Some(sid) if kind == UserKind::Account => Self::OfDomain(Arc::new(sid)),
            _ => Self::Local(kind, AccountName::new(name)),
        }
    }
}

impl Default for UserKey {
    fn default() -> Self {
        Self::of(&Identity::default())
    }
}

/// The number of objects of one kind, by user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ByUser(HashMap<UserKey, usize>);

impl ByUser {
    pub(crate) fn add(&mut self, user: &UserKey) {
        let count = self.0.entry(user.clone()).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn remove(&mut self, user: &UserKey) {
        if let Some(count) = self.0.get_mut(user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(user);
            }
        }
    }

    /// True if a user of this standing may have one more object; `limit` is for all users together.
    pub(crate) fn has_room(&self, user: &UserKey, limit: usize, standing: Standing) -> bool {
        user_has_room(self.0.get(user).copied().unwrap_or_default(), limit, standing)
    }
}

/// The number of opens of each user. A session has the counter of its user, so that an open does not look it up.
#[derive(Debug, Default)]
pub(crate) struct OpensOfUsers(HashMap<UserKey, Arc<Padded<Count>>>);

impl OpensOfUsers {
    /// The counter of a user.
    pub(crate) fn of(&mut self, user: &UserKey) -> Arc<Padded<Count>> {
        Arc::clone(self.0.entry(user.clone()).or_default())
    }

    pub(crate) fn add(&mut self, user: &UserKey) {
        self.0.entry(user.clone()).or_default().add();
    }

    pub(crate) fn remove(&mut self, user: &UserKey) {
        if let Some(count) = self.0.get(user) {
            count.subtract();
        }
        self.forget_unused(user);
    }

    /// Removes the counter of a user without opens and sessions.
    pub(crate) fn forget_unused(&mut self, user: &UserKey) {
        if self.0.get(user).is_some_and(is_unused) {
            self.0.remove(user);
        }
    }

    /// As [`ByUser::has_room`].
    pub(crate) fn has_room(&self, user: &UserKey, limit: usize, standing: Standing) -> bool {
        user_has_room(self.0.get(user).map_or(0, |count| count.get()), limit, standing)
    }

    /// True if the numbers are these, and no counter is kept for nothing. Used by tests.
    pub(crate) fn are(&self, expected: &ByUser) -> bool {
        let used = self.0.iter().filter(|(_, count)| count.get() != 0);
        let used: HashMap<UserKey, usize> = used.map(|(user, count)| (user.clone(), count.get())).collect();
        used == expected.0 && !self.0.values().any(is_unused)
    }
}

/// True if nobody has the counter or is counted by it.
fn is_unused(count: &Arc<Padded<Count>>) -> bool {
    count.get() == 0 && Arc::strong_count(count) == 1
}

/// True if a user of this standing with `used` objects may have one more; `limit` is for all users together.
pub(crate) fn user_has_room(used: usize, limit: usize, standing: Standing) -> bool {
    standing == Standing::Administrator || used < (limit / USER_PART).max(1)
}
