//! The cluster: its state, moves and drains. The changes are keys in etcd, and the nodes carry them out.

use std::sync::Arc;

use control::{Cluster, ClusterChange, Invitation, Timestamp};

use super::cluster_shares::{explained, operator};
use super::{Caller, Ended, Error, Explained, Right, audit, check};
use crate::core::audit::loggable;
use crate::core::server::Server;

/// The cluster as this server knows it.
pub(crate) fn cluster(server: &Server, caller: &Caller) -> Result<Cluster, Explained> {
    check(caller, Right::ReadShares)?;
    shown(server)
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

/// Sets a setting that all nodes have in common, or with `None` leaves it to their files.
pub(crate) async fn set_of_cluster(
    server: &Arc<Server>,
    caller: &Caller,
    setting: &str,
    value: Option<u32>,
) -> Result<Cluster, Explained> {
    check(caller, Right::ChangeSettings)?;
    let set = match operator(server, caller) {
        Ok(operator) => operator.set(setting, value).await.map(drop).map_err(explained),
        Err(refused) => Err(refused),
    };
    let value = value.map_or_else(|| String::from("that of the files"), |it| it.to_string());
    let object = format!("setting {} = {value}", loggable(setting));
    let mut cluster = noted(server, caller, "change settings of cluster", &object, set)?;
    // The own change may not have reached this node yet.
    if let Ok(operator) = operator(server, caller)
        && let Ok(settings) = operator.settings().await
    {
        settings.values().clone_into(&mut cluster.settings);
    }
    Ok(cluster)
}

/// Makes an invitation for a new node. It has the key to the secret of the cluster, so that nobody may read it on its way.
pub(crate) async fn invite_node(server: &Arc<Server>, caller: &Caller) -> Result<Invitation, Explained> {
    check(caller, Right::ChangeSettings)?;
    let invited = match operator(server, caller) {
        Ok(_) if !caller.is_sealed => Err(Explained::new(Error::NotSupported, NOT_SEALED)),
        Ok(operator) => operator.invite().await.map_err(explained),
        Err(refused) => Err(refused),
    };
    let outcome = invited.as_ref().map(|_| Ended::default()).map_err(|it| it.error);
    audit::act(server, caller, "invite node", "a node to the cluster", &outcome);
    invited.map(|invitation| Invitation { invitation })
}

const NOT_SEALED: &str = "an invitation has the key to the secret of the cluster: ask for it over an encrypted session, or at the control \
     socket";

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
    shown(server)
}

fn shown(server: &Server) -> Result<Cluster, Explained> {
    let settings = server.configuration.cluster_wide().values().clone();
    server.cluster.overview().map(|it| Cluster { settings, ..it }).ok_or_else(no_member)
}

fn no_member() -> Explained {
    Explained::new(Error::NotSupported, "this server is no member of a cluster")
}
