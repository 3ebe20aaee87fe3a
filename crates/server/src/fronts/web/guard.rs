//! The checks of every request to the console before its route: the host, the origin and the body; and the header fields
//! of every answer that tell the browser what the pages may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::{limits, number};

use super::{Remote, Web};
use crate::core::config::Settings;
use crate::fronts::http::Refused;

/// Refuses requests for other hosts, and requests that pages of other origins caused; sets the header fields of answers.
pub(super) async fn check(
    State(web): State<Arc<Web>>,
    Extension(remote): Extension<Remote>,
    request: Request,
    next: Next,
) -> Response {
    let checked = check_host(&web.server.settings(), request.uri(), request.headers()).and_then(|host| {
        let host = host.to_owned();
        check_origin(remote, &host, &request)
    });
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The host of a request: an address, or a name of this server. Otherwise, another site could let its own name point to
/// this server, and read answers with the browser of a user (DNS rebinding).
fn check_host<'a>(settings: &Settings, uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Refused> {
    let in_header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(in_header).unwrap_or_default();
    let name = without_port(host).trim_end_matches('.');
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let names = [settings.name.as_str(), &settings.dns_name(), "localhost"];
    let is_name = |known: &str| name.eq_ignore_ascii_case(known);
    if is_address || names.into_iter().any(is_name) || settings.console.names.iter().any(|it| is_name(it)) {
        return Ok(host);
    }
    let message = "The request is for another host.";
    Err(Refused::new(StatusCode::MISDIRECTED_REQUEST, number::ACCESS_DENIED, message)
        .with_hint("add the name of the server that the browser uses to names in [console]"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Refuses requests of pages of other origins. A request that changes something must state its origin.
fn check_origin(remote: Remote, host: &str, request: &Request) -> Result<(), Refused> {
    // Without TLS here, there may be a proxy with TLS before the server, whose origin the browser states.
    let schemes: &[&str] = if remote.is_secure { &["https://"] } else { &["http://", "https://"] };
    let refused = |hint: &str| {
        let message = "The request comes from another origin.";
        Err(Refused::new(StatusCode::FORBIDDEN, number::ACCESS_DENIED, message).with_hint(hint))
    };
    let is_own = |origin: &str| {
        let mut hosts = schemes.iter().filter_map(|scheme| origin.strip_prefix(scheme));
        hosts.any(|it| it.eq_ignore_ascii_case(host))
    };
    match request.headers().get(ORIGIN) {
        Some(origin) if origin.to_str().is_ok_and(is_own) => Ok(()),
        Some(_) => refused("the header field Origin names another site"),
        None if request.method().is_safe() => Ok(()),
        None => refused("a request that changes something needs the header field Origin"),
    }
}

/// Receives the whole body of a request in a limited time.
pub(super) async fn body_in_time(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let closing = |status: StatusCode, message: &str| {
        let refused = Refused::new(status, number::INVALID_PARAMETER, message);
        ([(CONNECTION, "close")], refused).into_response()
    };
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, limits::REQUEST_BODY_MAX)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => closing(StatusCode::PAYLOAD_TOO_LARGE, "The body of the request is too long."),
        Err(_) => closing(StatusCode::REQUEST_TIMEOUT, "The body of the request did not arrive in time."),
    }
}

/// The header fields of every answer. Scripts and styles come from the server's own files only, and a page cannot be
/// shown inside another one. There is no Strict-Transport-Security: with it, a browser does not let its user accept a
/// certificate that the server has made.
const PROTECTION: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, CSP),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                   form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
                   require-trusted-types-for 'script'; trusted-types 'none'";

/// The time for the body of a request, which is some kilobytes at most.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> bool {
        let mut settings = Settings::conventional(false, |_| None);
        settings.name = String::from("FILES");
        settings.console.names = vec![String::from("files.example.com")];
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(text).unwrap());
        check_host(&settings, &Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn hosts_are_addresses_and_names_of_the_server() {
        for good in [
            "127.0.0.1:8445",
            "192.0.2.1",
            "[::1]:8445",
            "[2001:db8::1]",
            "localhost:1",
            "files",
            "Files:8445",
            "files.example.com.:8445",
            "FILES.EXAMPLE.COM",
        ] {
            assert!(host(good), "{good}");
        }
        for bad in
            ["evil.example", "files.example.com.evil.example", "", "127.0.0.1.evil.example:8445", "files:x"]
        {
            assert!(!host(bad), "{bad}");
        }
    }

    #[test]
    fn origins_of_other_sites_are_refused() {
        let of = |method: &str, origin: Option<&str>, is_secure| {
            let mut request = Request::builder().method(method).uri("/v1/files");
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            let remote = Remote { address: ([127, 0, 0, 1], 1).into(), is_secure, channel: None };
            check_origin(remote, "files:8445", &request.body(Body::empty()).unwrap()).is_ok()
        };
        assert!(of("GET", None, true));
        assert!(of("GET", Some("https://files:8445"), true));
        assert!(of("DELETE", Some("https://FILES:8445"), true));
        assert!(of("DELETE", Some("http://files:8445"), false));
        assert!(of("DELETE", Some("https://files:8445"), false), "by way of a proxy with TLS");
        for (method, origin, is_secure) in [
            ("DELETE", None, true),
            ("POST", None, true),
            ("POST", Some("null"), true),
            ("POST", Some("http://files:8445"), true),
            ("POST", Some("https://evil.example"), false),
            ("POST", Some("ftp://files:8445"), false),
            ("POST", Some("https://files"), true),
            ("POST", Some("https://files:8445.evil.example"), true),
            ("GET", Some("https://evil.example"), true),
        ] {
            assert!(!of(method, origin, is_secure), "{method} {origin:?}");
        }
    }
}
