//! Entries of the audit log for logons and guests. The log is the tracing target `audit`; administrative operations
//! have other entries.

use std::net::SocketAddr;

use auth::{Claim, Identity, IdentityKind, Method, Refusal};
use registry::AddressGroup;

use crate::core::limits::LOGGED_NAME_MAX;
use crate::core::logon_log::LogKind;
use crate::core::server::Server;

/// Records that a client without an account was refused a named pipe.
pub(crate) fn pipe_refused(peer: &SocketAddr, pipe: &str) {
    tracing::info!(target: "audit", from = %peer.ip().to_canonical(), pipe, "pipe refused: neither guests nor anonymous callers get it (see list_shares)");
}

/// Records that a session was refused a share: the user, the client's address and the share.
pub(crate) fn share_refused(peer: &SocketAddr, user: &str, share: &str, why: &Why) {
    tracing::info!(
        target: "audit",
        account = loggable(user),
        from = %peer.ip().to_canonical(),
        share = loggable(share),
        reason = why.reason,
        hint = why.remedy,
        "share refused"
    );
}

/// The reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// The reason.
    pub(crate) reason: String,
    /// The change that avoids the refusal, if the reason does not say it.
    pub(crate) remedy: Option<&'static str>,
}

impl Why {
    /// The reason for refusing a share to a computer.
    pub(crate) fn host_refused() -> Self {
        let reason = String::from("hosts_allow and hosts_deny of the share do not admit the address");
        Self { reason, remedy: Some("add the address to hosts_allow of the share") }
    }
}

impl From<&str> for Why {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), remedy: None }
    }
}

impl From<&Refusal> for Why {
    fn from(refusal: &Refusal) -> Self {
        Self { reason: refusal.to_string(), remedy: refusal.remedy() }
    }
}

/// Records that a computer may not use the server.
pub(crate) fn host_refused(peer: &SocketAddr) {
    tracing::info!(target: "audit", from = %peer.ip().to_canonical(), "connection refused: the address is not allowed by hosts_allow and hosts_deny");
}

/// Records a refused logon: the account that the client named, its address, and the reason.
pub(crate) fn logon_refused(
    server: &Server,
    peer: &SocketAddr,
    claim: Option<&Claim>,
    method: &'static str,
    why: &Why,
) {
    let (user, domain) = claim.map_or(("", ""), |claim| (&*claim.user, &*claim.domain));
    let at_ms = i64::try_from(server.now().0).unwrap_or(i64::MAX);
    let from = peer.ip().to_canonical().to_string();
    server.history.logon_refused(at_ms, (&loggable(user), &loggable(domain)), from, why.reason.clone());
    let shown = |name: fn(&Claim) -> &str| claim.map(|claim| loggable(name(claim)));
    tracing::info!(
        target: "audit",
        account = shown(|it| &it.user),
        domain = shown(|it| &it.domain),
        from = %peer.ip().to_canonical(),
        workstation = shown(|it| &it.workstation),
        method,
        reason = why.reason,
        hint = why.remedy,
        "logon refused"
    );
}

/// Records a logon that has led to a session, or has bound one to a further connection: the account, the domain that
/// the client named, its address and the protocol.
pub(crate) fn logon_granted(peer: &SocketAddr, identity: &Identity, session: u32) {
    granted(peer, identity, Some(session), None);
}

/// Records a logon at a TCP port of the server's own calls, such as the witness service: there is no session.
pub(crate) fn port_logon_granted(peer: &SocketAddr, identity: &Identity) {
    granted(peer, identity, None, Some("witness"));
}

fn granted(peer: &SocketAddr, identity: &Identity, session: Option<u32>, service: Option<&str>) {
    tracing::info!(
        target: "audit",
        account = loggable(&identity.user),
        domain = loggable(&identity.domain),
        from = %peer.ip().to_canonical(),
        workstation = identity.workstation.as_deref().map(loggable),
        method = method_of(identity),
        session,
        service,
        "logon granted"
    );
}

