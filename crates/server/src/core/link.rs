//! The way from other tasks to the task of a connection.

use tokio::sync::mpsc;

use crate::core::effects::Break;

/// How other tasks reach a connection.
#[derive(Debug)]
pub(crate) struct Link {
    events: mpsc::UnboundedSender<Event>,
}

/// What other tasks ask of a connection. The queue is unbounded, but what enters it is not: at most
/// one break for each open and one end for each session.
#[derive(Debug)]
pub(crate) enum Event {
    /// Tell the client to give up caching.
    Break(Box<Break>),
    /// A session is over.
    SessionEnded,
    /// Stop serving the connection.
    Close,
}

impl Link {
    /// The way to a connection whose task takes these events.
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events }
    }

    /// A way to a connection that is over.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self { events: mpsc::unbounded_channel().0 }
    }

    /// Asks, and says whether somebody hears it: a connection that is over does not listen any more.
    pub(crate) fn send(&self, event: Event) -> bool {
        self.offer(event).is_ok()
    }

    /// The same, with the event given back where nobody hears it.
    pub(crate) fn offer(&self, event: Event) -> Result<(), Event> {
        self.events.send(event).map_err(|unheard| unheard.0)
    }
}
