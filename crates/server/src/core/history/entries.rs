//! From events to entries of the journal.

use std::collections::HashMap;
use std::sync::Arc;

use journal::{Batch, Blocker, Entry, EntryId, Error, Finish, Kind, Person, PersonKind};
use registry::{
    CloseReason, DrainEvent, DrainStep, Event, EventKind, EventOpen, EventUse, Owner, Refusal, RefusalOpen,
    Time, UserKind,
};
use wire::{FileGlobalId, SessionGlobalId};

use super::Record;
use super::recorder::{EVENTS_PER_HOLD, Gap};
use super::words::{close_word, drain_word, end_word, refusal_word};
use crate::core::config::ShareSettings;
use crate::core::server::Server;

/// The entries that have no end yet, by the ids of their objects, of which the registry bounds the number.
#[derive(Default)]
pub(super) struct Lasting {
    sessions: HashMap<SessionGlobalId, EntryId>,
    opens: HashMap<FileGlobalId, EntryId>,
    /// The sessions that began in the present batch, which are written when they end or with the batch.
    new_sessions: HashMap<SessionGlobalId, (EntryId, Arc<Owner>)>,
    new_opens: HashMap<FileGlobalId, (EntryId, EventOpen, SessionGlobalId)>,
    /// The entries of which the present batch writes the end.
    ending: Vec<EntryId>,
    /// The entries whose end was not written, or not reported.
    ended: Vec<EntryId>,
}

impl Lasting {
    /// Records an event.
    pub(super) fn take(
        &mut self,
        batch: &mut Batch<'_>,
        shares: &RecordedShares<'_>,
        event: Event,
    ) -> Result<(), Error> {
        if !shares.has_event(&event) {
            return Ok(());
        }
        let at = ms(event.time);
        match event.kind {
            EventKind::SessionUp { session, owner } => {
                self.new_sessions.insert(session, (batch.next_id(at), owner));
                Ok(())
            }
            EventKind::SessionDown { session, owner, reason } => {
                let finish = Finish { at_ms: at, reason: end_word(reason), read: 0, written: 0 };
                if let Some(id) = self.sessions.remove(&session) {
                    self.ending.push(id);
                    if batch.finish(id, &finish)? {
                        return Ok(());
                    }
                }
                let id = self.new_sessions.remove(&session).map_or_else(|| batch.next_id(at), |(id, _)| id);
                insert_session(batch, id, session, &owner, Some(finish))
            }
            EventKind::Opened { open, session } => {
                self.new_opens.insert(open.file, (batch.next_id(at), open, session));
                Ok(())
            }
            EventKind::Closed { open, reason, used } => {
                let EventUse { bytes_read: read, bytes_written: written, session, opened } = used;
                let finish = Finish { at_ms: at, reason: close_word(reason), read, written };
                if let Some(id) = self.opens.remove(&open.file) {
                    self.ending.push(id);
                    if batch.finish(id, &finish)? {
                        return Ok(());
                    }
                }
                match self.new_opens.remove(&open.file) {
                    // The client has got an error, and knows of no open.
                    Some(_) if reason == CloseReason::CreateFailed => Ok(()),
                    Some((id, open, session)) => insert_open(batch, id, &open, Some(session), Some(finish)),
                    // The event of its beginning is missing.
                    None => {
                        let id = batch.earlier_id(ms(opened))?;
                        insert_open(batch, id, &open, session, Some(finish))
                    }
                }
            }
            EventKind::Deleted { open, replaced_by } => {
                insert_change(batch, at, Kind::Deleted, &open, &open.path, replaced_by.as_deref())
            }
            EventKind::Renamed { open, from } => {
                insert_change(batch, at, Kind::Renamed, &open, &from, Some(&open.path))
            }
            EventKind::Refused { refusal } => insert_refusal(batch, at, &refusal),
            EventKind::Drain { drain } => insert_drain(batch, at, &drain),
            _ => Ok(()),
        }
    }

