//! The server as a member of a domain: the Unix ids and the names of the domain's users and groups, and the names that
//! mean a user in settings and filters.

mod id_lookup;
mod ids;
mod logon;
mod member;
mod names;
mod unix;

use std::pin::pin;
use std::sync::Arc;

use auth::DomainUser;
use wire::security::Sid;
use wire::{Account, FoldedName, eq_ignore_case};

use crate::core::config::{DomainSettings, Grantee, Settings};
use crate::core::server::Server;

pub(crate) use id_lookup::Unsure;
pub(crate) use ids::{IdQuestion, Ids};
pub(crate) use logon::NotAdmitted;
pub(crate) use member::Member;
pub(crate) use names::{Asker, DomainNames, Named};
pub(crate) use unix::{UnixUser, group_names, unix_names};

/// The domain that the server is a member of, with its tables.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) settings: DomainSettings,
    /// The Unix ids of its users and groups.
    pub(crate) ids: Ids,
    /// The names of its users and groups.
    pub(crate) names: Arc<DomainNames>,
    /// The places for threads that find out ids.
    lookups: id_lookup::Lookups,
}

impl Domain {
    /// The domain of these settings, if they have one. `before` is kept if its settings are the same.
    pub(crate) fn of(settings: &Settings, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let domain = settings.domain.as_ref()?;
        // A table that could not be opened is tried again.
        let this = match before.filter(|it| it.settings == *domain && it.ids.is_open()) {
            Some(before) => Arc::clone(before),
            None => {
                let ids = Ids::open(settings, domain);
                let is_same = |it: &DomainSettings| (&it.realm, &it.name) == (&domain.realm, &domain.name);
                let is_reached_as_before = |it: &DomainSettings| {
                    (&it.keytab, &it.controllers) == (&domain.keytab, &domain.controllers)
                };
                let names = match before.filter(|it| is_same(&it.settings)) {
                    Some(before) if is_reached_as_before(&before.settings) && before.ids == ids => {
                        Arc::clone(&before.names)
                    }
                    Some(before) => before.names.with_source(names::source(domain), ids.clone()),
                    None => DomainNames::new(names::source(domain), ids.clone()),
                };
                Arc::new(Self::with_tables(domain.clone(), ids, names))
            }
        };
        this.prepare(settings);
        Some(this)
    }

    fn with_tables(settings: DomainSettings, ids: Ids, names: Arc<DomainNames>) -> Self {
        Self { settings, ids, names, lookups: id_lookup::Lookups::default() }
    }

    /// Asks for the names in the settings in advance.
    pub(crate) fn prepare(&self, settings: &Settings) {
        self.names.prepare(&self.settings, names_in(settings));
    }

    /// True for the NetBIOS or DNS name of the domain.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        is_called(&self.settings, name)
    }

    /// True if a name of the form `name@realm` means the user. A user principal name counts for users of this domain only:
    /// the controller of another could name any.
    fn is_principal(&self, user: &DomainUser, wanted: &FoldedName) -> bool {
        let is_name = |it: &str| FoldedName::new(it) == *wanted;
        !user.dns_domain.is_empty() && is_name(&format!("{}@{}", user.name, user.dns_domain))
            || self.owns(user) && user.principal_name.as_deref().is_some_and(is_name)
    }

    /// The SID of the domain, once a controller has named it.
    pub(crate) fn sid(&self) -> Option<Sid> {
        self.ids.domain_sid(&self.settings.name)
    }

    /// The SID of the user or group with this name, as far as it is known by now: a SID in text form, or a name that was
    /// looked up before. Otherwise the domain is asked for it.
    pub(crate) fn known_sid(&self, name: &str) -> Option<Sid> {
        self.names.known_sid(&self.settings, name)
    }
}

/// The names of users and groups in the settings.
fn names_in(settings: &Settings) -> impl Iterator<Item = &str> {
    let of_roles = settings.roles.iter().flat_map(|role| role.users.iter().chain(&role.groups));
    let of_shares = settings.shares.iter().flat_map(|share| {
        let granted = share.grants.iter().map(|grant| match &grant.who {
            Grantee::User(name) | Grantee::Group(name) => name,
        });
        share.users.iter().chain(granted)
    });
    let of_domain = settings.domain.iter().flat_map(|domain| &domain.logon_groups);
    let of_groups = settings.groups.iter().flat_map(|group| group.users.iter().chain(&group.groups));
    let all =
        settings.administrators.iter().chain(of_roles).chain(of_shares).chain(of_domain).chain(of_groups);
    // The domain is not asked for the server's own groups.
    let own = settings.local_groups();
    all.map(String::as_str).filter(move |name| own.find(name).is_none())
}

/// Answers questions for names of the domain as long as the server runs.
pub(crate) async fn answer_names(server: Arc<Server>) {
    loop {
        let changed = server.signals.domain_changed.notified();
        match server.domain() {
            Some(domain) => {
                let (mut answering, mut changed) = (pin!(domain.names.answer()), pin!(changed));
                loop {
                    tokio::select! {
                        () = &mut answering => {}
                        () = &mut changed => break,
                        () = domain.names.settled.notified() => {
                            let server = Arc::clone(&server);
                            // The next name, or the next change of settings, would do it again.
                            let _ = crate::core::blocking::run(move || server.refresh_users()).await;
                        }
                    }
                }
            }
            None => changed.await,
        }
    }
}

