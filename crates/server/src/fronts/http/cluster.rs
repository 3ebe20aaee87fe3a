//! The routes of the cluster.

use axum::Json;
use control::{Cluster, ClusterChange, ClusterSetting, Invitation, LeaveCluster, NewMove, NodeDrain, Page};

use super::asked::{Asked, Body};
use super::routes::Answer;
use crate::admin;

pub(super) async fn get(asked: Asked) -> Answer<Cluster> {
    Ok(Json(admin::cluster(&asked.server, &asked.caller)?))
}

pub(super) async fn changes(asked: Asked) -> Answer<Page<ClusterChange>> {
    Ok(Json(Page::whole(admin::cluster_changes(&asked.server, &asked.caller).await?)))
}

pub(super) async fn move_share(asked: Asked, Body(body): Body<NewMove>) -> Answer<Cluster> {
    Ok(Json(admin::move_share(&asked.server, &asked.caller, &body.share, &body.node).await?))
}

pub(super) async fn drain(asked: Asked, Body(body): Body<NodeDrain>) -> Answer<Cluster> {
    Ok(Json(admin::drain_node(&asked.server, &asked.caller, &body.node, body.drain).await?))
}

pub(super) async fn set(asked: Asked, Body(body): Body<ClusterSetting>) -> Answer<Cluster> {
    Ok(Json(admin::set_of_cluster(&asked.server, &asked.caller, &body.setting, body.value).await?))
}

pub(super) async fn invite(asked: Asked) -> Answer<Invitation> {
    Ok(Json(admin::invite_node(&asked.server, &asked.caller).await?))
}

pub(super) async fn leave(asked: Asked, Body(body): Body<LeaveCluster>) -> Answer<Cluster> {
    Ok(Json(admin::leave_cluster(&asked.server, &asked.caller, body.force).await?))
}