    /// Writes the sessions and opens that have begun in the batch and last.
    pub(super) fn write_new(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
        for (session, (id, owner)) in self.new_sessions.drain() {
            insert_session(batch, id, session, &owner, None)?;
            self.sessions.insert(session, id);
        }
        for (file, (id, open, session)) in self.new_opens.drain() {
            insert_open(batch, id, &open, Some(session), None)?;
            self.opens.insert(file, id);
        }
        Ok(())
    }

    /// Ends those that have ended without a record of the end.
    pub(super) fn finish_ended(&self, batch: &mut Batch<'_>, now: Time) -> Result<(), Error> {
        let finish = Finish { at_ms: ms(now), reason: NOT_RECORDED, read: 0, written: 0 };
        self.ended.iter().try_for_each(|id| batch.finish(*id, &finish).map(drop))
    }

    /// The batch was written.
    pub(super) fn written(&mut self) {
        self.ending.clear();
        self.ended.clear();
    }

    /// The batch was not written. What began in it is written with its end, if it has not ended.
    pub(super) fn not_written(&mut self) {
        self.new_sessions.clear();
        self.new_opens.clear();
        self.ended.append(&mut self.ending);
    }

    /// Ends sessions and opens that have ended without an event that was read.
    pub(super) fn reconcile(&mut self, server: &Server) {
        let opens: Vec<FileGlobalId> = self.opens.keys().copied().collect();
        for part in opens.chunks(EVENTS_PER_HOLD) {
            let registry = server.registry.lock("history");
            for id in part.iter().filter(|id| registry.open(**id).is_none()) {
                self.ended.extend(self.opens.remove(id));
            }
        }
        let sessions: Vec<SessionGlobalId> = self.sessions.keys().copied().collect();
        for part in sessions.chunks(EVENTS_PER_HOLD) {
            let registry = server.registry.lock("history");
            for id in part.iter().filter(|id| registry.session_by_global_id(**id).is_none()) {
                self.ended.extend(self.sessions.remove(id));
            }
        }
    }
}

/// The shares that the history has.
pub(super) struct RecordedShares<'a> {
    server: &'a Server,
    /// True if the history has all shares.
    is_all: bool,
}

impl<'a> RecordedShares<'a> {
    pub(super) fn of(server: &'a Server) -> Self {
        Self { server, is_all: server.settings().shares.iter().all(|it| it.history) }
    }

    fn has(&self, share: &str) -> bool {
        // Named pipes are no files, and administration itself goes through them.
        if share == ShareSettings::IPC {
            return false;
        }
        self.is_all
            || match self.server.share(share) {
                Some(share) => share.settings.history,
                // The share of a user's home directory has the name of the user.
                None => self.server.settings().shares.iter().all(|it| it.history || !it.homes),
            }
    }

    /// True if the event becomes a record.
    pub(super) fn has_event(&self, event: &Event) -> bool {
        match &event.kind {
            EventKind::SessionUp { .. } | EventKind::SessionDown { .. } => true,
            EventKind::Opened { open, .. }
            | EventKind::Closed { open, .. }
            | EventKind::Deleted { open, .. }
            | EventKind::Renamed { open, .. } => self.has(&open.share),
            EventKind::Refused { refusal } => self.has(&refusal.share),
            EventKind::Drain { drain } => drain.share.as_ref().is_none_or(|share| self.has(share)),
            _ => false,
        }
    }
}

fn insert_session(
    batch: &mut Batch<'_>,
    id: EntryId,
    session: SessionGlobalId,
    owner: &Owner,
    finish: Option<Finish<'_>>,
) -> Result<(), Error> {
    with_person(owner, |person| {
        batch.insert(&Entry {
            person: Some(person),
            client: Some(&owner.client),
            session: Some(session.value()),
            finish,
            ..Entry::new(id, Kind::Session)
        })
    })
}

fn insert_open(
    batch: &mut Batch<'_>,
    id: EntryId,
    open: &EventOpen,
    session: Option<SessionGlobalId>,
    finish: Option<Finish<'_>>,
) -> Result<(), Error> {
    with_person(&open.owner, |person| {
        batch.insert(&Entry {
            place: Some((&open.share, &open.path)),
            person: Some(person),
            client: Some(&open.owner.client),
            session: session.map(SessionGlobalId::value),
            file: Some(open.file.value()),
            access: Some(open.access.0),
            finish,
            ..Entry::new(id, Kind::Open)
        })
    })
}

