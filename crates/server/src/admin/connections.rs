//! Tree connects, which MS-SRVS calls connections (MS-SRVS 3.1.4.1).

use registry::{ShareSnapshot, TreeFilter, TreeSnapshot};
use wire::{SessionGlobalId, TreeGlobalId};

use super::walk::walk;
use super::{AccountFilter, Caller, Computer, Error, Own, Right, Scope, scope};
use crate::core::server::Server;

/// The conditions that select tree connects; without conditions, all match.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreeSelection {
    pub(crate) computer: Option<Computer>,
    pub(crate) account: Option<AccountFilter>,
    pub(crate) share: Option<String>,
    pub(crate) session: Option<SessionGlobalId>,
}

/// The matching tree connects, after the last one seen.
pub(crate) fn connections(
    server: &Server,
    caller: &Caller,
    meant: TreeSelection,
    after: Option<u32>,
) -> Result<impl Iterator<Item = TreeSnapshot>, Error> {
    let scope = scope(caller, Right::ReadConnections, Own::No)?;
    Ok(connections_within(server, scope, meant, after))
}

/// The matching tree connects within the scope, after the last one seen. Does not check rights: part of
/// [`session`](super::session).
pub(crate) fn connections_within(
    server: &Server,
    scope: Scope,
    meant: TreeSelection,
    after: Option<u32>,
) -> impl Iterator<Item = TreeSnapshot> {
    let TreeSelection { computer, account, share, session } = meant;
    let fetch = move |last, length| {
        let filter =
            TreeFilter { share: share.as_deref(), client: computer.as_ref().map(Computer::as_str), session };
        server.registry.lock("tree_snapshots").tree_snapshots(&filter, last, length)
    };
    let all = walk(after.and_then(TreeGlobalId::new), fetch);
    all.filter(move |it| {
        scope.has_tree(it) && account.as_ref().is_none_or(|meant| is_account(server, meant, it))
    })
}

/// The current share of a tree connect. Does not check rights: part of [`connections`].
pub(crate) fn share_of(server: &Server, tree: &TreeSnapshot) -> Option<ShareSnapshot> {
    server.registry.lock("connection_share").share_snapshot(&tree.share)
}

fn is_account(server: &Server, meant: &AccountFilter, tree: &TreeSnapshot) -> bool {
    let session = server.registry.lock("tree_account").session_by_global_id(tree.session);
    session.is_some_and(|it| meant.is(it.identity.kind(), &it.identity.domain, &it.identity.user))
}
