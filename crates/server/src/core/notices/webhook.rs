//! Webhooks: a notice as the body of a POST, signed with HMAC-SHA256.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use axum::body::Body;
use control::Notice;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::NotDelivered;

/// The header with the seconds since 1970 at the time of the attempt, which the signature covers.
const TIMESTAMP: &str = "shareward-timestamp";

/// The header with `sha256=` and the signature in hexadecimal digits.
const SIGNATURE: &str = "shareward-signature";

/// The header with the event.
const EVENT: &str = "shareward-event";

/// The header with the number of the notice, which is the same in all attempts.
const DELIVERY: &str = "shareward-delivery";

/// Posts a notice. Any status of success is an acknowledgment.
pub(super) async fn post(
    url: &Uri,
    secret_file: &Path,
    ca_file: &Path,
    notice: &Notice,
) -> Result<(), NotDelivered> {
    // The file systems of the files may hang, too.
    let attempt = tokio::time::timeout(ATTEMPT_MAX, attempt(url, secret_file, ca_file, notice)).await;
    let status = attempt.map_err(|_| NotDelivered::ForNow(String::from("no answer in time")))??;
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the receiver answers {status}");
    let is_temporary = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    Err(if is_temporary { NotDelivered::ForNow(reason) } else { NotDelivered::ForGood(reason) })
}

/// Makes the request, and returns the status of the answer.
async fn attempt(
    url: &Uri,
    secret_file: &Path,
    ca_file: &Path,
    notice: &Notice,
) -> Result<StatusCode, NotDelivered> {
    let body = serde_json::to_vec(notice).map_err(|error| NotDelivered::ForGood(error.to_string()))?;
    let secret = secret(secret_file).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let path = url.path_and_query().map_or("/", |it| it.as_str());
    let host = url.authority().map_or("", |it| it.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("shareward/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, control::MEDIA_TYPE)
        .header(CONTENT_LENGTH, body.len())
        .header(TIMESTAMP, now)
        .header(SIGNATURE, signature(&secret, now, &body))
        .header(EVENT, notice.event.name())
        .header(DELIVERY, notice.id)
        .body(Body::from(body))
        .map_err(|error| NotDelivered::ForGood(error.to_string()))?;
    let host = url.host().unwrap_or_default();
    let is_tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(for_now)?;
    if !is_tls {
        return exchange(stream, request).await;
    }
    let config = trusting(ca_file).await?;
    let name =
        ServerName::try_from(bare.to_owned()).map_err(|error| NotDelivered::ForGood(error.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(for_now)?;
    exchange(stream, request).await
}

/// The signature of a body at a time: HMAC-SHA256 of the time in decimal digits, a full stop, and the body.
fn signature(secret: &[u8], now: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(now.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let digits: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// The key of the signatures: the contents of the file without the end of the last line. It is read for each attempt, so
/// that a new one needs no reload.
async fn secret(file: &Path) -> Result<Vec<u8>, NotDelivered> {
    let unreadable =
        |error| NotDelivered::ForNow(format!("cannot read secret_file {}: {error}", file.display()));
    let mut secret = tokio::fs::read(file).await.map_err(unreadable)?;
    while secret.last().is_some_and(|it| b"\r\n".contains(it)) {
        secret.pop();
    }
    match secret.is_empty() {
        true => Err(NotDelivered::ForNow(format!("secret_file {} is empty", file.display()))),
        false => Ok(secret),
    }
}

/// The configuration of TLS that trusts the authorities in the file.
async fn trusting(ca_file: &Path) -> Result<Arc<ClientConfig>, NotDelivered> {
    let unusable =
        |error: String| NotDelivered::ForNow(format!("cannot use ca_file {}: {error}", ca_file.display()));
    let pem = tokio::fs::read(ca_file).await.map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        // A bundle may have certificates that this library does not support; the others count.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(unusable(String::from("it has no certificate")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| NotDelivered::ForGood(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

async fn exchange<S>(stream: S, request: Request<Body>) -> Result<StatusCode, NotDelivered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(for_now)?;
    let driver = crate::core::bulkhead::spawn(connection);
    let answer = sender.send_request(request).await.map_err(for_now);
    driver.abort();
    Ok(answer?.status())
}

fn for_now(error: impl std::fmt::Display) -> NotDelivered {
    NotDelivered::ForNow(error.to_string())
}

/// The time for one attempt: longer than any receiver takes that only stores the notice.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is computed by `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn signature_covers_time_and_body() {
        let expected = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature(b"key", 1_700_000_000, b"{}"), format!("sha256={expected}"));
        assert_ne!(signature(b"key", 1_700_000_001, b"{}"), format!("sha256={expected}"));
    }
}
