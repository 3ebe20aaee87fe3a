//! Sessions (`Session` of MS-SMB2 3.3.1.8; `SESSION_INFO_502` of MS-SRVS 2.2.4.15).

use serde::{Deserialize, Serialize};
use wire::{Account, AccountName, eq_ignore_case};

use crate::{Bound, ShareKind, Timestamp, Word, address};

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `Session.SessionGlobalId`; `None` over MS-SRVS, which identifies a session by computer and user.
    pub id: Option<u32>,
    /// The client's address, without backslashes and brackets. A server of another make may report a name.
    pub computer: String,
    /// The client's host name, if the server knows it.
    pub computer_name: Option<String>,
    /// The account; empty for an anonymous session, and if `anonymous` is `None`, also for an unknown account.
    pub user: String,
    /// The account's domain.
    pub domain: Option<String>,
    /// The DNS name of the domain whose user the account is, if the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The client's description of itself (`sesi502_cltype_name`); SMB2 clients send none.
    pub client_type: Option<String>,
    /// The number of opens of the session.
    pub opens: Option<u32>,
    /// The time of the logon.
    pub connected_at: Option<Timestamp>,
    /// Seconds since then.
    pub active_seconds: Option<u64>,
    /// Seconds since the last request.
    pub idle_seconds: Option<u64>,
    /// True if the guest account took the place of the account.
    pub guest: Option<bool>,
    /// True if no user authenticated.
    pub anonymous: Option<bool>,
    /// The dialect, for example "3.1.1".
    pub dialect: Option<String>,
    /// True if requests must be signed.
    pub signed: Option<bool>,
    /// True if the session is encrypted.
    pub encrypted: Option<bool>,
    /// The cipher of an encrypted session, for example "AES-128-GCM".
    pub cipher: Option<String>,
    /// The signing algorithm of a signed session, for example "AES-128-GMAC".
    pub signing: Option<String>,
    /// The transport, for example "tcp".
    pub transport: Option<String>,
    /// The shares that the session is connected to.
    #[serde(default)]
    pub shares: Option<Vec<SessionShare>>,
    /// The drain of its client or of the server, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<crate::Drain>,
    /// The make of a server on this machine that is not Shareward: "samba", "ksmbd" or "nfs".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<Word>,
}

/// A share that a session is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionShare {
    /// The share's name.
    pub name: String,
    /// The kind of share.
    pub kind: ShareKind,
    /// The number of opens of the session on this share; always known for a Shareward server.
    pub opens: Option<u32>,
}

/// The filters of `GET /v1/sessions`. An entry must match all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionQuery {
    /// The account, ignoring case; `DOMAIN\user` also compares the domain.
    pub user: Option<String>,
    /// The client's address or host name ([`crate::address::same_computer`]).
    pub client: Option<String>,
    /// Sessions that are connected to this share, ignoring case.
    pub share: Option<String>,
    /// The time since the last request.
    pub idle: Option<Bound>,
    /// The time since the logon.
    pub age: Option<Bound>,
    /// True for the caller's own sessions only.
    pub mine: Option<bool>,
    /// Only entries with higher ids.
    pub after: Option<u64>,
    /// The most entries of the page.
    pub limit: Option<u32>,
}

impl SessionQuery {
    /// True if `session` matches all filters but `mine`. A filter on an unknown value does not match.
    pub fn matches(&self, session: &Session) -> bool {
        self.user.as_ref().is_none_or(|user| {
            same_user(user, session.domain.as_deref(), session.realm.as_deref(), &session.user)
        }) && self.client.as_ref().is_none_or(|client| {
            address::same_computer(&session.computer, client)
                || session.computer_name.as_deref().is_some_and(|it| address::same_computer(it, client))
        }) && self
            .share
            .as_ref()
            .is_none_or(|share| session.shares.iter().flatten().any(|it| eq_ignore_case(&it.name, share)))
            && self.idle.is_none_or(|bound| session.idle_seconds.is_some_and(|idle| bound.allows(idle)))
            && self.age.is_none_or(|bound| session.active_seconds.is_some_and(|age| bound.allows(age)))
    }
}

/// True if `wanted`, which is `user`, `DOMAIN\user` or `user@realm`, is this account. An unknown domain is not compared.
pub(crate) fn same_user(wanted: &str, domain: Option<&str>, realm: Option<&str>, user: &str) -> bool {
    let (domain, user) = user.rsplit_once('\\').map_or((domain, user), |(domain, user)| (Some(domain), user));
    let is = |wanted: &Account| {
        wanted.user == AccountName::new(user) && domain.is_none_or(|domain| wanted.is_in(domain))
    };
    if is(&Account::new(wanted)) {
        return true;
    }
    wanted.rsplit_once('@').is_some_and(|(name, of)| {
        let is_in = |domain: &str| is(&Account::new(&format!("{domain}\\{name}")));
        match realm {
            Some(realm) if eq_ignore_case(realm, of) => AccountName::new(name) == AccountName::new(user),
            Some(_) => is_in(of),
            // The server does not say which domain has the DNS name. The NetBIOS name usually is the first label.
            None => is_in(of) || is_in(of.split('.').next().unwrap_or_default()),
        }
    })
}

/// The body of `POST /v1/sessions/close`: the sessions of a computer, of a user, or of a user at a computer
/// (NetrSessionDel, MS-SRVS 3.1.4.6). At least one field is required. The answer is [`crate::Ended`], or 2312 if no
/// session matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseSessions {
    /// As [`SessionQuery::client`].
    pub computer: Option<String>,
    /// As [`SessionQuery::user`].
    pub user: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_names_are_compared_with_the_realm_of_the_server() {
        let corp = |wanted, realm| same_user(wanted, None, realm, "CORP\\carol");
        for realm in [None, Some("hq.example")] {
            assert!(corp("corp\\CAROL", realm) && corp("carol@CORP", realm));
            assert!(
                !corp("EU\\carol", realm) && !corp("carol@eu.example", realm) && !corp("dave@corp", realm)
            );
        }
        assert!(corp("Carol@HQ.example", Some("hq.example")) && !corp("carol@hq.example", None));
        assert!(corp("carol@corp.example", None), "the first label, if the server does not say more");
        assert!(!corp("carol@corp.example", Some("hq.example")), "the NetBIOS name of another domain");
    }
}
