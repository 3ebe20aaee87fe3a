//! The cluster: its state, moves and drains. The changes are keys in etcd, and the nodes carry them out.

use std::sync::Arc;

use control::{Cluster, ClusterChange, Timestamp};

use super::cluster_shares::{explained, operator};
use super::{Caller, Ended, Error, Explained, Right, audit, check};
use crate::core::server::Server;

/// The cluster as this server knows it.
pub(crate) fn cluster(server: &Server, caller: &Caller) -> Result<Cluster, Explained> {
    check(caller, Right::ReadShares)?;
    server.cluster.overview().ok_or_else(no_member)
}

/// The last changes of the cluster by people, the latest first.
pub(crate) async fn cluster_changes(
    server: &Server,
    caller: &Caller,
) -> Result<Vec<ClusterChange>, Explained> {
    check(caller, Right::ReadShares)?;
    let changes = operator(server, caller)?.changes().await.map_err(explained)?;
    let shown = changes.into_iter().map(|it| ClusterChange {
        number: it.number,
        at: Timestamp(i64::try_from(it.at_ms).unwrap_or(i64::MAX)),
        node: it.node.to_string(),
        user: it.user,
        from: it.from,
        act: it.act,
        object: it.object,
        details: it.details,
    });
    Ok(shown.collect())
}

/// Requests that a share moves to a node.
pub(crate) async fn move_share(
    server: &Arc<Server>,
    caller: &Caller,
    share: &str,
    node: &str,
) -> Result<Cluster, Explained> {
    check(caller, Right::ChangeSettings)?;
    let moved = match operator(server, caller) {
        Ok(operator) => operator.move_share(share, node).await.map_err(explained),
        Err(refused) => Err(refused),
    };
    noted(server, caller, "move share", &format!("share {share} to {node}"), moved)
}

/// Requests that a node gives all its shares to others, or ends such a request.
pub(crate) async fn drain_node(
    server: &Arc<Server>,
    caller: &Caller,
    node: &str,
    drain: bool,
) -> Result<Cluster, Explained> {
    check(caller, Right::ChangeSettings)?;
    let drained = match operator(server, caller) {
        Ok(operator) => operator.drain(node, drain).await.map_err(explained),
        Err(refused) => Err(refused),
    };
    noted(server, caller, if drain { "drain node" } else { "undrain node" }, &format!("node {node}"), drained)
}

/// Has this server give all its shares to others and end its membership, until it starts again. Refused, unless it is forced,
/// if no other node can own one of them.
pub(crate) async fn leave_cluster(
    server: &Arc<Server>,
    caller: &Caller,
    force: bool,
) -> Result<Cluster, Explained> {
    check(caller, Right::ChangeSettings)?;
    if !server.cluster.is_member() {
        return Err(no_member());
    }
    let left = match server.cluster.last_owner_of() {
        Some(share) if !force => {
            let reason =
                format!("no other node can own the share {share}; with force, nobody serves it afterwards");
            Err(Explained::new(Error::Busy, reason))
        }
        _ if server.cluster.leave().await => Ok(()),
        _ => Err(Explained::new(Error::Busy, "other nodes have not taken all shares yet; try again")),
    };
    noted(server, caller, "leave cluster", "this node", left)
}

fn noted(
    server: &Server,
    caller: &Caller,
    act: &'static str,
    object: &str,
    done: Result<(), Explained>,
) -> Result<Cluster, Explained> {
    let outcome = done.as_ref().map(|()| Ended::default()).map_err(|it| it.error);
    audit::act(server, caller, act, object, &outcome);
    done?;
    server.cluster.overview().ok_or_else(no_member)
}

fn no_member() -> Explained {
    Explained::new(Error::NotSupported, "this server is no member of a cluster")
}
