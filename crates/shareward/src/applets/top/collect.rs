//! Asks one server: by its events where it has them, and by its lists and counters.

use std::time::Duration;

use client::Administration;
use control::{FileQuery, SessionQuery, Timestamp};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::model::{Input, Link, Snapshot};
use crate::event_feed::{FeedItem, feed};

/// The inputs of the screen, from all servers.
pub(super) type Inputs = mpsc::Sender<Input>;

/// Reports all that a server does, until the screen is gone.
pub(super) async fn collect(number: usize, server: &dyn Administration, refresh: &Notify, inputs: &Inputs) {
    // The counters come beside the lists: a server that takes long to list its files still has a throughput.
    tokio::join!(lists(number, server, refresh, inputs), counters(number, server, inputs));
}

async fn lists(number: usize, server: &dyn Administration, refresh: &Notify, inputs: &Inputs) {
    let mut events = feed(server);
    let mut link = Link::Connecting;
    let (mut has_events, mut is_live) = (true, false);
    let mut again = Instant::now();
    let mut took = Duration::ZERO;
    // Polled beside the events: to some servers both need the same connection, and wait for each other.
    let mut asking: Option<(Instant, LocalBoxFuture<'_, Result<Snapshot, client::Error>>)> = None;
    loop {
        let due = sleep_until(again);
        let is_asking = asking.is_some();
        let answered = async {
            match &mut asking {
                Some((_, question)) => question.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            item = events.next(), if has_events => match item {
                Some(FeedItem::Begun) => {
                    is_live = true;
                    again = Instant::now();
                }
                Some(FeedItem::Event(event)) => {
                    // Events have less than the lists have: the new entry is completed soon, and what was lost is
                    // seen in the next list.
                    if ["opened", "session_up", "locked", "lost", "reclaimed"].contains(&event.kind.as_str()) {
                        again = again.min(Instant::now() + COMPLETED_AFTER.max(took * REST));
                    }
                    if inputs.send(Input::Event(number, event)).await.is_err() {
                        return;
                    }
                }
                Some(FeedItem::Interrupted | FeedItem::Unavailable) => {
                    is_live = false;
                    again = Instant::now();
                }
                // Without events, only the lists are left.
                None => (has_events, is_live) = (false, false),
            },
            () = refresh.notified() => again = Instant::now(),
            answer = answered => {
                took = asking.take().map(|(begun, _)| begun.elapsed()).unwrap_or_default();
                let now_link = match answer {
                    Ok(snapshot) => {
                        if inputs.send(Input::Snapshot(number, Box::new(snapshot))).await.is_err() {
                            return;
                        }
                        if is_live { Link::Live } else { Link::Polled }
                    }
                    Err(error) => Link::Down(error.hint().unwrap_or_else(|| error.to_string())),
                };
                let every = if is_live { EVERY_WITH_EVENTS } else { EVERY };
                again = again.min(Instant::now() + every.max(took * REST));
                if now_link != link {
                    link = now_link.clone();
                    if inputs.send(Input::Link(number, now_link)).await.is_err() {
                        return;
                    }
                }
            }
            () = due, if !is_asking => {
                asking = Some((Instant::now(), snapshot(server).boxed_local()));
                // Events that arrive meanwhile may set an earlier time for the next list.
                again = Instant::now() + NEVER;
            }
        }
    }
}

/// The lists of a server. One that this server does not have, or that this user may not see, is unknown; a user without
/// rights has the own entries.
async fn snapshot(server: &dyn Administration) -> Result<Snapshot, client::Error> {
    let asked = Timestamp::now();
    let sessions = match server.sessions(&SessionQuery::default()).await {
        Err(error) if is_denied(&error) => {
            server.sessions(&SessionQuery { mine: Some(true), ..SessionQuery::default() }).await
        }
        answer => answer,
    };
    let files = match server.files(&FileQuery::default()).await {
        Err(error) if is_denied(&error) => {
            server.files(&FileQuery { mine: Some(true), ..FileQuery::default() }).await
        }
        answer => answer,
    };
    match (sessions, files) {
        (Err(error), Err(_)) => Err(error),
        (sessions, files) => {
            let mut files = files.ok();
            if let Some(files) = &mut files {
                files.retain(|file| !server.carries(file));
            }
            Ok(Snapshot { asked, sessions: sessions.ok(), files })
        }
    }
}

fn is_denied(error: &client::Error) -> bool {
    error.number() == control::number::ACCESS_DENIED
}

async fn counters(number: usize, server: &dyn Administration, inputs: &Inputs) {
    loop {
        let begun = Instant::now();
        let pause = match server.measurements().await {
            Ok(statistics) => {
                if inputs.send(Input::Statistics(number, Box::new(statistics))).await.is_err() {
                    return;
                }
                COUNTERS_EVERY.max(begun.elapsed() * REST)
            }
            // The lists report a server that does not answer.
            Err(_) => COUNTERS_AGAIN,
        };
        sleep(pause).await;
    }
}

/// A time that no list takes.
const NEVER: Duration = Duration::from_secs(86_400);

/// The time between two lists of a server without events.
const EVERY: Duration = Duration::from_secs(2);

/// The time between two lists of a server with events: for idle times and for the bytes of each open, which have no events.
const EVERY_WITH_EVENTS: Duration = Duration::from_secs(5);

/// The time after which a new entry is completed by a list.
const COMPLETED_AFTER: Duration = Duration::from_secs(1);

/// The pause after a list, as a multiple of the time that it took, so that the screen is never most of a server's work.
const REST: u32 = 9;

/// The time between two requests for the counters, which are a few numbers.
const COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// The time between two requests to a server that has no counters or does not answer.
const COUNTERS_AGAIN: Duration = Duration::from_secs(10);
