//! The deadlines of administrators: closes that were announced, and the ends of drains. Drains of shares outlive a
//! restart of the server in a file of the state directory.

use std::sync::Arc;
use std::time::Duration;

use control::{Notice, NoticeEvent, Outcome};
use futures_util::StreamExt as _;
use registry::{
    AnnouncedClose, Drain, DrainEvent, DrainPhase, DrainScope, DrainStep, Drained, FileSnapshot, Time,
};
use serde::{Deserialize, Serialize};
use wire::{FileGlobalId, ShareName};

use super::close::{GRACE, close_kindly};
use super::drains::{described, opens_to_drain};
use super::files::describe;
use super::{Caller, DrainState, Ended, audit};
use crate::core::bulkhead;
use crate::core::server::Server;
use crate::core::state_file;

/// Acts on deadlines, forever.
pub(crate) async fn watch(server: Arc<Server>) {
    loop {
        let changed = server.signals.maintenance_changed.notified();
        let wait = look(&server);
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Begins what is due, and returns the time until the next look.
fn look(server: &Arc<Server>) -> Duration {
    let now = server.now();
    let due = server.registry.lock("take_due_closes").take_due_closes(now);
    for (id, close) in due {
        let server = Arc::clone(server);
        bulkhead::spawn(bulkhead::settling(async move { close_announced(&server, id, &close).await }));
    }
    let drains = server.registry.lock("drains").drains();
    let mut waiting = false;
    for drain in drains.into_iter().filter(|it| it.phase == DrainPhase::Waiting) {
        let is_over = drain.deadline.is_some_and(|at| at <= now);
        if !is_over && opens_to_drain(server, &drain.scope).any(|it| !it.is_directory) {
            waiting = true;
            continue;
        }
        let phase = DrainPhase::Ending;
        let begun =
            server.registry.lock("end_rest").set_drain_phase(&drain.scope, drain.begun, phase).is_ok();
        if begun {
            let server = Arc::clone(server);
            bulkhead::spawn(bulkhead::settling(async move { close_rest(&server, drain).await }));
        }
    }
    let next = server.registry.lock("next_deadline").next_administrative_deadline();
    let until = next.map_or(IDLE_WAIT, |at| Duration::from_millis(at.since_ms(server.now())));
    if waiting { until.min(LOOK) } else { until.min(IDLE_WAIT) }
}

/// Closes an open whose close was announced and is due.
async fn close_announced(server: &Arc<Server>, id: FileGlobalId, close: &AnnouncedClose) {
    let Some(file) = server.registry.lock("announced_close").file_snapshot(id) else { return };
    let outcome = close_kindly(server, id, Duration::from_millis(close.grace_ms)).await;
    audit::act(server, &by(&close.by), "close file", &describe(&file), &outcome);
    report_closed(server, &file, &close.by, outcome.ok().and_then(|it| it.outcome));
}

/// Closes everything that is left of a drain, and stops the server if that was requested.
async fn close_rest(server: &Arc<Server>, drain: Drain) {
    let ids: Vec<FileGlobalId> = opens_to_drain(server, &drain.scope).map(|it| it.global_id).collect();
    let closes = ids.into_iter().map(|id| {
        let (server, scope, begun) = (Arc::clone(server), drain.scope.clone(), drain.begun);
        async move {
            // The drain may be ended while files are being closed.
            let state = server.registry.lock("drain").drain(&scope);
            if state.is_none_or(|it| it.begun != begun || it.phase != DrainPhase::Ending) {
                return None;
            }
            close_kindly(&server, id, GRACE).await.ok()?.outcome
        }
    });
    let outcomes: Vec<Option<Outcome>> =
        futures_util::stream::iter(closes).buffer_unordered(CLOSES).collect().await;
    let count = |meant| outcomes.iter().filter(|it| **it == Some(meant)).count();
    let drained = Drained {
        at: server.now(),
        clean: count(Outcome::Clean),
        flushed: count(Outcome::Flushed),
        forced: count(Outcome::Forced),
    };
    let phase = DrainPhase::Done(drained);
    let done = server.registry.lock("drained").set_drain_phase(&drain.scope, drain.begun, phase).cloned();
    let Ok(done) = done else { return };
    let files = outcomes.iter().flatten().count();
    audit::act(
        server,
        &by(&drain.by),
        "drained",
        &described(&drain),
        &Ok(Ended { sessions: 0, files, outcome: None }),
    );
    changed(server, &done.scope);
    add_event(server, &done, DrainStep::Done, &done.by, files);
    report_done(server, &done, drained);
    if done.then_stop {
        server.running.stop();
    }
}

/// The administrator of an act that the server carries out later.
fn by(user: &str) -> Caller {
    Caller { user: user.to_owned(), from: String::from("deadline"), ..Caller::default() }
}

/// Wakes the watch after a drain has changed, and stores the drains of shares.
pub(super) fn changed(server: &Server, scope: &DrainScope) {
    server.signals.maintenance_changed.notify_one();
    if !matches!(scope, DrainScope::Share(_)) {
        return;
    }
    let directory = server.settings().state_directory.clone();
    let text = || {
        let kept: Vec<Kept> = server.registry.lock("drains").drains().iter().filter_map(Kept::of).collect();
        serde_json::to_string(&kept).map_err(std::io::Error::other)
    };
    if let Err(error) = state_file::replace_by(&directory, FILE, text) {
        tracing::warn!(%error, path = %directory.join(FILE).display(), "cannot store the drains of shares; they end when the server stops");
    }
}

/// Begins the drains of shares that were in force when the server stopped.
pub(crate) fn restore(server: &Server) {
    let directory = server.settings().state_directory.clone();
    let text = match state_file::read(&directory, FILE, FILE_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(%error, path = %directory.join(FILE).display(), "cannot read the drains of shares; none is in force");
            return;
        }
    };
    let kept: Vec<Kept> = match serde_json::from_str(&text) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(%error, path = %directory.join(FILE).display(), "the file of the drains of shares is damaged; none is in force");
            return;
        }
    };
    let mut registry = server.registry.lock("restore_drains");
    for drain in kept {
        if registry.begin_drain(drain.drain()).is_err() {
            break;
        }
    }
}

