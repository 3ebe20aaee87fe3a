//! The shares of a cluster, which any of its nodes shows and changes (`docs/cluster.md`).
//!
//! A change is written to etcd, and each node applies it. It is refused if somebody else has changed the share at the same
//! time.

use std::sync::Arc;

use cluster::SHARES_MAX;

use super::share_changes::{apply, look_up, new_share};
use super::{Caller, Ended, Error, Explained, NewShare, Right, ShareEdit, audit, check};
use crate::core::blocking;
use crate::core::cluster::{Author, DefinedShare, Refused, operator::Operator};
use crate::core::config::check_share_name;
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

/// Shares a directory by the cluster. `new` is called only if the caller has the right.
pub(crate) async fn add_share_of_cluster(
    server: &Arc<Server>,
    caller: &Arc<Caller>,
    new: impl FnOnce() -> Result<NewShare, Error>,
) -> Result<DefinedShare, Explained> {
    check(caller, Right::ChangeSettings)?;
    let new = new()?;
    check_share_name(&new.name).map_err(|_| Error::InvalidName)?;
    let object = format!("share {} of {} in the cluster", new.name, new.path.display());
    let added = add(server, caller, new).await;
    audit::act(server, caller, "add share", &object, &done(&added));
    added
}

async fn add(server: &Arc<Server>, caller: &Caller, new: NewShare) -> Result<DefinedShare, Explained> {
    let operator = operator(server, caller)?;
    if server.cluster.shares_defined() >= SHARES_MAX {
        return Err(Explained::new(Error::TooMuch, format!("a cluster has at most {SHARES_MAX} shares")));
    }
    let of = Arc::clone(server);
    let prepare = move || {
        of.refresh_accounts();
        look_up(&of, &new.edit);
        new_share(&of, new)
    };
    let share = blocking::run(prepare).await.map_err(|_| Error::Internal)??;
    let revision = operator.add_share(&share).await.map_err(explained)?;
    server.cluster.has_seen(revision).await;
    Ok(DefinedShare { owner: owner(server, &share.name), settings: share })
}

/// Changes a share of the cluster. `edit` is called only if the caller has the right.
pub(crate) async fn change_share_of_cluster(
    server: &Arc<Server>,
    caller: &Arc<Caller>,
    name: &str,
    edit: impl FnOnce() -> Result<ShareEdit, Error>,
) -> Result<DefinedShare, Explained> {
    check(caller, Right::ChangeSettings)?;
    let edit = edit()?;
    let object = format!("share {name} in the cluster: {edit}");
    let changed = change(server, caller, name, edit).await;
    audit::act(server, caller, "change share", &object, &done(&changed));
    changed
}

async fn change(
    server: &Arc<Server>,
    caller: &Caller,
    name: &str,
    edit: ShareEdit,
) -> Result<DefinedShare, Explained> {
    if edit.temporary == Some(true) {
        return Err(Explained::new(Error::InvalidParameter, "a share of a cluster is not temporary"));
    }
    let operator = operator(server, caller)?;
    let found = operator.find_share(name).await.map_err(explained)?;
    let (of, mut share) = (Arc::clone(server), found.settings.clone());
    let prepare = move || {
        of.refresh_accounts();
        look_up(&of, &edit);
        apply(&mut share, edit, &of).map(|()| share)
    };
    let share = blocking::run(prepare).await.map_err(|_| Error::Internal)??;
    let revision = operator.change_share(found, &share).await.map_err(explained)?;
    server.cluster.has_seen(revision).await;
    Ok(DefinedShare { owner: owner(server, &share.name), settings: share })
}

/// Deletes a share of the cluster: its owner has clients write back what they cache, and ends their connections.
pub(crate) async fn delete_share_of_cluster(
    server: &Arc<Server>,
    caller: &Arc<Caller>,
    name: &str,
) -> Result<Ended, Explained> {
    check(caller, Right::ChangeSettings)?;
    let deleted = delete(server, caller, name).await;
    let outcome = deleted.as_ref().map(|ended| *ended).map_err(|it| it.error);
    audit::act(server, caller, "delete share", &format!("share {name} in the cluster"), &outcome);
    deleted
}

async fn delete(server: &Arc<Server>, caller: &Caller, name: &str) -> Result<Ended, Explained> {
    let revision = operator(server, caller)?.delete(name).await.map_err(explained)?;
    server.cluster.has_seen(revision).await;
    // The owner, which may be another node, closes the files.
    Ok(Ended { sessions: 0, files: 0, outcome: None })
}

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
