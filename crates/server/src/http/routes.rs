//! The routes: each takes a request apart, calls a verb, and shows what it returned.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use control::{
    CloseSessions, Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Page, Refusal, RefusalQuery,
    ServerInfo, Session, SessionQuery, limits, route,
};

use super::answer::Refused;
use super::{settings, shares, view};
use crate::admin::{self, Account, Caller, Computer, FilesMeant, PathMeant, SessionsMeant, TreesMeant};
use crate::server::Server;

/// The routes of `control::route`. The caller is an extension of the request.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(route::SERVER, get(server_info))
        .route(route::SESSIONS, get(sessions))
        .route(route::SESSIONS_CLOSE, post(close_sessions))
        .route(route::SESSION, get(session).delete(end_session))
        .route(route::FILES, get(files))
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
type Filters<T> = Result<Query<T>, QueryRejection>;
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
) -> Answer<Page<Session>> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return Ok(Page::whole(Vec::new())) };
        let meant = sessions_meant(query.client.as_deref(), query.user.as_deref());
        let (page, next) = page(admin::sessions(&server, &caller, meant, after)?, query.limit, |it| {
            it.global_id.value().into()
        });
        let shares = view::shares_of_sessions(&server, &caller, &page)?;
        Ok(Page::new(page.iter().map(|it| view::session(&server, it, &shares)).collect(), next))
    })
    .await
}

async fn session(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Session> {
    let Path(id) = id.map_err(Refused::malformed)?;
    let session = admin::session(&server, &caller, id)?;
    let shares = view::shares_of_sessions(&server, &caller, std::slice::from_ref(&session))?;
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
) -> Answer<Page<OpenFile>> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return Ok(Page::whole(Vec::new())) };
        let meant = FilesMeant {
            computer: query.client.as_deref().and_then(Computer::new),
            account: query.user.as_deref().and_then(Account::new),
            share: query.share,
            path: query.path.map(PathMeant::Containing),
        };
        let (page, next) = page(admin::files(&server, &caller, meant, after)?, query.limit, |it| {
            it.global_id.value().into()
        });
        Ok(Page::new(page.iter().map(|it| view::file(&server, it)).collect(), next))
    })
    .await
}

async fn file(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<OpenFile> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::file(&server, &admin::file(&server, &caller, id)?)))
}

async fn close_file(State(server): State<Arc<Server>>, Extension(caller): Asker, id: Id) -> Answer<Ended> {
    let Path(id) = id.map_err(Refused::malformed)?;
    Ok(Json(view::ended(admin::close_file(&server, &caller, id)?)))
}

async fn connections(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<ConnectionQuery>,
) -> Answer<Page<Connection>> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return Ok(Page::whole(Vec::new())) };
        let meant = TreesMeant {
            computer: query.client.as_deref().and_then(Computer::new),
            account: query.user.as_deref().and_then(Account::new),
            share: query.share,
            session: None,
        };
        let trees = admin::connections(&server, &caller, meant, after)?;
        let (page, next) = page(trees, query.limit, |it| it.global_id.value().into());
        Ok(Page::new(page.iter().map(|it| view::connection(&server, it)).collect(), next))
    })
    .await
}

async fn refusals(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    query: Filters<RefusalQuery>,
) -> Answer<Page<Refusal>> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let matching = view::refusals(admin::refusals(&server, &caller)?)
            .filter(|it| query.after.is_none_or(|after| it.id > after))
            .filter(|it| view::is_meant(it, &query));
        let (page, next) = page(matching, query.limit, |it| it.id);
        Ok(Page::new(page, next))
    })
    .await
}

/// Makes a list where a long one keeps nobody waiting.
async fn listed<T: Send + 'static>(
    make: impl FnOnce() -> Result<Page<T>, admin::Error> + Send + 'static,
) -> Answer<Page<T>> {
    let made = crate::blocking::run(make).await.map_err(|_| admin::Error::Internal)?;
    Ok(Json(made?))
}

/// Does what may wait for a disk where it keeps nobody else waiting.
pub(super) async fn performed<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, admin::Error> + Send + 'static,
) -> Answer<T> {
    let done = crate::blocking::run(act).await.map_err(|_| admin::Error::Internal)?;
    Ok(Json(done?))
}

/// The name in an address.
pub(super) fn named(name: Name) -> Result<String, Refused> {
    let Path(name) = name.map_err(Refused::malformed)?;
    Ok(name)
}

fn sessions_meant(computer: Option<&str>, account: Option<&str>) -> SessionsMeant {
    SessionsMeant { computer: computer.and_then(Computer::new), account: account.and_then(Account::new) }
}

/// The id to go on after; none if no entry can be there. Ids are 32 bits wide.
fn after(after: Option<u64>) -> Option<Option<u32>> {
    match after.map(u32::try_from) {
        None => Some(None),
        Some(Ok(id)) => Some(Some(id)),
        Some(Err(_)) => None,
    }
}

/// The first entries, and where the next page goes on, if there is one.
fn page<T>(
    mut entries: impl Iterator<Item = T>,
    limit: Option<u32>,
    id: impl Fn(&T) -> u64,
) -> (Vec<T>, Option<u64>) {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT).clamp(1, limits::PAGE_MAX);
    let page: Vec<T> = entries.by_ref().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    let next = entries.next().and_then(|_| page.last().map(id));
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_without_a_gap() {
        let (first, next) = page(1..=5_u64, Some(3), |it| *it);
        assert_eq!((first, next), (vec![1, 2, 3], Some(3)));
        let (second, next) = page(4..=5_u64, Some(3), |it| *it);
        assert_eq!((second, next), (vec![4, 5], None));
        assert_eq!(page(1..=3_u64, Some(3), |it| *it).1, None);
        assert_eq!(page(1..=2_u64, Some(0), |it| *it), (vec![1], Some(1)));
    }
}
