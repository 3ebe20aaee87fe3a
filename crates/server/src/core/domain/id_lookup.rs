//! Finding out the Unix ids of users and groups of domains who have not logged on here, and the owners of Unix ids.
//!
//! The machine's name service (sssd, winbind) may know them; if it does not, the rules of the settings give the ids. The
//! domain says which user or group a SID is. Both may hang, so this waits only on threads of its own, of which there are
//! few: [`Server::find_ids`]. All other code asks [`Ids`](super::Ids), which answers at once.

use std::sync::Arc;

use domain::ids::Kind;
use tokio::sync::Semaphore;
use wire::security::Sid;

use super::{Asker, Domain, IdQuestion, Written, domain_of, is_own, qualified};
use crate::core::audit::loggable;
use crate::core::bulkhead;
use crate::core::config::Settings;
use crate::core::identity::{self, NoAnswer};
use crate::core::limits;
use crate::core::security::{Names, PrincipalKind};
use crate::core::server::Server;

/// The domain or the name service has not answered in time, so the id may be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsure;

impl From<NoAnswer> for Unsure {
    fn from(NoAnswer: NoAnswer) -> Self {
        Self
    }
}

/// The places for threads that find out ids. Users who log on do not take those of requests.
#[derive(Debug)]
pub(super) struct Lookups {
    of_requests: Arc<Semaphore>,
    of_logons: Arc<Semaphore>,
}

impl Default for Lookups {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { of_requests: places(limits::ID_LOOKUPS), of_logons: places(1) }
    }
}

impl Server {
    /// True if ids and their owners are not known by the rules of the settings alone.
    pub(crate) fn asks_name_service(&self) -> bool {
        self.domain().is_some_and(|domain| domain.asks_name_service())
    }

    /// Finds out the answers to questions about Unix ids that are not known yet. Afterwards, [`Ids`](super::Ids) and the
    /// tokens of users have them. Does not wait if they are known, or if the server is a member of no domain.
    pub(crate) async fn find_ids(&self, questions: Vec<IdQuestion>) -> Result<(), Unsure> {
        let Some((domain, open)) = self.open_questions(questions) else { return Ok(()) };
        let places = Arc::clone(&domain.lookups.of_requests);
        self.find_in(domain, open, places).await
    }

    async fn find_in(
        &self,
        domain: Arc<Domain>,
        open: Vec<IdQuestion>,
        places: Arc<Semaphore>,
    ) -> Result<(), Unsure> {
        let settings = self.settings();
        let found = async move {
            let place = places.acquire_owned().await.map_err(|_| Unsure)?;
            let find = move || {
                let found = domain.find_all(&settings, &open);
                drop(place);
                found
            };
            tokio::task::spawn_blocking(find).await.unwrap_or(Err(Unsure))
        };
        tokio::time::timeout(limits::ID_LOOKUP_WAIT, found).await.unwrap_or(Err(Unsure))
    }

    /// As [`Self::find_ids`], for a thread that may wait.
    pub(crate) fn find_ids_here(&self, questions: Vec<IdQuestion>) -> Result<(), Unsure> {
        let Some((domain, open)) = self.open_questions(questions) else { return Ok(()) };
        domain.find_all(&self.settings(), &open)
    }

    /// Finds out the ids of a user's groups after the logon, so that they are known when the user shares files with them.
    pub(super) fn find_ids_of_groups(&self, groups: &[Sid]) {
        let Some(server) = self.this() else { return };
        let groups = groups.iter().take(limits::GROUPS_LOOKED_UP);
        let questions: Vec<_> = groups.map(|group| IdQuestion::OfSid(Kind::Group, *group)).collect();
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let Some((domain, open)) = self.open_questions(questions) else { return };
        let places = Arc::clone(&domain.lookups.of_logons);
        // Without an answer, the ids are found out when they are needed.
        drop(bulkhead::spawn(async move { server.find_in(domain, open, places).await }));
    }

    /// The questions that have no answer yet, with the domain that they are for.
    fn open_questions(&self, mut questions: Vec<IdQuestion>) -> Option<(Arc<Domain>, Vec<IdQuestion>)> {
        let domain = self.domain()?;
        let (machine, names) = (self.machine(), Names::new(self));
        questions.retain(|question| {
            let may_be_of_domain = match question {
                IdQuestion::OfSid(_, sid) => domain_of(*sid).is_some_and(|issuer| issuer != machine.sid()),
                IdQuestion::OfId(_, id) => *id != 0,
            };
            // An account of the users file can have the SID that another server gave it.
            let is_accounts = || match question {
                IdQuestion::OfSid(_, sid) => names.account_of(*sid).is_some(),
                IdQuestion::OfId(..) => false,
            };
            may_be_of_domain && domain.ids.is_open_question(question) && !is_accounts()
        });
        (!questions.is_empty()).then_some((domain, questions))
    }
}

