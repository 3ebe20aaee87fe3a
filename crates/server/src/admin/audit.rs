//! The audit log: what administrators did, and what others tried. It is the tracing target `audit`.

use super::{Caller, Ended, Error, Right};

/// Records an act: what was to be done, to whom or what, and what came of it.
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

/// Records that somebody wanted what is not theirs.
pub(super) fn denied(caller: &Caller, right: Right) {
    // Who has no account may be anybody, and ask as often as they like.
    if caller.user.is_empty() {
        tracing::debug!(target: "audit", from = caller.from, ?right, "access denied");
        return;
    }
    tracing::info!(target: "audit", user = caller.user, from = caller.from, ?right, "access denied");
}
