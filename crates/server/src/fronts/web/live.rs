//! The event stream for browsers: server-sent events (HTML Standard 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use control::{Event, EventQuery};
use futures_util::stream::{self, StreamExt as _};

use super::Web;
use super::sessions::Visit;
use crate::admin::{self, Caller, EventReader, Seat};
use crate::fronts::http::{Peer, Refused};

/// `GET /live`. A browser that connects again names the last event that it has received.
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Extension(visit): Extension<Visit>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(seat): Extension<Seat>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let reader = admin::events(&web.server, &caller, &seat, &EventQuery { after: last })?;
    let watching = Watching { web, visit, peer, reader };
    // The head of the answer is sent at once, with the time after which the browser connects again.
    let begun = stream::iter([Ok(Bytes::from(format!("retry: {RETRY_MS}\n\n")))]);
    let body = Body::from_stream(begun.chain(stream::unfold(Some(watching), next)));
    Ok(([(CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// A browser that reads events.
struct Watching {
    web: Arc<Web>,
    visit: Visit,
    peer: Peer,
    reader: EventReader,
}

/// The next part of the stream. It ends with the session of the user, and when the settings have changed.
async fn next(watching: Option<Watching>) -> Option<(Result<Bytes, Infallible>, Option<Watching>)> {
    let mut watching = watching?;
    let text = tokio::select! {
        events = watching.reader.next() => written(&events?),
        () = watching.web.sessions.any_ended() => String::new(),
        () = tokio::time::sleep(PULSE) => String::from(": the connection is alive\n\n"),
    };
    if !watching.is_welcome().await {
        return Some((Ok(Bytes::from_static(b"event: ended\ndata: {}\n\n")), None));
    }
    Some((Ok(Bytes::from(text)), Some(watching)))
}

impl Watching {
    /// True if the session is valid, and its user may still log on.
    async fn is_welcome(&self) -> bool {
        let server = &self.web.server;
        self.web.sessions.is_valid(self.visit.key, server.now()) && self.peer.caller(server).await.is_ok()
    }
}

fn written(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        // JSON of one line; nothing in it can end the line.
        if let Ok(json) = serde_json::to_string(event) {
            text.push_str(&format!("id: {}\ndata: {json}\n\n", event.id));
        }
    }
    text
}

/// The time between signs of life, after which the session is checked, too.
const PULSE: Duration = Duration::from_secs(10);

/// The time after which a browser that has lost the stream connects again, in milliseconds.
const RETRY_MS: u64 = 2000;