impl Domain {
    fn find_all(&self, settings: &Settings, questions: &[IdQuestion]) -> Result<(), Unsure> {
        let sids = questions.iter().filter_map(|question| match question {
            IdQuestion::OfSid(_, sid) => Some(*sid),
            IdQuestion::OfId(..) => None,
        });
        // The domain answers for many at once.
        self.names.wait_for_sids(&Asker::Server, sids);
        for question in questions {
            match *question {
                // An earlier answer may have been for both kinds.
                IdQuestion::OfSid(..) if !self.ids.is_open_question(question) => {}
                IdQuestion::OfSid(_, sid) => self.find_id(sid)?,
                IdQuestion::OfId(kind, id) => self.find_owner(settings, kind, id)?,
            }
        }
        Ok(())
    }

    /// Finds out the id of a user or group, whichever it is.
    fn find_id(&self, sid: Sid) -> Result<(), Unsure> {
        let named = match self.names.owner_of_sid(sid) {
            Some(named) => named,
            None if self.asks_name_service() => return Err(Unsure),
            // The user or group has no id, until its domain is known.
            None => return Ok(()),
        };
        let kind = named.as_ref().and_then(|named| kind_of(named.kind));
        if let (Some(named), Some(kind)) = (&named, kind) {
            if let Err(reason) = self.ids.learn_owner(named) {
                tracing::warn!(reason, %sid, "a user or group of the domain has no Unix id");
            }
            if self.asks_name_service()
                && let Some(id) = self.id_of_name_service(kind, &named.domain, &named.name)?
            {
                self.keep(sid, kind, id);
            }
        }
        // The rules give the id if the name service did not, also that of the other kind.
        for kind in [Kind::User, Kind::Group] {
            self.ids.leave_to_rules(IdQuestion::OfSid(kind, sid));
        }
        Ok(())
    }

    /// Finds out which user or group of a domain has an id.
    fn find_owner(&self, settings: &Settings, kind: Kind, id: u32) -> Result<(), Unsure> {
        let question = IdQuestion::OfId(kind, id);
        let name = match kind {
            Kind::User => identity::user_name_for_sure(id)?,
            Kind::Group => identity::group_name_for_sure(id)?,
        };
        let (domain, name) = match name.as_deref().map(Written::new) {
            Some(Written::Qualified { domain, name }) if !is_own(settings, domain) => (domain, name),
            Some(Written::Principal { name, realm }) => (realm, name),
            // The name service may leave out the domain, but the name may also be that of a local user or group.
            Some(Written::Plain(name)) => (self.settings.name.as_str(), name),
            Some(Written::Qualified { .. }) | None => {
                self.ids.leave_to_rules(question);
                return Ok(());
            }
        };
        if self.id_of_name_service(kind, domain, name)? == Some(id) {
            let written = qualified(domain, name);
            let named = self.names.owner_of_name(&self.settings, &written).ok_or(Unsure)?;
            if let Some(named) = named.filter(|named| kind_of(named.kind) == Some(kind))
                && self.ids.learn_owner(&named).is_ok()
            {
                self.keep(named.sid, kind, id);
            }
        }
        self.ids.leave_to_rules(question);
        Ok(())
    }

    /// The id that the name service gives the user or group of a domain.
    pub(super) fn id_of_name_service(
        &self,
        kind: Kind,
        domain: &str,
        name: &str,
    ) -> Result<Option<u32>, NoAnswer> {
        let mut names = vec![qualified(domain, name)];
        if self.is_called(domain) {
            names.push(format!("{name}@{}", self.settings.realm.to_ascii_lowercase()));
        } else if domain.contains('.') {
            names.push(format!("{name}@{}", domain.to_ascii_lowercase()));
        }
        for name in names {
            let found = match kind {
                Kind::User => identity::uid_for_sure(&name)?,
                Kind::Group => identity::gid_for_sure(&name)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn keep(&self, sid: Sid, kind: Kind, id: u32) {
        if let Err(reason) = self.ids.record(sid, kind, id) {
            tracing::warn!(
                reason = loggable(&reason),
                "a user or group of the domain keeps the id that it had"
            );
        }
    }
}

/// The kind of Unix id that a principal has; `None` for a domain and for groups without members of their own.
fn kind_of(kind: PrincipalKind) -> Option<Kind> {
    match kind {
        PrincipalKind::User => Some(Kind::User),
        PrincipalKind::Group | PrincipalKind::Alias => Some(Kind::Group),
        PrincipalKind::Domain | PrincipalKind::WellKnownGroup => None,
    }
}
