//! The recorder: from events to entries of the journal.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use journal::{
    Batch, Blocker, Bounds, Entry, EntryId, Error, Finish, Kind, Person, PersonKind, Writer, Written,
};
use registry::{
    CloseReason, DrainEvent, DrainStep, Event, EventKind, EventOpen, EventUse, Owner, Refusal, RefusalOpen,
    Time, UserKind,
};
use wire::{FileGlobalId, SessionGlobalId};

use super::words::{close_word, drain_word, end_word, refusal_word};
use super::{Extent, History, Record};
use crate::core::config::{HistorySettings, ShareSettings};
use crate::core::server::Server;

/// The recorder. One thread at a time uses it.
pub(super) struct Recorder {
    directory: PathBuf,
    writer: Option<Writer>,
    /// The number of the last event that was read.
    after: u64,
    lasting: Lasting,
    gap: Option<Gap>,
    /// The failure that the log has reported.
    told: Option<String>,
    /// The time before which the journal is not tried again.
    retry: Time,
    /// The time before which no index is tried again.
    index_retry: Time,
    /// The time at which old entries were last looked for.
    expired: Time,
}

/// The entries that have no end yet, by the ids of their objects, of which the registry bounds the number.
#[derive(Default)]
struct Lasting {
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

/// The records that are missing.
#[derive(Clone, Copy)]
struct Gap {
    since: Time,
    count: u64,
    reason: &'static str,
}

impl Recorder {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            writer: None,
            after: 0,
            lasting: Lasting::default(),
            gap: None,
            told: None,
            retry: Time(0),
            index_retry: Time(0),
            expired: Time(0),
        }
    }

    /// Closes the journal.
    pub(super) fn close(&mut self) {
        self.writer = None;
    }

    /// Records the events and what waits, and deletes what is too old.
    pub(super) fn record(&mut self, server: &Server, history: &History) {
        self.record_events(server, history);
        let settings = server.settings().history;
        if settings.enabled {
            self.expire(server, history, &settings);
            self.measure(history);
        }
    }

    /// Records the events and what waits.
    pub(super) fn record_events(&mut self, server: &Server, history: &History) {
        let settings = server.settings().history;
        history.status.lock().enabled = settings.enabled;
        if !settings.enabled {
            return self.skip(server, history);
        }
        if self.writer.is_none() && server.now() >= self.retry {
            let opened = Writer::open(&self.directory, ms(server.now()));
            self.opened(server, history, opened);
        }
        let shares = RecordedShares::of(server);
        loop {
            let (events, lost) = self.next_events(server);
            history.read.store(self.after, Ordering::Relaxed);
            let records: Vec<Record> = {
                let mut waiting = history.waiting.lock();
                let left_out = std::mem::take(&mut waiting.left_out);
                if left_out > 0 {
                    self.miss(server.now(), left_out, TOO_MANY, history);
                }
                waiting.records.drain(..).collect()
            };
            if lost > 0 {
                self.miss(server.now(), lost, TOO_MANY, history);
                self.lasting.reconcile(server);
            }
            if events.is_empty() && records.is_empty() && (self.gap.is_none() || self.writer.is_none()) {
                break;
            }
            let is_last = events.len() < TRANSACTION_EVENTS;
            self.write_batch(server, history, &shares, events, records);
            self.index(server, history);
            if is_last {
                break;
            }
        }
    }

    /// Gives those opens their index that are due.
    fn index(&mut self, server: &Server, history: &History) {
        let Some(writer) = self.writer.as_mut().filter(|_| server.now() >= self.index_retry) else { return };
        match writer.index() {
            Ok(_) => {}
            Err(error @ Error::Damaged { .. }) => self.failed(server, history, &error),
            Err(error) => {
                tracing::warn!(%error, "cannot make an index for a part of the history; searches take longer, nothing is left out");
                self.index_retry = server.now().after_ms(RETRY_MS);
            }
        }
    }

    /// Notes the extent of the journal.
    fn measure(&self, history: &History) {
        let extent = self.writer.as_ref().and_then(|writer| {
            Some(Extent { bytes: writer.size().ok()?, oldest_ms: writer.oldest_ms().ok()? })
        });
        history.status.lock().extent = extent;
    }

    /// Passes over all events while the history is off.
    fn skip(&mut self, server: &Server, history: &History) {
        *history.waiting.lock() = super::Waiting::default();
        self.after = server.registry.lock("last_event").last_event();
        (self.writer, self.gap, self.told, self.retry) = (None, None, None, Time(0));
        self.lasting = Lasting::default();
        history.read.store(self.after, Ordering::Relaxed);
        let mut status = history.status.lock();
        (status.failure, status.extent) = (None, None);
    }

    /// The next events, and the number of those that the stream no longer has.
    fn next_events(&mut self, server: &Server) -> (Vec<Event>, u64) {
        let (mut events, mut lost) = (Vec::new(), 0_u64);
        while events.len() < TRANSACTION_EVENTS {
            let part = server.registry.lock("events_after").events_after(self.after, EVENTS_PER_HOLD);
            lost = lost.saturating_add(part.lost);
            self.after = part.last_seq;
            if part.events.is_empty() {
                break;
            }
            events.extend(part.events);
        }
        (events, lost)
    }

    fn write_batch(
        &mut self,
        server: &Server,
        history: &History,
        shares: &RecordedShares<'_>,
        events: Vec<Event>,
        records: Vec<Record>,
    ) {
        let now = server.now();
        let since = events.first().map_or(now, |event| event.time);
        let count = events.iter().filter(|event| shares.has_event(event)).count();
        let written = match &mut self.writer {
            None => Err(None),
            Some(writer) => {
                let (lasting, gap) = (&mut self.lasting, self.gap);
                let fill = |batch: &mut Batch<'_>| {
                    if let Some(gap) = gap {
                        insert_gap(batch, gap, now)?;
                    }
                    lasting.finish_ended(batch, now)?;
                    for event in events {
                        lasting.take(batch, shares, event)?;
                    }
                    for record in &records {
                        insert_record(batch, record)?;
                    }
                    lasting.write_new(batch)
                };
                writer.write(ms(now), fill).map_err(Some)
            }
        };
        match written {
            Ok(written) => {
                self.gap = None;
                self.lasting.written();
                self.succeeded(history, written);
            }
            Err(error) => {
                self.miss(since, u64::try_from(count).unwrap_or(u64::MAX), NOT_WRITTEN, history);
                self.lasting.not_written();
                // Acts and refused logons wait for the journal, as long as there is room.
                let mut waiting = history.waiting.lock();
                for record in records.into_iter().rev() {
                    if waiting.records.len() < super::WAITING_MAX {
                        waiting.records.push_front(record);
                    } else {
                        waiting.left_out = waiting.left_out.saturating_add(1);
                    }
                }
                drop(waiting);
                if let Some(error) = error {
                    self.failed(server, history, &error);
                }
            }
        }
    }

    /// Counts records that are missing.
    fn miss(&mut self, since: Time, count: u64, reason: &'static str, history: &History) {
        if count == 0 {
            return;
        }
        let gap = self.gap.get_or_insert(Gap { since, count: 0, reason });
        gap.count = gap.count.saturating_add(count);
        let mut status = history.status.lock();
        status.left_out = status.left_out.saturating_add(count);
    }

    fn opened(
        &mut self,
        server: &Server,
        history: &History,
        opened: Result<(Writer, journal::Opened), Error>,
    ) {
        match opened {
            Ok((writer, opened)) => {
                self.writer = Some(writer);
                if let Some((aside, reason)) = opened.moved_aside {
                    tracing::error!(aside = %aside.display(), reason, "the history was damaged and is kept under another name; a new history begins");
                }
                if opened.unfinished > 0 {
                    tracing::info!(
                        entries = opened.unfinished,
                        "the last run of the server did not end in order; sessions and opens of it end in the history with its last record"
                    );
                }
            }
            Err(error) => self.failed(server, history, &error),
        }
    }

    fn failed(&mut self, server: &Server, history: &History, error: &Error) {
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::error!(
                error = text,
                "cannot write the history; what happens is counted and left out, and the server goes on"
            );
            self.told = Some(text.clone());
        }
        history.status.lock().failure = Some(text);
        match error {
            Error::Damaged { .. } if self.writer.take().is_some() => {
                let opened = Writer::replace_damaged(&self.directory, ms(server.now()), error);
                self.opened(server, history, opened);
            }
            // The file can be used again when there is room.
            Error::Full { .. } | Error::HeldOpen { .. } => {}
            _ => {
                self.writer = None;
                self.retry = server.now().after_ms(RETRY_MS);
            }
        }
    }

    fn succeeded(&mut self, history: &History, Written { head, records }: Written) {
        if self.told.take().is_some() {
            tracing::warn!("the history is written again; a gap in it has the number of missing records");
        }
        let mut status = history.status.lock();
        status.failure = None;
        status.written = status.written.saturating_add(u64::try_from(records).unwrap_or(u64::MAX));
        drop(status);
        if let Some(head) = head {
            // The log is another place, perhaps on another machine: a chain that was cut or made anew does not end so.
            tracing::info!(target: "audit", number = head.number, hash = head.hex(), "acts recorded in the history");
        }
    }

    fn expire(&mut self, server: &Server, history: &History, settings: &HistorySettings) {
        let now = server.now();
        if now.since_ms(self.expired) < EXPIRED_EVERY_MS {
            return;
        }
        self.expired = now;
        let bounds = Bounds {
            keep_ms: i64::from(settings.keep_days).saturating_mul(DAY_MS),
            size: u64::from(settings.size_mib) << 20,
        };
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(writer) = &mut self.writer else { return };
            match writer.expire(bounds, ms(now)) {
                Ok(expired) if expired.is_more => {}
                Ok(_) => return,
                Err(error) => return self.failed(server, history, &error),
            }
        }
    }
}

