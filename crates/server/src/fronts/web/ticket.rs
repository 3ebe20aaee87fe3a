//! Logging on with a Kerberos ticket: Negotiate (RFC 4559), by one request of the page, which the browser repeats with its
//! tokens. The result is a session as after a logon with a password, so that no other request needs a token.

use std::sync::Arc;

use auth::limits::MAX_TOKEN;
use axum::Extension;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::number;
use parking_lot::Mutex;

use super::identity::NOT_LOGGED_ON;
use super::{Remote, Web, logon};
use crate::core::password_logon::LogonRefused;
use crate::core::ticket_logon::{TicketLogon, TicketStep};
use crate::fronts::http::Refused;

/// The route. Its answers have the status 401 until the browser has presented a ticket.
pub(super) const PATH: &str = "/logon/ticket";

/// The logon under way on a connection, if its browser owes another token (RFC 4559 6).
#[derive(Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Option<Box<TicketLogon>>>>);

/// `POST /logon/ticket`.
pub(super) async fn log_on(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    Extension(pending): Extension<Pending>,
    headers: HeaderMap,
) -> Response {
    let begun = pending.0.lock().take();
    let Some(_place) = web.logons.take(remote.address.ip()) else {
        return logon::refused(LogonRefused::TooMany).into_response();
    };
    let token = match token(&headers) {
        Ok(token) => token,
        Err(refused) => return refused.into_response(),
    };
    let begun = match begun {
        Some(begun) => Ok(Some(begun)),
        None => TicketLogon::begin(&web.server, remote.channel).await,
    };
    let attempt = match begun {
        Ok(Some(attempt)) => attempt,
        Ok(None) => return no_tickets().into_response(),
        Err(reason) => return logon::refused(reason).into_response(),
    };
    let Some(token) = token else { return challenge(&[], no_token()) };
    match attempt.advance(&web.server, &token, remote.address).await {
        TicketStep::Done(visitor, answer) => match logon::begin(&web, remote, visitor).await {
            Ok(session) if answer.is_empty() => session,
            Ok(session) => (negotiate(&answer), session).into_response(),
            Err(refused) => refused.into_response(),
        },
        TicketStep::Continue(attempt, answer, reason) => {
            *pending.0.lock() = Some(attempt);
            challenge(&answer, reason.map_or_else(no_token, logon::refused))
        }
        TicketStep::Refused(reason, answer) => challenge(&answer.unwrap_or_default(), logon::refused(reason)),
    }
}

/// The token in the header fields of a request; `None` if there is none of Negotiate.
fn token(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refused> {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some((scheme, text)) = value.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Ok(None);
    }
    let decoded = STANDARD.decode(text.trim()).map_err(|_| Refused::malformed("the token is not base64"))?;
    if decoded.is_empty() || decoded.len() > MAX_TOKEN {
        return Err(Refused::malformed("the token is empty or too long"));
    }
    Ok(Some(decoded))
}

/// The refusal of a request without a token, after which a browser that has a ticket repeats it.
fn no_token() -> Refused {
    let message = "The browser has not presented a Kerberos ticket.";
    Refused::new(StatusCode::UNAUTHORIZED, NOT_LOGGED_ON, message).with_hint(
        "log on to the domain on this computer, and permit the browser to send tickets to this server",
    )
}

/// The refusal of a server that has no keys for tickets.
fn no_tickets() -> Refused {
    let message = "This server accepts no Kerberos tickets.";
    Refused::new(StatusCode::NOT_FOUND, number::NOT_SUPPORTED, message)
}

/// An answer with a token for the browser, which may be empty.
fn challenge(token: &[u8], refused: Refused) -> Response {
    (negotiate(token), refused).into_response()
}

fn negotiate(token: &[u8]) -> AppendHeaders<[(axum::http::HeaderName, String); 1]> {
    let value =
        if token.is_empty() { SCHEME.to_owned() } else { format!("{SCHEME} {}", STANDARD.encode(token)) };
    AppendHeaders([(WWW_AUTHENTICATE, value)])
}

/// The scheme of RFC 4559 4.1.
const SCHEME: &str = "Negotiate";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn token_is_read_and_others_are_left() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            token(&headers).ok()
        };
        assert_eq!(token(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(of("Negotiate YWJj"), Some(Some(b"abc".to_vec())));
        assert_eq!(of("negotiate  YWJj "), Some(Some(b"abc".to_vec())));
        assert_eq!(of("Basic YTpi"), Some(None));
        assert_eq!(of("Negotiate"), Some(None));
        for malformed in
            ["Negotiate !", "Negotiate ", "Negotiate YWJ", &format!("Negotiate {}", "AAAA".repeat(21_846))]
        {
            assert_eq!(of(malformed), None, "{malformed:.20}");
        }
    }
}