/// Records that a user who has proved who it is gets no session.
pub(crate) fn proven_logon_refused(server: &Server, peer: &SocketAddr, identity: &Identity, why: &Why) {
    let claim = Claim {
        user: identity.user.clone(),
        domain: identity.domain.clone(),
        workstation: identity.workstation.clone().unwrap_or_default(),
    };
    logon_refused(server, peer, Some(&claim), method_of(identity), why);
}

/// The method of a logon in the log.
fn method_of(identity: &Identity) -> &'static str {
    match (identity.kind, identity.method) {
        (IdentityKind::Anonymous, _) => "anonymous",
        (IdentityKind::Guest, _) => "guest",
        (IdentityKind::User, Method::Kerberos) => "Kerberos",
        (IdentityKind::User, Method::Ntlm) => "NTLM",
    }
}

/// Records that a client without an account has become a guest.
pub(crate) fn taken_as_guest(peer: &SocketAddr, claim: Option<&Claim>) {
    let shown = |name: fn(&Claim) -> &str| claim.map(|claim| loggable(name(claim)));
    tracing::info!(
        target: "audit",
        account = shown(|it| &it.user),
        domain = shown(|it| &it.domain),
        from = %peer.ip().to_canonical(),
        workstation = shown(|it| &it.workstation),
        method = "guest",
        "unknown user: logged on as a guest"
    );
}

/// Records that a client's clock differs by `hours` from the server's; `None` if its logons have no time.
pub(crate) fn clock_differs(peer: &SocketAddr, claim: &Claim, hours: Option<i64>) {
    let (from, workstation) = (peer.ip().to_canonical(), loggable(&claim.workstation));
    match hours {
        Some(hours) => tracing::info!(
            target: "audit",
            %from,
            workstation,
            hours,
            "the client's clock differs from the server's; its logons are accepted all the same"
        ),
        None => tracing::info!(
            target: "audit",
            %from,
            workstation,
            "the client gives its logons no time; they are accepted nevertheless"
        ),
    }
}

/// A number of logons without entries in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Untold {
    /// The address of the logons; `None` for several addresses.
    pub(crate) from: Option<AddressGroup>,
    pub(crate) count: u64,
}

/// Records the number of entries about logons of this kind that were left out.
pub(crate) fn logons_untold(kind: LogKind, untold: &Untold) {
    let from = match untold.from {
        Some(AddressGroup::V4(address)) => address.to_string(),
        Some(AddressGroup::V6([a, b, c, d])) => {
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        None => String::from("other addresses"),
    };
    let count = untold.count;
    match kind {
        LogKind::Refused => tracing::warn!(
            target: "audit",
            from,
            count,
            "more logons were refused, or became guests', than the log has entries for"
        ),
        LogKind::Granted => tracing::info!(
            target: "audit",
            from,
            count,
            "more logons were granted than the log has entries for"
        ),
        LogKind::Share => tracing::info!(
            target: "audit",
            from,
            count,
            "more shares were refused than the log has entries for"
        ),
    }
}

/// Records that wrong passwords have locked an account.
pub(crate) fn account_locked(account: &str, from: &str) {
    tracing::warn!(target: "audit", account = loggable(account), from, "account locked: too many wrong passwords");
}

/// A name that a client chose, in a form for the log: without characters that move the cursor or change the direction
/// of writing, and cut to a limit.
pub(crate) fn loggable(name: &str) -> String {
    let is_shown = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown: String =
        name.chars().take(LOGGED_NAME_MAX).map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect();
    if name.chars().nth(LOGGED_NAME_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_log_are_one_line_of_bounded_length() {
        assert_eq!(loggable("jörg"), "jörg");
        assert_eq!(loggable("a\nb\u{1b}[2Jc\u{202e}d"), "a\u{fffd}b\u{fffd}[2Jc\u{fffd}d");
        let long = loggable(&"x".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (LOGGED_NAME_MAX + 1, true));
    }
}
