//! Notices of events to webhooks and commands. Each `[[notice]]` of the settings has a bounded queue and a task that
//! delivers in order; nothing that a client or an administrator does waits for a delivery.

mod helper;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use control::{Notice, NoticeEvent, NoticeState, glob};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use crate::core::bulkhead;
use crate::core::config::{NoticeSettings, NoticeTarget, Settings};
use crate::core::server::Server;

pub use helper::{HELPER_WORD, run_helper};
pub(crate) use helper::{Helper, StartedHelper};

/// The notices of a server.
#[derive(Default)]
pub(crate) struct Notices {
    queues: RwLock<Vec<Arc<Queue>>>,
    helper: Mutex<Option<Arc<Helper>>>,
    last_id: AtomicU64,
}

/// The queue of one `[[notice]]`.
struct Queue {
    settings: NoticeSettings,
    sender: Sender<Notice>,
    counts: Counts,
}

/// The counters of a queue.
#[derive(Default)]
struct Counts {
    queued: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Notices {
    /// Begins to deliver the notices of the settings, with the program that runs their commands.
    /// The process that runs commands. `None` if the settings have none.
    pub(crate) fn helper(&self) -> Option<Arc<Helper>> {
        self.helper.lock().clone()
    }

    pub(crate) fn start(&self, settings: &Settings, helper: Option<Helper>) {
        *self.helper.lock() = helper.map(Arc::new);
        self.replace(settings);
    }

    /// Takes new settings over. Queues whose settings have not changed go on; those that are gone deliver what waits in
    /// them.
    pub(crate) fn replace(&self, settings: &Settings) {
        let mut queues = self.queues.write();
        let before = std::mem::take(&mut *queues);
        for notice in &settings.notices {
            if let Some(same) = before.iter().find(|it| it.settings == *notice) {
                queues.push(Arc::clone(same));
                continue;
            }
            let (sender, receiver) = channel(QUEUE);
            let queue = Arc::new(Queue { settings: notice.clone(), sender, counts: Counts::default() });
            let helper = self.helper.lock().clone();
            if let Some(problem) = problem(&notice.target, helper.as_deref()) {
                let target = shown(&notice.target);
                tracing::warn!(target, problem, "notices cannot be delivered; they are dropped");
            }
            // The queue is not kept by its task: it ends when the settings no longer have it.
            bulkhead::spawn(deliver_all(notice.target.clone(), helper, Arc::downgrade(&queue), receiver));
            queues.push(queue);
        }
    }

    /// True if a notice of this event is in the settings.
    pub(crate) fn want(&self, event: NoticeEvent) -> bool {
        self.queues.read().iter().any(|it| it.settings.events.contains(&event))
    }

    /// The rates of failed logons that are reported: the numbers and the seconds.
    pub(crate) fn failure_rates(&self) -> Vec<(u64, u64)> {
        let queues = self.queues.read();
        let of_logons = queues.iter().filter(|it| it.settings.events.contains(&NoticeEvent::LogonFailures));
        of_logons.map(|it| (it.settings.failures, it.settings.within)).collect()
    }

    /// The state of each notice of the settings.
    pub(crate) fn states(&self) -> Vec<NoticeState> {
        let helper = self.helper.lock().clone();
        let of = |queue: &Arc<Queue>| NoticeState {
            problem: problem(&queue.settings.target, helper.as_deref()).map(str::to_owned),
            ..queue.state()
        };
        self.queues.read().iter().map(of).collect()
    }

    /// Queues the notice where the settings want it. `is_meant` has the last word on each queue's settings.
    fn send(&self, notice: &Notice, is_meant: impl Fn(&NoticeSettings) -> bool) {
        for queue in self.queues.read().iter().filter(|it| it.wants(notice) && is_meant(&it.settings)) {
            match queue.sender.try_send(notice.clone()) {
                Ok(()) => {
                    queue.counts.queued.fetch_add(1, Relaxed);
                }
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                    let before = queue.counts.dropped.fetch_add(1, Relaxed);
                    // A full queue stays full for a while: the log has the first one and then every thousandth.
                    if before % 1_000 == 0 {
                        let dropped = before.saturating_add(1);
                        tracing::warn!(
                            target = shown(&queue.settings.target),
                            dropped,
                            "too many notices wait; this one is dropped"
                        );
                    }
                }
            }
        }
    }
}

impl Queue {
    /// True if the settings want this notice.
    fn wants(&self, notice: &Notice) -> bool {
        let NoticeSettings { events, shares, paths, .. } = &self.settings;
        let is_of_share = |share: &String| shares.iter().any(|it| wire::eq_ignore_case(it, share));
        let is_of_path = |path: &String| paths.iter().any(|it| glob::matches(it, path));
        events.contains(&notice.event)
            && (shares.is_empty() || notice.share.as_ref().is_some_and(is_of_share))
            && (paths.is_empty() || notice.path.as_ref().is_some_and(is_of_path))
    }

