//! The events of one server, which go on after a lost connection.

use std::future::ready;
use std::time::Duration;

use client::Administration;
use control::{Event, EventQuery, number};
use futures_util::StreamExt as _;
use futures_util::stream::{self, LocalBoxStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// An item of a feed.
#[derive(Debug)]
pub(crate) enum FeedItem {
    /// The server sends its events from now on.
    Begun,
    /// An event. One of the kind "lost" stands for missing events.
    Event(Box<Event>),
    /// The connection was lost; the feed tries to go on where it was.
    Interrupted,
    /// The server does not send events to this user. The feed ends.
    Unavailable,
}

/// The events of a server from now on; for a user who may not see all, those of the user's own sessions and opens. After
/// a lost connection the feed asks for the events that it missed.
pub(crate) fn feed(server: &dyn Administration) -> LocalBoxStream<'_, FeedItem> {
    let (sender, mut items) = mpsc::channel(WAITING);
    let following = stream::once(follow(server, sender)).filter_map(|()| ready(None));
    let received = stream::poll_fn(move |context| items.poll_recv(context));
    stream::select(received, following).boxed_local()
}

async fn follow(server: &dyn Administration, items: mpsc::Sender<FeedItem>) {
    let mut position = Position { query: EventQuery::default() };
    let mut pause = RETRY_FIRST;
    loop {
        let query = position.query.clone();
        let outcome = match server.events(&query).await {
            Ok(mut events) => {
                pause = RETRY_FIRST;
                let mut item = FeedItem::Begun;
                loop {
                    if items.send(item).await.is_err() {
                        return;
                    }
                    item = match next_of(&mut events, &mut position).await {
                        Ok(Some(event)) => FeedItem::Event(event),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    };
                }
            }
            Err(error) if error.number() == number::ACCESS_DENIED && query.mine.is_none() => {
                position.query.mine = Some(true);
                continue;
            }
            Err(error) if REFUSALS.contains(&error.number()) => {
                let _ = items.send(FeedItem::Unavailable).await;
                return;
            }
            Err(error) => Err(error),
        };
        match outcome {
            // The server ends the stream when its settings have changed, so that new rights take effect.
            Ok(()) => sleep(RESUMED_AFTER).await,
            Err(_) => {
                if items.send(FeedItem::Interrupted).await.is_err() {
                    return;
                }
                sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

/// The next event that is not the beginning of the stream.
async fn next_of(
    events: &mut client::Events<'_>,
    position: &mut Position,
) -> Result<Option<Box<Event>>, client::Error> {
    while let Some(event) = events.next().await {
        let event = event?;
        if position.advance(&event) {
            return Ok(Some(Box::new(event)));
        }
    }
    Ok(None)
}

/// The position in the event stream after which it goes on.
struct Position {
    query: EventQuery,
}

impl Position {
    /// Moves behind an event; false if it is only the beginning of the stream.
    fn advance(&mut self, event: &Event) -> bool {
        self.query.after = Some(event.id);
        if event.kind == "begin" {
            self.query.epoch = event.epoch;
            return false;
        }
        true
    }
}

/// The errors after which asking again is useless.
const REFUSALS: [u32; 3] = [number::ACCESS_DENIED, number::INVALID_PARAMETER, number::NOT_SUPPORTED];

/// The items that wait for the reader; beyond them the server's stream waits, and then says what was lost.
const WAITING: usize = 256;

/// The pause after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// The longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The pause after the server has ended the stream.
const RESUMED_AFTER: Duration = Duration::from_millis(50);
