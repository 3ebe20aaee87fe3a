//! The routes: each decodes a request, calls a verb, and encodes the result.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::{get, patch, post, put};
use axum::{Extension, Json, Router};
use control::{
    CloseFile, CloseSessions, ConnectionQuery, Ended, FileQuery, OpenFile, RefusalQuery, ServerInfo, Session,
    SessionQuery, limits, route,
};

use super::answer::Refused;
use super::page::{Written, listed, page};
use super::{settings, shares};
use crate::admin::{self, Caller, Seat, view};
use crate::core::server::Server;

/// The routes of `control::route`. The caller is an extension of the request.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(route::SERVER, get(server_info))
        .route(route::SESSIONS, get(sessions))
        .route(route::SESSIONS_CLOSE, post(close_sessions))
        .route(route::SESSION, get(session).delete(end_session))
        .route(route::FILES, get(files))
        .route(route::WHO, get(super::who::who))
        .route(route::EVENTS, get(super::events::events))
        .route(route::FILE, get(file).delete(close_file))
        .route(route::SHARES, get(shares::list).post(shares::add))
        .route(route::SHARE, get(shares::get).patch(shares::change).delete(shares::delete))
        .route(route::CONNECTIONS, get(connections))
        .route(route::REFUSALS, get(refusals))
        .route(route::SETTINGS, get(settings::get).patch(settings::change))
        .route(route::STATISTICS, get(settings::statistics))
        .route(route::SERVICE, get(settings::service).post(settings::control_service))
        .route(route::CLOCK, get(settings::clock))
        .route(route::USERS, get(settings::users))
        .route(route::USER, patch(settings::change_user))
        .route(route::USER_PASSWORD, put(settings::set_password))
        .route(route::LOGONS, get(settings::logons))
        .fallback(Refused::no_route)
        .method_not_allowed_fallback(Refused::wrong_method)
        .layer(DefaultBodyLimit::max(limits::REQUEST_BODY_MAX))
        .with_state(server)
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;
pub(super) type Asker = Extension<Arc<Caller>>;
pub(super) type Body<T> = Result<Json<T>, JsonRejection>;
pub(super) type Name = Result<Path<String>, PathRejection>;
pub(super) type Filters<T> = Result<Query<T>, QueryRejection>;
type Id = Result<Path<u32>, PathRejection>;

async fn server_info(State(server): State<Arc<Server>>, Extension(caller): Asker) -> Answer<ServerInfo> {
    Ok(Json(view::server(&server, &caller)?))
}

async fn sessions(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<SessionQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || page(view::sessions(&server, &caller, &query)?, query.limit)).await
}

async fn session(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Session> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::session(&server, &caller, id)?))
}

async fn end_session(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Ended> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::end_session(&server, &caller, id)?))
}

async fn close_sessions(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Body<CloseSessions>,
) -> Answer<Ended> {
    let Json(body) = body.map_err(Refused::malformed)?;
    Ok(Json(view::end_sessions(&server, &caller, &body)?))
}

async fn files(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<FileQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || page(view::files(&server, &caller, &query)?, query.limit)).await
}

async fn file(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<OpenFile> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::file(&server, &caller, id)?))
}

async fn close_file(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    Extension(seat): Extension<Seat>,
    id: Id,
    how: Filters<CloseFile>,
) -> Answer<Ended> {
    let Path(id) = id.map_err(Refused::malformed)?;
    let Query(how) = how.map_err(Refused::malformed)?;
    Ok(Json(view::close_file(&server, &caller, &seat, id, how).await?))
}

async fn connections(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<ConnectionQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || page(view::connections(&server, &caller, &query)?, query.limit)).await
}

async fn refusals(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<RefusalQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || page(view::refusals(&server, &caller, &query)?, query.limit)).await
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

/// The name in the address of a request.
pub(super) fn named(name: Name) -> Result<String, Refused> {
    let Path(name) = name.map_err(Refused::malformed)?;
    Ok(name)
}
