//! The domain's controllers as the source of names.

use domain::NamedKind;
use domain::names::{Directory, Membership};
use futures_util::future::BoxFuture;
use wire::security::Sid;

use crate::core::config::DomainSettings;
use crate::core::limits;
use crate::core::security::PrincipalKind;

/// A user, group or domain of the domain, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) sid: Sid,
    /// The NetBIOS name of its domain.
    pub(crate) domain: String,
    /// The name in the domain; empty for a domain.
    pub(crate) name: String,
    pub(crate) kind: PrincipalKind,
}

/// The answers to questions, in their order; the error is for the log.
pub(crate) type Answers = Result<Vec<Option<Named>>, String>;

/// A source of names: the domain's controllers.
pub(crate) trait NameSource: Send + Sync {
    /// The owners of SIDs; `None` for those that nobody has.
    fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers>;
    /// The users and groups with names like `CORP\carol`; `None` for those that nobody has.
    fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers>;
}

/// The controllers of a domain as the source of names.
pub(crate) fn source(domain: &DomainSettings) -> Option<Box<dyn NameSource>> {
    let membership = Membership {
        realm: domain.realm.clone(),
        keytab: domain.keytab.clone(),
        controllers: domain.controllers.clone(),
    };
    Some(Box::new(Directory::new(membership)))
}

impl NameSource for Directory {
    fn names_of(&self, sids: Vec<Sid>) -> BoxFuture<'_, Answers> {
        Box::pin(async move {
            let found = Directory::names_of(self, &sids, limits::DOMAIN_QUESTION_WAIT).await?;
            Ok(found.into_iter().map(|it| it.and_then(of_domain)).collect())
        })
    }

    fn owners_of(&self, names: Vec<String>) -> BoxFuture<'_, Answers> {
        Box::pin(async move {
            let found = Directory::owners_of(self, &names, limits::DOMAIN_QUESTION_WAIT).await?;
            Ok(found.into_iter().map(|it| it.and_then(of_domain)).collect())
        })
    }
}

fn of_domain(named: domain::Named) -> Option<Named> {
    let kind = match named.kind {
        NamedKind::User => PrincipalKind::User,
        NamedKind::Group => PrincipalKind::Group,
        NamedKind::Domain => PrincipalKind::Domain,
        NamedKind::Alias => PrincipalKind::Alias,
        NamedKind::WellKnownGroup => PrincipalKind::WellKnownGroup,
        NamedKind::Other => return None,
    };
    Some(Named { sid: named.sid, domain: wire::names::upper(&named.domain), name: named.name, kind })
}
