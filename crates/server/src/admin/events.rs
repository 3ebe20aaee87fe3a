//! The event stream, for callers who may see all events or those of some shares.

use std::sync::Arc;

use control::{Event, EventQuery};

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
    _place: AdminSlot,
    _aside: Aside,
}

/// Starts reading after the event that the query names, or after the current one.
pub(crate) fn events(
    server: &Arc<Server>,
    caller: &Caller,
    seat: &Seat,
    query: &EventQuery,
) -> Result<EventReader, Error> {
    let scope = scope(caller, Right::ReadFiles, Own::No)?;
    let place = server.capacity.admin.watchers.take(caller).ok_or(Error::Busy)?;
    let latest = server.registry.lock("last_event").last_event();
    // A larger number comes from an earlier run of the server.
    let after = query.after.filter(|after| *after <= latest).unwrap_or(latest);
    let (settings, aside) = (server.settings(), seat.step_aside());
    Ok(EventReader { server: Arc::clone(server), scope, settings, after, _place: place, _aside: aside })
}

impl EventReader {
    /// Waits for the next events; `None` if the settings have changed, so that the reader must start again
    /// with new rights.
    pub(crate) async fn next(&mut self) -> Option<Vec<Event>> {
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
            let is_visible = |event: &Event| {
                self.scope.is_everything() || event.share.as_ref().is_some_and(|it| self.scope.has_share(it))
            };
            visible.extend(batch.events.iter().map(event).filter(is_visible));
            if batch.events.is_empty() || !visible.is_empty() {
                return visible;
            }
        }
    }
}

/// Events in one batch: that many are held for a reader that does not read.
const BATCH: usize = 256;
