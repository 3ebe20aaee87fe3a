//! The recorder: what has happened goes to the journal in batches.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use journal::{Batch, Bounds, Error, Writer, Written};
use registry::{Event, Time};

use super::entries::{Lasting, RecordedShares, insert_gap, insert_record, ms};
use super::{Extent, History, Record};
use crate::core::config::HistorySettings;
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

/// The records that are missing.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub(super) since: Time,
    pub(super) count: u64,
    pub(super) reason: &'static str,
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
        // The rest follows with the next batch, so that a journal does not grow faster than it is bounded.
        self.expired = Time(0);
    }
}

/// The reason of a gap: the recorder was too slow.
const TOO_MANY: &str = "too_many";

/// The reason of a gap: the disk was full, or the journal could not be written for another reason.
const NOT_WRITTEN: &str = "not_written";

/// The events of one transaction: a reader of the journal sees new entries after some milliseconds.
const TRANSACTION_EVENTS: usize = 8_192;

/// The events that are copied under one hold of the registry's lock.
pub(super) const EVENTS_PER_HOLD: usize = 256;

/// The time after which a journal that cannot be opened, or an index that cannot be made, is tried again, in milliseconds.
const RETRY_MS: u64 = 10_000;

/// The interval at which old entries are looked for, in milliseconds.
const EXPIRED_EVERY_MS: u64 = 60_000;

/// The transactions with deletions after one batch: a hundred thousand entries, while events wait in the stream.
const EXPIRED_AT_ONCE: usize = 20;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
