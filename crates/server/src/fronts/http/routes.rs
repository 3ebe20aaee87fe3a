//! The routes: each takes a request apart, calls a verb, and shows what it returned.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, patch, post, put};
use axum::{Extension, Json, Router};
use control::{
    CloseFile, CloseSessions, ConnectionQuery, Ended, FileQuery, OpenFile, RefusalQuery, ServerInfo, Session,
    SessionQuery, limits, route,
};
use registry::{FileSnapshot, SessionSnapshot, TreeSnapshot};

use super::answer::Refused;
use super::page::{self, Written, listed, page};
use super::view;
use super::{settings, shares};
use crate::admin::{
    self, Account, Caller, Computer, FilesMeant, Own, PathMeant, Seat, SessionsMeant, TreesMeant,
};
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
        .fallback(async || Refused::unknown(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Refused::unknown(StatusCode::METHOD_NOT_ALLOWED))
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
    let counts = admin::counts(&server, &caller)?;
    let started = admin::statistics(&server, &caller)?.started;
    Ok(Json(view::server(&server, counts, started)))
}

async fn sessions(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<SessionQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return page::empty() };
        let meant = SessionsMeant {
            mine: query.mine.unwrap_or_default(),
            ..sessions_meant(query.client.as_deref(), query.user.as_deref())
        };
        let all = admin::sessions(&server, &caller, meant, after)?;
        let shares = view::shares_of_sessions(&server, &caller, None)?;
        let shown = |it: SessionSnapshot| {
            let session = view::session(&server, &it, &shares);
            query.matches(&session).then_some(session)
        };
        page(all, query.limit, |it| it.global_id.value().into(), shown)
    })
    .await
}

async fn session(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Session> {
    let Path(id) = id.map_err(Refused::malformed)?;
    let session = admin::session(&server, &caller, id)?;
    let shares = view::shares_of_sessions(&server, &caller, Some(session.global_id))?;
    Ok(Json(view::session(&server, &session, &shares)))
}

async fn end_session(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Ended> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::ended(admin::end_session(&server, &caller, id)?)))
}

async fn close_sessions(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    body: Result<Json<CloseSessions>, JsonRejection>,
) -> Answer<Ended> {
    let Json(body) = body.map_err(Refused::malformed)?;
    let meant = sessions_meant(body.computer.as_deref(), body.user.as_deref());
    Ok(Json(view::ended(admin::end_sessions(&server, &caller, meant)?)))
}

async fn files(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<FileQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return page::empty() };
        let meant = FilesMeant {
            computer: query.client.as_deref().and_then(Computer::new),
            account: query.user.as_deref().and_then(Account::new),
            share: query.share.clone(),
            path: query.path.clone().map(PathMeant::Like),
            session: query.session,
            mine: query.mine.unwrap_or_default(),
        };
        let now = view::timestamp(server.now());
        let all = admin::files(&server, &caller, meant, after)?;
        let shown = |it: FileSnapshot| {
            let file = view::file(&server, &it);
            query.matches(&file, now).then_some(file)
        };
        page(all, query.limit, |it| it.global_id.value().into(), shown)
    })
    .await
}

async fn file(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<OpenFile> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::file(&server, &admin::file(&server, &caller, id, Own::Too)?)))
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
    if how.grace.is_some_and(|seconds| seconds > control::limits::GRACE_MAX) {
        return Err(Refused::malformed(format!("grace is at most {} seconds", control::limits::GRACE_MAX)));
    }
    // A close that waits for its client takes a place among those.
    let _aside = (!how.force).then(|| seat.step_aside());
    Ok(Json(view::ended(admin::close_file(&server, &caller, id, how).await?)))
}

async fn connections(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<ConnectionQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return page::empty() };
        let meant = TreesMeant {
            computer: query.client.as_deref().and_then(Computer::new),
            account: query.user.as_deref().and_then(Account::new),
            share: query.share,
            session: None,
        };
        let trees = admin::connections(&server, &caller, meant, after)?;
        let shown = |it: TreeSnapshot| Some(view::connection(&server, &it));
        page(trees, query.limit, |it| it.global_id.value().into(), shown)
    })
    .await
}

async fn refusals(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<RefusalQuery>,
) -> Result<Written, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let all = admin::refusals(&server, &caller)?
            .into_iter()
            .filter(|it| query.after.is_none_or(|after| it.number > after));
        page(all, query.limit, |it| it.number, |it| view::meant(&it, &query))
    })
    .await
}

/// Does what may wait for a disk where it keeps nobody else waiting.
pub(super) async fn performed<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, admin::Error> + Send + 'static,
) -> Answer<T> {
    let done = crate::core::blocking::run(act).await.map_err(|_| admin::Error::Internal)?;
    Ok(Json(done?))
}

/// The name in an address.
pub(super) fn named(name: Name) -> Result<String, Refused> {
    let Path(name) = name.map_err(Refused::malformed)?;
    Ok(name)
}

fn sessions_meant(computer: Option<&str>, account: Option<&str>) -> SessionsMeant {
    SessionsMeant {
        computer: computer.and_then(Computer::new),
        account: account.and_then(Account::new),
        mine: false,
    }
}

/// The id to go on after; none if no entry can be there. Ids are 32 bits wide.
fn after(after: Option<u64>) -> Option<Option<u32>> {
    match after.map(u32::try_from) {
        None => Some(None),
        Some(Ok(id)) => Some(Some(id)),
        Some(Err(_)) => None,
    }
}
