//! The routes: each decodes a request, calls an operation of `admin`, and encodes the result.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, patch, post, put};
use axum::{Json, Router};
use control::{
    CloseFile, CloseSessions, ConnectionQuery, Ended, FileQuery, OpenFile, RefusalQuery, ServerInfo, Session,
    SessionQuery, limits, route,
};

use super::answer::Refused;
use super::asked::{Asked, Body, Filters, Id, InPath};
use super::page::{Written, listed, page};
use super::{cluster, maintenance, settings, shares};
use crate::admin::{self, view};
use crate::core::server::Server;

/// The routes of `control::route`. The caller is an extension of the request.
pub(in crate::fronts) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(route::SERVER, get(server_info))
        .route(route::SESSIONS, get(sessions))
        .route(route::SESSIONS_CLOSE, post(close_sessions))
        .route(route::SESSION, get(session).delete(end_session))
        .route(route::FILES, get(files))
        .route(route::WHO, get(super::who::who))
        .route(route::HISTORY, get(super::history::history))
        .route(route::EVENTS, get(super::events::events))
        .route(route::FILE, get(file).delete(close_file))
        .route(route::FILE_CLOSING, put(maintenance::announce_close).delete(maintenance::cancel_close))
        .route(route::SHARES, get(shares::list).post(shares::add))
        .route(route::SHARE, get(shares::get).patch(shares::change).delete(shares::delete))
        .route(route::SHARE_RECHECK, post(maintenance::recheck))
        .route(route::DRAINS, get(maintenance::drains).post(maintenance::begin_drain))
        .route(route::DRAINS_END, post(maintenance::end_drain))
        .route(route::HOLDS, get(maintenance::holds).post(maintenance::hold))
        .route(route::CONNECTIONS, get(connections))
        .route(route::REFUSALS, get(refusals))
        .route(route::SETTINGS, get(settings::get).patch(settings::change))
        .route(route::STATISTICS, get(settings::statistics))
        .route(route::SERVICE, get(settings::service).post(settings::control_service))
        .route(route::CLOCK, get(settings::clock))
        .route(route::USERS, get(settings::users).post(settings::add_user))
        .route(route::GROUPS, get(settings::groups).post(settings::add_group))
        .route(route::GROUP, patch(settings::change_group).delete(settings::delete_group))
        .route(route::USER, patch(settings::change_user).delete(settings::delete_user))
        .route(route::USER_PASSWORD, put(settings::set_password))
        .route(route::LOGONS, get(settings::logons))
        .route(route::CLUSTER, get(cluster::get))
        .route(route::CLUSTER_CHANGES, get(cluster::changes))
        .route(route::CLUSTER_MOVES, post(cluster::move_share))
        .route(route::CLUSTER_DRAINS, post(cluster::drain))
        .route(route::CLUSTER_SETTINGS, post(cluster::set))
        .route(route::CLUSTER_INVITES, post(cluster::invite))
        .route(route::CLUSTER_LEAVE, post(cluster::leave))
        .fallback(Refused::no_route)
        .method_not_allowed_fallback(Refused::wrong_method)
        .layer(DefaultBodyLimit::max(limits::REQUEST_BODY_MAX))
        .with_state(server)
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;

async fn server_info(asked: Asked) -> Answer<ServerInfo> {
    Ok(Json(view::server(&asked.server, &asked.caller)?))
}

async fn sessions(asked: Asked, Filters(query): Filters<SessionQuery>) -> Result<Written, Refused> {
    listed(move || page(view::sessions(&asked.server, &asked.caller, &query)?, query.limit)).await
}

async fn session(asked: Asked, InPath(id): Id) -> Answer<Session> {
    Ok(Json(view::session(&asked.server, &asked.caller, id)?))
}

async fn end_session(asked: Asked, InPath(id): Id) -> Answer<Ended> {
    Ok(Json(view::end_session(&asked.server, &asked.caller, id)?))
}

async fn close_sessions(asked: Asked, Body(body): Body<CloseSessions>) -> Answer<Ended> {
    Ok(Json(view::end_sessions(&asked.server, &asked.caller, &body)?))
}

async fn files(asked: Asked, Filters(query): Filters<FileQuery>) -> Result<Written, Refused> {
    listed(move || page(view::files(&asked.server, &asked.caller, &query)?, query.limit)).await
}

async fn file(asked: Asked, InPath(id): Id) -> Answer<OpenFile> {
    Ok(Json(view::file(&asked.server, &asked.caller, id)?))
}

async fn close_file(asked: Asked, InPath(id): Id, Filters(how): Filters<CloseFile>) -> Answer<Ended> {
    Ok(Json(view::close_file(&asked.server, &asked.caller, &asked.seat, id, how).await?))
}

async fn connections(asked: Asked, Filters(query): Filters<ConnectionQuery>) -> Result<Written, Refused> {
    listed(move || page(view::connections(&asked.server, &asked.caller, &query)?, query.limit)).await
}

async fn refusals(asked: Asked, Filters(query): Filters<RefusalQuery>) -> Result<Written, Refused> {
    listed(move || page(view::refusals(&asked.server, &asked.caller, &query)?, query.limit)).await
}

/// Runs an operation that may wait for a disk, without delaying other requests.
pub(super) async fn performed<T, E>(act: impl FnOnce() -> Result<T, E> + Send + 'static) -> Answer<T>
where
    T: Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let done = crate::core::blocking::run(act).await.map_err(|_| admin::Error::Internal)?;
    Ok(Json(done.map_err(Into::into)?))
}
