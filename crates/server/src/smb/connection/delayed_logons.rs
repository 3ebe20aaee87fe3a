//! The delayed logons of a connection, each with its place among those of all connections.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::SmbConnection;
use crate::core::limits;

/// A delayed logon.
pub(crate) struct DelayedLogon<'a> {
    connection: &'a SmbConnection,
    id: u64,
    let_go: CancellationToken,
}

impl SmbConnection {
    /// Adds a delayed logon; `None` if the connection has too many.
    pub(crate) fn hold_back(&self) -> Option<DelayedLogon<'_>> {
        let before = self.held_back.fetch_add(1, Ordering::Relaxed);
        if before >= limits::HELD_BACK_PER_CONNECTION {
            self.held_back.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (id, let_go) = self.server.logons.delayed.enter();
        Some(DelayedLogon { connection: self, id, let_go })
    }
}

impl DelayedLogon<'_> {
    /// Waits for this time, or until the connection ends or the place is needed.
    pub(crate) async fn wait(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.connection.over.cancelled() => {}
            () = self.let_go.cancelled() => {}
        }
    }

    /// True if it must not wait any longer.
    pub(crate) fn has_to_go(&self) -> bool {
        self.let_go.is_cancelled()
    }

    /// True if the connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.connection.over.is_cancelled()
    }
}

impl Drop for DelayedLogon<'_> {
    fn drop(&mut self) {
        self.connection.server.logons.delayed.leave(self.id);
        self.connection.held_back.fetch_sub(1, Ordering::Relaxed);
    }
}
