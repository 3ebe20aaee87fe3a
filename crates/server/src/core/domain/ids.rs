//! The Unix ids of the users and groups of domains, as far as they are known by now. `id_lookup` finds out the others.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use auth::DomainUser;
#[cfg(test)]
use domain::ids::DomainRange;
use domain::ids::{Error, IdMap, Kind, Rules};
use parking_lot::Mutex;
use wire::security::Sid;

use super::Named;
use crate::core::audit::loggable;
use crate::core::config::{DomainSettings, IdRule, Settings};
use crate::core::limits;
use crate::core::security::PrincipalKind;

/// The table of Unix ids and SIDs of a server; empty if it is a member of no domain, or the table cannot be opened. No
/// question waits.
#[derive(Clone, Default)]
pub(crate) struct Ids(Option<Arc<Open>>);

struct Open {
    map: IdMap,
    /// The rules that the map was opened with.
    rules: Rules,
    /// True if the name service is asked for an id before the rules give one.
    asks_first: bool,
    /// The answers of the name service that the map does not have.
    asked: Mutex<HashMap<IdQuestion, Instant>>,
    /// True after the log has reported that an id of the name service cannot be kept.
    told: AtomicBool,
}

/// A question for the Unix id of a user or group, or for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IdQuestion {
    /// The id of the user or group with this SID.
    OfSid(Kind, Sid),
    /// The SID of the user or group with this id.
    OfId(Kind, u32),
}

impl Ids {
    /// Opens the table in the state directory. A table that is open already stays so, because sessions use it, even if
    /// the settings were without a domain in between: other rules for ids apply from the next start on.
    pub(super) fn open(settings: &Settings, domain: &DomainSettings) -> Self {
        let rules = domain.id_rules();
        let mut tables = OPEN.lock();
        tables.retain(|(_, table)| table.strong_count() > 0);
        let before = tables.iter().find(|(directory, _)| *directory == settings.state_directory);
        if let Some(open) = before.and_then(|(_, table)| table.upgrade()) {
            if open.rules != rules {
                tracing::warn!(
                    "the settings give the domain's users other Unix ids; this takes effect when the server is restarted"
                );
            }
            return Self(Some(open));
        }
        match IdMap::open(&settings.state_directory, rules.clone()) {
            Ok(map) => {
                let open = Arc::new(Open::new(map, rules, domain.ids));
                tables.push((settings.state_directory.clone(), Arc::downgrade(&open)));
                Self(Some(open))
            }
            Err(error) => {
                tracing::error!(%error, "cannot open the table of the domain's Unix ids; users of the domain cannot log on unless the name service knows them");
                Self(None)
            }
        }
    }

    /// A table for tests: the ids of the domain CORP are the first id and the relative id.
    #[cfg(test)]
    pub(crate) fn by_rid(state_directory: &std::path::Path, domain: [u32; 3], first: u32) -> Self {
        Self::of_domain_by_rid(state_directory, "CORP", domain, first)
    }

    /// As [`Self::by_rid`], for a domain with this name.
    #[cfg(test)]
    pub(super) fn of_domain_by_rid(
        state_directory: &std::path::Path,
        name: &str,
        domain: [u32; 3],
        first: u32,
    ) -> Self {
        let range = DomainRange { domain: name.to_owned(), first, last: first + 99_999 };
        let rules = Rules::Rid(vec![range]);
        let map = IdMap::open(state_directory, rules.clone()).unwrap();
        let [a, b, c] = domain;
        map.learn_domain(name, Sid::of(5, [21, a, b, c])).unwrap();
        Self(Some(Arc::new(Open::new(map, rules, IdRule::Rid))))
    }

    /// True if there is a table.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The uid of a user; `None` if it has none, or if the name service has not been asked for it yet.
    pub(crate) fn uid(&self, user: Sid) -> Option<u32> {
        self.id(Kind::User, user)
    }

    /// The gid of a group; `None` as with [`Self::uid`].
    pub(crate) fn gid(&self, group: Sid) -> Option<u32> {
        self.id(Kind::Group, group)
    }

    /// The id that a SID has, unless the name service could give another.
    pub(super) fn id(&self, kind: Kind, sid: Sid) -> Option<u32> {
        let open = self.0.as_ref()?;
        let id = match kind {
            Kind::User => open.map.uid(sid),
            Kind::Group => open.map.gid(sid),
        };
        id.filter(|_| open.is_decided(kind, sid))
    }

    /// True if the answer has to be found out: the map does not have it, and the name service was not asked lately.
    pub(super) fn is_open_question(&self, question: &IdQuestion) -> bool {
        let Some(open) = &self.0 else { return false };
        let is_in_map = match question {
            IdQuestion::OfSid(kind, sid) => open.map.is_recorded(*sid, *kind),
            IdQuestion::OfId(Kind::User, uid) => {
                open.map.user_sid(*uid).is_some_and(|sid| open.map.is_recorded(sid, Kind::User))
            }
            IdQuestion::OfId(Kind::Group, gid) => {
                open.map.group_sid(*gid).is_some_and(|sid| open.map.is_recorded(sid, Kind::Group))
            }
        };
        let was_asked = || {
            let asked = open.asked.lock().get(question).copied();
            asked.is_some_and(|at| at.elapsed() < limits::ID_ANSWER_LIFETIME)
        };
        // Without the name service, the only thing to find out is the domain.
        let has_by_rule = || match question {
            IdQuestion::OfSid(kind, sid) => !open.asks_first && self.id(*kind, *sid).is_some(),
            IdQuestion::OfId(..) => !open.asks_first,
        };
        !is_in_map && !has_by_rule() && !was_asked()
    }

