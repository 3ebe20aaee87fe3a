//! Tree connects, which MS-SRVS calls connections (MS-SRVS 3.1.4.1).

use registry::{ShareSnapshot, TreeSnapshot};
use wire::TreeGlobalId;

use super::walk::walk;
use super::{Caller, Error, Own, Right, Scope, Selection, scope};
use crate::core::server::Server;

/// The matching tree connects, after the last one seen.
pub(crate) fn connections(
    server: &Server,
    caller: &Caller,
    meant: Selection,
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
    meant: Selection,
    after: Option<u32>,
) -> impl Iterator<Item = TreeSnapshot> {
    let fetch = move |last, length| {
        server.registry.lock("tree_snapshots").tree_snapshots(&meant.filter, last, length)
    };
    walk(after.and_then(TreeGlobalId::new), fetch).filter(move |it| scope.has_tree(it))
}

/// The current share of a tree connect. Does not check rights: part of [`connections`].
pub(crate) fn share_of(server: &Server, tree: &TreeSnapshot) -> Option<ShareSnapshot> {
    server.registry.lock("connection_share").share_snapshot(&tree.share)
}
