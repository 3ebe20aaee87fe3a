//! The comparison of a share's tree connects with its present grants. A tree connect keeps the rights that the share
//! gave when it was made, so after a change the server lists those that have more, and takes away what is too much: opens
//! with other rights stay, and a tree connect ends only if its user may not connect at all.

use std::sync::Arc;

use futures_util::StreamExt as _;
use registry::{FileSnapshot, Filter, TreeSnapshot};
use wire::{AccessMask, SessionGlobalId, SessionId, ShareName, TreeGlobalId, TreeId};

use super::close::{GRACE, close_kindly};
use super::walk::walk;
use super::{Caller, Ended, Error, Own, Right, audit, scope};
use crate::core::bulkhead;
use crate::core::server::Server;
use crate::core::tree::Tree;

/// A tree connect with rights that the share does not give any more.
#[derive(Clone)]
pub(crate) struct Reduced {
    pub(crate) tree: TreeSnapshot,
    /// The rights that are left; `None` if the user may not connect any more.
    pub(crate) left: Option<AccessMask>,
    /// The opens that have more rights than that.
    pub(crate) files: Vec<FileSnapshot>,
    session: SessionGlobalId,
    ids: (SessionId, TreeId),
    attached: Arc<Tree>,
}

/// Lists the tree connects of a share that have more rights than the share gives their users now. If `end` is set, takes
/// these rights away: closes the opens that have more of them, kindly, and ends the tree connects of users who may not
/// connect any more.
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
        let closes: Vec<_> = reduced
            .iter()
            .map(|it| take_away(Arc::clone(server), ShareName::new(share), it.clone()))
            .collect();
        let ended: Vec<Ended> = futures_util::stream::iter(closes).buffered(TREES).collect().await;
        for (it, ended) in reduced.iter().zip(ended) {
            let TreeSnapshot { user, client, share, .. } = &it.tree;
            let object = format!(r"connection of {user} on \\{client} to {share}");
            let act = if it.left.is_some() { "reduce connection" } else { "end connection" };
            audit::act(server, caller, act, &object, &Ok(ended));
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
                if now.is_some_and(|now| now.contains(tree.maximal_access())) {
                    continue;
                }
                let registry = server.registry.lock("recheck_tree");
                let Some(info) = registry.tree(session.id(), tree.id()) else { continue };
                let before = TreeGlobalId::new(info.global_id.value().saturating_sub(1));
                let part = registry.tree_snapshots(&Filter::default(), before, 1);
                drop(registry);
                let Some(snapshot) = part.entries.into_iter().find(|it| it.global_id == info.global_id)
                else {
                    continue;
                };
                let files = files_beyond(server, name, session_id, info.global_id, now);
                let (ids, attached) = ((session.id(), tree.id()), Arc::clone(&tree));
                all.push(Reduced { tree: snapshot, left: now, files, session: session_id, ids, attached });
            }
        }
    }
}

/// The opens of a tree connect that have more rights than these; all of them if none are left.
fn files_beyond(
    server: &Server,
    share: &ShareName,
    session: SessionGlobalId,
    tree: TreeGlobalId,
    left: Option<AccessMask>,
) -> Vec<FileSnapshot> {
    let filter = Filter { session: Some(session), share: Some(share.clone()), ..Filter::default() };
    let fetch = |last, length| server.registry.lock("recheck_files").file_snapshots(&filter, last, length);
    let is_beyond = |open: &FileSnapshot| left.is_none_or(|left| !left.contains(open.access));
    walk(None, fetch).filter(|it| it.tree == Some(tree) && is_beyond(it)).collect()
}

/// Takes the rights away that are not left: closes opens kindly, and ends the tree connect if nothing is left.
async fn take_away(server: Arc<Server>, share: ShareName, reduced: Reduced) -> Ended {
    let Reduced { tree, left, session, ids, attached, .. } = reduced;
    // Before the opens are listed again, so that none is added to them.
    attached.reduce_access(left.unwrap_or(AccessMask::NONE));
    let files = files_beyond(&server, &share, session, tree.global_id, left);
    let closes = files.into_iter().map(|file| {
        let server = Arc::clone(&server);
        async move { close_kindly(&server, file.global_id, GRACE).await.is_ok() }
    });
    let closes: Vec<_> = closes.collect();
    let closed: Vec<bool> = futures_util::stream::iter(closes).buffer_unordered(CLOSES).collect().await;
    let mut files = closed.into_iter().filter(|closed| *closed).count();
    if left.is_none() {
        let (session, tree) = ids;
        let ended = server.registry.lock("recheck_end").tree_disconnect(session, tree, server.now());
        // If there is none, it has ended by itself.
        let effects = ended.unwrap_or_default();
        files = files.saturating_add(effects.dropped.len());
        bulkhead::settling(async { server.apply(effects) }).await;
    }
    Ended { sessions: 0, files, outcome: None }
}

/// The number of sessions that are listed under one hold of the registry's lock.
const BATCH: usize = 256;

/// The number of tree connects that are ended at the same time.
const TREES: usize = 64;

/// The number of files of each that are closed at the same time.
const CLOSES: usize = 16;