fn insert_change(
    batch: &mut Batch<'_>,
    at: i64,
    kind: Kind,
    open: &EventOpen,
    path: &str,
    to: Option<&str>,
) -> Result<(), Error> {
    let id = batch.next_id(at);
    with_person(&open.owner, |person| {
        batch.insert(&Entry {
            place: Some((&open.share, path)),
            to,
            reason: (kind == Kind::Deleted && to.is_some()).then_some(REPLACED),
            person: Some(person),
            client: Some(&open.owner.client),
            file: Some(open.file.value()),
            ..Entry::new(id, kind)
        })
    })
}

fn insert_refusal(batch: &mut Batch<'_>, at: i64, refusal: &Refusal) -> Result<(), Error> {
    let id = batch.next_id(at);
    let person =
        Person { kind: kind_of(refusal.user_kind), name: &refusal.user, domain: &refusal.domain, sid: "" };
    batch.insert(&Entry {
        place: Some((&refusal.share, &refusal.path)),
        person: Some(person),
        client: Some(&refusal.client),
        session: refusal.session.map(SessionGlobalId::value),
        access: Some(refusal.access.0),
        reason: Some(refusal_word(refusal.kind)),
        blocker: refusal.blocker.as_ref().map(blocker_of),
        ..Entry::new(id, Kind::Refused)
    })
}

fn insert_drain(batch: &mut Batch<'_>, at: i64, drain: &DrainEvent) -> Result<(), Error> {
    let id = batch.next_id(at);
    batch.insert(&Entry {
        place: drain.share.as_ref().map(|share| (&**share, "")),
        person: Some(Person { name: &drain.by, ..Person::default() }),
        client: drain.client.as_deref(),
        reason: Some(drain_word(drain.step)),
        count: (drain.step == DrainStep::Done).then(|| u64::try_from(drain.closed).unwrap_or(u64::MAX)),
        ..Entry::new(id, Kind::Drain)
    })
}

fn blocker_of(open: &RefusalOpen) -> Blocker<'_> {
    Blocker {
        person: Person { name: &open.user, ..Person::default() },
        client: &open.client,
        file: open.global_id.value(),
    }
}

pub(super) fn insert_record(batch: &mut Batch<'_>, record: &Record) -> Result<(), Error> {
    match record {
        Record::Act(act) => {
            batch.act(act.clone());
            Ok(())
        }
        Record::LogonRefused { at_ms, user, domain, from, reason } => {
            let id = batch.next_id(*at_ms);
            batch.insert(&Entry {
                person: Some(Person { kind: PersonKind::Claimed, name: user, domain, sid: "" }),
                client: Some(from),
                reason: Some(reason),
                ..Entry::new(id, Kind::LogonRefused)
            })
        }
    }
}

pub(super) fn insert_gap(batch: &mut Batch<'_>, gap: Gap, now: Time) -> Result<(), Error> {
    let id = batch.next_id(ms(gap.since));
    batch.insert(&Entry {
        count: Some(gap.count),
        finish: Some(Finish { at_ms: ms(now), reason: gap.reason, read: 0, written: 0 }),
        ..Entry::new(id, Kind::Gap)
    })
}

fn with_person<T>(owner: &Owner, act: impl FnOnce(Person<'_>) -> T) -> T {
    let sid = owner.sid.map(|sid| sid.to_string()).unwrap_or_default();
    act(Person { kind: kind_of(owner.kind), name: &owner.user, domain: &owner.domain, sid: &sid })
}

const fn kind_of(kind: UserKind) -> PersonKind {
    match kind {
        UserKind::Account => PersonKind::Account,
        UserKind::Guest => PersonKind::Guest,
        UserKind::Anonymous => PersonKind::Anonymous,
    }
}

/// The time in the journal.
pub(super) fn ms(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// The reason of an end that is not known, because its event was left out.
const NOT_RECORDED: &str = "not_recorded";

/// The reason of a deletion: another file took the name.
const REPLACED: &str = "replaced";
