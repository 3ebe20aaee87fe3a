//! Requests that wait for a byte-range lock or a break, and the ends of the wait: granted, woken to try again,
//! cancelled, or without an answer because the connection is lost.

use std::collections::BTreeMap;

use wire::{FileGlobalId, SessionGlobalId};

use crate::ranges::LockElement;
use crate::{
    Cancelled, ConnectionId, Effects, FileKey, LimitReached, Outcome, RequestKey, Shell, State, Time, cost,
};

/// The result of an operation that breaks caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The operation may continue.
    Ready,
    /// The operation has to wait for breaks; its key will be in [`Effects::retry`] or in [`Effects::cancelled`].
    MustWait,
}

/// The object that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Breaks on a file; `place` is the number of the request among those that wait.
    Break { file: FileKey, session: Option<SessionGlobalId>, place: u64 },
    /// A byte-range lock through an open.
    Lock { file: FileKey, open: FileGlobalId },
}

impl<S: Shell> State<S> {
    /// Cancels a waiting request (MS-SMB2 3.3.5.16). If the request no longer waits, it has been answered or will be,
    /// and nothing is done.
    pub fn cancel(&mut self, request: RequestKey, now: Time) -> Effects<S> {
        let mut effects = Effects::none();
        if self.forget_waiting(&[request], now, &mut effects) != 0 {
            effects.cancelled.push(Cancelled { request, outcome: Outcome::Cancelled });
        }
        effects
    }

    /// True if a request waits.
    pub fn is_waiting(&self, request: RequestKey) -> bool {
        self.waiting.contains_key(&request)
    }

    /// Makes a request wait for breaks of a file, if `wait` is true.
    pub(crate) fn wait_if(
        &mut self,
        wait: bool,
        file: FileKey,
        request: RequestKey,
        session: Option<SessionGlobalId>,
    ) -> Readiness {
        if !wait {
            return Readiness::Ready;
        }
        if let Some(connection) = self.connections.get_mut(&request.connection) {
            connection.waiting.insert(request);
        } else if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id))
            && !session.stranded.contains(&request)
        {
            session.stranded.push(request);
        }
        if let Some(found) = self.files.get_mut(&file)
            && !self.waiting.contains_key(&request)
        {
            self.last_wait = self.last_wait.saturating_add(1);
            self.waiting.insert(request, Waiting::Break { file, session, place: self.last_wait });
            found.waiting.insert((self.last_wait, request));
        }
        Readiness::MustWait
    }

    /// Checks that one more request of this connection may wait.
    pub(crate) fn may_wait(&self, request: RequestKey) -> Result<(), LimitReached> {
        match self.connections.get(&request.connection) {
            Some(it) if it.waiting.len() >= self.limits.waiting_per_connection => {
                Err(LimitReached::WaitingPerConnection)
            }
            _ => Ok(()),
        }
    }

    /// Wakes all requests that wait for breaks of a file, to try again.
    pub(crate) fn wake(&mut self, file: FileKey, effects: &mut Effects<S>) {
        let Some(found) = self.files.get_mut(&file) else {
            return;
        };
        for (_, request) in std::mem::take(&mut found.waiting) {
            effects.spent = effects.spent.saturating_add(1);
            self.waiting.remove(&request);
            if let Some(connection) = self.connections.get_mut(&request.connection) {
                connection.waiting.remove(&request);
            }
            effects.retry.push(request);
        }
    }

    /// Removes waiting requests without an answer, all of them before any other request continues.
    pub(crate) fn forget_waiting(
        &mut self,
        requests: &[RequestKey],
        now: Time,
        effects: &mut Effects<S>,
    ) -> usize {
        let mut forgotten: usize = 0;
        let mut released: BTreeMap<FileKey, Vec<LockElement>> = BTreeMap::new();
        for request in requests {
            cost::step();
            let Some(waiting) = self.stop_waiting(*request) else {
                continue;
            };
            forgotten = forgotten.saturating_add(1);
            match waiting {
                Waiting::Break { file, place, .. } => {
                    if let Some(file) = self.files.get_mut(&file) {
                        file.waiting.remove(&(place, *request));
                    }
                }
                Waiting::Lock { file, open } => {
                    if let Some(open) = self.opens.get_mut(&open) {
                        open.waiting_locks = open.waiting_locks.saturating_sub(1);
                    }
                    let waiter = self.files.get_mut(&file).and_then(|it| it.ranges.take_waiter(*request));
                    released.entry(file).or_default().extend(waiter.map(|waiter| waiter.lock.element));
                }
            }
        }
        for (file, ranges) in released {
            self.after_release(file, &ranges, now, effects);
        }
        forgotten
    }

    pub(crate) fn cancel_breaks_awaited_by(
        &mut self,
        id: SessionGlobalId,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        for request in self.breaks_awaited_by(id) {
            if self.forget_waiting(&[request], now, effects) != 0 {
                effects.cancelled.push(Cancelled { request, outcome: Outcome::SessionEnded });
            }
        }
    }

    /// Leaves a request of a lost connection waiting for its break if its session has another channel: a replay there
    /// will find the result.
    pub(crate) fn strand(&mut self, request: RequestKey, connection: ConnectionId) -> bool {
        let Some(Waiting::Break { session: Some(session), .. }) = self.waiting.get(&request) else {
            return false;
        };
        let limit = self.limits.stranded_per_session;
        let waiting = &self.waiting;
        match self.sessions.get_mut(session) {
            Some(session) if session.channels.iter().any(|channel| *channel != connection) => {
                session.stranded.retain(|it| waiting.contains_key(it));
                let has_room = session.stranded.len() < limit;
                if has_room {
                    session.stranded.push(request);
                }
                has_room
            }
            _ => false,
        }
    }

    pub(crate) fn stop_waiting(&mut self, request: RequestKey) -> Option<Waiting> {
        if self.waiting.is_empty() {
            return None;
        }
        if let Some(connection) = self.connections.get_mut(&request.connection) {
            connection.waiting.remove(&request);
        }
        self.waiting.remove(&request)
    }

    fn breaks_awaited_by(&self, session: SessionGlobalId) -> Vec<RequestKey> {
        let Some(found) = self.sessions.get(&session) else {
            return Vec::new();
        };
        let requests =
            found.channels.iter().filter_map(|id| self.connections.get(id)).flat_map(|it| &it.waiting);
        requests
            .chain(&found.stranded)
            .filter(|request| {
                matches!(self.waiting.get(request), Some(Waiting::Break { session: Some(it), .. }) if *it == session)
            })
            .copied()
            .collect()
    }
}
