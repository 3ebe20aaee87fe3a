//! A server with one client that has something open, for the tests of this room.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use auth::users::UserDb;
use registry::{Admission, AdmitRequest, ConnectionId, FileKey, OpenTarget};
use wire::msg::CreateAction;
use wire::{AccessMask, FileId};

use super::config::{Settings, ShareSettings};
use super::connection_link::ConnectionLink;
use super::open::{Content, Created, Open};
use super::server::Server;
use super::session::Session;
use super::tree::Tree;

/// A server, and the client's connection, session, tree connect and open.
pub(crate) struct Fixture {
    pub(crate) server: Arc<Server>,
    pub(crate) connection: ConnectionId,
    pub(crate) session: Arc<Session>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) open: FileId,
}

impl Fixture {
    /// The server with an open of `target`.
    pub(crate) fn with_open(target: OpenTarget) -> Self {
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
        let attach = |id, _| {
            let access = (AccessMask::FILE_ALL, None);
            Arc::new(Tree::new(id, Arc::clone(&share), None, access, peer.ip()))
        };
        let tree = registry
            .tree_connect(session.id(), ShareSettings::IPC, false, FileKey::default(), attach, now)
            .unwrap()
            .attached;
        let key = server.waiters.new_key(connection);
        let request = AdmitRequest::new(key, (session.id(), tree.id()), target, "name".into());
        let made = Created {
            actor: vfs::Actor::Process,
            action: CreateAction::OPENED,
            channel_sequence: 0,
            has_guid: false,
            parent_key: None,
        };
        let attach = |granted: &_| {
            let (session, tree) = (Arc::clone(&session), Arc::clone(&tree));
            Arc::new(Open::new(granted, AccessMask::FILE_ALL, session, tree, Content::Gone, made))
        };
        let (admission, _) = registry.admit(request, attach, now);
        let Admission::Granted(granted) = admission else { panic!("{admission:?}") };
        drop(registry);
        Self { server, connection, session, tree, open: granted.file_id }
    }
}
