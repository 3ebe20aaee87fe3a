//! The Unix ids of the users and groups of domains.

use std::fmt;
use std::sync::Arc;

use wire::security::Sid;

use crate::core::config::Settings;

/// A table of Unix ids and SIDs. No function waits for the network.
pub(crate) trait UnixIds: Send + Sync {
    /// The uid of a user; `None` if it has none.
    fn uid(&self, user: Sid) -> Option<u32>;
    /// The gid of a group; `None` if it has none.
    fn gid(&self, group: Sid) -> Option<u32>;
    /// The user of a domain with this uid.
    fn user_sid(&self, uid: u32) -> Option<Sid>;
    /// The group of a domain with this gid.
    fn group_sid(&self, gid: u32) -> Option<Sid>;
    /// Records the SID of a domain, on which the ids of its users depend.
    fn learn_domain(&self, name: &str, domain: Sid);
    /// Records the uid that the name service gives a user.
    fn record_user(&self, user: Sid, uid: u32);
}

/// The table of a server; empty if it is a member of no domain, or the table cannot be opened.
#[derive(Clone, Default)]
pub(crate) struct Ids(Option<Arc<dyn UnixIds>>);

impl Ids {
    /// Opens the table in the state directory.
    pub(super) fn open(_settings: &Settings) -> Self {
        Self(None)
    }

    #[cfg(test)]
    pub(crate) fn new(ids: impl UnixIds + 'static) -> Self {
        Self(Some(Arc::new(ids)))
    }

    /// The uid of a user; `None` if it has none.
    pub(crate) fn uid(&self, user: Sid) -> Option<u32> {
        self.0.as_ref()?.uid(user)
    }

    /// The gid of a group; `None` if it has none.
    pub(crate) fn gid(&self, group: Sid) -> Option<u32> {
        self.0.as_ref()?.gid(group)
    }

    /// The user of a domain with this uid.
    pub(crate) fn user_sid(&self, uid: u32) -> Option<Sid> {
        self.0.as_ref()?.user_sid(uid)
    }

    /// The group of a domain with this gid.
    pub(crate) fn group_sid(&self, gid: u32) -> Option<Sid> {
        self.0.as_ref()?.group_sid(gid)
    }

    pub(super) fn learn_domain(&self, name: &str, domain: Sid) {
        if let Some(ids) = &self.0 {
            ids.learn_domain(name, domain);
        }
    }

    pub(super) fn record_user(&self, user: Sid, uid: u32) {
        if let Some(ids) = &self.0 {
            ids.record_user(user, uid);
        }
    }
}

impl PartialEq for Ids {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Ids {}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ids").field(&self.0.is_some()).finish()
    }
}

/// Users and groups of one domain, whose ids are the first id and the relative id.
#[cfg(test)]
pub(crate) struct ByRid {
    pub(crate) domain: [u32; 3],
    pub(crate) first: u32,
}

#[cfg(test)]
impl ByRid {
    fn id(&self, sid: Sid) -> Option<u32> {
        let (domain, rid) = sid.split_rid()?;
        let [a, b, c] = self.domain;
        (domain == Sid::of(5, [21, a, b, c])).then(|| self.first + rid)
    }

    fn sid(&self, id: u32) -> Option<Sid> {
        let rid = id.checked_sub(self.first).filter(|rid| *rid < 100_000)?;
        Some(Sid::of_domain(self.domain, rid))
    }
}

#[cfg(test)]
impl UnixIds for ByRid {
    fn uid(&self, user: Sid) -> Option<u32> {
        self.id(user)
    }

    fn gid(&self, group: Sid) -> Option<u32> {
        self.id(group)
    }

    fn user_sid(&self, uid: u32) -> Option<Sid> {
        self.sid(uid)
    }

    fn group_sid(&self, gid: u32) -> Option<Sid> {
        self.sid(gid)
    }

    fn learn_domain(&self, _: &str, _: Sid) {}

    fn record_user(&self, _: Sid, _: u32) {}
}
