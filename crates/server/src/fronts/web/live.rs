//! The event stream for browsers: server-sent events (HTML Standard 9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::{Event, EventQuery};
use futures_util::stream::{self, StreamExt as _};

use super::Web;
use super::sessions::Visit;
use crate::admin::{self, Caller, Error, EventReader, Seat};
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
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.split_once('-'));
    let query = EventQuery {
        after: last.and_then(|(_, after)| after.parse().ok()),
        epoch: last.and_then(|(epoch, _)| epoch.parse().ok()),
        mine: None,
    };
    let reader = match admin::events(&web.server, &caller, &seat, &query) {
        // A user without rights has the events of the own sessions and opens.
        Err(Error::AccessDenied) => {
            admin::events(&web.server, &caller, &seat, &EventQuery { mine: Some(true), ..query })?
        }
        reader => reader?,
    };
    let watching = Watching { guest: Guest { web, visit, peer }, reader, epoch: 0 };
    // The head of the answer is sent at once, with the time after which the browser connects again.
    let begun = stream::iter([Ok(Bytes::from(format!("retry: {RETRY_MS}\n\n")))]);
    let body = Body::from_stream(begun.chain(stream::unfold(Some(watching), next)));
    Ok(([(CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// Ends an answer of the control API that goes on, as the event stream and a hold, with the session of its user.
pub(super) async fn with_session(
    State(web): State<Arc<Web>>,
    Extension(visit): Extension<Visit>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = next.run(request).await.into_parts();
    if body.size_hint().exact().is_some() {
        return Response::from_parts(head, body);
    }
    let lasting = Lasting { guest: Guest { web, visit, peer }, body: body.into_data_stream() };
    Response::from_parts(head, Body::from_stream(stream::unfold(lasting, next_part)))
}

/// The user of an answer that goes on.
struct Guest {
    web: Arc<Web>,
    visit: Visit,
    peer: Peer,
}

/// The right of a user to the rest of an answer.
#[derive(PartialEq, Eq)]
enum Welcome {
    Yes,
    /// The session has ended, or its user may not log on any more.
    No,
    /// The accounts cannot be read at the moment.
    Unknown,
}

impl Guest {
    async fn welcome(&self) -> Welcome {
        let server = &self.web.server;
        if !self.web.sessions.is_valid(self.visit.key, server.now()) {
            return Welcome::No;
        }
        match self.peer.caller(server).await {
            Ok(_) => Welcome::Yes,
            Err(Error::AccessDenied) => Welcome::No,
            Err(_) => Welcome::Unknown,
        }
    }
}

/// An answer of the control API that goes on.
struct Lasting {
    guest: Guest,
    body: BodyDataStream,
}

/// The next part of such an answer.
async fn next_part(mut lasting: Lasting) -> Option<(Result<Bytes, axum::Error>, Lasting)> {
    loop {
        let part = tokio::select! {
            part = lasting.body.next() => Some(part?),
            () = lasting.guest.web.sessions.any_ended() => None,
            () = tokio::time::sleep(PULSE) => None,
        };
        if lasting.guest.welcome().await != Welcome::Yes {
            return None;
        }
        if let Some(part) = part {
            return Some((part, lasting));
        }
    }
}

/// A browser that reads events.
struct Watching {
    guest: Guest,
    reader: EventReader,
    /// The run of the server, which the first event names.
    epoch: u64,
}

/// The next part of the stream. It ends with the session of the user, and when the settings have changed.
async fn next(watching: Option<Watching>) -> Option<(Result<Bytes, Infallible>, Option<Watching>)> {
    let mut watching = watching?;
    let text = tokio::select! {
        events = watching.reader.next() => watching.written(&events?),
        () = watching.guest.web.sessions.any_ended() => String::new(),
        () = tokio::time::sleep(PULSE) => String::from(": the connection is alive\n\n"),
    };
    match watching.guest.welcome().await {
        Welcome::Yes => Some((Ok(Bytes::from(text)), Some(watching))),
        Welcome::No => Some((Ok(Bytes::from_static(b"event: ended\ndata: {}\n\n")), None)),
        // The browser connects again, and is told what it has missed.
        Welcome::Unknown => None,
    }
}

impl Watching {
    /// The events as text. Their ids name the run of the server, too, so that a browser that connects again after a
    /// restart is told that events are missing.
    fn written(&mut self, events: &[Event]) -> String {
        let mut text = String::new();
        for event in events {
            self.epoch = event.epoch.unwrap_or(self.epoch);
            // JSON of one line; nothing in it can end the line.
            if let Ok(json) = serde_json::to_string(event) {
                text.push_str(&format!("id: {}-{}\ndata: {json}\n\n", self.epoch, event.id));
            }
        }
        text
    }
}

/// The path of the event stream for browsers.
pub(super) const PATH: &str = "/live";

/// The time between signs of life, after which the session is checked, too.
const PULSE: Duration = Duration::from_secs(10);

/// The time after which a browser that has lost the stream connects again, in milliseconds.
const RETRY_MS: u64 = 2000;
