//! The route of the users of a file.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use control::{Who, WhoQuery};

use super::Peer;
use super::answer::Refused;
use super::routes::{Answer, Filters};
use crate::admin::{Seat, view};
use crate::core::server::Server;

/// `GET /v1/who`.
pub(super) async fn who(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Peer>,
    Extension(seat): Extension<Seat>,
    query: Filters<WhoQuery>,
) -> Answer<Who> {
    let Query(query) = query.map_err(Refused::malformed)?;
    let identify = || {
        let (peer, server) = (peer.clone(), Arc::clone(&server));
        async move { peer.caller(&server).await }
    };
    Ok(Json(view::who(&server, &query, &seat, identify).await?))
}
