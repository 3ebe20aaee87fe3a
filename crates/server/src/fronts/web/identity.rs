//! The user of a request to the console: by the cookie of a logon, and for changes by the token that the pages of the
//! console know.

use std::sync::Arc;

use aws_lc_rs::constant_time;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::number;

use super::sessions::Visit;
use super::{Remote, Web, live};
use crate::admin::{Caller, Error, Seat};
use crate::core::bulkhead;
use crate::fronts::http::{Peer, Refused};

/// Adds the user to the extensions of a request: the caller, the session, and a place for the request. Without a valid
/// session, the request is refused.
pub(super) async fn identify(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    mut request: Request,
    next: Next,
) -> Response {
    let identified = match visit(&web, remote, &request) {
        Ok(visit) => caller(&web, remote, visit).await,
        Err(refused) => Err(refused),
    };
    let (visit, caller, peer) = match identified {
        Ok(identified) => identified,
        Err(refused) => return refused.into_response(),
    };
    let Some(seat) = Seat::take(&web.server.capacity.admin.web, caller.clone()) else {
        return Refused::from(Error::Busy).into_response();
    };
    let extensions = request.extensions_mut();
    extensions.insert(visit);
    extensions.insert(Arc::new(caller));
    extensions.insert(peer);
    extensions.insert(seat);
    // The answer waits for the files that the request has closed, unless their file systems hang.
    bulkhead::settling(next.run(request)).await
}

/// The session of a request. One that changes something needs the token of the session's pages, too.
pub(super) fn visit(web: &Web, remote: Remote, request: &Request) -> Result<Visit, Refused> {
    let headers = request.headers();
    // A browser connects to the event stream again by itself, and cannot say so.
    let is_use = !headers.contains_key(AUTOMATIC) && request.uri().path() != live::PATH;
    let token = cookie(headers, remote).ok_or_else(logged_off)?;
    let visit = web.sessions.visit(token, is_use, web.server.now()).ok_or_else(logged_off)?;
    if !request.method().is_safe() && !has_token(headers, &visit) {
        let message = "The request does not come from a page of the console.";
        return Err(Refused::new(StatusCode::FORBIDDEN, number::ACCESS_DENIED, message));
    }
    Ok(visit)
}

/// The caller with the rights of the settings in force. The session ends if its user may not log on any more.
pub(super) async fn caller(
    web: &Web,
    remote: Remote,
    visit: Visit,
) -> Result<(Visit, Caller, Peer), Refused> {
    let peer = Peer::Visitor { visitor: Arc::clone(&visit.visitor), address: remote.address };
    match peer.caller(&web.server).await {
        Ok(caller) => Ok((visit, caller, peer)),
        Err(Error::AccessDenied) => {
            web.sessions.end(visit.key);
            Err(logged_off())
        }
        Err(error) => Err(error.into()),
    }
}

fn has_token(headers: &HeaderMap, visit: &Visit) -> bool {
    let given = headers.get(TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
    constant_time::verify_slices_are_equal(given, visit.csrf.as_bytes()).is_ok()
}

/// The refusal of a request without a valid session.
fn logged_off() -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, NOT_LOGGED_ON, "Nobody is logged on, or the session has expired.")
}

/// The token in the cookie of a request.
fn cookie(headers: &HeaderMap, remote: Remote) -> Option<&str> {
    let name = cookie_name(remote);
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The cookie of a session with this token. A browser does not show it to scripts, and does not send it with requests that
/// other sites cause. Without TLS it lacks what only TLS allows.
pub(super) fn set_cookie(remote: Remote, token: &str) -> String {
    let secure = if remote.is_secure { "; Secure" } else { "" };
    format!("{}={token}; Path=/; HttpOnly; SameSite=Strict{secure}", cookie_name(remote))
}

/// The cookie that replaces that of a session which has ended.
pub(super) fn clear_cookie(remote: Remote) -> String {
    format!("{}; Max-Age=0", set_cookie(remote, ""))
}

/// The cookie's name. With this prefix, a browser takes the cookie from no other host and not without TLS.
const fn cookie_name(remote: Remote) -> &'static str {
    if remote.is_secure { "__Host-shareward" } else { "shareward" }
}

/// The header field with the token of the session's pages.
const TOKEN: HeaderName = HeaderName::from_static("x-shareward-token");

/// The header field of requests that a page makes by itself. They do not keep a session from expiring.
const AUTOMATIC: HeaderName = HeaderName::from_static("x-shareward-automatic");

/// ERROR_NOT_LOGGED_ON (MS-ERREF 2.2).
pub(super) const NOT_LOGGED_ON: u32 = 1245;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; __Host-shareward=token;c"));
        headers.append(COOKIE, HeaderValue::from_static("shareward=plain"));
        let remote = |is_secure| Remote { address: ([127, 0, 0, 1], 1).into(), is_secure, channel: None };
        assert_eq!(cookie(&headers, remote(true)), Some("token"));
        assert_eq!(cookie(&headers, remote(false)), Some("plain"));
        assert_eq!(cookie(&HeaderMap::new(), remote(true)), None);
    }
}
