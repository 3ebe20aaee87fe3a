//! `Connection.AsyncCommandList` (MS-SMB2 3.3.1.7): requests that wait, and how CANCEL finds them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use registry::RequestKey;
use tokio_util::sync::CancellationToken;
use wire::{AsyncId, MessageId};

use crate::core::limits;
use crate::core::session::Session;

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
    /// Whose request it is; a logon's may be nobody's yet.
    session: Option<Arc<Session>>,
    /// Whether it came by a tree connect whose requests must be sealed.
    must_seal: bool,
    /// What the registry knows it by, if it is to outlive its connection.
    survives: Option<RequestKey>,
    cancelled: CancellationToken,
}

impl PendingRequests {
    /// Enters a request of a session, by a tree connect that must be sealed or not; none if too many wait already.
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

    /// Cancels the request that a session's CANCEL names (MS-SMB2 3.3.5.16); one that is unknown, another session's, or
    /// not protected as the request had to be is ignored.
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

    /// Cancels what does not outlive the connection, which is lost.
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

/// How a CANCEL came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protected {
    /// In a sealed frame.
    Sealed,
    /// With a signature that is right.
    Signed,
    /// Neither.
    Not,
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
        let mut table = self.requests.table.lock();
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
        self.requests.table.lock().waiting.remove(&self.async_id);
    }
}
