//! Shares of the cluster among the shares of the server.

use std::sync::Arc;

use super::Serving;
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

    /// Ends the tree connects of a share that this server gives up. Its gate has closed. The log of its opens stays as it
    /// is, for the next owner.
    pub(crate) fn stop_of_cluster(&self, serving: &Serving) {
        let name = &serving.settings.name;
        self.files.handle_logs.abandon(self, name);
        self.cluster.end_serving(name);
        self.share_of_cluster_changed(name);
        // Persistent opens of the share may have been entered in between.
        self.files.handle_logs.abandon(self, name);
    }

    /// Has other settings of a share take effect for later tree connects.
    pub(crate) fn change_of_cluster(&self, serving: Serving) {
        let name = serving.settings.name.clone();
        if self.cluster.change_serving(serving) {
            self.share_of_cluster_changed(&name);
        }
    }
}
