//! The comparison of a share's tree connects with its present grants. A tree connect keeps the rights that the share
//! gave when it was made, so after a change the server lists, and ends, those that have more.

use std::sync::Arc;

use futures_util::StreamExt as _;
use registry::{FileSnapshot, Filter, TreeSnapshot};
use wire::{FileGlobalId, SessionId, ShareName, TreeId};

use super::close::{GRACE, close_kindly};
use super::walk::walk;
use super::{Caller, Ended, Error, Own, Right, audit, scope};
use crate::core::bulkhead;
use crate::core::server::Server;

/// A tree connect with rights that the share does not give any more.
#[derive(Clone, Debug)]
pub(crate) struct Reduced {
    pub(crate) tree: TreeSnapshot,
    /// True if the user may connect again, with fewer rights.
    pub(crate) may_return: bool,
    pub(crate) files: Vec<FileSnapshot>,
    ids: (SessionId, TreeId),
}

/// Lists the tree connects of a share that have more rights than the share gives their users now, and ends them if
/// `end` is set. Their files are closed kindly first. A client that still has rights connects again by itself.
pub(crate) async fn recheck(
    server: &Arc<Server>,
    caller: &Caller,
    share: &str,
    end: bool,
) -> Result<Vec<Reduced>, Error> {
    let scope = scope(caller, Right::CloseFiles, Own::No)?;
    if !scope.has_share(share) {
        audit::denied(caller, Right::CloseFiles);
        return Err(Error::AccessDenied);
    }
    let (of, name) = (Arc::clone(server), ShareName::new(share));
    // Groups come from a name service, which may take a while.
    let reduced = crate::core::blocking::run(move || reduced(&of, &name)).await;
    let reduced = reduced.map_err(|_| Error::Internal)??;
    if end {
        let closes = reduced.iter().map(|it| {
            let ids: Vec<_> = it.files.iter().map(|file| file.global_id).collect();
            end_tree(Arc::clone(server), it.ids, ids)
        });
        let closes: Vec<_> = closes.collect();
        let ended: Vec<Ended> = futures_util::stream::iter(closes).buffered(TREES).collect().await;
        for (it, ended) in reduced.iter().zip(ended) {
            let TreeSnapshot { user, client, share, .. } = &it.tree;
            let object = format!(r"connection of {user} on \\{client} to {share}");
            audit::act(server, caller, "end connection", &object, &Ok(ended));
        }
    }
    Ok(reduced)
}

/// The tree connects with more rights than now.
fn reduced(server: &Server, name: &ShareName) -> Result<Vec<Reduced>, Error> {
    let share = server.share(name.as_str()).ok_or(Error::NoSuchShare)?;
    server.refresh_accounts();
    let mut all = Vec::new();
    let mut last = None;
    loop {
        let batch = server.registry.lock("recheck").sessions_after(last, BATCH);
        let Some(end) = batch.last().map(|it| it.0) else { return Ok(all) };
        last = Some(end);
        for (session_id, session) in batch {
            let Some(user) = session.user() else { continue };
            for tree in session.tree_connects() {
                if ShareName::new(&tree.share.settings.name) != *name {
                    continue;
                }
                let now = share.admit(server, &user, tree.peer).ok().map(|it| it.access);
                if now.is_some_and(|now| now.contains(tree.maximal_access)) {
                    continue;
                }
                let registry = server.registry.lock("recheck_tree");
                let Some(info) = registry.tree(session.id(), tree.id()) else { continue };
                let before = wire::TreeGlobalId::new(info.global_id.value().saturating_sub(1));
                let part = registry.tree_snapshots(&Filter::default(), before, 1);
                drop(registry);
                let Some(snapshot) = part.entries.into_iter().find(|it| it.global_id == info.global_id)
                else {
                    continue;
                };
                let filter =
                    Filter { session: Some(session_id), share: Some(name.clone()), ..Filter::default() };
                let fetch = |last, length| {
                    server.registry.lock("recheck_files").file_snapshots(&filter, last, length)
                };
                let files = walk(None, fetch).filter(|it| it.tree == Some(info.global_id)).collect();
                let ids = (session.id(), tree.id());
                all.push(Reduced { tree: snapshot, may_return: now.is_some(), files, ids });
            }
        }
    }
}

/// Closes the files of a tree connect kindly, and ends it.
async fn end_tree(server: Arc<Server>, ids: (SessionId, TreeId), files: Vec<FileGlobalId>) -> Ended {
    let closes = files.into_iter().map(|id| {
        let server = Arc::clone(&server);
        async move { close_kindly(&server, id, GRACE).await.is_ok() }
    });
    let closes: Vec<_> = closes.collect();
    let closed: Vec<bool> = futures_util::stream::iter(closes).buffer_unordered(CLOSES).collect().await;
    let (session, tree) = ids;
    let ended = server.registry.lock("recheck_end").tree_disconnect(session, tree, server.now());
    // If there is none, it has ended by itself.
    let effects = ended.unwrap_or_default();
    let late = effects.dropped.len();
    bulkhead::settling(async { server.apply(effects) }).await;
    let files = closed.into_iter().filter(|closed| *closed).count().saturating_add(late);
    Ended { sessions: 0, files, outcome: None }
}

/// The number of sessions that are listed under one hold of the registry's lock.
const BATCH: usize = 256;

/// The number of tree connects that are ended at the same time.
const TREES: usize = 64;

/// The number of files of each that are closed at the same time.
const CLOSES: usize = 16;
