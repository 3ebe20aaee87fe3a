//! `Connection.AsyncCommandList` (MS-SMB2 3.3.1.7): waiting requests, and CANCEL.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use registry::RequestKey;
use tokio_util::sync::CancellationToken;
use wire::{AsyncId, MessageId};

use crate::core::limits;
use crate::core::session::Session;

/// The waiting requests of one connection.
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
    /// The session of the request; `None` for a logon without a session yet.
    session: Option<Arc<Session>>,
    /// True if it came by a tree connect that requires encryption.
    must_seal: bool,
    /// The registry's key of the request, if it can outlive its connection.
    survives: Option<RequestKey>,
    cancelled: CancellationToken,
}

impl PendingRequests {
    /// Adds a request of a session; `must_seal` if its tree connect requires encryption. `None` if too many
    /// are waiting.
    pub(crate) fn enter(
        &self,
        message_id: MessageId,
        session: Option<Arc<Session>>,
        must_seal: bool,
    ) -> Option<Pending<'_>> {
        let mut table = self.table.lock();
        if table.waiting.len() >= limits::MAX_PENDING {
            return None;
        }
        table.last += 1;
        let async_id = AsyncId(table.last);
        let cancelled = CancellationToken::new();
        let waiting =
            Waiting { message_id, session, must_seal, survives: None, cancelled: cancelled.clone() };
        table.waiting.insert(async_id, waiting);
        Some(Pending { requests: self, async_id, cancelled })
    }

    /// Cancels the request that a session's CANCEL names (MS-SMB2 3.3.5.16). Ignored if there is no such
    /// request, if it belongs to another session, or if the CANCEL is not protected as the request had to be.
    pub(crate) fn cancel(
        &self,
        session: &Arc<Session>,
        protected: Protected,
        async_id: Option<AsyncId>,
        message_id: MessageId,
    ) {
        let table = self.table.lock();
        let found = match async_id {
            Some(id) => table.waiting.get(&id),
            None => table.waiting.values().find(|waiting| waiting.message_id == message_id),
        };
        if let Some(waiting) = found.filter(|waiting| waiting.may_be_cancelled_by(session, protected)) {
            waiting.cancelled.cancel();
        }
    }

    /// Cancels the requests that do not outlive the lost connection.
    pub(crate) fn abandon(&self, lives_on: impl Fn(RequestKey) -> bool) {
        let table = self.table.lock();
        for waiting in table.waiting.values().filter(|it| !it.survives.is_some_and(&lives_on)) {
            waiting.cancelled.cancel();
        }
    }
}

impl Waiting {
    fn may_be_cancelled_by(&self, session: &Arc<Session>, protected: Protected) -> bool {
        let is_own = self.session.as_ref().is_some_and(|own| Arc::ptr_eq(own, session));
        let established = session.established();
        let is_protected = match protected {
            Protected::Sealed => true,
            Protected::Signed => !self.must_seal && !session.seals(),
            Protected::Not => {
                !self.must_seal && !session.seals() && established.is_none_or(|it| !it.must_sign)
            }
        };
        is_own && is_protected
    }
}

/// The protection of a CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protected {
    /// An encrypted frame.
    Sealed,
    /// A valid signature.
    Signed,
    /// Neither.
    Not,
}

/// A waiting request; it leaves the table when dropped.
pub(crate) struct Pending<'a> {
    requests: &'a PendingRequests,
    async_id: AsyncId,
    cancelled: CancellationToken,
}

impl Pending<'_> {
    /// The id in the interim and the final answer.
    pub(crate) fn async_id(&self) -> AsyncId {
        self.async_id
    }

    /// Lets the request continue after a loss of the connection, if the registry keeps it.
    pub(crate) fn survive(&self, key: RequestKey) {
        let mut table = self.requests.table.lock();
        if let Some(waiting) = table.waiting.get_mut(&self.async_id) {
            waiting.survives = Some(key);
        }
    }

    /// Returns when the client cancels the request.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.requests.table.lock().waiting.remove(&self.async_id);
    }
}
