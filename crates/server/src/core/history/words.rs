//! The words for reasons, in events and in the history.

use registry::{CloseReason, DrainStep, EndReason, RefusalKind};

/// The word for the reason of a close.
pub(crate) const fn close_word(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ClientClose => "client_close",
        CloseReason::TreeDisconnect => "tree_disconnect",
        CloseReason::Logoff => "logoff",
        CloseReason::ConnectionLost => "connection_lost",
        CloseReason::Administrator => "administrator",
        CloseReason::DurableExpired => "durable_expired",
        CloseReason::DurableConflict => "durable_conflict",
        CloseReason::ShareRemoved => "share_removed",
        CloseReason::SessionReplaced => "session_replaced",
        CloseReason::Shutdown => "shutdown",
        CloseReason::CreateFailed => "create_failed",
        CloseReason::FailedOver => "failed_over",
        CloseReason::Suspended => "suspended",
    }
}

/// The word for the end of a session.
pub(crate) const fn end_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Logoff => "logoff",
        EndReason::ConnectionLost => "connection_lost",
        EndReason::Administrator => "administrator",
        EndReason::PreviousSession => "previous_session",
        EndReason::Expired => "expired",
        EndReason::LogonFailed => "logon_failed",
        EndReason::Shutdown => "shutdown",
    }
}

/// The word for a step of a drain.
pub(crate) const fn drain_word(step: DrainStep) -> &'static str {
    match step {
        DrainStep::Begun => "begun",
        DrainStep::Done => "done",
        DrainStep::Ended => "ended",
    }
}

/// The word for the reason of a refusal.
pub(crate) const fn refusal_word(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::SharingViolation => "sharing_violation",
        RefusalKind::DeletePending => "delete_pending",
        RefusalKind::LockConflict => "lock_conflict",
        RefusalKind::IoConflict => "io_conflict",
        RefusalKind::LeaseKeyInUse => "lease_key_in_use",
        RefusalKind::LimitReached => "limit_reached",
        RefusalKind::Draining => "draining",
        RefusalKind::Held => "held",
    }
}
