//! The shares of a cluster, which any of its nodes shows and changes (`docs/cluster.md`).
//!
//! A change is written to etcd, and each node applies it. It is refused if somebody else has changed the share at the same
//! time.
//!
//! The changes wait for etcd: threads call them that may wait, of the control API as of pipes (MS-SRVS).

use std::sync::Arc;

use cluster::SHARES_MAX;
use cluster::ids::ShareKey;
use registry::ShareSnapshot;

use super::share_changes::{apply, look_up, new_share};
use super::{Caller, Ended, Error, Explained, NewShare, Right, ShareEdit, audit, check, may};
use crate::core::cluster::{Author, DefinedShare, Refused, operator::Operator};
use crate::core::config::check_share_name;
use crate::core::configuration::definition_of;
use crate::core::server::Server;

/// True if a share of this name is one of the cluster, and not one of the server's own.
pub(crate) fn has_share_of_cluster(server: &Server, name: &str) -> bool {
    let is_own = server.settings().shares.iter().any(|it| wire::eq_ignore_case(&it.name, name));
    !is_own && server.cluster.has_share(name)
}

/// The shares of the cluster that other nodes own, or none at present, for callers who may see all shares.
pub(crate) fn shares_of_cluster(server: &Server, caller: &Caller) -> Result<Vec<DefinedShare>, Error> {
    check(caller, Right::ReadShares)?;
    let mut shares = server.shares_of_cluster();
    shares.retain(|it| has_share_of_cluster(server, &it.settings.name));
    Ok(shares)
}

/// One share of the cluster.
pub(crate) fn share_of_cluster(server: &Server, caller: &Caller, name: &str) -> Result<DefinedShare, Error> {
    check(caller, Right::ReadShares)?;
    server.share_of_cluster(name).ok_or(Error::NoSuchShare)
}

/// The shares of the cluster that the caller may know of and this server does not serve, for lists of all shares. Their ids
/// are beyond those of the registry, and the same in each list.
pub(crate) fn shares_elsewhere(server: &Server, caller: &Caller) -> Vec<ShareSnapshot> {
    if !may(caller, Right::ReadShares) && caller.user.is_empty() {
        return Vec::new();
    }
    let served = |name: &str| server.share(name).is_some();
    let mut found: Vec<(u32, ShareSnapshot)> = Vec::new();
    for share in server.shares_of_cluster() {
        let is_listed = !share.settings.hidden || may(caller, Right::ReadShares);
        if is_listed && has_share_of_cluster(server, &share.settings.name) && !served(&share.settings.name) {
            found.push((list_number(&share.settings.name), snapshot_of(&share)));
        }
    }
    found.sort_by(|one, other| (one.0, &one.1.definition.name).cmp(&(other.0, &other.1.definition.name)));
    let mut last = LIST_NUMBERS;
    for (number, snapshot) in &mut found {
        // Two names may have one number.
        last = (*number).max(last.saturating_add(1));
        snapshot.id = last;
    }
    found.into_iter().map(|(_, snapshot)| snapshot).collect()
}

/// A share of the cluster that this server does not serve, for callers with an account.
pub(crate) fn share_elsewhere(server: &Server, caller: &Caller, name: &str) -> Result<ShareSnapshot, Error> {
    let is_known = may(caller, Right::ReadShares) || !caller.user.is_empty();
    let share = server.share_of_cluster(name).filter(|_| is_known && has_share_of_cluster(server, name));
    share.map(|it| snapshot_of(&it)).ok_or(Error::NoSuchShare)
}

/// The uses are counted by the node that serves the share.
fn snapshot_of(share: &DefinedShare) -> ShareSnapshot {
    ShareSnapshot { id: LIST_NUMBERS, definition: definition_of(&share.settings), uses: 0 }
}

/// A number by which lists are in the same order each time (FNV-1a).
fn list_number(name: &str) -> u32 {
    let key = ShareKey::new(name);
    let folded = key.as_ref().map_or(name, ShareKey::as_str);
    let hash =
        folded.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    LIST_NUMBERS | hash
}

/// The registry counts from 1.
const LIST_NUMBERS: u32 = 0x8000_0000;

/// True if a directory is one that the nodes of the cluster have in common, by the settings of this server.
pub(crate) fn is_of_cluster(server: &Server, path: &std::path::Path) -> bool {
    server.cluster.is_member()
        && server
            .settings()
            .cluster
            .as_ref()
            .is_some_and(|own| own.paths.iter().any(|it| path.starts_with(it)))
}

/// True if this is the name of the cluster of this server.
pub(crate) fn is_name_of_cluster(server: &Server, name: &str) -> bool {
    server.settings().cluster.as_ref().is_some_and(|own| wire::eq_ignore_case(own.name.as_str(), name))
}

