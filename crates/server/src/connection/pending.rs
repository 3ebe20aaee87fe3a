//! `Connection.AsyncCommandList` (MS-SMB2 3.3.1.7): requests that wait, and how CANCEL finds them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use registry::RequestKey;
use tokio_util::sync::CancellationToken;
use wire::{AsyncId, MessageId};

use crate::limits;

/// The requests of one connection that wait.
#[derive(Default)]
pub(crate) struct PendingRequests {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    waiting: HashMap<AsyncId, Waiting>,
}

struct Waiting {
    message_id: MessageId,
    /// What the registry knows it by, if it is to outlive its connection.
    survives: Option<RequestKey>,
    cancelled: CancellationToken,
}

impl PendingRequests {
    /// Enters a request; none if too many wait already.
    pub(crate) fn enter(&self, message_id: MessageId) -> Option<Pending<'_>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.waiting.len() >= limits::MAX_PENDING {
            return None;
        }
        table.last += 1;
        let async_id = AsyncId(table.last);
        let cancelled = CancellationToken::new();
        table.waiting.insert(async_id, Waiting { message_id, survives: None, cancelled: cancelled.clone() });
        Some(Pending { requests: self, async_id, cancelled })
    }

    /// Cancels the request that a CANCEL names (MS-SMB2 3.3.5.16); an unknown one is ignored.
    pub(crate) fn cancel(&self, async_id: Option<AsyncId>, message_id: MessageId) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match async_id {
            Some(id) => table.waiting.get(&id),
            None => table.waiting.values().find(|waiting| waiting.message_id == message_id),
        };
        if let Some(waiting) = found {
            waiting.cancelled.cancel();
        }
    }

    /// Cancels what does not outlive the connection, which is lost.
    pub(crate) fn abandon(&self, lives_on: impl Fn(RequestKey) -> bool) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in table.waiting.values().filter(|it| !it.survives.is_some_and(&lives_on)) {
            waiting.cancelled.cancel();
        }
    }
}

/// A request that waits; leaving the table when dropped.
pub(crate) struct Pending<'a> {
    requests: &'a PendingRequests,
    async_id: AsyncId,
    cancelled: CancellationToken,
}

impl Pending<'_> {
    /// The id in the interim answer and in the final one.
    pub(crate) fn async_id(&self) -> AsyncId {
        self.async_id
    }

    /// Lets the request go on when its connection is lost, if the registry keeps it.
    pub(crate) fn survive(&self, key: RequestKey) {
        let mut table = self.requests.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = table.waiting.get_mut(&self.async_id) {
            waiting.survives = Some(key);
        }
    }

    /// Returns once the client cancels the request.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.requests.table.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.async_id);
    }
}
