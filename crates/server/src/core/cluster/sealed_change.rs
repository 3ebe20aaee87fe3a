//! One user or group of the cluster, read to be changed: the change is refused if anybody has changed it since.

use std::sync::Arc;
use std::time::Duration;

use cluster::ids::{Revision, ShareKey};
use cluster::protocol::{Compare, Write};
use cluster::records::{self, SealedRecord};
use tokio::runtime::Handle;

use super::changes::{Author, Draft};
use super::operator::{Operator, Refused};
use super::sealed_entries::Sealed;
use super::secret::Secret;
use super::state::Cluster;
use crate::core::config::Settings;
use crate::core::server::Server;

/// A user or group as etcd has it.
pub(super) struct Found<T> {
    schema: Revision,
    cluster: String,
    secret: Secret,
    pub(super) key: ShareKey,
    pub(super) modified: Option<Revision>,
    /// `None` also if its value cannot be read.
    pub(super) value: Option<T>,
}

/// A user or group of the cluster for one change by this server.
pub(crate) struct ToChange<T> {
    pub(super) operator: Operator,
    pub(super) found: Found<T>,
    pub(super) runtime: Handle,
    pub(super) server: Arc<Server>,
}

impl Operator {
    /// The user or group with this name. One whose value cannot be read is none, and is replaced by a change.
    pub(super) async fn find_sealed<T: Sealed>(&self, name: &str) -> Result<Found<T>, Refused> {
        let key = ShareKey::new(name).map_err(|_| Refused::invalid(T::NAMES))?;
        let (schema, cluster) = self.schema_and_id().await?;
        let secret = self.secret().await?;
        let entry = self.entry(&T::key(key.clone())).await?;
        let value = entry.as_ref().and_then(|it| T::read(&secret, &cluster, &key, it).ok());
        Ok(Found { schema, cluster, secret, key, modified: entry.map(|it| it.modified), value })
    }

    /// The value for etcd with this text.
    pub(super) fn sealed<T: Sealed>(&self, found: &Found<T>, text: &str) -> Result<Vec<u8>, Refused> {
        let path = T::key(found.key.clone()).to_path(&self.prefix);
        let sealed = found.secret.seal(&found.cluster, &path, text).map_err(Refused::invalid)?;
        Ok(records::write(&SealedRecord { sealed }))
    }

    /// Writes the value of a user or group that was found, or deletes it. Returns the revision of the change.
    pub(super) async fn write_sealed<T: Sealed>(
        &self,
        found: &Found<T>,
        value: Option<Vec<u8>>,
        draft: Draft,
    ) -> Result<Revision, Refused> {
        let key = T::key(found.key.clone());
        let condition = match found.modified {
            Some(revision) => Compare::Modified(key.clone(), revision),
            None => Compare::Absent(key.clone()),
        };
        let write = match value {
            None => Write::Delete(key),
            Some(value) => Write::Put { key, value, lease: None },
        };
        self.commit(found.schema, vec![condition], vec![write], draft).await
    }
}

impl Cluster {
    /// Reads a user or group of the cluster, to change it. `None` on a server that keeps none there.
    pub(super) fn to_change<T: Sealed + Send + 'static>(
        &self,
        settings: &Settings,
        name: &str,
        author: Author,
    ) -> Result<Option<ToChange<T>>, Refused> {
        let Some(member) = self.member().filter(|_| settings.cluster.as_ref().is_some_and(|it| it.users))
        else {
            return Ok(None);
        };
        let Some((runtime, server)) = member.shell.get().cloned() else {
            return Err(Refused::unreachable("the server has just started"));
        };
        let operator = Operator::with(settings.clone(), member.etcd.clone(), author)?;
        let name = name.to_owned();
        let (operator, found) = wait(&runtime, async move {
            let found = operator.find_sealed(&name).await;
            found.map(|found| (operator, found))
        })?;
        Ok(Some(ToChange { operator, found, runtime, server }))
    }
}

/// Waits for calls of etcd, which the thread of the member makes.
pub(super) fn wait<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    let (done, is_done) = std::sync::mpsc::channel();
    let working = runtime.spawn(async move { done.send(work.await).ok() });
    is_done.recv_timeout(CHANGE_MAX).unwrap_or_else(|_| {
        working.abort();
        Err(Refused::unreachable("etcd does not answer in time; a change may still take effect: look again"))
    })
}

/// Two transactions with a reading each, each call at its longest.
const CHANGE_MAX: Duration = Duration::from_secs(5);
