//! Connections and tree connects of computers that `hosts_allow` and `hosts_deny` no longer admit, after these settings
//! have changed.

use crate::core::audit::{self, Why};
use crate::core::connection_link::ConnectionEvent;
use crate::core::server::Server;

impl Server {
    /// Ends the connections, and the tree connects of shares, whose clients the settings in force do not admit.
    pub(crate) fn end_refused_hosts(&self) {
        let settings = self.settings();
        if settings.hosts.is_set() {
            self.end_refused_connections();
        }
        if settings.shares.iter().any(|share| share.hosts.is_set()) {
            self.end_refused_trees();
        }
    }

    fn end_refused_connections(&self) {
        let settings = self.settings();
        let mut last = None;
        loop {
            let registry = self.registry.lock("end_refused_connections");
            let batch = registry.connection_snapshots(last, BATCH);
            let Some(end) = batch.last().map(|it| it.id) else { break };
            last = Some(end);
            let refused = batch.into_iter().filter(|it| !settings.hosts.admit(it.peer.ip()));
            let refused: Vec<_> =
                refused.filter_map(|it| Some((it.peer, registry.connection_link(it.id)?))).collect();
            drop(registry);
            for (peer, link) in refused {
                audit::host_refused(&peer);
                // If it is not received, the connection has ended by itself.
                link.send(ConnectionEvent::Close);
            }
        }
    }

    fn end_refused_trees(&self) {
        let mut last = None;
        loop {
            let batch = self.registry.lock("end_refused_trees").sessions_after(last, BATCH);
            let Some(end) = batch.last().map(|it| it.0) else { break };
            last = Some(end);
            for (_, session) in batch {
                for tree in session.tree_connects() {
                    let name = &tree.share.settings.name;
                    if self.share(name).is_none_or(|share| share.settings.hosts.admit(tree.peer)) {
                        continue;
                    }
                    let user = session.user().map(|user| user.name.clone()).unwrap_or_default();
                    audit::share_refused(&(tree.peer, 0).into(), &user, name, &Why::host_refused());
                    let mut registry = self.registry.lock("end_refused_tree");
                    let ended = registry.tree_disconnect(session.id(), tree.id(), self.now());
                    drop(registry);
                    // If there is none, it has ended by itself.
                    self.apply(ended.unwrap_or_default());
                }
            }
        }
    }
}

/// The number of connections or sessions that are listed under one hold of the registry's lock.
const BATCH: usize = 256;
