//! The event stream: one JSON object in each line, as long as the reader is connected.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use control::{Event, EventQuery};
use futures_util::stream;

use super::answer::Refused;
use super::asked::{Asked, Filters};
use crate::admin::{self, EventReader};

/// `GET /v1/events`.
pub(super) async fn events(asked: Asked, Filters(query): Filters<EventQuery>) -> Result<Response, Refused> {
    let reader = admin::events(&asked.server, &asked.caller, &asked.seat, &query)?;
    // The first event comes at once, and with it the head of the answer.
    let body = Body::from_stream(stream::unfold(reader, next));
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

async fn next(mut reader: EventReader) -> Option<(Result<Bytes, Infallible>, EventReader)> {
    let events = reader.next().await?;
    let mut lines = Vec::new();
    events.iter().for_each(|event| append(&mut lines, event));
    Some((Ok(Bytes::from(lines)), reader))
}

fn append(lines: &mut Vec<u8>, event: &Event) {
    let before = lines.len();
    if serde_json::to_writer(&mut *lines, event).is_err() {
        lines.truncate(before);
        return;
    }
    lines.push(b'\n');
}

/// The media type of JSON lines.
pub(super) const NDJSON: &str = "application/x-ndjson";
