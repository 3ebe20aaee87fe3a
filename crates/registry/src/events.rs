//! The event stream for administrators.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use wire::{AccessMask, FileGlobalId, SessionGlobalId, TreeGlobalId};

use crate::gate::{LANES, Lane};
use crate::parts::{Merged, Padded};
use crate::report::Report;
use crate::{
    AnnouncedClose, CloseReason, ConnectionId, EndReason, OpenRef, Owner, Refusal, Removal, Shell, State,
    Time,
};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number of the event in the stream: rising by one, from one.
    pub seq: u64,
    /// The time of the event.
    pub time: Time,
    /// The kind of the event, with the objects that it concerns.
    pub kind: EventKind,
}

/// The open that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOpen {
    /// `Open.FileGlobalId`.
    pub file: FileGlobalId,
    /// The share.
    pub share: Arc<str>,
    /// The path in the share.
    pub path: Arc<str>,
    /// The user and the client of the open.
    pub owner: Arc<Owner>,
    /// `Open.GrantedAccess`.
    pub access: AccessMask,
    /// True if the open is of a directory.
    pub is_directory: bool,
}

/// The use that was made of an open, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventUse {
    /// The session to which the open belonged at its end; `None` for an orphan.
    pub session: Option<SessionGlobalId>,
    /// The time at which the open was granted.
    pub opened: Time,
    /// The number of bytes that were read.
    pub bytes_read: u64,
    /// The number of bytes that were written.
    pub bytes_written: u64,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the fields document the objects of the event")]
pub enum EventKind {
    /// A transport connection was accepted.
    ConnectionUp { connection: ConnectionId, client: Arc<str> },
    /// A transport connection ended.
    ConnectionDown { connection: ConnectionId, client: Arc<str> },
    /// A session became valid.
    SessionUp { session: SessionGlobalId, owner: Arc<Owner> },
    /// A session ended.
    SessionDown { session: SessionGlobalId, owner: Arc<Owner>, reason: EndReason },
    /// A session connected to a share.
    TreeUp { tree: TreeGlobalId, session: SessionGlobalId, share: Arc<str>, owner: Option<Arc<Owner>> },
    /// A tree connect ended.
    TreeDown { tree: TreeGlobalId, session: SessionGlobalId, share: Arc<str>, owner: Option<Arc<Owner>> },
    /// A file or pipe was opened.
    Opened { open: EventOpen, session: SessionGlobalId },
    /// An open ended.
    Closed { open: EventOpen, reason: CloseReason, used: EventUse },
    /// A durable open lost its client and waits for it.
    Orphaned { open: EventOpen },
    /// A client reclaimed its durable open.
    Reclaimed { open: EventOpen, session: SessionGlobalId },
    /// An open without byte-range locks got one. For an open that locks and unlocks all the time, there is one event in
    /// [`LOCKED_EVENT_MS`](crate::limits::LOCKED_EVENT_MS).
    Locked { open: EventOpen },
    /// An open, a lock or a transfer was refused.
    Refused { refusal: Arc<Refusal> },
    /// A file, directory or stream was deleted, or another file took its name. The open is that which requested it, with
    /// the path of the file that is gone; it may have ended before. `replaced_by` is the file that took the name.
    Deleted { open: EventOpen, replaced_by: Option<Arc<str>> },
    /// A file, directory or stream was renamed: `open` has the new path.
    Renamed { open: EventOpen, from: Arc<str> },
    /// A break was sent to a client.
    BreakSent { open: EventOpen },
    /// A client has acknowledged a break.
    BreakAcknowledged { open: EventOpen },
    /// A client did not answer a break in time.
    BreakTimedOut { open: EventOpen },
    /// The close of an open was announced.
    CloseAnnounced { open: EventOpen, close: Arc<AnnouncedClose> },
    /// An announced close was cancelled by this administrator.
    CloseCancelled { open: EventOpen, by: Arc<str> },
    /// A drain has begun or ended.
    Drain { drain: Arc<DrainEvent> },
    /// A share was added.
    ShareAdded { share: Arc<str> },
    /// The definition of a share was changed.
    ShareChanged { share: Arc<str> },
    /// A share was removed.
    ShareRemoved { share: Arc<str> },
}

/// A step of a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainEvent {
    /// The step.
    pub step: DrainStep,
    /// The share that is drained, by its name.
    pub share: Option<Arc<str>>,
    /// The client that is drained. Without a share and a client, it is the whole server.
    pub client: Option<Arc<str>>,
    /// The administrator.
    pub by: Arc<str>,
    /// The time at which the remaining opens are closed; `None` to wait for their users.
    pub deadline: Option<Time>,
    /// The number of opens that were closed at the deadline.
    pub closed: usize,
}