    /// Keeps the answer that the name service does not know a user, a group or an id: then the rules apply.
    pub(super) fn leave_to_rules(&self, question: IdQuestion) {
        let Some(open) = &self.0 else { return };
        let mut asked = open.asked.lock();
        if asked.len() >= limits::ID_ANSWERS_KEPT {
            asked.retain(|_, at| at.elapsed() < limits::ID_ANSWER_LIFETIME);
        }
        if asked.len() >= limits::ID_ANSWERS_KEPT {
            asked.clear();
        }
        asked.insert(question, Instant::now());
    }

    /// Makes the domain of a user or group known that a controller has named, so that the rules can give it an id.
    pub(super) fn learn_owner(&self, named: &Named) -> Result<(), String> {
        let (Some(open), Some((domain, _))) = (&self.0, named.sid.split_rid()) else { return Ok(()) };
        let learned =
            open.map.learn_domain(&named.domain, domain).and_then(|()| open.map.admit(&[named.sid]));
        learned.map_err(|error| error.to_string())
    }

    /// True if a domain is known that has the name or the SID of this one, but not both.
    pub(super) fn contradicts(&self, named: &Named) -> bool {
        let domain = match named.kind {
            PrincipalKind::Domain => Some(named.sid),
            _ => super::domain_of(named.sid),
        };
        let Some(domain) = domain else { return false };
        let of_name = self.domain_sid(&named.domain);
        let of_sid = self.0.as_ref().and_then(|open| open.map.domain_name(domain));
        of_name.is_some_and(|known| known != domain)
            || of_sid.is_some_and(|known| !wire::eq_ignore_case(&known, &named.domain))
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
        self.0.as_ref()?.map.domain_sid(name)
    }

    /// The NetBIOS name of the domain of a user or group, if a controller has named it.
    pub(super) fn domain_name(&self, of: Sid) -> Option<String> {
        let (domain, _) = of.split_rid()?;
        self.0.as_ref()?.map.domain_name(domain)
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
    /// the disk if anything is new. The error is the reason for the log: a domain that is known has the name or the SID
    /// of the user's domain.
    pub(super) fn learn(&self, user: &DomainUser) -> Result<(), String> {
        let Some(Open { map, .. }) = self.0.as_deref() else { return Ok(()) };
        let learned = || {
            if let Some((domain, _)) = user.sid.split_rid() {
                map.learn_domain(&user.domain, domain)?;
            }
            let sids: Vec<_> = [user.sid, user.primary_group].iter().chain(&user.groups).copied().collect();
            map.admit(&sids)?;
            map.remember(user.sid, Kind::User, &user.qualified_name())
        };
        match learned() {
            Ok(()) => Ok(()),
            // Names and SIDs identify users, so two domains cannot have the same.
            Err(error @ (Error::OtherDomain { .. } | Error::NoDomain { .. })) => Err(error.to_string()),
            Err(error) => {
                let user = loggable(&user.qualified_name());
                tracing::warn!(%error, user, "cannot keep the Unix ids of a user and its groups; those without ids have no access by them");
                Ok(())
            }
        }
    }

    /// Keeps the id that the name service gives a user or group. The error is the reason for the log: the id is that of
    /// another, or the user or group has another. Files would change their owner with the source of the ids.
    pub(super) fn record(&self, sid: Sid, kind: Kind, id: u32) -> Result<(), String> {
        let Some(Open { map, told, .. }) = self.0.as_deref() else { return Ok(()) };
        match map.record(sid, kind, id) {
            Ok(()) => {
                // The map does not keep what the rules give anyway.
                self.leave_to_rules(IdQuestion::OfSid(kind, sid));
                Ok(())
            }
            Err(error @ Error::Conflict { .. }) => {
                Err(format!("the name service contradicts the table of the domain's Unix ids: {error}"))
            }
            Err(error) => {
                if !told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "cannot keep an id that the name service gives; files may be shown with another owner");
                }
                Ok(())
            }
        }
    }
}

impl Open {
    fn new(map: IdMap, rules: Rules, rule: IdRule) -> Self {
        let asks_first = matches!(rule, IdRule::Auto | IdRule::NameService);
        Self { map, rules, asks_first, asked: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// True if no other source can give the SID an id that is not in the map.
    fn is_decided(&self, kind: Kind, sid: Sid) -> bool {
        // An old answer is good enough until there is another.
        !self.asks_first
            || self.map.is_recorded(sid, kind)
            || self.asked.lock().contains_key(&IdQuestion::OfSid(kind, sid))
    }
}

/// The tables that this process has open, by their state directories. A table can be open once.
static OPEN: Mutex<Vec<(PathBuf, Weak<Open>)>> = Mutex::new(Vec::new());

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
