//! The routes of maintenance: drains, holds, announced closes and rechecks.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body as AnswerBody, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use control::{AnnounceClose, Drain, EndDrain, Hold, NewDrain, NewHold, OpenFile, Page, Recheck, Rechecked};
use futures_util::stream::{self, StreamExt as _};

use super::answer::Refused;
use super::asked::{Asked, Body, Id, InPath, Name};
use super::routes::{Answer, performed};
use crate::admin::view::{self, HoldWait};

pub(super) async fn drains(asked: Asked) -> Answer<Page<Drain>> {
    performed(move || view::drains(&asked.server, &asked.caller).map(Page::whole)).await
}

pub(super) async fn begin_drain(asked: Asked, Body(new): Body<NewDrain>) -> Answer<Drain> {
    performed(move || view::begin_drain(&asked.server, &asked.caller, &new)).await
}

pub(super) async fn end_drain(asked: Asked, Body(which): Body<EndDrain>) -> Answer<Drain> {
    performed(move || view::end_drain(&asked.server, &asked.caller, &which)).await
}

pub(super) async fn announce_close(
    asked: Asked,
    InPath(id): Id,
    Body(announced): Body<AnnounceClose>,
) -> Answer<OpenFile> {
    Ok(Json(view::announce_close(&asked.server, &asked.caller, id, announced)?))
}

pub(super) async fn cancel_close(asked: Asked, InPath(id): Id) -> Answer<OpenFile> {
    Ok(Json(view::cancel_announced_close(&asked.server, &asked.caller, id)?))
}

pub(super) async fn recheck(
    asked: Asked,
    InPath(name): Name,
    Body(body): Body<Recheck>,
) -> Answer<Rechecked> {
    Ok(Json(view::recheck(&asked.server, &asked.caller, &name, body.end).await?))
}

pub(super) async fn holds(asked: Asked) -> Answer<Page<Hold>> {
    Ok(Json(Page::whole(view::holds(&asked.server, &asked.caller)?)))
}

/// `POST /v1/holds`: the answer has a line for each change, and the hold lasts as long as the answer.
pub(super) async fn hold(asked: Asked, Body(new): Body<NewHold>) -> Result<Response, Refused> {
    let (server, peer) = (Arc::clone(&asked.server), asked.peer.clone());
    let identify = Box::new(move || {
        let (server, peer) = (Arc::clone(&server), peer.clone());
        Box::pin(async move { peer.caller(&server).await }) as _
    });
    let wait = view::wait_for_hold(&asked.server, new, &asked.seat, identify).await?;
    // The head of the answer is sent at once, with an empty line.
    let begun = stream::iter([Ok(Bytes::from_static(b"\n"))]);
    let body = AnswerBody::from_stream(begun.chain(stream::unfold(wait, next)));
    Ok(([(CONTENT_TYPE, super::events::NDJSON)], body).into_response())
}

async fn next(mut wait: HoldWait) -> Option<(Result<Bytes, Infallible>, HoldWait)> {
    let state = wait.next().await.ok()?;
    let mut line = match state {
        Some(state) => serde_json::to_vec(&state).ok()?,
        None => Vec::new(),
    };
    line.push(b'\n');
    Some((Ok(Bytes::from(line)), wait))
}