/// A drain of a share in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    share: String,
    begun: u64,
    deadline: Option<u64>,
    strict: bool,
    by: String,
}

impl Kept {
    fn of(drain: &Drain) -> Option<Self> {
        let DrainScope::Share(share) = &drain.scope else { return None };
        Some(Self {
            share: share.as_str().to_owned(),
            begun: drain.begun.0,
            deadline: drain.deadline.map(|it| it.0),
            strict: drain.strict,
            by: drain.by.to_string(),
        })
    }

    /// The drain, waiting again: after a restart nothing is open, so it is done at once.
    fn drain(self) -> Drain {
        Drain {
            scope: DrainScope::Share(ShareName::new(&self.share)),
            begun: Time(self.begun),
            deadline: self.deadline.map(Time),
            strict: self.strict,
            then_stop: false,
            by: self.by.into(),
            phase: DrainPhase::Waiting,
        }
    }
}

/// The share and the client that a drain is about.
fn subject(server: &Server, drain: &Drain) -> (Option<String>, Option<String>) {
    match &drain.scope {
        DrainScope::Server => (None, None),
        DrainScope::Share(name) => {
            let served = server.share(name.as_str()).map(|it| it.settings.name.clone());
            (Some(served.unwrap_or_else(|| name.as_str().to_owned())), None)
        }
        DrainScope::Client(name) => (None, Some(name.as_str().to_owned())),
    }
}

/// Adds a step of a drain to the events, and with them to the history.
pub(super) fn add_event(server: &Server, drain: &Drain, step: DrainStep, by: &str, closed: usize) {
    let (share, client) = subject(server, drain);
    let (share, client) = (share.map(Arc::from), client.map(Arc::from));
    let event = DrainEvent { step, share, client, by: by.into(), deadline: drain.deadline, closed };
    server.registry.lock("drain_event").drain_event(event, server.now());
}

/// A notice about a drain.
fn about_drain(server: &Server, event: NoticeEvent, drain: &Drain) -> Notice {
    let (share, computer) = subject(server, drain);
    let deadline = drain.deadline.map(super::view::timestamp);
    Notice { share, computer, deadline, by: Some(drain.by.to_string()), ..Notice::of(event) }
}

/// A notice about an open.
fn about_file(event: NoticeEvent, file: &FileSnapshot) -> Notice {
    Notice {
        share: Some(file.share.to_string()),
        path: Some(file.path.to_string()),
        file_id: Some(file.global_id.value()),
        user: Some(file.user.to_string()),
        computer: Some(file.client.to_string()),
        ..Notice::of(event)
    }
}

/// A count in 64 bits.
fn count(number: usize) -> Option<u64> {
    u64::try_from(number).ok()
}

/// Reports that a drain has begun.
pub(super) fn report_begun(server: &Server, state: &DrainState) {
    let users = state.users.iter().map(ToString::to_string).collect();
    let about = about_drain(server, NoticeEvent::DrainBegun, &state.drain);
    server.notify_of(Notice { count: count(state.files), users, ..about });
}

/// Reports that an administrator has ended a drain.
pub(super) fn report_lifted(server: &Server, caller: &Caller, state: &DrainState) {
    let about = about_drain(server, NoticeEvent::DrainEnded, &state.drain);
    server.notify_of(Notice { by: Some(caller.user.clone()), count: count(state.files), ..about });
}

/// Reports that nothing is open any more where a drain applies.
fn report_done(server: &Server, drain: &Drain, drained: Drained) {
    let closed = drained.clean.saturating_add(drained.flushed).saturating_add(drained.forced);
    server.notify_of(Notice { count: count(closed), ..about_drain(server, NoticeEvent::DrainDone, drain) });
}

/// Reports that a close was announced.
pub(super) fn report_announced(server: &Server, file: &FileSnapshot) {
    let Some(closing) = &file.closing else { return };
    server.notify_of(Notice {
        by: Some(closing.by.to_string()),
        deadline: Some(super::view::timestamp(closing.at)),
        text: Some(closing.text.to_string()).filter(|it| !it.is_empty()),
        ..about_file(NoticeEvent::CloseAnnounced, file)
    });
}

/// Reports that an announced close was cancelled.
pub(super) fn report_cancelled(server: &Server, caller: &Caller, file: &FileSnapshot) {
    let by = Some(caller.user.clone());
    server.notify_of(Notice { by, ..about_file(NoticeEvent::CloseCancelled, file) });
}

/// Reports that an administrator has closed an open.
pub(super) fn report_closed(server: &Server, file: &FileSnapshot, by: &str, outcome: Option<Outcome>) {
    let by = Some(by.to_owned());
    server.notify_of(Notice { by, outcome, ..about_file(NoticeEvent::Closed, file) });
}

/// The file of the drains of shares, in the state directory.
const FILE: &str = "drains.json";

/// The size of that file in bytes: a thousand drains.
const FILE_MAX: u64 = 1024 * 1024;

/// The interval of looks while users are waited for: a person does not notice it.
const LOOK: Duration = Duration::from_millis(500);

/// The time until the next look if there is no deadline.
const IDLE_WAIT: Duration = Duration::from_secs(3600);

/// The number of files that are closed at the same time.
const CLOSES: usize = 32;