/// Shares a directory by the cluster. `new` is called only if the caller has the right.
pub(crate) fn add_share_of_cluster(
    server: &Arc<Server>,
    caller: &Caller,
    new: impl FnOnce() -> Result<NewShare, Error>,
) -> Result<DefinedShare, Explained> {
    check(caller, Right::ChangeSettings)?;
    let new = new()?;
    check_share_name(&new.name).map_err(|_| Error::InvalidName)?;
    let object = format!("share {} of {} in the cluster", new.name, new.path.display());
    let added = add(server, caller, new);
    audit::act(server, caller, "add share", &object, &done(&added));
    added
}

fn add(server: &Arc<Server>, caller: &Caller, new: NewShare) -> Result<DefinedShare, Explained> {
    let operator = operator(server, caller)?;
    if server.cluster.shares_defined() >= SHARES_MAX {
        return Err(Explained::new(Error::TooMuch, format!("a cluster has at most {SHARES_MAX} shares")));
    }
    if new.edit.temporary == Some(true) {
        return Err(Explained::new(Error::NotSupported, NOT_TEMPORARY));
    }
    server.refresh_accounts();
    look_up(server, &new.edit);
    let share = new_share(server, new)?;
    waited(async {
        let revision = operator.add_share(&share).await.map_err(explained)?;
        server.cluster.has_seen(revision).await;
        Ok::<_, Explained>(())
    })?;
    Ok(DefinedShare { owner: owner(server, &share.name), settings: share })
}

/// Changes a share of the cluster. `edit` is called only if the caller has the right.
pub(crate) fn change_share_of_cluster(
    server: &Arc<Server>,
    caller: &Caller,
    name: &str,
    edit: impl FnOnce() -> Result<ShareEdit, Error>,
) -> Result<DefinedShare, Explained> {
    check(caller, Right::ChangeSettings)?;
    let edit = edit()?;
    let object = format!("share {name} in the cluster: {edit}");
    let changed = change(server, caller, name, edit);
    audit::act(server, caller, "change share", &object, &done(&changed));
    changed
}

fn change(
    server: &Arc<Server>,
    caller: &Caller,
    name: &str,
    edit: ShareEdit,
) -> Result<DefinedShare, Explained> {
    if edit.temporary == Some(true) {
        return Err(Explained::new(Error::NotSupported, NOT_TEMPORARY));
    }
    let operator = operator(server, caller)?;
    let found = waited(operator.find_share(name)).map_err(explained)?;
    let mut share = found.settings.clone();
    server.refresh_accounts();
    look_up(server, &edit);
    apply(&mut share, edit, server)?;
    waited(async {
        let revision = operator.change_share(found, &share).await.map_err(explained)?;
        server.cluster.has_seen(revision).await;
        server.has_applied(&share).await;
        Ok::<_, Explained>(())
    })?;
    Ok(DefinedShare { owner: owner(server, &share.name), settings: share })
}

/// Deletes a share of the cluster: its owner has clients write back what they cache, and ends their connections.
pub(crate) fn delete_share_of_cluster(
    server: &Server,
    caller: &Caller,
    name: &str,
) -> Result<Ended, Explained> {
    check(caller, Right::ChangeSettings)?;
    let deleted = delete(server, caller, name);
    let outcome = deleted.as_ref().map(|ended| *ended).map_err(|it| it.error);
    audit::act(server, caller, "delete share", &format!("share {name} in the cluster"), &outcome);
    deleted
}

fn delete(server: &Server, caller: &Caller, name: &str) -> Result<Ended, Explained> {
    let operator = operator(server, caller)?;
    waited(async {
        let revision = operator.delete(name).await.map_err(explained)?;
        server.cluster.has_seen(revision).await;
        Ok::<_, Explained>(())
    })?;
    // The owner, which may be another node, closes the files.
    Ok(Ended { sessions: 0, files: 0, outcome: None })
}

/// Waits for calls of etcd, on a thread of the runtime that may wait.
fn waited<T>(calls: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(calls)
}

const NOT_TEMPORARY: &str = "a share of a cluster is not temporary";

fn owner(server: &Server, name: &str) -> Option<String> {
    server.share_of_cluster(name).and_then(|it| it.owner)
}

/// The caller, for the history of changes.
pub(super) fn author(caller: &Caller) -> Author {
    Author { user: caller.user.clone(), from: caller.from.clone() }
}

/// The cluster, for changes by the caller.
pub(super) fn operator(server: &Server, caller: &Caller) -> Result<Operator, Explained> {
    let operator = server.cluster.operator(&server.settings(), author(caller));
    let operator = operator
        .ok_or_else(|| Explained::new(Error::NotSupported, "this server is no member of a cluster"))?;
    operator.map_err(explained)
}

pub(super) fn explained(refused: Refused) -> Explained {
    Explained::new(Error::from(refused.kind()), refused)
}

fn done(outcome: &Result<DefinedShare, Explained>) -> Result<Ended, Error> {
    match outcome {
        Ok(_) => Ok(Ended { sessions: 0, files: 0, outcome: None }),
        Err(explained) => Err(explained.error),
    }
}
