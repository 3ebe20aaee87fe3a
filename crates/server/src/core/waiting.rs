//! Requests that wait for the registry: for a byte-range lock, or for the breaks of others' caching.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use registry::{ConnectionId, Outcome, RequestKey};
use tokio::sync::oneshot;

use crate::core::parted::Parted;
use crate::core::server::Server;

/// The end of a request's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The request holds the lock.
    Granted,
    /// The conflict may be over: the request calls the registry again.
    Retry,
    /// The registry has ended the request.
    Ended(Outcome),
}

/// The requests that wait, by their keys in the registry.
#[derive(Default)]
pub(crate) struct Waiters {
    last_key: AtomicU64,
    table: Parted<HashMap<RequestKey, oneshot::Sender<Wake>>>,
}

impl Waiters {
    /// Returns a key for a request of the connection, which no other request of this server has.
    pub(crate) fn new_key(&self, connection: ConnectionId) -> RequestKey {
        RequestKey { connection, id: self.last_key.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    fn enter(&self, key: RequestKey) -> oneshot::Receiver<Wake> {
        let (sender, receiver) = oneshot::channel();
        self.table.part(key.id).insert(key, sender);
        receiver
    }

    /// Removes a request that will not be woken. Returns false if it has been woken or was removed before.
    pub(crate) fn leave(&self, key: RequestKey) -> bool {
        self.table.part(key.id).remove(&key).is_some()
    }

    /// The number of requests that wait.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn count(&self) -> usize {
        self.table.each().map(|part| part.len()).sum()
    }

    pub(crate) fn wake(&self, key: RequestKey, wake: Wake) {
        let waiter = self.table.part(key.id).remove(&key);
        if let Some(waiter) = waiter
            && waiter.send(wake).is_err()
        {
            tracing::debug!(?key, ?wake, "a request that no longer waits was woken; its connection is lost");
        }
    }
}

/// The place of a request in the table of waiting requests, for one call of the registry.
///
/// The caller takes the ticket before it passes the request to the registry, so that no result is missed. Dropping the
/// ticket releases the place; if the registry still keeps the request waiting, it is cancelled there, and others continue.
#[must_use = "a ticket that is dropped cancels its waiting request"]
pub(crate) struct Ticket<'a> {
    server: &'a Server,
    key: RequestKey,
    woken: oneshot::Receiver<Wake>,
    is_answered: bool,
}

impl<'a> Ticket<'a> {
    /// Takes a place for a request, which must not have one already.
    pub(crate) fn take(server: &'a Server, key: RequestKey) -> Self {
        Self { server, key, woken: server.waiters.enter(key), is_answered: false }
    }

    /// Releases the ticket after the registry has answered at once. A ticket that is merely dropped is released as
    /// well, but takes the registry's lock to check that the request does not wait.
    pub(crate) fn give_back(mut self) {
        self.is_answered = true;
    }

    /// Takes the place again after [`Wake::Retry`], before the registry is called again.
    pub(crate) fn take_again(&mut self) {
        self.woken = self.server.waiters.enter(self.key);
    }

    /// The key of the request.
    pub(crate) const fn key(&self) -> RequestKey {
        self.key
    }

    /// Waits for the result. Returns `None` if the request will not be woken any more, because its connection is lost.
    pub(crate) async fn woken(&mut self) -> Option<Wake> {
        (&mut self.woken).await.ok()
    }

    /// Cancels the request, and returns its result. A request that was granted or ended before stays so.
    pub(crate) async fn cancel(mut self) -> Option<Wake> {
        self.cancel_in_registry();
        // The removal of the request from the registry, here or before, wakes it.
        self.woken().await
    }

    fn cancel_in_registry(&self) {
        let effects = self.server.registry.lock("cancel").cancel(self.key, self.server.now());
        self.server.apply(effects);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let is_entered = self.server.waiters.leave(self.key);
        // A request that was woken to try again has left the table and may still wait in the registry.
        let may_wait = is_entered || matches!(self.woken.try_recv(), Ok(Wake::Retry));
        if !self.is_answered && may_wait {
            self.cancel_in_registry();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use registry::{ConnectionId, FileKey, LockElement, LockOutcome, OpenTarget};
    use wire::FileId;

    use super::*;
    use crate::core::fixture::Fixture;

    /// Creates a server with one client that has a file open.
    fn server() -> (Arc<Server>, ConnectionId, FileId) {
        let target = OpenTarget::File(FileKey { device: 1, inode: 1, stream: 0 });
        let Fixture { server, connection, open, .. } = Fixture::with_open(target);
        (server, connection, open)
    }

    fn lock<'a>(
        server: &'a Server,
        connection: ConnectionId,
        open: FileId,
        (offset, length): (u64, u64),
    ) -> (Ticket<'a>, LockOutcome) {
        let key = server.waiters.new_key(connection);
        let ticket = Ticket::take(server, key);
        let element = LockElement { offset, length, exclusive: true };
        let locked = server.registry.lock("test").lock(open, &[element], true, key, server.now());
        server.apply(locked.1);
        (ticket, locked.0.unwrap())
    }

    #[tokio::test]
    async fn dropped_ticket_cancels_its_request_and_lets_others_go_on() {
        let (server, connection, open) = server();
        let (first, outcome) = lock(&server, connection, open, (0, 1));
        assert_eq!(outcome, LockOutcome::Granted);
        first.give_back();
        assert_eq!(server.waiters.count(), 0);
        let (second, outcome) = lock(&server, connection, open, (0, 2));
        assert_eq!(outcome, LockOutcome::Waiting);
        let second_key = second.key;
        // The third request waits for the second only.
        let (mut third, outcome) = lock(&server, connection, open, (1, 1));
        assert_eq!((outcome, server.waiters.count()), (LockOutcome::Waiting, 2));
        drop(second);
        assert!(!server.registry.lock("test").is_waiting(second_key));
        assert_eq!(third.woken().await, Some(Wake::Granted));
        drop(third);
        assert_eq!(server.waiters.count(), 0);
    }

    #[tokio::test]
    async fn cancel_returns_the_result_of_the_request() {
        let (server, connection, open) = server();
        let (first, _) = lock(&server, connection, open, (0, 1));
        first.give_back();
        let (second, _) = lock(&server, connection, open, (0, 1));
        assert_eq!(second.cancel().await, Some(Wake::Ended(Outcome::Cancelled)));
        let (third, _) = lock(&server, connection, open, (0, 1));
        let closed =
            server.registry.lock("test").close_open(open, registry::CloseReason::Administrator, server.now());
        server.apply(closed.unwrap());
        assert_eq!(
            third.cancel().await,
            Some(Wake::Ended(Outcome::HandleClosed)),
            "the close came before the cancellation"
        );
        assert_eq!(server.waiters.count(), 0);
    }
}
