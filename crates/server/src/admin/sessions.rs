//! Sessions (MS-SRVS 3.1.4.5, 3.1.4.6).

use registry::{ClientName, EndReason, Filter, SessionSnapshot};
use wire::SessionGlobalId;

use super::files::guest;
use super::walk::walk;
use super::{Caller, Ended, Error, Own, Right, Selection, audit, scope};
use crate::core::server::Server;

/// The algorithms that protect a session's messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Protection {
    pub(crate) signing: Option<auth::signing::SigningAlgorithm>,
    pub(crate) cipher: Option<auth::sealing::Cipher>,
}

/// The matching sessions, after the last one seen.
pub(crate) fn sessions(
    server: &Server,
    caller: &Caller,
    meant: Selection,
    after: Option<u32>,
) -> Result<impl Iterator<Item = SessionSnapshot>, Error> {
    let scope = scope(caller, Right::ReadSessions, if meant.mine { Own::Only } else { Own::No })?;
    Ok(all(server, meant, after).filter(move |it| scope.has_session(it)))
}

/// One session that the caller may see.
pub(crate) fn session(server: &Server, caller: &Caller, id: u32) -> Result<SessionSnapshot, Error> {
    within(server, caller, id, Right::ReadSessions)
}

/// One session for which the caller has this right, or which is the caller's own. A caller who may not see
/// all sessions receives the same error for an unknown id as for another user's session.
fn within(server: &Server, caller: &Caller, id: u32, right: Right) -> Result<SessionSnapshot, Error> {
    let scope = scope(caller, right, Own::Too)?;
    match find(server, id) {
        Ok(session) if scope.has_session(&session) => Ok(session),
        Err(error) if scope.is_everything() => Err(error),
        _ => {
            audit::denied(caller, right);
            Err(Error::AccessDenied)
        }
    }
}

/// The protection of the session's messages. Does not check rights: part of [`session`].
pub(crate) fn protection(server: &Server, id: SessionGlobalId) -> Protection {
    let session = server.registry.lock("session_protection").session_by_global_id(id);
    let Some(session) = session else { return Protection::default() };
    // The keys of anonymous sessions are publicly known, so they do not protect.
    let is_user = session.attached.user().is_some_and(|user| user.kind == auth::IdentityKind::User);
    let Some(established) = session.attached.established().filter(|_| is_user) else {
        return Protection::default();
    };
    Protection {
        signing: established.signing.as_ref().map(|key| key.algorithm()),
        cipher: established.sealing.as_ref().map(|keys| keys.outgoing.cipher()),
    }
}

/// Ends one session.
pub(crate) fn end_session(server: &Server, caller: &Caller, id: u32) -> Result<Ended, Error> {
    let session = within(server, caller, id, Right::EndSessions);
    if session == Err(Error::AccessDenied) {
        return Err(Error::AccessDenied);
    }
    let object = session.as_ref().map_or_else(|_| format!("session {id}"), describe);
    let outcome = session.and_then(|it| end(server, it.global_id).ok_or(Error::NoSuchSession));
    audit::act(server, caller, "end session", &object, &outcome);
    outcome
}

/// Ends the sessions of a computer, of a user, or of a user on a computer: of all users, or only the caller's
/// own if so requested.
pub(crate) fn end_sessions(server: &Server, caller: &Caller, meant: Selection) -> Result<Ended, Error> {
    let own = if meant.mine { Own::Only } else { Own::No };
    let scope = scope(caller, Right::EndSessions, own)?;
    let Filter { client, account, .. } = &meant.filter;
    if client.is_none() && account.is_none() {
        return Err(Error::InvalidParameter);
    }
    let object = format!(
        r"user {} on \\{}",
        account.as_ref().map_or("*", |it| it.user.as_str()),
        client.as_ref().map_or("*", ClientName::as_str)
    );
    let mut total = Ended::default();
    let all: Vec<SessionSnapshot> = all(server, meant, None).filter(|it| scope.has_session(it)).collect();
    for session in all {
        let Some(ended) = end(server, session.global_id) else { continue };
        total.sessions += ended.sessions;
        total.files += ended.files;
        audit::act(server, caller, "end session", &describe(&session), &Ok(ended));
    }
    if total.sessions == 0 {
        audit::act(server, caller, "end session", &object, &Err(Error::NoSuchSession));
        return Err(Error::NoSuchSession);
    }
    Ok(total)
}

fn all(server: &Server, meant: Selection, after: Option<u32>) -> impl Iterator<Item = SessionSnapshot> {
    let fetch = move |last, length| {
        server.registry.lock("session_snapshots").session_snapshots(&meant.filter, last, length)
    };
    walk(after.and_then(SessionGlobalId::new), fetch)
}

fn find(server: &Server, id: u32) -> Result<SessionSnapshot, Error> {
    let before = id.checked_sub(1).ok_or(Error::NoSuchSession)?;
    let state = server.registry.lock("session_snapshot");
    let next = state.session_snapshots(&Filter::default(), SessionGlobalId::new(before), 1);
    next.entries.into_iter().next().filter(|it| it.global_id.value() == id).ok_or(Error::NoSuchSession)
}

fn end(server: &Server, id: SessionGlobalId) -> Option<Ended> {
    let mut state = server.registry.lock("end_session");
    let effects = state.close_session_by_global_id(id, EndReason::Administrator, server.now()).ok()?;
    drop(state);
    let ended = server.apply(effects);
    Some(Ended { sessions: ended.sessions, files: ended.files, outcome: None })
}

fn describe(session: &SessionSnapshot) -> String {
    let SessionSnapshot { global_id, identity, client, .. } = session;
    format!(r"session {} of {}{} on \\{client}", global_id.value(), guest(identity.kind()), identity.user)
}
