//! The stream of changes below a prefix.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::client::{Client, prefix_end, refusal};
use crate::error::Error;
use crate::limits::WATCH_MESSAGE_BYTES_MAX;
use crate::messages::{Bytes, EventMessage, KeyValue, Streamed, WatchAnswer, WatchCreate, WatchRequest};
use crate::transport::Connection;

/// A watch. It ends with an error, also when the client has given up the endpoint to which it is connected.
pub struct Watch {
    client: Client,
    connection: Connection,
    body: Incoming,
    buffer: BytesMut,
    /// The length of the buffer up to which there is no end of a line.
    searched: usize,
    /// The changes of a message whose fragments are not complete.
    pending: Vec<Change>,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was deleted, or its lease ended.
    Deleted(Vec<u8>),
    /// The key was written.
    Written(KeyValue),
}

/// Changes in order. All changes up to the revision have been reported with this batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The revision.
    pub revision: i64,
    /// The changes. Empty if the batch only tells the revision.
    pub changes: Vec<Change>,
}

impl Client {
    /// Watches the keys that begin with `prefix` from revision `from` on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn watch(&self, prefix: &[u8], from: i64) -> Result<Watch, Error> {
        let create_request = WatchCreate {
            key: Bytes(prefix.to_vec()),
            range_end: Bytes(prefix_end(prefix)),
            start_revision: from.to_string(),
            progress_notify: true,
            fragment: true,
        };
        let (connection, body) = self.stream("/v3/watch", &WatchRequest { create_request }).await?;
        let buffer = BytesMut::new();
        let client = self.clone();
        Ok(Watch { client, connection, body, buffer, searched: 0, pending: Vec::new() })
    }
}

impl Watch {
    /// The next batch. It may be cancelled and called again.
    ///
    /// # Errors
    /// [`Error::Compacted`] if etcd does not have the revisions any more, else another [`Error`]. The watch has ended.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            while let Some(line) = self.line()? {
                let message: Streamed<WatchAnswer> =
                    serde_json::from_slice(&line).map_err(|_| Error::Malformed("no JSON of a watch"))?;
                if let Some(failure) = message.error {
                    let error = refusal(failure, 0);
                    if error.is_expired_token() {
                        self.client.forget_token();
                    }
                    return Err(error);
                }
                let answer = message.result.ok_or(Error::Malformed("a watch without a result"))?;
                if let Some(batch) = self.take(answer)? {
                    return Ok(batch);
                }
            }
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                () = given_up(&self.client, self.connection.turn()) => {
                    return Err(Error::Lost(String::from("the endpoint has failed")));
                }
            };
            let frame = frame.ok_or_else(|| Error::Lost(String::from("the watch has ended")))?;
            let frame = frame.map_err(|error| Error::Lost(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
                if self.buffer.len() > WATCH_MESSAGE_BYTES_MAX {
                    return Err(Error::TooLong);
                }
            }
        }
    }

    /// Takes a whole line off the buffer.
    fn line(&mut self) -> Result<Option<BytesMut>, Error> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let line = self.buffer.split_to(self.searched.saturating_add(end));
        self.buffer.advance(1);
        self.searched = 0;
        Ok(Some(line))
    }

    fn take(&mut self, answer: WatchAnswer) -> Result<Option<Batch>, Error> {
        if answer.compact_revision != 0 {
            return Err(Error::Compacted);
        }
        if answer.canceled {
            return Err(Error::Lost(String::from("etcd has ended the watch")));
        }
        // The revision of this answer may be ahead of the changes that are still to come.
        if answer.created {
            return Ok(None);
        }
        let last = answer.events.last().map(|event| event.kv.mod_revision);
        for event in answer.events {
            self.pending.push(change(event)?);
            if self.pending.len() > CHANGES_MAX {
                return Err(Error::TooLong);
            }
        }
        if answer.fragment {
            return Ok(None);
        }
        // Without changes it is a notice of progress, whose revision is complete. With changes, the revision of the head is
        // that of the store at the time of sending; only that of the last change is known to be complete.
        let revision = last.unwrap_or(answer.header.revision);
        Ok(Some(Batch { revision, changes: std::mem::take(&mut self.pending) }))
    }
}

fn change(event: EventMessage) -> Result<Change, Error> {
    match event.kind.as_deref() {
        None | Some("PUT") => Ok(Change::Written(event.kv)),
        Some("DELETE") => Ok(Change::Deleted(event.kv.key)),
        Some(_) => Err(Error::Malformed("an unknown kind of change")),
    }
}

/// Returns when the client uses another endpoint than in `turn`.
async fn given_up(client: &Client, turn: usize) {
    while client.endpoint_changes() == turn {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One transaction changes 128 keys; etcd collects the changes of several.
const CHANGES_MAX: usize = 700_000;
