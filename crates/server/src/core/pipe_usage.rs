//! The memory of named pipes, counted for each session and for the server: clients decide how much of the answers to
//! their calls they read, and how much of a request they send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::core::limits::{
    PIPE_BYTES, PIPE_BYTES_PER_SESSION, PIPES_PER_SESSION, STRANGERS_PIPE_BYTES, STRANGERS_PIPES_PER_SESSION,
};

/// The memory of the pipes of a session, or of all sessions.
#[derive(Debug, Default)]
pub(crate) struct PipeUsage {
    pipes: AtomicUsize,
    bytes: AtomicUsize,
}

/// The memory of one pipe, which is subtracted when this is dropped.
pub(crate) struct Charge {
    session: Arc<PipeUsage>,
    /// The counters that include its bytes, with their limits.
    counts: Vec<(Arc<PipeUsage>, usize)>,
    bytes: Mutex<usize>,
}

impl PipeUsage {
    /// The number of bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    fn add(counter: &AtomicUsize, more: usize, limit: usize) -> bool {
        let added = |now: usize| now.checked_add(more).filter(|sum| *sum <= limit);
        counter.fetch_update(Relaxed, Relaxed, added).is_ok()
    }

    fn take(counter: &AtomicUsize, less: usize) {
        let taken = |now: usize| Some(now.saturating_sub(less));
        // The update cannot fail.
        _ = counter.fetch_update(Relaxed, Relaxed, taken);
    }
}

impl Charge {
    /// Adds a pipe of a user's session. Returns `None` if the session has its maximal number.
    pub(crate) fn new(session: &Arc<PipeUsage>, server: &Arc<PipeUsage>) -> Option<Self> {
        Self::with(session, PIPES_PER_SESSION, vec![(Arc::clone(server), PIPE_BYTES)])
    }

    /// Adds a pipe of a guest's or an anonymous session. `strangers` counts the pipes of all of these; its limit leaves
    /// most of the server's bytes to users.
    pub(crate) fn of_stranger(
        session: &Arc<PipeUsage>,
        strangers: &Arc<PipeUsage>,
        server: &Arc<PipeUsage>,
    ) -> Option<Self> {
        let counts = vec![(Arc::clone(strangers), STRANGERS_PIPE_BYTES), (Arc::clone(server), PIPE_BYTES)];
        Self::with(session, STRANGERS_PIPES_PER_SESSION, counts)
    }

    fn with(
        session: &Arc<PipeUsage>,
        pipes: usize,
        mut counts: Vec<(Arc<PipeUsage>, usize)>,
    ) -> Option<Self> {
        counts.push((Arc::clone(session), PIPE_BYTES_PER_SESSION));
        let session = Arc::clone(session);
        PipeUsage::add(&session.pipes, 1, pipes).then(|| Self { session, counts, bytes: Mutex::new(0) })
    }

    /// Reserves this number of bytes. Returns false, and reserves none, if a limit is reached.
    pub(crate) fn reserve(&self, more: usize) -> bool {
        let mut bytes = self.bytes.lock();
        for (index, (usage, limit)) in self.counts.iter().enumerate() {
            if !PipeUsage::add(&usage.bytes, more, *limit) {
                self.counts.iter().take(index).for_each(|(usage, _)| PipeUsage::take(&usage.bytes, more));
                return false;
            }
        }
        *bytes = bytes.saturating_add(more);
        true
    }

    /// Replaces the reserved bytes by those that are in use.
    pub(crate) fn settle(&self, kept: usize) {
        let mut bytes = self.bytes.lock();
        for (usage, _) in &self.counts {
            PipeUsage::take(&usage.bytes, bytes.saturating_sub(kept));
            // Bytes in use are always counted; the next reservation fails if there are too many.
            PipeUsage::add(&usage.bytes, kept.saturating_sub(*bytes), usize::MAX);
        }
        *bytes = kept;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.settle(0);
        PipeUsage::take(&self.session.pipes, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_bytes_are_limited_per_session() {
        let (server, one, two) = (Arc::default(), Arc::default(), Arc::default());
        let pipes: Vec<Charge> = std::iter::from_fn(|| Charge::new(&one, &server)).collect();
        assert_eq!(pipes.len(), PIPES_PER_SESSION);
        assert!(pipes[0].reserve(PIPE_BYTES_PER_SESSION - 10));
        assert!(pipes[1].reserve(10) && !pipes[2].reserve(1), "the session's memory is used up");
        let other = Charge::new(&two, &server).unwrap();
        assert!(other.reserve(PIPE_BYTES_PER_SESSION));
        pipes[0].settle(100);
        assert_eq!((one.bytes(), server.bytes()), (110, 110 + PIPE_BYTES_PER_SESSION));
        drop((pipes, other));
        assert_eq!((one.bytes(), two.bytes(), server.bytes()), (0, 0, 0));
        assert!(Charge::new(&one, &server).is_some());
    }

    #[test]
    fn bytes_of_strangers_are_limited() {
        let (strangers, server) = (Arc::default(), Arc::default());
        let sessions: Vec<Arc<PipeUsage>> = (0..20).map(|_| Arc::default()).collect();
        let place = |session| Charge::of_stranger(session, &strangers, &server);
        let pipes: Vec<Charge> =
            sessions.iter().flat_map(|it| std::iter::from_fn(move || place(it))).collect();
        assert_eq!(pipes.len(), 20 * STRANGERS_PIPES_PER_SESSION);
        let full = pipes.iter().filter(|pipe| pipe.reserve(1 << 20)).count();
        assert_eq!(full, STRANGERS_PIPE_BYTES >> 20);
        assert_eq!((strangers.bytes(), server.bytes()), (STRANGERS_PIPE_BYTES, STRANGERS_PIPE_BYTES));
        let user = Arc::default();
        assert!(Charge::new(&user, &server).unwrap().reserve(PIPE_BYTES_PER_SESSION));
        drop(pipes);
        assert_eq!((strangers.bytes(), server.bytes()), (0, 0));
    }

    #[test]
    fn bytes_of_all_sessions_are_limited() {
        let server = Arc::default();
        let sessions: Vec<Arc<PipeUsage>> =
            (0..=PIPE_BYTES / PIPE_BYTES_PER_SESSION).map(|_| Arc::default()).collect();
        let pipes: Vec<Charge> = sessions.iter().filter_map(|it| Charge::new(it, &server)).collect();
        let full = pipes.iter().filter(|pipe| pipe.reserve(PIPE_BYTES_PER_SESSION)).count();
        assert_eq!(full, PIPE_BYTES / PIPE_BYTES_PER_SESSION);
        assert_eq!(sessions.last().map(|it| it.bytes()), Some(0), "a refusal reserves nothing");
    }
}