impl Lasting {
    /// Records an event.
    fn take(
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
    fn write_new(&mut self, batch: &mut Batch<'_>) -> Result<(), Error> {
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
    fn finish_ended(&self, batch: &mut Batch<'_>, now: Time) -> Result<(), Error> {
        let finish = Finish { at_ms: ms(now), reason: NOT_RECORDED, read: 0, written: 0 };
        self.ended.iter().try_for_each(|id| batch.finish(*id, &finish).map(drop))
    }

    /// The batch was written.
    fn written(&mut self) {
        self.ending.clear();
        self.ended.clear();
    }

    /// The batch was not written. What began in it is written with its end, if it has not ended.
    fn not_written(&mut self) {
        self.new_sessions.clear();
        self.new_opens.clear();
        self.ended.append(&mut self.ending);
    }

    /// Ends sessions and opens that have ended without an event that was read.
    fn reconcile(&mut self, server: &Server) {
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
struct RecordedShares<'a> {
    server: &'a Server,
    /// True if the history has all shares.
    is_all: bool,
}

impl<'a> RecordedShares<'a> {
    fn of(server: &'a Server) -> Self {
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
    fn has_event(&self, event: &Event) -> bool {
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

fn insert_record(batch: &mut Batch<'_>, record: &Record) -> Result<(), Error> {
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

fn insert_gap(batch: &mut Batch<'_>, gap: Gap, now: Time) -> Result<(), Error> {
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
fn ms(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// The reason of a gap: the recorder was too slow.
const TOO_MANY: &str = "too_many";

/// The reason of a gap: the disk was full, or the journal could not be written for another reason.
const NOT_WRITTEN: &str = "not_written";

/// The reason of an end that is not known, because its event was left out.
const NOT_RECORDED: &str = "not_recorded";

/// The reason of a deletion: another file took the name.
const REPLACED: &str = "replaced";

/// The events of one transaction: a reader of the journal sees new entries after some milliseconds.
const TRANSACTION_EVENTS: usize = 8_192;

/// The events that are copied under one hold of the registry's lock.
const EVENTS_PER_HOLD: usize = 256;

/// The time after which a journal that cannot be opened, or an index that cannot be made, is tried again, in milliseconds.
const RETRY_MS: u64 = 10_000;

/// The interval at which old entries are looked for, in milliseconds.
const EXPIRED_EVERY_MS: u64 = 60_000;

/// The transactions with deletions in one interval: a million entries in ten minutes, while events wait in the stream.
const EXPIRED_AT_ONCE: usize = 20;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
