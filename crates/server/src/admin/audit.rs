//! The audit log: operations of administrators and refused attempts of others. It is the tracing target
//! `audit`; the history has the operations, too, as a chain.

use super::{Caller, Ended, Error, Right};
use crate::core::server::Server;

/// Records an operation, its object and its outcome.
pub(super) fn act(
    server: &Server,
    caller: &Caller,
    act: &'static str,
    object: &str,
    outcome: &Result<Ended, Error>,
) {
    // A caller without an account can be anybody and repeat the attempt at will.
    if !caller.user.is_empty() {
        server.history.act(journal::Act {
            at_ms: i64::try_from(server.now().0).unwrap_or(i64::MAX),
            user: caller.user.clone(),
            from: caller.from.clone(),
            act: act.to_owned(),
            object: object.to_owned(),
            outcome: words(outcome),
        });
    }
    match outcome {
        Ok(ended) => tracing::info!(
            target: "audit",
            user = caller.user,
            from = caller.from,
            act,
            object,
            sessions = ended.sessions,
            files = ended.files,
            outcome = ended.outcome.map(tracing::field::debug),
            "done"
        ),
        Err(error) if caller.user.is_empty() => {
            tracing::debug!(target: "audit", from = caller.from, act, object, error = error.number().0, "refused");
        }
        Err(error) => tracing::info!(
            target: "audit",
            user = caller.user,
            from = caller.from,
            act,
            object,
            error = error.number().0,
            "refused"
        ),
    }
}

/// The outcome of an operation, in words for the history.
fn words(outcome: &Result<Ended, Error>) -> String {
    match outcome {
        Ok(Ended { sessions: 0, files: 0, outcome: None }) => String::from("done"),
        Ok(Ended { sessions: 0, outcome: Some(outcome), .. }) => format!("done: {outcome:?}"),
        Ok(Ended { sessions, files, .. }) => format!("done: {sessions} sessions and {files} files ended"),
        Err(error) => format!("refused: error {}", error.number().0),
    }
}

/// Records a caller's attempt without the right.
pub(super) fn denied(caller: &Caller, right: Right) {
    // A caller without an account can be anybody and repeat the attempt at will, so it is only logged for
    // debugging.
    if caller.user.is_empty() {
        tracing::debug!(target: "audit", from = caller.from, ?right, "access denied");
        return;
    }
    tracing::info!(target: "audit", user = caller.user, from = caller.from, ?right, "access denied");
}
