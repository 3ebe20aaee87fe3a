//! The event stream: one JSON object to a line, for as long as the reader stays.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use control::{Event, EventQuery};
use futures_util::stream;
use registry::{EventKind, EventOpen};

use super::answer::Refused;
use super::routes::{Asker, Filters};
use super::view;
use crate::admin::{self, Aside, Own, Place, Right, Scope, Seat};
use crate::core::config::Settings;
use crate::core::server::Server;

/// `GET /v1/events`.
pub(super) async fn events(
    State(server): State<Arc<Server>>,
    Extension(caller): Asker,
    Extension(seat): Extension<Seat>,
    query: Filters<EventQuery>,
) -> Result<Response, Refused> {
    let Query(query) = query.map_err(Refused::malformed)?;
    let scope = admin::scope(&caller, Right::ReadFiles, Own::No)?;
    let place = server.admin_places.watchers.take(&caller).ok_or(admin::Error::Busy)?;
    let latest = server.registry.lock("last_event").last_event();
    // A number that is yet to come is of a server that ran before this one.
    let after = query.after.filter(|after| *after <= latest).unwrap_or(latest);
    let settings = server.settings();
    let aside = seat.step_aside();
    let reader = Reader { server, scope, settings, after, begun: false, _place: place, _aside: aside };
    let body = Body::from_stream(stream::unfold(reader, Reader::next));
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

/// Somebody who reads. Nothing is kept for a slow one: it is told what it has missed.
struct Reader {
    server: Arc<Server>,
    scope: Scope,
    /// The settings that the scope comes from.
    settings: Arc<Settings>,
    after: u64,
    begun: bool,
    _place: Place,
    _aside: Aside,
}

impl Reader {
    /// The next lines, once there are some; none where other settings are in force: the reader is to ask again.
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        if !self.begun {
            // The answer's head goes out at once, with an empty line.
            self.begun = true;
            return Some((Ok(Bytes::from_static(b"\n")), self));
        }
        let server = Arc::clone(&self.server);
        loop {
            let happened = server.happened.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            if !Arc::ptr_eq(&self.settings, &server.settings()) {
                return None;
            }
            let lines = self.lines();
            if !lines.is_empty() {
                return Some((Ok(Bytes::from(lines)), self));
            }
            happened.await;
        }
    }

    fn lines(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        loop {
            let batch = self.server.registry.lock("events_after").events_after(self.after, BATCH);
            if batch.lost > 0 {
                let (id, kind) = (self.after.saturating_add(batch.lost), String::from("lost"));
                append(&mut lines, &Event { id, kind, lost: Some(batch.lost), ..Event::default() });
            }
            self.after = batch.last_seq;
            for event in batch.events.iter().map(event) {
                let share = event.share.as_deref();
                if self.scope.is_everything() || share.is_some_and(|share| self.scope.has_share(share)) {
                    append(&mut lines, &event);
                }
            }
            if batch.events.is_empty() || !lines.is_empty() {
                return lines;
            }
        }
    }
}

fn append(lines: &mut Vec<u8>, event: &Event) {
    let before = lines.len();
    if serde_json::to_writer(&mut *lines, event).is_err() {
        lines.truncate(before);
        return;
    }
    lines.push(b'\n');
}

fn event(event: &registry::Event) -> Event {
    let about = |kind: &str| Event {
        id: event.seq,
        at: Some(view::timestamp(event.time)),
        kind: String::from(kind),
        ..Event::default()
    };
    let of_open = |kind: &str, open: &EventOpen| Event {
        file_id: Some(open.file.value()),
        share: Some(open.share.to_string()),
        path: Some(open.path.to_string()),
        user: Some(open.user.to_string()),
        computer: Some(open.client.to_string()),
        ..about(kind)
    };
    let text = |text: &Arc<str>| Some(text.to_string());
    match &event.kind {
        EventKind::ConnectionUp { client, .. } => Event { computer: text(client), ..about("connection_up") },
        EventKind::ConnectionDown { .. } => about("connection_down"),
        EventKind::SessionUp { session, user, client } => Event {
            session_id: Some(session.value()),
            user: text(user),
            computer: text(client),
            ..about("session_up")
        },
        EventKind::SessionDown { session, user, client, reason } => Event {
            session_id: Some(session.value()),
            user: text(user),
            computer: text(client),
            reason: Some(word(reason)),
            ..about("session_down")
        },
        EventKind::TreeUp { session, share, .. } => {
            Event { session_id: Some(session.value()), share: text(share), ..about("tree_up") }
        }
        EventKind::TreeDown { session, share, .. } => {
            Event { session_id: Some(session.value()), share: text(share), ..about("tree_down") }
        }
        EventKind::Opened { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("opened", open) }
        }
        EventKind::Closed { open, reason } => Event { reason: Some(word(reason)), ..of_open("closed", open) },
        EventKind::Orphaned { open } => of_open("orphaned", open),
        EventKind::Reclaimed { open, session } => {
            Event { session_id: Some(session.value()), ..of_open("reclaimed", open) }
        }
        EventKind::Refused { kind, share, path, session, user, client, blocker } => Event {
            session_id: session.map(|it| it.value()),
            file_id: blocker.map(|it| it.value()),
            share: text(share),
            path: text(path),
            user: text(user),
            computer: text(client),
            reason: Some(word(kind)),
            ..about("refused")
        },
        EventKind::BreakSent { open } => of_open("break_sent", open),
        EventKind::BreakTimedOut { open } => of_open("break_timed_out", open),
        EventKind::ShareAdded { share } => Event { share: text(share), ..about("share_added") },
        EventKind::ShareRemoved { share } => Event { share: text(share), ..about("share_removed") },
    }
}

/// A reason's name, as `connection_lost`.
fn word(reason: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for character in format!("{reason:?}").chars() {
        if character.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(character.to_lowercase());
    }
    word
}

/// Events told in one go: a reader that does not read holds as many lines.
const BATCH: usize = 256;

/// The media type of JSON lines.
const NDJSON: &str = "application/x-ndjson";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_word() {
        assert_eq!(word(&registry::CloseReason::ClientClose), "client_close");
        assert_eq!(word(&registry::EndReason::Administrator), "administrator");
        assert_eq!(word(&registry::RefusalKind::SharingViolation), "sharing_violation");
    }
}
