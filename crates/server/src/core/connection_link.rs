//! The link from other tasks to the task of a connection.

use std::net::IpAddr;

use tokio::sync::mpsc;

use crate::core::effects::BreakNotification;

/// The link from other tasks to a connection.
#[derive(Debug)]
pub(crate) struct ConnectionLink {
    events: mpsc::UnboundedSender<ConnectionEvent>,
    local: Option<IpAddr>,
}

/// An event that another task sends to a connection. The queue is unbounded, but its events are limited: at most one
/// break for each open and one end for each session.
#[derive(Debug)]
pub(crate) enum ConnectionEvent {
    /// Send a break notification to the client.
    Break(Box<BreakNotification>),
    /// A session has ended.
    SessionEnded,
    /// Stop serving the connection.
    Close,
}

impl ConnectionLink {
    /// Creates a link to a connection whose task receives these events.
    pub(crate) fn new(events: mpsc::UnboundedSender<ConnectionEvent>) -> Self {
        Self { events, local: None }
    }

    /// The link, with the address of this server that the client has connected to.
    #[must_use]
    pub(crate) fn at(self, local: Option<IpAddr>) -> Self {
        Self { local: local.map(|it| it.to_canonical()), ..self }
    }

    /// The address of this server that the client has connected to, if it came over a network.
    pub(crate) fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// Creates a link to a connection that has ended.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::new(mpsc::unbounded_channel().0)
    }

    /// Sends an event. Returns false if the connection has ended.
    pub(crate) fn send(&self, event: ConnectionEvent) -> bool {
        self.offer(event).is_ok()
    }

    /// Sends an event, which is returned if the connection has ended.
    pub(crate) fn offer(&self, event: ConnectionEvent) -> Result<(), ConnectionEvent> {
        self.events.send(event).map_err(|unheard| unheard.0)
    }
}
