//! The event stream, for callers who may see all events, those of some shares, or their own.

use std::sync::Arc;

use control::{Event, EventQuery};
use registry::Time;

use super::view::event;
use super::{AdminSlot, Aside, Caller, Error, Own, Right, Scope, Seat, scope};
use crate::core::config::Settings;
use crate::core::server::Server;

/// A reader of the event stream. Events are not buffered for slow readers: they receive the number of missed
/// events.
pub(crate) struct EventReader {
    server: Arc<Server>,
    scope: Scope,
    /// The settings from which the scope was derived.
    settings: Arc<Settings>,
    after: u64,
    /// The events that describe the beginning of the stream, until they are read.
    beginning: Vec<Event>,
    _place: AdminSlot,
    _aside: Aside,
}

/// Starts reading after the event that the query names, or after the current one. If that event belongs to an earlier
/// run of the server, the stream begins with a "lost" event and with all events of this run that are remembered.
pub(crate) fn events(
    server: &Arc<Server>,
    caller: &Caller,
    seat: &Seat,
    query: &EventQuery,
) -> Result<EventReader, Error> {
    let own = if query.mine == Some(true) { Own::Only } else { Own::No };
    let scope = scope(caller, Right::ReadFiles, own)?;
    let place = server.capacity.admin.watchers.take(caller).ok_or(Error::Busy)?;
    let latest = server.registry.lock("last_event").last_event();
    let epoch = server.statistics.snapshot().started;
    let (after, is_restarted) = start(query, latest, epoch);
    let begin = Event { id: after, kind: String::from("begin"), epoch: Some(epoch.0), ..Event::default() };
    let restarted = Event {
        id: after,
        kind: String::from("lost"),
        reason: Some(String::from("server_restarted")),
        ..Event::default()
    };
    let beginning = [begin].into_iter().chain(is_restarted.then_some(restarted)).collect();
    let (settings, aside) = (server.settings(), seat.step_aside());
    let server = Arc::clone(server);
    Ok(EventReader { server, scope, settings, after, beginning, _place: place, _aside: aside })
}

/// The number after which the stream begins, and whether the server was restarted since the event that the query names.
fn start(query: &EventQuery, latest: u64, epoch: Time) -> (u64, bool) {
    match (query.after, query.epoch) {
        (None, _) => (latest, false),
        (Some(_), Some(of)) if of != epoch.0 => (0, true),
        (Some(after), _) if after > latest => (latest, true),
        (Some(after), _) => (after, false),
    }
}

impl EventReader {
    /// Waits for the next events; `None` if the settings have changed, so that the reader must start again
    /// with new rights.
    pub(crate) async fn next(&mut self) -> Option<Vec<Event>> {
        if !self.beginning.is_empty() {
            return Some(std::mem::take(&mut self.beginning));
        }
        let server = Arc::clone(&self.server);
        loop {
            let happened = server.signals.event_added.notified();
            tokio::pin!(happened);
            happened.as_mut().enable();
            if !Arc::ptr_eq(&self.settings, &server.settings()) {
                return None;
            }
            let events = self.batch();
            if !events.is_empty() {
                return Some(events);
            }
            happened.await;
        }
    }

    fn batch(&mut self) -> Vec<Event> {
        let mut visible = Vec::new();
        loop {
            let batch = self.server.registry.lock("events_after").events_after(self.after, BATCH);
            if batch.lost > 0 {
                let (id, kind) = (self.after.saturating_add(batch.lost), String::from("lost"));
                visible.push(Event { id, kind, lost: Some(batch.lost), ..Event::default() });
            }
            self.after = batch.last_seq;
            visible.extend(batch.events.iter().filter(|it| self.scope.has_event(&it.kind)).map(event));
            if batch.events.is_empty() || !visible.is_empty() {
                return visible;
            }
        }
    }
}

/// Events in one batch: that many are held for a reader that does not read.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_resumes_after_its_event_unless_the_server_was_restarted() {
        let start =
            |after, epoch| super::start(&EventQuery { after, epoch, ..EventQuery::default() }, 100, Time(5));
        assert_eq!(start(None, None), (100, false));
        assert_eq!(start(None, Some(4)), (100, false), "only new events are asked for");
        assert_eq!(start(Some(7), Some(5)), (7, false));
        assert_eq!(start(Some(7), None), (7, false));
        assert_eq!(start(Some(7), Some(4)), (0, true));
        assert_eq!(start(Some(101), None), (100, true));
    }
}
