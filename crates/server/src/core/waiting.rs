//! Requests that wait for the registry: for a byte-range lock, or until others have given up what they cache.

use std::collections::HashMap;

use parking_lot::Mutex;
use registry::{Outcome, RequestKey};
use tokio::sync::oneshot;

use crate::core::server::Server;

/// The end of a request's waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The lock is held.
    Granted,
    /// What stood in the way may be gone: the request asks again.
    Retry,
    /// The registry has given the request up.
    Ended(Outcome),
}

/// The requests that wait, by the keys under which the registry knows them.
#[derive(Default)]
pub(crate) struct Waiters {
    table: Mutex<HashMap<RequestKey, oneshot::Sender<Wake>>>,
}

impl Waiters {
    fn enter(&self, key: RequestKey) -> oneshot::Receiver<Wake> {
        let (sender, receiver) = oneshot::channel();
        self.table.lock().insert(key, sender);
        receiver
    }

    /// Takes a request out that nobody will wake. False if it has been woken, or was taken out before.
    pub(crate) fn leave(&self, key: RequestKey) -> bool {
        self.table.lock().remove(&key).is_some()
    }

    /// The number of requests that wait.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn count(&self) -> usize {
        self.table.lock().len()
    }

    pub(crate) fn wake(&self, key: RequestKey, wake: Wake) {
        let waiter = self.table.lock().remove(&key);
        if let Some(waiter) = waiter
            && waiter.send(wake).is_err()
        {
            tracing::debug!(?key, ?wake, "a request is woken that no longer waits; its connection is lost");
        }
    }
}

/// A request's place among those that wait, for one question to the registry.
///
/// It is taken before the registry learns of the request, so that no answer is missed. However the request ends, the
/// place is left with the ticket: what the registry keeps waiting still is cancelled there, and others go on for it.
#[must_use = "dropped, it cancels what the registry keeps waiting"]
pub(crate) struct Ticket<'a> {
    server: &'a Server,
    key: RequestKey,
    woken: oneshot::Receiver<Wake>,
    is_answered: bool,
}

impl<'a> Ticket<'a> {
    /// Takes the place of a request, which is not to have one already.
    pub(crate) fn take(server: &'a Server, key: RequestKey) -> Self {
        Self { server, key, woken: server.waiters.enter(key), is_answered: false }
    }

    /// Gives the ticket back after the registry has answered at once. A ticket that is merely dropped leaves nothing
    /// behind either, but takes the registry's lock to find out that nothing waits.
    pub(crate) fn give_back(mut self) {
        self.is_answered = true;
    }

    /// Takes the place again after [`Wake::Retry`], before the registry is asked again.
    pub(crate) fn take_again(&mut self) {
        self.woken = self.server.waiters.enter(self.key);
    }

    /// The key of the request.
    pub(crate) const fn key(&self) -> RequestKey {
        self.key
    }

    /// Waits for the end of the waiting. `None` if nobody will wake the request any more: its connection is lost.
    pub(crate) async fn woken(&mut self) -> Option<Wake> {
        (&mut self.woken).await.ok()
    }

    /// Cancels the request, and returns what became of it: one that was granted or ended before stays so.
    pub(crate) async fn cancel(mut self) -> Option<Wake> {
        self.cancel_in_registry();
        // Whoever took the request out of the registry, here or before, wakes it.
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
        // One that was told to try again has left the table and still waits in the registry.
        let may_wait = is_entered || matches!(self.woken.try_recv(), Ok(Wake::Retry));
        if !self.is_answered && may_wait {
            self.cancel_in_registry();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use auth::users::UserDb;
    use registry::{
        Admission, AdmitRequest, ConnectionId, FileKey, LockElement, LockOutcome, OpenTarget,
        ShareDefinition, ShareKind,
    };
    use wire::msg::CreateAction;
    use wire::{AccessMask, FileId};

    use super::*;
    use crate::core::config::{Settings, ShareSettings};
    use crate::core::connection_link::ConnectionLink;
    use crate::core::open::{Content, Created, Open};
    use crate::core::session::Session;
    use crate::core::tree::Tree;

    /// A server with one client that has a file open.
    fn server() -> (Arc<Server>, ConnectionId, FileId) {
        let server =
            Server::new(Settings::conventional(false, |_| None), UserDb::parse("").unwrap()).unwrap();
        let mut registry = server.registry.lock("test");
        let now = server.now();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let (connection, _) =
            registry.add_connection(peer, Arc::new(ConnectionLink::unheard()), now).unwrap();
        let attach = |id, global, shared: &Arc<_>| Arc::new(Session::new(id, global, Arc::clone(shared)));
        let session = registry.create_session(connection, attach, now).unwrap().0.attached;
        let _ = registry.session_valid(session.id(), registry::Identity::default(), None, now).unwrap();
        let share = server.share(ShareSettings::IPC).unwrap();
        let definition = ShareDefinition {
            name: "data".into(),
            kind: ShareKind::Disk,
            path: "/srv".into(),
            remark: "".into(),
            max_uses: None,
            flags: 0,
            hidden: false,
            temporary: false,
        };
        registry.add_share(definition, now).unwrap();
        let attach = |id, _| Arc::new(Tree::new(id, Arc::clone(&share), None, AccessMask::FILE_ALL));
        let tree =
            registry.tree_connect(session.id(), "data", false, FileKey::default(), attach, now).unwrap();
        let target = OpenTarget::File(FileKey { device: 1, inode: 1, stream: 0 });
        let key = RequestKey { connection, id: server.next_request() };
        let request = AdmitRequest::new(key, (session.id(), tree.tree_id), target, "file".into());
        let made = Created {
            actor: vfs::Actor::Process,
            action: CreateAction::OPENED,
            channel_sequence: 0,
            has_guid: false,
            parent_key: None,
        };
        let (admission, _) = registry.admit(
            request,
            |granted| {
                let (session, tree) = (session.clone(), tree.attached.clone());
                Arc::new(Open::new(granted, AccessMask::FILE_ALL, session, tree, Content::Gone, made))
            },
            now,
        );
        let Admission::Granted(granted) = admission else { panic!("{admission:?}") };
        drop(registry);
        (server, connection, granted.file_id)
    }

    fn lock<'a>(
        server: &'a Server,
        connection: ConnectionId,
        open: FileId,
        (offset, length): (u64, u64),
    ) -> (Ticket<'a>, LockOutcome) {
        let key = RequestKey { connection, id: server.next_request() };
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
        // The third has to wait for the second alone.
        let (mut third, outcome) = lock(&server, connection, open, (1, 1));
        assert_eq!((outcome, server.waiters.count()), (LockOutcome::Waiting, 2));
        drop(second);
        assert!(!server.registry.lock("test").is_waiting(second_key));
        assert_eq!(third.woken().await, Some(Wake::Granted));
        drop(third);
        assert_eq!(server.waiters.count(), 0);
    }

    #[tokio::test]
    async fn cancelled_ticket_says_what_became_of_its_request() {
        let (server, connection, open) = server();
        let (first, _) = lock(&server, connection, open, (0, 1));
        first.give_back();
        let (second, _) = lock(&server, connection, open, (0, 1));
        assert_eq!(second.cancel().await, Some(Wake::Ended(Outcome::Cancelled)));
        let (third, _) = lock(&server, connection, open, (0, 1));
        let closed =
            server.registry.lock("test").close_open(open, registry::CloseReason::Administrator, server.now());
        server.apply(closed.unwrap());
        assert_eq!(third.cancel().await, Some(Wake::Ended(Outcome::HandleClosed)), "that came before");
        assert_eq!(server.waiters.count(), 0);
    }
}
