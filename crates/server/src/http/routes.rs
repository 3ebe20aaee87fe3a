//! The routes: each takes a request apart, calls a verb, and shows what it returned.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use control::{
    CloseFile, CloseSessions, Connection, ConnectionQuery, Ended, FileQuery, OpenFile, Page, Refusal,
    RefusalQuery, ServerInfo, Session, SessionQuery, limits, route,
};

use registry::SessionSnapshot;

use super::answer::Refused;
use super::view::{self, SharesOfSessions};
use super::{settings, shares};
use crate::admin::{self, Account, Caller, Computer, FilesMeant, Own, PathMeant, SessionsMeant, TreesMeant};
use crate::server::Server;

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
) -> Answer<Page<Session>> {
    let Query(query) = query.map_err(Refused::malformed)?;
    listed(move || {
        let Some(after) = after(query.after) else { return Ok(Page::whole(Vec::new())) };
        let meant = SessionsMeant {
            mine: query.mine.unwrap_or_default(),
            ..sessions_meant(query.client.as_deref(), query.user.as_deref())
        };
        // The shares are told with the page, and asked of the registry's entry before.
        let share = query.share.as_ref().map(|it| it.to_lowercase());
        let query = SessionQuery { share: None, ..query };
        let is_meant = |it: &SessionSnapshot| {
            share.as_ref().is_none_or(|share| it.shares.iter().any(|its| its.to_lowercase() == *share))
                && query.matches(&Session {
                    shares: Vec::new(),
                    ..view::session(&server, it, &SharesOfSessions::new())
                })
        };
        let all = admin::sessions(&server, &caller, meant, after)?;
        let (page, next) =
            page(all, is_meant, query.limit, |it| it.global_id.value().into(), |_| SESSION_BYTES);
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
            share: query.share.clone(),
            path: query.path.clone().map(PathMeant::Like),
            session: query.session,
            mine: query.mine.unwrap_or_default(),
        };
        let now = view::timestamp(server.now());
        let all = admin::files(&server, &caller, meant, after)?.map(|it| view::file(&server, &it));
        let (page, next) =
            page(all, |it| query.matches(it, now), query.limit, |it| it.id.into(), view::bytes_of_file);
        Ok(Page::new(page, next))
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
    id: Id,
    how: Filters<CloseFile>,
) -> Answer<Ended> {
    let Path(id) = id.map_err(Refused::malformed)?;
    let Query(how) = how.map_err(Refused::malformed)?;
    Ok(Json(view::ended(admin::close_file(&server, &caller, id, how).await?)))
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
        let (page, next) =
            page(trees, |_| true, query.limit, |it| it.global_id.value().into(), |_| CONNECTION_BYTES);
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
            .filter(|it| query.after.is_none_or(|after| it.id > after));
        let (page, next) =
            page(matching, |it| view::is_meant(it, &query), query.limit, |it| it.id, |it| it.path.len());
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

/// The first entries that are meant, and where the next page goes on, if there may be one. A page ends early
/// where it gets too long, or where too much was looked at that is not meant.
fn page<T>(
    entries: impl Iterator<Item = T>,
    is_meant: impl Fn(&T) -> bool,
    limit: Option<u32>,
    id: impl Fn(&T) -> u64,
    bytes: impl Fn(&T) -> usize,
) -> (Vec<T>, Option<u64>) {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT).clamp(1, limits::PAGE_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut page, mut last, mut length) = (Vec::new(), None, 0_usize);
    for (looked_at, entry) in entries.enumerate() {
        if page.len() >= limit || length >= PAGE_BYTES || looked_at >= PAGE_LOOKED_AT {
            return (page, last);
        }
        last = Some(id(&entry));
        if is_meant(&entry) {
            length = length.saturating_add(bytes(&entry));
            page.push(entry);
        }
    }
    (page, None)
}

/// Bytes of text that end a page, about: [`limits::ANSWER_BODY_MAX`] has room for twice as much and one
/// entry more.
const PAGE_BYTES: usize = 24 * 1024 * 1024;

/// Entries looked at for one page: what takes a moment. Who filters more asks for the next page.
const PAGE_LOOKED_AT: usize = 200_000;

/// What a session takes on a page, about.
const SESSION_BYTES: usize = 1024;

/// What a connection takes on a page, about.
const CONNECTION_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(all: impl Iterator<Item = u64>, limit: u32) -> (Vec<u64>, Option<u64>) {
        page(all, |_| true, Some(limit), |it| *it, |_| 1)
    }

    #[test]
    fn pages_join_without_a_gap() {
        assert_eq!(numbers(1..=5, 3), (vec![1, 2, 3], Some(3)));
        assert_eq!(numbers(4..=5, 3), (vec![4, 5], None));
        assert_eq!(numbers(1..=3, 3).1, None);
        assert_eq!(numbers(1..=2, 0), (vec![1], Some(1)));
    }

    #[test]
    fn long_pages_and_long_searches_end_early_and_go_on() {
        let long = page(1..=5_u64, |_| true, None, |it| *it, |_| PAGE_BYTES / 2);
        assert_eq!(long, (vec![1, 2], Some(2)));
        let rare = page(1.., |it: &u64| *it == 7, None, |it| *it, |_| 1);
        assert_eq!(rare, (vec![7], Some(PAGE_LOOKED_AT as u64)));
        assert_eq!(page(1..=9_u64, |it| *it > 9, None, |it| *it, |_| 1), (vec![], None));
    }
}
