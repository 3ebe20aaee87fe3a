//! Shares of the cluster among the shares of the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use registry::ConnectionId;

use super::Serving;
use crate::core::connection_link::{ConnectionEvent, ConnectionLink};
use crate::core::handle_logs;
use crate::core::server::Server;

impl Server {
    /// Serves a share whose storage is locked. Clients can connect when this returns, and opens of the share's former owner
    /// wait for theirs.
    pub(crate) fn serve_of_cluster(self: &Arc<Self>, serving: Serving) -> Result<(), String> {
        let name = serving.settings.name.clone();
        let is_own = |share: &crate::core::config::ShareSettings| wire::eq_ignore_case(&share.name, &name);
        if self.settings().shares.iter().any(is_own) {
            return Err(String::from("this server has a share of its own with that name"));
        }
        if !serving.gate.is_open() {
            // The stop is on its way.
            return Ok(());
        }
        self.cluster.begin_serving(serving);
        self.share_of_cluster_changed(&name);
        let Some(share) = self.share(&name) else {
            return Err(String::from("the server has too many shares"));
        };
        if share.log.is_some() {
            share.bulkhead.call_apart(|| {
                // A directory that does not exist is in the log of the server.
                if let Some(files) = share.directory().and_then(|directory| directory.find().ok()) {
                    let _ = handle_logs::open(self, &share, &files);
                }
            });
        }
        tracing::info!(share = name, "the server serves a share of the cluster");
        Ok(())
    }

    /// Has the clients of a share write back what they cache, before another server gets the share, or nobody does because
    /// it is deleted. Persistent opens go to the other server with their caching. Clients that do not answer are not waited
    /// for beyond [`PREPARE_MAX`].
    pub(crate) async fn prepare_handover(&self, name: &str, is_deleted: bool) {
        let opens = {
            let registry = self.registry.lock("caching_opens");
            if is_deleted { registry.all_caching_opens(name) } else { registry.caching_opens(name) }
        };
        for part in opens.chunks(OPENS_AT_ONCE) {
            let effects = self.registry.lock("break_caching").break_caching(part, self.now());
            self.apply(effects);
        }
        let begun = Instant::now();
        for part in opens.chunks(OPENS_AT_ONCE) {
            while self.registry.lock("are_breaking").are_breaking(part) {
                if begun.elapsed() > PREPARE_MAX {
                    let share = name;
                    return tracing::warn!(
                        share,
                        "clients have not written back what they cache before the share goes to another server or ends"
                    );
                }
                tokio::time::sleep(PREPARE_POLL).await;
            }
        }
    }

    /// Ends the tree connects of a share that this server gives up. Its gate has closed. The log of its opens stays as it
    /// is, for the next owner.
    ///
    /// Clients with opens in the log lose their connections first: then they reclaim the opens at the next owner. The end of
    /// the tree connect alone is an error that they pass on to their programs.
    pub(crate) fn stop_of_cluster(&self, serving: &Serving) {
        let name = &serving.settings.name;
        let clients = self.registry.lock("logged_clients").connections_with_logged_opens(name);
        self.files.handle_logs.abandon(self, name);
        self.cluster.end_serving(name);
        self.end_connections(&clients);
        self.share_of_cluster_changed(name);
        // Persistent opens of the share may have been entered in between.
        self.files.handle_logs.abandon(self, name);
    }

    /// Closes connections, and waits until they have ended, but not beyond [`CLOSING_MAX`]. It blocks.
    fn end_connections(&self, connections: &[(ConnectionId, Arc<ConnectionLink>)]) {
        for (_, link) in connections {
            link.send(ConnectionEvent::Close);
        }
        let begun = Instant::now();
        for (id, _) in connections {
            while self.registry.lock("connection_link").connection_link(*id).is_some() {
                if begun.elapsed() > CLOSING_MAX {
                    return tracing::debug!("connections to a share that moves have not ended yet");
                }
                std::thread::sleep(CLOSING_POLL);
            }
        }
    }

    /// Closes the connections of clients to these addresses. Returns true if there are any.
    pub(crate) fn close_connections_at(
        &self,
        addresses: &std::collections::BTreeSet<std::net::IpAddr>,
    ) -> bool {
        let all = self.registry.lock("connections_at").connections_of(None);
        let at = |link: &ConnectionLink| link.local().is_some_and(|it| addresses.contains(&it));
        let found: Vec<_> = all.into_iter().filter(|(_, link)| at(link)).collect();
        for (_, link) in &found {
            link.send(ConnectionEvent::Close);
        }
        !found.is_empty()
    }

    /// Has other settings of a share take effect for later tree connects.
    pub(crate) fn change_of_cluster(&self, serving: Serving) {
        let name = serving.settings.name.clone();
        if self.cluster.change_serving(serving) {
            self.share_of_cluster_changed(&name);
        }
    }
}

/// The opens for which the registry is locked at once.
const OPENS_AT_ONCE: usize = 64;

/// A client that has not written back by then has no connection, or too much to write; the others wait for the share.
const PREPARE_MAX: Duration = Duration::from_secs(3);

/// The task of a connection ends it within some milliseconds, unless the server is overloaded or a disk hangs. The next
/// owner waits for this one.
const CLOSING_MAX: Duration = Duration::from_millis(100);

const CLOSING_POLL: Duration = Duration::from_millis(1);

const PREPARE_POLL: Duration = Duration::from_millis(3);
