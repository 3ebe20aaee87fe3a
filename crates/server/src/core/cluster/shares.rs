//! The shares of the cluster as administrators of this server see and change them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::Owner;
use cluster::ids::{Revision, ShareKey};

use super::changes::Author;
use super::definition;
use super::operator::{Operator, Refused};
use super::state::Cluster;
use crate::core::config::{Settings, ShareSettings};
use crate::core::server::Server;

/// A share of the cluster, as the member knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DefinedShare {
    /// The settings.
    pub(crate) settings: ShareSettings,
    /// The node that owns the share. `None` if there is none at present.
    pub(crate) owner: Option<String>,
}

impl Cluster {
    /// The cluster for an administrator of this server, whose name is in the history of changes. `None` on a server that is no
    /// member.
    pub(crate) fn operator(&self, settings: &Settings, author: Author) -> Option<Result<Operator, Refused>> {
        let member = self.member()?;
        Some(Operator::with(settings.clone(), member.acts.clone(), author))
    }

    /// True if the cluster has a share of this name, as far as this server knows.
    pub(crate) fn has_share(&self, name: &str) -> bool {
        self.member().is_some_and(|it| ShareKey::new(name).is_ok_and(|key| it.is_defined(&key)))
    }

    /// The number of shares of the cluster.
    pub(crate) fn shares_defined(&self) -> usize {
        let node = self.member().map(|it| it.node.lock());
        node.and_then(|it| it.as_ref().map(|it| it.view().shares().len())).unwrap_or_default()
    }

    /// Waits until this server has seen a change, so that who made it sees its effect. Another administrator may have undone
    /// it again, and etcd may be slow: it is not waited for beyond [`SEEN_MAX`].
    pub(crate) async fn has_seen(&self, revision: Revision) {
        let Some(member) = self.member() else { return };
        let seen = async {
            while member.node.lock().as_ref().is_some_and(|it| it.view().revision() < revision) {
                tokio::time::sleep(SEEN_POLL).await;
            }
        };
        let _ = tokio::time::timeout(SEEN_MAX, seen).await;
    }
}

impl Server {
    /// Waits until a share that this server serves has these settings, as [`Cluster::has_seen`] does for those in etcd.
    pub(crate) async fn has_applied(&self, settings: &ShareSettings) {
        let applied = async {
            while self.share(&settings.name).is_some_and(|it| it.settings != *settings) {
                tokio::time::sleep(SEEN_POLL).await;
            }
        };
        let _ = tokio::time::timeout(SEEN_MAX, applied).await;
    }

    /// The shares of the cluster, except for those whose definitions are not valid on this server.
    pub(crate) fn shares_of_cluster(&self) -> Vec<DefinedShare> {
        self.defined(|node| node.view().shares().keys().cloned().collect())
    }

    /// The share of the cluster with this name. `None` if there is none, or its definition is not valid on this server.
    pub(crate) fn share_of_cluster(&self, name: &str) -> Option<DefinedShare> {
        let key = ShareKey::new(name).ok()?;
        self.defined(|_| vec![key.clone()]).pop()
    }

    fn defined(&self, which: impl Fn(&cluster::Node) -> Vec<ShareKey>) -> Vec<DefinedShare> {
        let Some(member) = self.cluster.member() else { return Vec::new() };
        let found: Vec<_> = {
            let node = member.node.lock();
            let Some(node) = node.as_ref() else { return Vec::new() };
            let owner = |key: &ShareKey| match node.view().owner(key) {
                Some(Owner::Known { record, .. }) => Some(record.node.to_string()),
                Some(Owner::Unreadable) | None => None,
            };
            let of = |key: ShareKey| {
                let definition = node.view().shares().get(&key)?;
                let (value, modified) = (Arc::clone(&definition.settings), definition.modified);
                let owner = owner(&key);
                Some((key, value, modified, owner))
            };
            which(node).into_iter().filter_map(of).collect()
        };
        let settings = self.settings();
        member.parsed.lock().follow(&settings);
        let read =
            |(key, value, modified, owner): (ShareKey, Arc<serde_json::Value>, Revision, Option<String>)| {
                // Not under the lock: others may ask meanwhile.
                let known = member.parsed.lock().get(&key, modified);
                let read = known.unwrap_or_else(|| {
                    let read = definition::read(&key, &value, &settings, &member.settings).ok();
                    let read = read.map(|(settings, _)| Arc::new(settings));
                    member.parsed.lock().put(&settings, key, modified, read.clone());
                    read
                });
                Some(DefinedShare { settings: ShareSettings::clone(&*read?), owner })
            };
        found.into_iter().filter_map(read).collect()
    }
}

/// Definitions that were parsed, by the revisions at which they were written. Settings of the server are defaults of shares: with
/// other ones, the definitions are parsed again.
#[derive(Default)]
pub(super) struct Parsed {
    of: Option<Arc<Settings>>,
    shares: HashMap<ShareKey, (Revision, Option<Arc<ShareSettings>>)>,
}

impl Parsed {
    /// Forgets what was parsed with other settings.
    fn follow(&mut self, settings: &Arc<Settings>) {
        if !self.of.as_ref().is_some_and(|it| Arc::ptr_eq(it, settings)) {
            self.shares.clear();
            self.of = Some(Arc::clone(settings));
        }
    }

    /// The share that was parsed from the value of this revision. The inner `None` is one that cannot be used.
    fn get(&self, key: &ShareKey, modified: Revision) -> Option<Option<Arc<ShareSettings>>> {
        self.shares.get(key).filter(|it| it.0 == modified).map(|it| it.1.clone())
    }

    fn put(
        &mut self,
        settings: &Arc<Settings>,
        key: ShareKey,
        modified: Revision,
        share: Option<Arc<ShareSettings>>,
    ) {
        let is_current = self.of.as_ref().is_some_and(|it| Arc::ptr_eq(it, settings));
        if !is_current {
            return;
        }
        if self.shares.len() >= PARSED_MAX && !self.shares.contains_key(&key) {
            // Most are in use, but some may be of shares that are gone.
            self.shares.clear();
        }
        self.shares.insert(key, (modified, share));
    }
}

/// Some kilobytes each: a cluster with more shares has them parsed anew for each list.
const PARSED_MAX: usize = 10_000;

/// The watch brings changes within milliseconds.
const SEEN_MAX: Duration = Duration::from_secs(2);

const SEEN_POLL: Duration = Duration::from_millis(5);
