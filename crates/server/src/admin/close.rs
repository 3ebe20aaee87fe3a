//! Closing one open (MS-SMB2 3.3.4.17), at once or after its client has written back.
//!
//! A client can have data that exists nowhere else: bytes written under a lease or oplock that allows caching
//! them. A kind close first breaks that caching (MS-SMB2 3.3.4.6, 3.3.4.7), which makes the client write
//! back. It then closes the open when the client has acknowledged the break, has closed the open itself, or
//! when the time has expired. A lease belongs to a client, not to an open: all opens that share it lose its
//! write and handle caching and keep the rest, but only the requested one is closed. A durable open whose
//! client is disconnected is closed without waiting.

use std::sync::Arc;
use std::time::Duration;

use control::{CloseFile, OpenFile, Outcome, limits};
use registry::{CloseReason, ConnectionId, FileSnapshot, Filter, OpenShared, Readiness, WriteCaching};
use tokio::time::Instant;
use wire::FileGlobalId;

use super::files::{describe, server_path, within};
use super::{Caller, Ended, Error, Explained, Own, Right, audit, maintenance};
use crate::core::bulkhead;
use crate::core::server::Server;
use crate::core::waiting::{Ticket, Wake};

/// Closes one open. Continues even if the caller stops waiting.
pub(crate) async fn close_file(
    server: &Arc<Server>,
    caller: &Caller,
    id: u32,
    how: CloseFile,
) -> Result<Ended, Explained> {
    if how.grace.is_some_and(|grace| grace > limits::GRACE_MAX) {
        let reason = format!("grace is at most {} seconds", limits::GRACE_MAX);
        return Err(Explained::new(Error::InvalidParameter, reason));
    }
    if how.force {
        return close_file_at_once(server, caller, id, Own::Too, &how);
    }
    let file = expected(server, caller, id, Own::Too, &how)?;
    let Some(place) = server.capacity.admin.closes.take(caller) else {
        return refused(server, caller, &file, Error::Busy);
    };
    let (server, caller) = (Arc::clone(server), caller.clone());
    let grace = how.grace.map_or(GRACE, |grace| Duration::from_secs(grace.into()));
    let closing = bulkhead::spawn(bulkhead::settling(async move {
        let outcome = close_kindly(&server, file.global_id, grace).await;
        drop(place);
        audit::act(&server, &caller, "close file", &describe(&file), &outcome);
        if let Ok(ended) = &outcome {
            maintenance::report_closed(&server, &file, &caller.user, ended.outcome);
        }
        outcome
    }));
    Ok(closing.await.unwrap_or(Err(Error::Internal))?)
}

/// Closes one open at once. Data that its client has cached and not written is lost.
pub(crate) fn close_file_at_once(
    server: &Server,
    caller: &Caller,
    id: u32,
    own: Own,
    how: &CloseFile,
) -> Result<Ended, Explained> {
    let file = expected(server, caller, id, own, how)?;
    let mut state = server.registry.lock("write_caching");
    let before = state.write_caching(file.global_id).unwrap_or_default();
    let closed = state.close_open(file.global_id, CloseReason::Administrator, server.now());
    drop(state);
    let outcome = closed.map_err(|registry::NotFound| Error::NoSuchFile).map(|effects| {
        let files = effects.dropped.len();
        server.apply(effects);
        let outcome = if before.held { Outcome::Forced } else { Outcome::Clean };
        Ended { sessions: 0, files, outcome: Some(outcome) }
    });
    audit::act(server, caller, "close file", &describe(&file), &outcome);
    if let Ok(ended) = &outcome {
        maintenance::report_closed(server, &file, &caller.user, ended.outcome);
    }
    Ok(outcome?)
}

