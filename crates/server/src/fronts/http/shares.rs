//! The routes of shares.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use control::{Ended, NewShare, Page, Share, ShareChange};

use super::answer::Refused;
use super::routes::{Answer, Asker, Body, Name, named, performed};
use crate::admin::view;
use crate::core::server::Server;

pub(super) async fn list(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<Page<Share>> {
    Ok(Json(Page::whole(view::shares(&server, &caller).await?)))
}

pub(super) async fn get(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
) -> Answer<Share> {
    let name = named(name)?;
    Ok(Json(view::share(&server, &caller, &name).await?))
}

pub(super) async fn add(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<NewShare>,
) -> Answer<Share> {
    let Json(share) = body.map_err(Refused::malformed)?;
    performed(move || view::add_share(&server, &caller, share)).await
}

pub(super) async fn change(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
    body: Body<ShareChange>,
) -> Answer<Share> {
    let name = named(name)?;
    let Json(change) = body.map_err(Refused::malformed)?;
    performed(move || view::change_share(&server, &caller, &name, change)).await
}

pub(super) async fn delete(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    name: Name,
) -> Answer<Ended> {
    let name = named(name)?;
    performed(move || view::delete_share(&server, &caller, &name)).await
}
