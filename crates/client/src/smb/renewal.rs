//! The renewal of an expired session: another logon in it (MS-SMB2 3.2.5.1.6, 3.2.4.2.3.1, 3.2.5.3.2).
//!
//! A session ends with the ticket that it was made with. The server then refuses all requests with
//! STATUS_NETWORK_SESSION_EXPIRED until the client has logged on again with the same session id. Its opens, locks and
//! tree connects stay, and so do its keys: those of the first logon.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use auth::InitiatorOptions;
use tokio::sync::Mutex;
use wire::NtStatus;
use wire::SessionId;
use wire::msg::SessionFlags;

use super::connection::ClientConnection;
use super::credentials::LogonCredentials;
use super::error::Error;
use super::limits::RENEWAL_PAUSE;
use super::request::{Response, Scope};
use super::session::exchange;

/// The means to renew a session.
#[derive(Debug)]
pub(crate) struct Renewal {
    credentials: LogonCredentials,
    /// The number of renewals. A request that was sent before one need not make another.
    done: AtomicU64,
    /// Held during a renewal, so that requests that fail at the same time make one; the time of the last failure.
    failed_at: Mutex<Option<Instant>>,
    /// The reason of the last failure; `None` after a success.
    trouble: parking_lot::Mutex<Option<String>>,
}

impl Renewal {
    pub(crate) fn new(credentials: LogonCredentials) -> Self {
        Self {
            credentials,
            done: AtomicU64::new(0),
            failed_at: Mutex::default(),
            trouble: Default::default(),
        }
    }

    /// The reason why the session could not be renewed; `None` unless the last attempt failed.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }
}

/// The number of renewals of the scope's session so far; `None` if it cannot be renewed.
pub(super) fn seen(scope: &Scope) -> Option<u64> {
    let renewal = scope.state.as_ref()?.renewal.as_ref()?;
    Some(renewal.done.load(Ordering::Acquire))
}

/// True if the answer says that the session has to be renewed.
pub(super) fn is_due(answer: &Response) -> bool {
    answer.status() == NtStatus::NETWORK_SESSION_EXPIRED
}

/// Logs on again in the scope's session, unless that was done since `seen`. The session keeps its keys.
///
/// An error leaves the session as it is, contrary to MS-SMB2 3.2.5.1.6: its files can be used again once the user has
/// new tickets. Requests in the meantime fail, after a failure for a moment without another logon.
pub(super) async fn renew(connection: &ClientConnection, scope: &Scope, seen: u64) -> Result<(), Error> {
    let state = scope.state.as_ref();
    let renewal = state.and_then(|state| state.renewal.as_ref());
    let renewal = renewal.ok_or(Error::SessionExpired)?;
    let mut failed_at = renewal.failed_at.lock().await;
    if renewal.done.load(Ordering::Acquire) != seen {
        return Ok(());
    }
    if failed_at.is_some_and(|failed| failed.elapsed() < RENEWAL_PAUSE) {
        return Err(Error::SessionExpired);
    }
    match log_on_again(connection, scope, &renewal.credentials).await {
        Ok(()) => {
            *failed_at = None;
            *renewal.trouble.lock() = None;
            renewal.done.fetch_add(1, Ordering::Release);
            Ok(())
        }
        Err(error) => {
            *failed_at = Some(Instant::now());
            *renewal.trouble.lock() = Some(error.advice());
            Err(error)
        }
    }
}

async fn log_on_again(
    connection: &ClientConnection,
    scope: &Scope,
    credentials: &LogonCredentials,
) -> Result<(), Error> {
    let mut initiator = connection.initiator(credentials, InitiatorOptions::default()).await?;
    let within = Scope { tree_id: wire::TreeId::default(), ..scope.clone() };
    let logon = exchange(connection, &mut initiator, within, SessionId(0)).await;
    let logon = logon.map_err(|error| credentials.explain(error, &initiator))?;
    let keyless = logon.flags.intersects(SessionFlags::IS_GUEST | SessionFlags::IS_NULL);
    if keyless || logon.session_key.is_none() {
        connection.disconnect();
        return Err(Error::MadeGuest);
    }
    Ok(())
}
