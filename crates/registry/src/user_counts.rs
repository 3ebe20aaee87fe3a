//! The number of sessions, tree connects and opens of each user, so that no user takes the places that others need.

use std::collections::HashMap;

use wire::{Account, AccountName};

use crate::limits::USER_PART;
use crate::{Identity, Standing, UserKind};

/// A user in the form that is compared, with the rules of [`Identity::is_same_user`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct UserKey {
    kind: UserKind,
    account: AccountName,
}

impl UserKey {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self::new(identity.kind(), &identity.user)
    }

    pub(crate) fn new(kind: UserKind, name: &str) -> Self {
        Self { kind, account: AccountName::new(name) }
    }

    /// True for the user of an account in this domain. A guest of the same name is another user.
    pub(crate) fn is_account(&self, account: &Account, domain: &str) -> bool {
        self.kind == UserKind::Account && account.is_named(domain, &self.account)
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
        let used = self.0.get(user).copied().unwrap_or_default();
        standing == Standing::Administrator || used < (limit / USER_PART).max(1)
    }
}
