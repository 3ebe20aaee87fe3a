//! The way from other tasks to the task of a connection.

use tokio::sync::mpsc;

use crate::core::effects::BreakNotification;

/// The way from other tasks to a connection.
#[derive(Debug)]
pub(crate) struct ConnectionLink {
    events: mpsc::UnboundedSender<ConnectionEvent>,
}

/// An event that another task sends to a connection. The queue is unbounded, but what enters it is not: at most
/// one break for each open and one end for each session.
#[derive(Debug)]
pub(crate) enum ConnectionEvent {
    /// Tell the client to give up caching.
    Break(Box<BreakNotification>),
    /// A session is over.
    SessionEnded,
    /// Stop serving the connection.
    Close,
}

impl ConnectionLink {
    /// The way to a connection whose task takes these events.
    pub(crate) fn new(events: mpsc::UnboundedSender<ConnectionEvent>) -> Self {
        Self { events }
    }

    /// A way to a connection that is over.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self { events: mpsc::unbounded_channel().0 }
    }

    /// Sends an event; false if the connection is over, and takes none any more.
    pub(crate) fn send(&self, event: ConnectionEvent) -> bool {
        self.offer(event).is_ok()
    }

    /// Sends an event, which is given back if the connection is over.
    pub(crate) fn offer(&self, event: ConnectionEvent) -> Result<(), ConnectionEvent> {
        self.events.send(event).map_err(|unheard| unheard.0)
    }
}
