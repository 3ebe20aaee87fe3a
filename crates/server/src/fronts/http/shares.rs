//! The routes of shares.

use axum::Json;
use control::{Ended, NewShare, Page, Share, ShareChange};

use super::asked::{Asked, Body, InPath, Name};
use super::routes::Answer;
use crate::admin::view;

pub(super) async fn list(asked: Asked) -> Answer<Page<Share>> {
    Ok(Json(Page::whole(view::shares(&asked.server, &asked.caller).await?)))
}

pub(super) async fn get(asked: Asked, InPath(name): Name) -> Answer<Share> {
    Ok(Json(view::share(&asked.server, &asked.caller, &name).await?))
}

pub(super) async fn add(asked: Asked, Body(share): Body<NewShare>) -> Answer<Share> {
    Ok(Json(view::add_share(asked.server, asked.caller, share).await?))
}

pub(super) async fn change(
    asked: Asked,
    InPath(name): Name,
    Body(change): Body<ShareChange>,
) -> Answer<Share> {
    Ok(Json(view::change_share(asked.server, asked.caller, name, change).await?))
}

pub(super) async fn delete(asked: Asked, InPath(name): Name) -> Answer<Ended> {
    Ok(Json(view::delete_share(asked.server, asked.caller, name).await?))
}
