//! What the roles of the settings let a user do.

use std::collections::BTreeSet;

use crate::core::config::{Allow, Role};

/// What a role of the settings lets a caller reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing.
    #[default]
    Nothing,
    /// These shares, in lower case, and what is in them.
    Shares(BTreeSet<String>),
    /// The server and all that is in it.
    Everything,
}

impl Reach {
    fn add(&mut self, shares: &[String]) {
        match self {
            Self::Everything => {}
            _ if shares.is_empty() => *self = Self::Everything,
            Self::Shares(before) => before.extend(shares.iter().map(|it| it.to_lowercase())),
            Self::Nothing => *self = Self::Shares(shares.iter().map(|it| it.to_lowercase()).collect()),
        }
    }
}

/// What the settings' roles let a caller do who is no administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Whether the caller administers the server.
    pub(crate) administer: bool,
    /// What the caller may see.
    pub(crate) view: Reach,
    /// What the caller may close.
    pub(crate) close: Reach,
}

impl Roles {
    /// The roles of the account called `user`. `groups` looks up its Unix groups, where any role asks.
    pub(crate) fn of(roles: &[Role], user: &str, groups: impl FnOnce() -> Vec<String>) -> Self {
        let mut all = Self::default();
        if user.is_empty() {
            return all;
        }
        let by_group = roles.iter().any(|role| !role.groups.is_empty());
        let groups = if by_group { groups() } else { Vec::new() };
        let is_one = |names: &[String], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        for role in roles {
            if !is_one(&role.users, user) && !groups.iter().any(|group| role.groups.contains(group)) {
                continue;
            }
            match role.allow {
                Allow::Administer => all.administer = true,
                Allow::Close => {
                    all.close.add(&role.shares);
                    all.view.add(&role.shares);
                }
                Allow::View => all.view.add(&role.shares),
            }
        }
        all
    }

    /// Whether a user may administer the server by one of these roles. Groups are asked for only where one that says
    /// so has some.
    pub(crate) fn administers(roles: &[Role], user: &str, groups: impl FnOnce() -> Vec<String>) -> bool {
        let meant: Vec<_> = roles.iter().filter(|role| role.allow == Allow::Administer).cloned().collect();
        Self::of(&meant, user, groups).administer
    }
}
