//! The route of the users of a file.

use std::sync::Arc;

use axum::Json;
use control::{Who, WhoQuery};

use super::asked::{Asked, Filters};
use super::routes::Answer;
use crate::admin::view;

/// `GET /v1/who`.
pub(super) async fn who(asked: Asked, Filters(query): Filters<WhoQuery>) -> Answer<Who> {
    let identify = || {
        let (peer, server) = (asked.peer.clone(), Arc::clone(&asked.server));
        async move { peer.caller(&server).await }
    };
    Ok(Json(view::who(&asked.server, &query, &asked.seat, identify).await?))
}