/// The steps of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainStep {
    /// No new opens are admitted.
    Begun,
    /// Nothing is open any more.
    Done,
    /// An administrator has ended it.
    Ended,
}

/// A part of the event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The number of events that were asked for and are no longer remembered, between `seq` and the first of these.
    pub lost: u64,
    /// The number to pass in the next call.
    pub last_seq: u64,
}

/// The event stream. Each lane has the events that its threads have added: so the memory of an event is returned by the
/// thread that took it, and threads share only the number of the last event.
pub(crate) struct EventLog {
    lanes: [Padded<Mutex<VecDeque<Event>>>; LANES],
    last_seq: Padded<AtomicU64>,
    /// The number of events that are remembered: the last ones, whatever lanes they are in.
    capacity: u64,
}

impl EventLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lanes: std::array::from_fn(|_| Padded::default()),
            last_seq: Padded::default(),
            capacity: u64::try_from(capacity).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn push(&self, time: Time, kind: EventKind) {
        let Some(lane) = self.lanes.get(Lane::of_this_thread().index()) else { return };
        let mut events = lane.lock();
        let report = Report::start("a lane of the event stream");
        // The number is given under the lock of the lane, so the events of a lane are in order.
        let seq = self.last_seq.fetch_add(1, Relaxed).saturating_add(1);
        if self.capacity == 0 {
            return;
        }
        events.push_back(Event { seq, time, kind });
        let first = self.first_after(seq);
        let mut forgotten = [None, None];
        for place in &mut forgotten {
            // Two at a time, so that a lane which was idle catches up.
            *place = events.pop_front_if(|event| event.seq < first);
        }
        // An event may be the last that knows a path; its memory is returned when the lock is free.
        drop((report, events));
        drop(forgotten);
    }

    /// The number of the last event.
    fn last(&self) -> u64 {
        self.last_seq.load(Relaxed)
    }

    /// The number of the first event that is remembered when the last one is this.
    fn first_after(&self, last: u64) -> u64 {
        last.saturating_sub(self.capacity).saturating_add(1)
    }

    /// The events after the one with this number, at most `limit`, in order.
    fn after(&self, seq: u64, limit: usize) -> Vec<Event> {
        let mut lanes = self.lanes.each_ref().map(|lane| lane.lock());
        let first = self.first_after(self.last());
        for lane in &mut lanes {
            // Threads that have become idle forget nothing themselves.
            for _ in 0..FORGOTTEN_AT_A_TIME {
                let Some(_) = lane.pop_front_if(|event| event.seq < first) else { break };
            }
        }
        let from = first.max(seq.saturating_add(1));
        let later = lanes.iter().map(|events| {
            let skipped = events.partition_point(|event| event.seq < from);
            events.range(skipped..).map(|event| (event.seq, event))
        });
        Merged::new(later).take(limit).map(|(_, event)| event.clone()).collect()
    }
}

/// The number of events of each lane that a reader of the stream forgets, while it has the whole lock.
const FORGOTTEN_AT_A_TIME: usize = 32;

impl<S: Shell> State<S> {
    /// The events after the one with this number, at most `limit`. Zero returns those from the oldest that is
    /// remembered.
    pub fn events_after(&self, seq: u64, limit: usize) -> Events {
        let first = self.events.first_after(self.events.last());
        let lost = first.saturating_sub(seq.saturating_add(1));
        let events = self.events.after(seq, limit);
        let last_seq = events.last().map_or(seq.max(first.saturating_sub(1)), |event| event.seq);
        Events { events, lost, last_seq }
    }

    /// Adds the event that a [`Removal`] was carried out.
    pub fn deleted(&mut self, removal: &Removal<S>, now: Time) {
        self.events.push(now, EventKind::Deleted { open: removal.of.clone(), replaced_by: None });
    }

    /// Adds the event that the file of this open takes the name of another one, which is gone.
    pub fn replaced(&mut self, open: impl Into<OpenRef>, path: &str, now: Time) {
        let Ok(id) = self.open_global(open.into()) else { return };
        let Some(open) = self.opens.get(&id) else { return };
        let replaced_by = Some(open.path.clone());
        let open = EventOpen { path: path.into(), is_directory: false, ..open.event(id) };
        self.events.push(now, EventKind::Deleted { open, replaced_by });
    }

    /// Adds the event of a step of a drain.
    pub fn drain_event(&mut self, drain: DrainEvent, now: Time) {
        self.events.push(now, EventKind::Drain { drain: Arc::new(drain) });
    }

    /// The number of the latest event. A reader that starts there gets later events only.
    pub fn last_event(&self) -> u64 {
        self.events.last()
    }
}
