//! The permissions that the roles in the settings give to a user.

use std::collections::BTreeSet;

use wire::ShareName;

use crate::core::config::{Allow, Role};
use crate::core::domain::Member;

/// The part of the server that a permission is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nothing.
    #[default]
    Nothing,
    /// These shares with their files.
    Shares(BTreeSet<ShareName>),
    /// The whole server.
    Everything,
}

impl Reach {
    fn add(&mut self, shares: &[String]) {
        match self {
            Self::Everything => {}
            _ if shares.is_empty() => *self = Self::Everything,
            Self::Shares(before) => before.extend(shares.iter().map(|it| ShareName::new(it))),
            Self::Nothing => *self = Self::Shares(shares.iter().map(|it| ShareName::new(it)).collect()),
        }
    }
}

/// The permissions that the roles give to a caller who is no administrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    /// True if the caller administers the server.
    pub(crate) administer: bool,
    /// The part that the caller may see.
    pub(crate) view: Reach,
    /// The part in which the caller may close files and sessions.
    pub(crate) close: Reach,
}

impl Roles {
    /// The permissions of a user. Its Unix groups are looked up if a role is for a group.
    pub(crate) fn of(roles: &[Role], user: &Member<'_>) -> Self {
        let mut all = Self::default();
        for role in roles {
            let is_meant =
                role.users.iter().any(|it| user.is(it)) || role.groups.iter().any(|it| user.is_in(it));
            if !is_meant {
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

    /// True if one of the roles makes the user an administrator. Groups are looked up only if such a role is for a
    /// group.
    pub(crate) fn administers(roles: &[Role], user: &Member<'_>) -> bool {
        let meant: Vec<_> = roles.iter().filter(|role| role.allow == Allow::Administer).cloned().collect();
        Self::of(&meant, user).administer
    }
}
