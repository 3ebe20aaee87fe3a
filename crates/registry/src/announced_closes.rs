//! Announced closes: opens that an administrator closes at a later time, of which their users are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::FileGlobalId;

use crate::{EventKind, NotFound, Shell, State, Time};

/// The announcement of a close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedClose {
    /// The time of the close.
    pub at: Time,
    /// The message for the user.
    pub text: Arc<str>,
    /// The administrator.
    pub by: Arc<str>,
    /// The time of the announcement.
    pub announced: Time,
    /// The milliseconds that the client then has to write back.
    pub grace_ms: u64,
}

/// The reason for not announcing a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceError {
    /// There is no such open.
    NotFound,
    /// There are [`ANNOUNCED_CLOSES`] announced closes.
    TooMany,
}

/// The announced closes, by open.
pub(crate) type AnnouncedCloses = BTreeMap<FileGlobalId, Arc<AnnouncedClose>>;

impl<S: Shell> State<S> {
    /// Announces the close of an open; an earlier announcement is replaced. It ends with the open.
    ///
    /// # Errors
    ///
    /// There is no such open, or there are too many announcements.
    pub fn announce_close(&mut self, id: FileGlobalId, close: AnnouncedClose) -> Result<(), AnnounceError> {
        let Some(open) = self.opens.get(&id) else { return Err(AnnounceError::NotFound) };
        if self.announced_closes.len() >= ANNOUNCED_CLOSES && !self.announced_closes.contains_key(&id) {
            return Err(AnnounceError::TooMany);
        }
        let (open, close) = (open.event(id), Arc::new(close));
        self.announced_closes.insert(id, Arc::clone(&close));
        self.events.push(close.announced, EventKind::CloseAnnounced { open, close });
        Ok(())
    }

    /// Cancels an announced close for this administrator and returns it.
    ///
    /// # Errors
    ///
    /// No close of this open is announced.
    pub fn cancel_announced_close(
        &mut self,
        id: FileGlobalId,
        by: &str,
        now: Time,
    ) -> Result<Arc<AnnouncedClose>, NotFound> {
        let close = self.announced_closes.remove(&id).ok_or(NotFound)?;
        if let Some(open) = self.opens.get(&id) {
            self.events.push(now, EventKind::CloseCancelled { open: open.event(id), by: by.into() });
        }
        Ok(close)
    }

    /// Removes the announcements that are due, and returns them with their opens.
    pub fn take_due_closes(&mut self, now: Time) -> Vec<(FileGlobalId, Arc<AnnouncedClose>)> {
        self.announced_closes.extract_if(.., |_, close| close.at <= now).collect()
    }

    /// The time of the next announced close, or of the next deadline of a drain.
    pub fn next_administrative_deadline(&self) -> Option<Time> {
        let closes = self.announced_closes.values().map(|it| it.at);
        let waiting = self.drains().into_iter().filter(|it| it.phase == crate::DrainPhase::Waiting);
        closes.chain(waiting.filter_map(|it| it.deadline)).min()
    }
}

/// The number of announced closes, all of which are examined when one is due. One more is refused.
pub const ANNOUNCED_CLOSES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::world::World;
    use crate::{Admission, CloseReason};

    #[test]
    fn announced_close_is_due_once_and_ends_with_its_open() {
        let mut world = World::new();
        let client = world.client(1);
        let mut opened = Vec::new();
        for file in 0..2 {
            let request = world.request(client, file);
            let Admission::Granted(granted) = world.state.admit(request, |_| 0, world.now).0 else {
                panic!()
            };
            opened.push(granted.global_id);
        }
        let at = world.now.after_ms(1_000);
        let close = AnnouncedClose {
            at,
            text: "backup".into(),
            by: "root".into(),
            announced: world.now,
            grace_ms: 10_000,
        };
        for id in &opened {
            world.state.announce_close(*id, close.clone()).unwrap();
        }
        assert_eq!(world.state.next_administrative_deadline(), Some(at));
        assert_eq!(world.state.file_snapshot(opened[0]).unwrap().closing.as_deref(), Some(&close));
        assert!(world.state.take_due_closes(world.now).is_empty());
        let _ = world.state.close_open(opened[0], CloseReason::ClientClose, world.now).unwrap();
        assert_eq!(world.state.announce_close(opened[0], close.clone()), Err(AnnounceError::NotFound));
        let due = world.state.take_due_closes(at);
        assert_eq!(due.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [opened[1]]);
        assert!(world.state.take_due_closes(at).is_empty());
        assert_eq!(world.state.cancel_announced_close(opened[1], "root", at), Err(NotFound));
        assert_eq!(world.state.next_administrative_deadline(), None);
        world.check();
    }

    #[test]
    fn announcement_and_cancellation_are_events() {
        let mut world = World::new();
        let client = world.client(1);
        let request = world.request(client, 0);
        let Admission::Granted(granted) = world.state.admit(request, |_| 0, world.now).0 else { panic!() };
        let (id, before) = (granted.global_id, world.state.last_event());
        let close = AnnouncedClose {
            at: world.now.after_ms(1_000),
            text: "backup".into(),
            by: "root".into(),
            announced: world.now,
            grace_ms: 10_000,
        };
        world.state.announce_close(id, close.clone()).unwrap();
        world.state.cancel_announced_close(id, "anna", world.now).unwrap();
        assert_eq!(world.state.cancel_announced_close(id, "anna", world.now), Err(NotFound));
        let events = world.state.events_after(before, 10).events;
        let [announced, cancelled] = events.as_slice() else { panic!("{events:?}") };
        let EventKind::CloseAnnounced { open, close: told } = &announced.kind else {
            panic!("{announced:?}")
        };
        assert_eq!((open.file, &**told), (id, &close));
        let EventKind::CloseCancelled { open, by } = &cancelled.kind else { panic!("{cancelled:?}") };
        assert_eq!((open.file, &**by), (id, "anna"));
    }
}
