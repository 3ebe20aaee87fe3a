//! Sessions (`Session` of MS-SMB2 3.3.1.8; `SESSION_INFO_502` of MS-SRVS 2.2.4.15).

use serde::{Deserialize, Serialize};

use crate::{Bound, ShareKind, Timestamp, address};

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `Session.SessionGlobalId`; unknown over MS-SRVS, where computer and user name a session.
    pub id: Option<u32>,
    /// The client's address as text: no backslashes, IPv6 without brackets. A server of another
    /// make may give a name.
    pub computer: String,
    /// The client's host name, where the server knows it.
    pub computer_name: Option<String>,
    /// The account; empty for an anonymous session, and where `anonymous` is none also for one unknown.
    pub user: String,
    /// The account's domain.
    pub domain: Option<String>,
    /// What the client says it is (`sesi502_cltype_name`); SMB2 clients say nothing.
    pub client_type: Option<String>,
    /// Opens of the session.
    pub opens: Option<u32>,
    /// When the session was set up.
    pub connected_at: Option<Timestamp>,
    /// Seconds since then.
    pub active_seconds: Option<u64>,
    /// Seconds since the last request.
    pub idle_seconds: Option<u64>,
    /// Whether the account was replaced by the guest account.
    pub guest: Option<bool>,
    /// Whether nobody authenticated.
    pub anonymous: Option<bool>,
    /// The dialect, as "3.1.1".
    pub dialect: Option<String>,
    /// Whether requests must be signed.
    pub signed: Option<bool>,
    /// Whether the session is encrypted.
    pub encrypted: Option<bool>,
    /// The cipher of an encrypted session, as "AES-128-GCM".
    pub cipher: Option<String>,
    /// The signing algorithm of a signed session, as "AES-128-GMAC".
    pub signing: Option<String>,
    /// The transport, as "tcp".
    pub transport: Option<String>,
    /// The shares the session is connected to.
    #[serde(default)]
    pub shares: Option<Vec<SessionShare>>,
}

/// A share that a session is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionShare {
    /// The share's name.
    pub name: String,
    /// What is shared.
    pub kind: ShareKind,
    /// Opens of the session on this share.
    pub opens: u32,
}

/// The filters of `GET /v1/sessions`; all that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionQuery {
    /// The account, in any case; `DOMAIN\user` compares the domain too.
    pub user: Option<String>,
    /// The client's address or host name ([`crate::address::same_computer`]).
    pub client: Option<String>,
    /// Those connected to this share, in any case.
    pub share: Option<String>,
    /// How long the user has done nothing.
    pub idle: Option<Bound>,
    /// How long the session has been there.
    pub age: Option<Bound>,
    /// Only the asker's own.
    pub mine: Option<bool>,
    /// Only ids above this one.
    pub after: Option<u64>,
    /// Entries of the page.
    pub limit: Option<u32>,
}

impl SessionQuery {
    /// Whether `session` matches what can be told from the entry itself: all but `mine`. What is unknown
    /// of the entry does not match a filter for it.
    pub fn matches(&self, session: &Session) -> bool {
        self.user.as_ref().is_none_or(|user| same_user(user, session.domain.as_deref(), &session.user))
            && self.client.as_ref().is_none_or(|client| {
                address::same_computer(&session.computer, client)
                    || session.computer_name.as_deref().is_some_and(|it| address::same_computer(it, client))
            })
            && self.share.as_ref().is_none_or(|share| {
                session.shares.iter().flatten().any(|it| it.name.to_lowercase() == share.to_lowercase())
            })
            && self.idle.is_none_or(|bound| session.idle_seconds.is_some_and(|idle| bound.allows(idle)))
            && self.age.is_none_or(|bound| session.active_seconds.is_some_and(|age| bound.allows(age)))
    }
}

/// Whether `meant`, which is `user` or `DOMAIN\user`, is this account. A domain that is not known is not compared.
pub(crate) fn same_user(meant: &str, domain: Option<&str>, user: &str) -> bool {
    let (meant_domain, meant_user) = match meant.rsplit_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, meant),
    };
    let (domain, user) = match user.rsplit_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (domain, user),
    };
    meant_user.to_lowercase() == user.to_lowercase()
        && meant_domain
            .zip(domain)
            .is_none_or(|(meant, domain)| meant.to_lowercase() == domain.to_lowercase())
}

/// The body of `POST /v1/sessions/close`: the sessions of a computer, of a user, or of both
/// (NetrSessionDel, MS-SRVS 3.1.4.6). At least one is to be given. Answered with
/// [`crate::Ended`], or with 2312 where nothing matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseSessions {
    /// As [`SessionQuery::client`].
    pub computer: Option<String>,
    /// As [`SessionQuery::user`].
    pub user: Option<String>,
}