/// True for the NetBIOS or DNS name of the domain with these settings.
fn is_called(domain: &DomainSettings, name: &str) -> bool {
    eq_ignore_case(name, &domain.name) || eq_ignore_case(name, &domain.realm)
}

/// The domain of a user or group: `S-1-5-21-a-b-c`; `None` for SIDs of other forms.
fn domain_of(sid: Sid) -> Option<Sid> {
    match (sid.authority(), sid.sub_authorities()) {
        (5, [21, a, b, c, _]) => Some(Sid::of(5, [21, *a, *b, *c])),
        _ => None,
    }
}

/// A name as a person writes it, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written<'a> {
    /// `DOMAIN\name`.
    Qualified { domain: &'a str, name: &'a str },
    /// `name@realm`.
    Principal { name: &'a str, realm: &'a str },
    /// A name without a domain.
    Plain(&'a str),
}

impl<'a> Written<'a> {
    fn new(text: &'a str) -> Self {
        if let Some((domain, name)) = text.split_once('\\') {
            return Self::Qualified { domain, name };
        }
        match text.rsplit_once('@') {
            Some((name, realm)) if !name.is_empty() && !realm.is_empty() => Self::Principal { name, realm },
            _ => Self::Plain(text),
        }
    }
}

/// True if the text before a backslash means the server itself.
fn is_own(settings: &Settings, domain: &str) -> bool {
    domain == "." || eq_ignore_case(domain, &settings.name)
}

/// The name of a user of a domain by which the server knows it: `CORP\carol`.
pub(crate) fn qualified(domain: &str, name: &str) -> String {
    format!("{}\\{name}", wire::names::upper(domain))
}

impl Server {
    /// The domain that the server is a member of.
    pub(crate) fn domain(&self) -> Option<Arc<Domain>> {
        self.identity.domain.read().clone()
    }

    /// The account that a filter means: `SERVER\carol` and plain names are local accounts; other names are users of
    /// domains, and so are plain names that no local account has. Without a domain, the text before a backslash is
    /// compared with the domain that the client named.
    /// With a user of a domain comes its SID, as far as it is known by now.
    pub(crate) fn user_meant(&self, text: &str) -> (Account, Option<Sid>) {
        let name = self.account_name(text);
        let of_domain = self.domain().filter(|_| self.accounts().user(&name).is_none());
        let sid = of_domain.and_then(|domain| domain.known_sid(&name));
        (Account::new(&name), sid)
    }

    /// The name without the server's name before it, if it can be that of a local account.
    pub(crate) fn local_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.accounts().user(name).is_some() {
            return Some(name);
        }
        match Written::new(name) {
            Written::Qualified { domain, name } => is_own(&self.settings(), domain).then_some(name),
            Written::Principal { .. } => None,
            Written::Plain(name) => Some(name),
        }
    }

    fn account_name(&self, text: &str) -> String {
        let settings = self.settings();
        let Some(domain) = self.domain() else { return text.to_owned() };
        let accounts = self.accounts();
        if accounts.user(text).is_some() {
            return text.to_owned();
        }
        match Written::new(text) {
            Written::Qualified { domain: own, name } if is_own(&settings, own) => name.to_owned(),
            Written::Qualified { domain: named, name } if domain.is_called(named) => {
                qualified(&domain.settings.name, name)
            }
            Written::Qualified { .. } => text.to_owned(),
            Written::Principal { name, realm } if domain.is_called(realm) => {
                qualified(&domain.settings.name, name)
            }
            // A name that means nobody, or not one user for sure, stays as it is: no user of a domain has such a name.
            Written::Principal { .. } => {
                self.name_of_principal(&domain, text).unwrap_or_else(|| text.to_owned())
            }
            Written::Plain("") => String::new(),
            Written::Plain(name) => qualified(&domain.settings.name, name),
        }
    }

    /// The name of the user with a session whom a name with another realm than that of the server's domain means: as the
    /// name of its account, or as its user principal name. `None` if there are several.
    fn name_of_principal(&self, domain: &Domain, text: &str) -> Option<String> {
        let wanted = FoldedName::new(text);
        let mut found: Option<String> = None;
        let mut last = None;
        loop {
            let batch = self.registry.lock("user_of_principal").sessions_after(last, BATCH);
            let Some(end) = batch.last().map(|it| it.0) else { return found };
            last = Some(end);
            for (_, session) in batch {
                let Some(user) = session.user() else { continue };
                let is_meant = user.domain.as_deref().is_some_and(|it| domain.is_principal(it, &wanted));
                if !is_meant {
                    continue;
                }
                match &found {
                    Some(other) if !eq_ignore_case(other, &user.name) => return None,
                    _ => found = Some(user.name.clone()),
                }
            }
        }
    }
}

/// The number of sessions that are listed under one hold of the registry's lock.
const BATCH: usize = 256;
