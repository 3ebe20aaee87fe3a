//! The audit log: operations of administrators and refused attempts of others. It is the tracing target
//! `audit`.

use super::{Caller, Ended, Error, Right};

/// Records an operation, its object and its outcome.
pub(super) fn act(caller: &Caller, act: &'static str, object: &str, outcome: &Result<Ended, Error>) {
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
