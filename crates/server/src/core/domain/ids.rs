//! The Unix ids of the users and groups of domains.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auth::DomainUser;
#[cfg(test)]
use domain::ids::DomainRange;
use domain::ids::{Error, IdMap, Kind, Rules};
use wire::security::Sid;

use super::Named;
use crate::core::config::{DomainSettings, Settings};
use crate::core::security::PrincipalKind;

/// The table of Unix ids and SIDs of a server; empty if it is a member of no domain, or the table cannot be opened. No
/// question waits.
#[derive(Clone, Default)]
pub(crate) struct Ids(Option<Arc<Open>>);

struct Open {
    map: IdMap,
    /// The rules that the map was opened with.
    rules: Rules,
    /// True after the log has reported that an id of the name service contradicts the rules.
    told: AtomicBool,
}

impl Ids {
    /// Opens the table in the state directory. A table that is open already stays so, because sessions use it: other
    /// rules for ids apply from the next start on.
    pub(super) fn open(settings: &Settings, domain: &DomainSettings, before: Option<&Self>) -> Self {
        let rules = domain.id_rules();
        if let Some(open) = before.and_then(|before| before.0.as_ref()) {
            if open.rules != rules {
                tracing::warn!(
                    "the settings give the domain's users other Unix ids; this takes effect when the server is restarted"
                );
            }
            return Self(Some(Arc::clone(open)));
        }
        match IdMap::open(&settings.state_directory, rules.clone()) {
            Ok(map) => Self(Some(Arc::new(Open { map, rules, told: AtomicBool::new(false) }))),
            Err(error) => {
                tracing::error!(%error, "cannot open the table of the domain's Unix ids; users of the domain cannot log on unless the name service knows them");
                Self(None)
            }
        }
    }

    /// A table for tests: the ids of one domain are the first id and the relative id.
    #[cfg(test)]
    pub(crate) fn by_rid(state_directory: &std::path::Path, domain: [u32; 3], first: u32) -> Self {
        let range = DomainRange { domain: String::from("CORP"), first, last: first + 99_999 };
        let rules = Rules::Rid(vec![range]);
        let map = IdMap::open(state_directory, rules.clone()).unwrap();
        let [a, b, c] = domain;
        map.learn_domain("CORP", Sid::of(5, [21, a, b, c])).unwrap();
        Self(Some(Arc::new(Open { map, rules, told: AtomicBool::new(false) })))
    }

    /// True if there is a table.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The uid of a user; `None` if it has none.
    pub(crate) fn uid(&self, user: Sid) -> Option<u32> {
        self.0.as_ref()?.map.uid(user)
    }

    /// The gid of a group; `None` if it has none.
    pub(crate) fn gid(&self, group: Sid) -> Option<u32> {
        self.0.as_ref()?.map.gid(group)
    }

    /// The user of a domain with this uid.
    pub(crate) fn user_sid(&self, uid: u32) -> Option<Sid> {
        self.0.as_ref()?.map.user_sid(uid)
    }

    /// The group of a domain with this gid.
    pub(crate) fn group_sid(&self, gid: u32) -> Option<Sid> {
        self.0.as_ref()?.map.group_sid(gid)
    }

    /// The SID of the domain with this NetBIOS name, if a controller has named it.
    pub(super) fn domain_sid(&self, name: &str) -> Option<Sid> {
        let ranges = self.0.as_ref()?.map.ranges();
        let is_its = |name_of: Option<&str>| name_of.is_some_and(|it| wire::eq_ignore_case(it, name));
        ranges.into_iter().find(|it| is_its(it.name.as_deref())).and_then(|it| it.domain)
    }

    /// The users and groups whose names were kept.
    pub(super) fn names(&self) -> Vec<Named> {
        let mappings = self.0.as_ref().map(|open| open.map.list()).unwrap_or_default();
        let named = mappings.into_iter().filter_map(|it| {
            let (domain, name) = it.name.as_deref()?.split_once('\\')?;
            let kind = match it.kind {
                Kind::User => PrincipalKind::User,
                Kind::Group => PrincipalKind::Group,
            };
            Some(Named { sid: it.sid, domain: domain.to_owned(), name: name.to_owned(), kind })
        });
        named.collect()
    }

    /// Keeps the name of a user or group.
    pub(super) fn remember(&self, named: &Named) {
        let kind = match named.kind {
            PrincipalKind::User => Kind::User,
            PrincipalKind::Group | PrincipalKind::Alias => Kind::Group,
            PrincipalKind::Domain | PrincipalKind::WellKnownGroup => return,
        };
        let name = super::qualified(&named.domain, &named.name);
        if let Some(open) = &self.0
            && let Err(error) = open.map.remember(named.sid, kind, &name)
        {
            tracing::warn!(%error, name, "cannot keep the SID of a name in the settings; after a restart the domain has to answer first");
        }
    }

    /// Makes a user whom a controller has described known, with its domain and groups, so that they have ids. Writes to
    /// the disk if anything is new.
    pub(super) fn learn(&self, user: &DomainUser) {
        let Some(Open { map, .. }) = self.0.as_deref() else { return };
        let learned = || {
            if let Some((domain, _)) = user.sid.split_rid() {
                map.learn_domain(&user.domain, domain)?;
            }
            let sids: Vec<_> = [user.sid, user.primary_group].iter().chain(&user.groups).copied().collect();
            map.admit(&sids)?;
            map.remember(user.sid, Kind::User, &user.qualified_name())
        };
        if let Err(error) = learned() {
            let user = crate::core::audit::loggable(&user.qualified_name());
            tracing::warn!(%error, user, "cannot keep the Unix ids of a user and its groups; those without ids have no access by them");
        }
    }

    /// Keeps the uid that the name service gives a user.
    pub(super) fn record(&self, user: &DomainUser, uid: u32) {
        let Some(Open { map, told, .. }) = self.0.as_deref() else { return };
        let recorded: Result<(), Error> = map.record(user.sid, Kind::User, uid);
        if let Err(error) = recorded
            && !told.swap(true, Ordering::Relaxed)
        {
            let user = crate::core::audit::loggable(&user.qualified_name());
            tracing::warn!(%error, user, uid, "the name service gives a user an id that contradicts the settings; files may be shown with another owner");
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
