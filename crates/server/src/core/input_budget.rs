//! The memory for unfinished input on connections without a logon.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use registry::ConnectionId;

use crate::core::connection_link::{ConnectionEvent, ConnectionLink};

/// A memory budget that connections share. If it is used up, the oldest connection with unfinished input is closed.
#[derive(Debug)]
pub(crate) struct InputBudget {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by: BTreeMap<ConnectionId, (usize, Arc<ConnectionLink>)>,
}

impl InputBudget {
    /// Creates a budget of this number of bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Mutex::default() }
    }

    /// Records the number of bytes that a connection holds, and closes the oldest connections if the total is too
    /// large.
    pub(crate) fn hold(&self, connection: ConnectionId, link: &Arc<ConnectionLink>, bytes: usize) {
        let mut held = self.held.lock();
        held.release(connection);
        if bytes == 0 {
            return;
        }
        held.total = held.total.saturating_add(bytes);
        held.by.insert(connection, (bytes, Arc::clone(link)));
        while held.total > self.limit
            && let Some(oldest) = held.by.first_key_value().map(|(id, _)| *id)
        {
            if let Some(link) = held.release(oldest) {
                tracing::debug!(
                    conn = oldest.0,
                    "closed a connection: unfinished requests without a logon take too much memory"
                );
                link.send(ConnectionEvent::Close);
            }
        }
    }

    /// Records that a connection holds no input any more.
    pub(crate) fn release(&self, connection: ConnectionId) {
        self.held.lock().release(connection);
    }
}

impl Held {
    fn release(&mut self, connection: ConnectionId) -> Option<Arc<ConnectionLink>> {
        let (bytes, link) = self.by.remove(&connection)?;
        self.total = self.total.saturating_sub(bytes);
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn oldest_connection_with_input_is_closed() {
        let budget = InputBudget::new(100);
        let mut inboxes = Vec::new();
        for (id, bytes) in [(1, 0), (2, 60), (3, 40), (4, 50), (4, 70)] {
            let (events, inbox) = mpsc::unbounded_channel();
            inboxes.push((id, inbox));
            budget.hold(ConnectionId(id), &Arc::new(ConnectionLink::new(events)), bytes);
        }
        let mut closed: Vec<_> =
            inboxes.iter_mut().filter_map(|(id, inbox)| inbox.try_recv().ok().map(|_| *id)).collect();
        closed.dedup();
        assert_eq!(closed, [2, 3], "those with 60 and 40 bytes make room for 50 and 70");
        budget.release(ConnectionId(4));
        assert_eq!(budget.held.lock().total, 0);
    }
}