    fn state(&self) -> NoticeState {
        NoticeState {
            target: shown(&self.settings.target),
            events: self.settings.events.iter().map(|it| it.name().to_owned()).collect(),
            queued: self.counts.queued.load(Relaxed),
            delivered: self.counts.delivered.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            dropped: self.counts.dropped.load(Relaxed),
            problem: None,
        }
    }
}

/// The reason why nothing can be delivered before the server is restarted; `None` if there is none.
fn problem(target: &NoticeTarget, helper: Option<&Helper>) -> Option<&'static str> {
    match (target, helper) {
        (NoticeTarget::Webhook { .. }, _) => None,
        (NoticeTarget::Command(command), Some(helper)) => helper.problem(command),
        (NoticeTarget::Command(_), None) => Some(helper::NEW_COMMAND),
    }
}

/// The receiver for logs and lists: the program, or the host. The path of a URL is often the secret by which a chat lets
/// others write to it.
pub(crate) fn shown(target: &NoticeTarget) -> String {
    match target {
        NoticeTarget::Webhook { url, .. } => {
            let authority = url.authority().map(ToString::to_string).unwrap_or_default();
            let rest = if url.path().len() > 1 { "/..." } else { "/" };
            format!("{}://{authority}{rest}", url.scheme_str().unwrap_or_default())
        }
        NoticeTarget::Command(command) => command.first().cloned().unwrap_or_default(),
    }
}

impl Server {
    /// Reports an event to those who want it.
    pub(crate) fn notify_of(&self, notice: Notice) {
        self.notify_if(notice, |_| true);
    }

    /// As [`Self::notify_of`], to those of whose settings `is_meant` is true.
    pub(crate) fn notify_if(&self, notice: Notice, is_meant: impl Fn(&NoticeSettings) -> bool) {
        if !self.notices.want(notice.event) {
            return;
        }
        let id = self.notices.last_id.fetch_add(1, Relaxed).saturating_add(1);
        let at = control::Timestamp(i64::try_from(self.now().0).unwrap_or(i64::MAX));
        let server = self.settings().name.clone();
        self.notices.send(&Notice { id, at, server, ..notice }, is_meant);
    }
}

/// The reason why an attempt has failed.
#[derive(Debug)]
enum NotDelivered {
    /// Another attempt may succeed.
    ForNow(String),
    /// No attempt will succeed.
    ForGood(String),
}

/// Delivers the notices of a queue in order, until the queue is gone.
async fn deliver_all(
    target: NoticeTarget,
    helper: Option<Arc<Helper>>,
    queue: std::sync::Weak<Queue>,
    mut receiver: Receiver<Notice>,
) {
    while let Some(notice) = receiver.recv().await {
        let delivered = deliver(&target, helper.as_deref(), &notice).await;
        let is_delivered = delivered.is_ok();
        if let Err(reason) = delivered {
            let (target, event) = (shown(&target), notice.event.name());
            tracing::warn!(target, event, id = notice.id, reason, "cannot deliver a notice");
        }
        // The settings may have dropped the queue, and its counters, meanwhile.
        if let Some(queue) = queue.upgrade() {
            let Counts { queued, delivered, failed, .. } = &queue.counts;
            queued.fetch_sub(1, Relaxed);
            (if is_delivered { delivered } else { failed }).fetch_add(1, Relaxed);
        }
    }
}

/// Delivers one notice, with pauses between attempts that double.
async fn deliver(target: &NoticeTarget, helper: Option<&Helper>, notice: &Notice) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let outcome = match target {
            NoticeTarget::Webhook { url, secret_file, ca_file } => {
                webhook::post(url, secret_file, ca_file, notice).await
            }
            NoticeTarget::Command(command) => match helper {
                Some(helper) => helper.run(command, notice).await,
                None => Err(NotDelivered::ForGood(String::from(helper::NEW_COMMAND))),
            },
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(NotDelivered::ForGood(reason)) => return Err(reason),
            Err(NotDelivered::ForNow(reason)) if attempt >= ATTEMPTS => return Err(reason),
            Err(NotDelivered::ForNow(reason)) => {
                if attempt == 1 {
                    let event = notice.event.name();
                    tracing::warn!(
                        event,
                        id = notice.id,
                        reason,
                        "cannot deliver a notice yet; trying again"
                    );
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
                attempt += 1;
            }
        }
    }
}

/// The notices of one receiver that wait: minutes of a busy day, less than a megabyte. One more is dropped, counted and
/// logged.
const QUEUE: usize = 256;

/// The number of attempts: the pauses between them make two minutes, in which a receiver starts again.
const ATTEMPTS: u32 = 8;

/// The pause before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