/// The open, if the caller may close it and it matches the expectations.
pub(super) fn expected(
    server: &Server,
    caller: &Caller,
    id: u32,
    own: Own,
    how: &CloseFile,
) -> Result<FileSnapshot, Explained> {
    let file = match within(server, caller, id, Right::CloseFiles, own) {
        Ok(file) => file,
        Err(error) => {
            if error != Error::AccessDenied {
                audit::act(server, caller, "close file", &format!("file {id}"), &Err(error));
            }
            return Err(error.into());
        }
    };
    let shown = OpenFile {
        path: file.path.to_string(),
        server_path: server_path(server, &file),
        ..OpenFile::default()
    };
    // A guest is not the account whose name it claims.
    let is_users = |user: &str| {
        let (account, sid) = server.user_meant(user);
        Filter { account: Some(account), sid, ..Filter::default() }.is_of_user_of(&file)
    };
    let of_path = CloseFile { expect_user: None, ..how.clone() };
    if how.expect_user.as_deref().is_none_or(is_users) && of_path.expects(&shown) {
        return Ok(file);
    }
    let what = describe(&file);
    audit::act(server, caller, "close file", &what, &Err(Error::NoSuchFile));
    Err(Explained::new(Error::NoSuchFile, format!("this id now belongs to {what}")))
}

fn refused(server: &Server, caller: &Caller, file: &FileSnapshot, error: Error) -> Result<Ended, Explained> {
    audit::act(server, caller, "close file", &describe(file), &Err(error));
    Err(error.into())
}

pub(super) async fn close_kindly(server: &Server, id: FileGlobalId, grace: Duration) -> Result<Ended, Error> {
    let (shared, before) = {
        let state = server.registry.lock("write_caching");
        let open = state.open(id).ok_or(Error::NoSuchFile)?;
        (open.shared, state.write_caching(id).unwrap_or_default())
    };
    if before.held {
        written_back(server, id, grace).await;
    }
    let (after, closed) = {
        let mut state = server.registry.lock("close_file");
        (state.write_caching(id), state.close_open(id, CloseReason::Administrator, server.now()))
    };
    let outcome = match (after, closed) {
        (Ok(after), Ok(effects)) => {
            server.apply(effects);
            outcome_of(before, after)
        }
        _ => outcome_of_gone(before, &shared).ok_or(Error::NoSuchFile)?,
    };
    Ok(Ended { sessions: 0, files: 1, outcome: Some(outcome) })
}

/// Breaks the open's write caching and waits until that is done or the time has expired.
async fn written_back(server: &Server, id: FileGlobalId, grace: Duration) {
    let deadline = Instant::now() + grace;
    let key = server.waiters.new_key(ConnectionId::NONE);
    loop {
        let mut ticket = Ticket::take(server, key);
        let asked = server.registry.lock("break_for_close").break_for_close(id, key, server.now());
        let must_wait = asked.is_ok_and(|(readiness, effects)| {
            server.apply(effects);
            readiness == Readiness::MustWait
        });
        if !must_wait {
            return ticket.give_back();
        }
        let woken = tokio::time::timeout_at(deadline, ticket.woken()).await;
        if !matches!(woken, Ok(Some(Wake::Retry | Wake::Granted))) {
            return;
        }
    }
}

fn outcome_of(before: WriteCaching, after: WriteCaching) -> Outcome {
    if !before.held {
        Outcome::Clean
    } else if after.held || after.unanswered_breaks != before.unanswered_breaks {
        Outcome::Forced
    } else {
        Outcome::Flushed
    }
}

/// The outcome if the open is gone already: a client may close an open that it kept only for its cache when
/// the cache is broken. `None` if another administrator has closed it.
fn outcome_of_gone(before: WriteCaching, open: &OpenShared) -> Option<Outcome> {
    match open.closed()? {
        CloseReason::ClientClose | CloseReason::TreeDisconnect | CloseReason::Logoff if before.held => {
            Some(Outcome::Flushed)
        }
        CloseReason::Administrator => None,
        _ if before.held => Some(Outcome::Forced),
        _ => None,
    }
}

/// The default time for a client to write back: a few seconds are enough for a cache, and a person waits for
/// it.
pub(super) const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_of_a_close_depends_on_write_caching() {
        let caching = |held, unanswered_breaks| WriteCaching { held, unanswered_breaks };
        for (before, after, outcome) in [
            (caching(false, 0), caching(false, 0), Outcome::Clean),
            (caching(false, 2), caching(true, 2), Outcome::Clean),
            (caching(true, 0), caching(false, 0), Outcome::Flushed),
            (caching(true, 1), caching(false, 1), Outcome::Flushed),
            (caching(true, 0), caching(true, 0), Outcome::Forced),
            (caching(true, 0), caching(false, 1), Outcome::Forced),
        ] {
            assert_eq!(outcome_of(before, after), outcome, "{before:?} {after:?}");
        }
    }
}
