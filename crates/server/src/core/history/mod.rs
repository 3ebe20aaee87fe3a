//! The history: what the event stream, the audit log and the logons report, in the journal of the state directory.
//!
//! Nobody waits for the disk: the registry's event stream is the queue of the recorder, which reads it in batches. Events
//! that the stream no longer has are counted, and the journal gets a gap with their number. Acts and refused logons have a
//! queue of their own.

mod entries;
mod recorder;
mod words;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use journal::Act;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::core::server::Server;

use recorder::Recorder;

pub(crate) use words::{close_word, drain_word, end_word, refusal_word};

/// The history of a server.
pub(crate) struct History {
    waiting: Mutex<Waiting>,
    recorder: Mutex<Recorder>,
    status: Mutex<Status>,
    /// The number of the last event that the recorder has read.
    read: AtomicU64,
    /// Notified when something was added to what waits.
    added: Notify,
    readers: Semaphore,
}

/// The records that are no events, and wait for the recorder.
#[derive(Default)]
struct Waiting {
    records: VecDeque<Record>,
    /// The number of records that were left out because there were too many.
    left_out: u64,
}

/// A record that is no event.
#[derive(Clone, Debug)]
enum Record {
    Act(Act),
    LogonRefused { at_ms: i64, user: String, domain: String, from: String, reason: String },
}

/// The state of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// True if the settings turn the history on.
    pub(crate) enabled: bool,
    /// The reason why nothing can be recorded at present.
    pub(crate) failure: Option<String>,
    /// The number of records that were left out since the server started.
    pub(crate) left_out: u64,
    /// The number of records that were written since the server started.
    pub(crate) written: u64,
    /// The extent of the journal, as it was when something was last written.
    pub(crate) extent: Option<Extent>,
}

/// The extent of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The bytes on the disk.
    pub(crate) bytes: u64,
    /// The time of the oldest entry, in milliseconds since the Unix epoch.
    pub(crate) oldest_ms: Option<i64>,
}

impl History {
    /// Creates a history that has recorded nothing.
    pub(crate) fn new(state_directory: PathBuf) -> Self {
        Self {
            waiting: Mutex::default(),
            recorder: Mutex::new(Recorder::new(state_directory)),
            status: Mutex::default(),
            read: AtomicU64::new(0),
            added: Notify::new(),
            readers: Semaphore::new(READERS),
        }
    }

    /// Records an act of administration.
    pub(crate) fn act(&self, act: Act) {
        self.add(Record::Act(act));
    }

    /// Records a refused logon: the names that the client claimed, its address and the reason.
    pub(crate) fn logon_refused(
        &self,
        at_ms: i64,
        (user, domain): (&str, &str),
        from: String,
        reason: String,
    ) {
        let (user, domain) = (user.to_owned(), domain.to_owned());
        self.add(Record::LogonRefused { at_ms, user, domain, from, reason });
    }

    fn add(&self, record: Record) {
        if !self.status.lock().enabled {
            return;
        }
        let mut waiting = self.waiting.lock();
        // A flood of refused logons must not leave out acts.
        let room = if matches!(record, Record::Act(_)) { WAITING_MAX } else { WAITING_MAX / 2 };
        if waiting.records.len() < room {
            waiting.records.push_back(record);
        } else {
            waiting.left_out = waiting.left_out.saturating_add(1);
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// The state of the history.
    pub(crate) fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// The number of events and records that the recorder has not read. `last_event` is the number of the last event.
    pub(crate) fn waiting(&self, last_event: u64) -> u64 {
        let events = last_event.saturating_sub(self.read.load(Ordering::Relaxed));
        let records = self.waiting.lock().records.len();
        events.saturating_add(u64::try_from(records).unwrap_or(u64::MAX))
    }

    /// A place for a query; `None` if there are too many.
    pub(crate) fn reader_place(&self) -> Option<SemaphorePermit<'_>> {
        self.readers.try_acquire().ok()
    }

    /// Records what has happened until now. This waits for the disk.
    fn record(&self, server: &Server) {
        self.recorder.lock().record(server, self);
    }

    /// Records what has happened until now, so that a query finds it; does nothing if the recorder is at work for too long,
    /// as it hangs with its disk. This waits for the disk.
    pub(crate) fn record_for_query(&self, server: &Server) {
        if let Some(mut recorder) = self.recorder.try_lock_for(QUERY_PATIENCE) {
            recorder.record_events(server, self);
        }
    }
}

/// Records what happens, as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>) {
    loop {
        let happened = server.signals.event_added.notified();
        tokio::pin!(happened);
        // Enabled before the recorder looks, so that no event after that is missed.
        happened.as_mut().enable();
        record(&server).await;
        tokio::select! {
            () = happened => gather(&server).await,
            // Acts are not to be lost with a server that is killed, and several come together.
            () = server.history.added.notified() => tokio::time::sleep(LOOKED_EVERY).await,
            () = tokio::time::sleep(LOOKED_AFTER_EVERY) => {}
        }
    }
}

/// Waits until a batch is worth its transaction, or an act is added: a commit costs as much as some hundred entries.
/// Meanwhile the event stream keeps what happens.
async fn gather(server: &Server) {
    for _ in 0..LOOKS_PER_BATCH {
        if tokio::time::timeout(LOOKED_EVERY, server.history.added.notified()).await.is_ok() {
            return tokio::time::sleep(LOOKED_EVERY).await;
        }
        let last_event = server.registry.lock("last_event").last_event();
        if server.history.waiting(last_event) >= BATCH_EVENTS {
            return;
        }
    }
}

/// Records the last events of a server that stops; waits for a limited time if the state directory hangs.
pub(crate) async fn keep_last(server: &Arc<Server>) {
    let last = async {
        record(server).await;
        let server = Arc::clone(server);
        // The last connection of SQLite brings the write-ahead log into the file.
        let _ = tokio::task::spawn_blocking(move || server.history.recorder.lock().close()).await;
    };
    if tokio::time::timeout(LAST_PATIENCE, last).await.is_err() {
        tracing::warn!("the state directory hangs; the history may lack the last events");
    }
}

async fn record(server: &Arc<Server>) {
    let server = Arc::clone(server);
    if tokio::task::spawn_blocking(move || server.history.record(&server)).await.is_err() {
        tracing::error!("the recorder of the history has failed; it goes on with the next events");
    }
}

/// The records that wait, besides events. They are written once a second or sooner, so that there are more only while the
/// disk is full or hangs.
const WAITING_MAX: usize = 4_096;

/// The number of waiting events at which a batch is written: a quarter of those that the event stream keeps.
const BATCH_EVENTS: u64 = 4_096;

/// The interval at which a recorder that gathers a batch looks for the number of waiting events. The event stream keeps those
/// of some intervals even when 60,000 a second are added.
const LOOKED_EVERY: Duration = Duration::from_millis(50);

/// The looks after which a batch is written in any case: a second, which is what a server that is killed may lose.
const LOOKS_PER_BATCH: u32 = 20;

/// The time after which a recorder without events looks for entries that are too old.
const LOOKED_AFTER_EVERY: Duration = Duration::from_secs(60);

/// The queries at the same time. Each has a connection to the journal, and may read much of it.
const READERS: usize = 4;

/// The wait of a query for a recorder that is at work, or has just begun and opens the journal.
const QUERY_PATIENCE: Duration = Duration::from_secs(2);

/// The wait for the last records when the server stops.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
