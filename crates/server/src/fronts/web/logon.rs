//! Logging on at the console, and off.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json, extract::State};
use control::number;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::identity::{clear_cookie, set_cookie};
use super::sessions::Visit;
use super::{Remote, Web};
use crate::admin::{self, Caller, Right};
use crate::core::password_logon::{LogonRefused, Visitor, log_on as log_on_with_password};
use crate::fronts::http::{Peer, Refused};

/// The body of `POST /logon`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// The account, or `DOMAIN\user`.
    user: String,
    password: String,
}

/// The answer of `GET /session`: the user, and the parts of the console that are of use to the user.
#[derive(Serialize)]
pub(super) struct Current {
    user: String,
    server: String,
    administrator: bool,
    /// True if the user sees the sessions, opens and counters of the whole server.
    sees_everything: bool,
    /// True if the user sees sessions and opens of others on some shares; otherwise only own ones.
    sees_others: bool,
    /// True if the user may end sessions of others.
    ends_sessions: bool,
    /// The shares in which the user may close files of others, and drain them, by their folded names; `None` if all.
    closes_in: Option<Vec<String>>,
    /// True if the server is a node of a cluster, whose state the user may see.
    sees_cluster: bool,
    /// True if the user may change shares, users and settings.
    changes_settings: bool,
    /// The token that requests repeat in the header field `X-Shareward-Token`.
    token: String,
}

/// The answer of `GET /logon`: the ways to log on besides a name and a password.
#[derive(Serialize)]
pub(super) struct Ways {
    /// True if `POST /logon/ticket` accepts Kerberos tickets.
    ticket: bool,
}

/// `GET /logon`.
pub(super) async fn ways(State(web): State<Arc<Web>>) -> Json<Ways> {
    Json(Ways { ticket: web.server.offers_kerberos() })
}

/// `POST /logon`.
pub(super) async fn log_on(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    body: Result<Json<Credentials>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Refused> {
    let Json(Credentials { user, password }) = body.map_err(Refused::malformed)?;
    let password = Zeroizing::new(password);
    if user.len() > NAME_MAX || password.len() > PASSWORD_MAX {
        return Err(refused(LogonRefused::Wrong));
    }
    let Some(_place) = web.logons.take(remote.address.ip()) else {
        return Err(refused(LogonRefused::TooMany));
    };
    let visitor =
        log_on_with_password(&web.server, &user, &password, remote.address).await.map_err(refused)?;
    begin(&web, remote, visitor).await
}

/// Begins the session of a user who has logged on.
pub(super) async fn begin(web: &Web, remote: Remote, visitor: Visitor) -> Result<Response, Refused> {
    let Some((token, visit)) = web.sessions.begin(visitor, web.server.now()) else {
        return Err(refused(LogonRefused::Internal));
    };
    let peer = Peer::Visitor { visitor: Arc::clone(&visit.visitor), address: remote.address };
    let caller = peer.caller(&web.server).await?;
    let cookie = AppendHeaders([(SET_COOKIE, set_cookie(remote, &token))]);
    Ok((cookie, Json(Current::of(web, &caller, &visit))).into_response())
}

/// `GET /session`.
pub(super) async fn current(
    State(web): State<Arc<Web>>,
    Extension(visit): Extension<Visit>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Json<Current> {
    Json(Current::of(&web, &caller, &visit))
}

/// `DELETE /session`.
pub(super) async fn log_off(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    Extension(visit): Extension<Visit>,
) -> impl IntoResponse {
    web.sessions.end(visit.key);
    (StatusCode::NO_CONTENT, AppendHeaders([(SET_COOKIE, clear_cookie(remote))]))
}

impl Current {
    fn of(web: &Web, caller: &Caller, visit: &Visit) -> Self {
        Self {
            user: caller.user.clone(),
            server: web.server.settings().name.clone(),
            administrator: caller.administrator,
            sees_everything: admin::may(caller, Right::ReadStatistics),
            sees_others: admin::may_somewhere(caller, Right::ReadFiles),
            ends_sessions: admin::may(caller, Right::EndSessions),
            closes_in: admin::shares_with(caller, Right::CloseFiles),
            sees_cluster: web.server.cluster.is_member() && admin::may(caller, Right::ReadShares),
            changes_settings: admin::may(caller, Right::ChangeSettings),
            token: visit.csrf.to_string(),
        }
    }
}

/// The refusal of a logon.
pub(super) fn refused(reason: LogonRefused) -> Refused {
    let status = match reason {
        LogonRefused::TooMany => StatusCode::TOO_MANY_REQUESTS,
        LogonRefused::NoLogonServers => StatusCode::SERVICE_UNAVAILABLE,
        LogonRefused::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        LogonRefused::NotGranted => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let number = if reason == LogonRefused::TooMany { number::BUSY } else { reason.number() };
    Refused::new(status, number, reason.to_string())
}

/// The length of a name in bytes: a qualified name of a domain. A longer one is no account's.
const NAME_MAX: usize = 1024;

/// The length of a password in bytes: Windows takes 256 characters. A longer one is no account's.
const PASSWORD_MAX: usize = 4096;
