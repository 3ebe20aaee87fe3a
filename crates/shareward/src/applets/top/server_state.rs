//! One server as the screen knows it: its lists, its counters and what follows from them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use control::{AnnouncedClose, Event, OpenFile, Session, Statistics, Timestamp};

use super::model::{Link, Snapshot};
use crate::watch::Watched as _;

/// One server.
pub(super) struct ServerState {
    /// The name on the command line; `None` for the server of this machine.
    pub(super) name: Option<String>,
    pub(super) link: Link,
    /// The sessions; `None` if the server does not list them.
    pub(super) sessions: Option<Vec<Session>>,
    /// The opens by make and id; `None` if the server does not list them.
    pub(super) files: Option<BTreeMap<FileId, OpenFile>>,
    /// The bytes per second of each open, between the last two lists.
    pub(super) busy: HashMap<FileId, u64>,
    /// The recent refusals, the latest last.
    pub(super) refusals: VecDeque<Refused>,
    /// The last counters.
    pub(super) statistics: Option<Statistics>,
    pub(super) rates: Rates,
    listed: Option<Timestamp>,
    counted: Option<Timestamp>,
    /// Opens of recent events, with their times: a list that was requested before does not have them.
    opened: VecDeque<(Timestamp, FileId)>,
    /// Opens that have ended, which a list may still have.
    closed: VecDeque<FileId>,
}

/// An open of a server, or of one of several makes on one machine.
pub(super) type FileId = (Option<String>, u32);

/// The id of the open.
pub(super) fn file_id(file: &OpenFile) -> FileId {
    (file.make.as_ref().map(ToString::to_string), file.id)
}

/// A refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// The number of the event.
    pub(super) number: u64,
    pub(super) at: Option<Timestamp>,
    pub(super) reason: String,
    pub(super) user: String,
    pub(super) computer: String,
    pub(super) share: String,
    pub(super) path: String,
    /// The user and the computer whose open stood in the way.
    pub(super) holder: String,
}

/// Values per second, the latest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    pub(super) received: VecDeque<u64>,
    pub(super) sent: VecDeque<u64>,
    pub(super) requests: VecDeque<u64>,
    pub(super) opens: VecDeque<u64>,
    pub(super) refusals: VecDeque<u64>,
}

impl ServerState {
    pub(super) fn new(name: Option<String>) -> Self {
        Self {
            name,
            link: Link::Connecting,
            sessions: None,
            files: None,
            busy: HashMap::new(),
            refusals: VecDeque::new(),
            statistics: None,
            rates: Rates::default(),
            listed: None,
            counted: None,
            opened: VecDeque::new(),
            closed: VecDeque::new(),
        }
    }

    /// Takes the lists. Events that came while they were under way are newer.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, now: Timestamp) {
        let Snapshot { asked, sessions, files } = snapshot;
        if sessions.is_some() {
            self.sessions = sessions;
        }
        let Some(files) = files else { return };
        let mut all: BTreeMap<FileId, OpenFile> = files.into_iter().map(|it| (file_id(&it), it)).collect();
        for ended in &self.closed {
            all.remove(ended);
        }
        let before = self.files.take().unwrap_or_default();
        for (_, id) in self.opened.iter().filter(|(at, _)| *at >= asked) {
            if let Some(file) = before.get(id) {
                all.entry(id.clone()).or_insert_with(|| file.clone());
            }
        }
        if let Some(elapsed) = self.listed.and_then(|at| elapsed_ms(at, now)) {
            let rate = |(id, file): (&FileId, &OpenFile)| {
                let gained = moved(file)?.saturating_sub(moved(before.get(id)?)?);
                let rate = gained.saturating_mul(1000).checked_div(elapsed)?;
                (rate > 0).then(|| (id.clone(), rate))
            };
            self.busy = all.iter().filter_map(rate).collect();
        }
        self.listed = Some(now);
        self.files = Some(all);
    }

    /// Takes the counters, and computes what they have gained in each second.
    pub(super) fn take_statistics(&mut self, statistics: Statistics, now: Timestamp) {
        let elapsed = self.counted.and_then(|at| elapsed_ms(at, now));
        if let (Some(before), Some(elapsed)) = (&self.statistics, elapsed) {
            let total = |it: &Statistics| it.requests.iter().map(|it| it.total()).reduce(u64::saturating_add);
            let refused = |it: &Statistics| Some(it.opens_refused?.saturating_add(it.lock_conflicts?));
            let note = |series: &mut VecDeque<u64>, of: &dyn Fn(&Statistics) -> Option<u64>| {
                let Some(gained) =
                    of(&statistics).zip(of(before)).map(|(now, then)| now.saturating_sub(then))
                else {
                    return;
                };
                series.push_back(gained.saturating_mul(1000).checked_div(elapsed).unwrap_or_default());
                while series.len() > SAMPLES {
                    series.pop_front();
                }
            };
            note(&mut self.rates.received, &|it| it.bytes_received);
            note(&mut self.rates.sent, &|it| it.bytes_sent);
            note(&mut self.rates.requests, &total);
            note(&mut self.rates.opens, &|it| it.files_opened);
            note(&mut self.rates.refusals, &refused);
        }
        self.statistics = Some(statistics);
        self.counted = Some(now);
    }

    /// Takes an event.
    pub(super) fn take_event(&mut self, event: &Event, now: Timestamp) {
        match event.kind.as_str() {
            "opened" => {
                if let Some(file) = OpenFile::from_arrival(event) {
                    let id = file_id(&file);
                    remember(&mut self.opened, (now, id.clone()));
                    self.files.get_or_insert_default().entry(id).or_insert(file);
                }
            }
            "closed" => {
                if let Some(id) = event.file_id.map(|id| (None, id)) {
                    remember(&mut self.closed, id.clone());
                    self.busy.remove(&id);
                    self.files.get_or_insert_default().remove(&id);
                }
            }
            "locked" | "orphaned" | "renamed" | "close_announced" | "close_cancelled" => self.change(event),
            "session_up" => {
                if let Some(session) = Session::from_arrival(event) {
                    self.sessions.get_or_insert_default().push(session);
                }
            }
            "session_down" => {
                self.sessions.get_or_insert_default().retain(|it| !it.is_departure(event));
            }
            "refused" => remember(&mut self.refusals, refused(event)),
            _ => {}
        }
    }

    fn change(&mut self, event: &Event) {
        let Some(id) = event.file_id else { return };
        let Some(file) = self.files.as_mut().and_then(|files| files.get_mut(&(None, id))) else { return };
        match event.kind.as_str() {
            "locked" => file.locks = Some(file.locks.unwrap_or(0).max(1)),
            "orphaned" => file.session_id = None,
            "close_announced" => {
                file.closing = event.deadline.map(|at| AnnouncedClose {
                    at,
                    text: event.text.clone().unwrap_or_default(),
                    by: event.by.clone().unwrap_or_default(),
                });
            }
            "close_cancelled" => file.closing = None,
            _ => {
                file.path = event.path.clone().unwrap_or_default();
                file.server_path = None;
            }
        }
    }
}

fn refused(event: &Event) -> Refused {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let holder = match (&event.holder_user, &event.holder_computer) {
        (Some(user), Some(computer)) => crate::open_files::by(user, Some(computer)),
        _ => String::new(),
    };
    Refused {
        number: event.id,
        at: event.at,
        reason: text(&event.reason).replace('_', " "),
        user: text(&event.user),
        computer: text(&event.computer),
        share: text(&event.share),
        path: text(&event.path),
        holder,
    }
}

/// The bytes read and written through the open.
pub(super) fn moved(file: &OpenFile) -> Option<u64> {
    Some(file.bytes_read?.saturating_add(file.bytes_written?))
}

fn elapsed_ms(from: Timestamp, to: Timestamp) -> Option<u64> {
    u64::try_from(to.0.saturating_sub(from.0)).ok().filter(|ms| *ms > 0)
}

fn remember<T>(recent: &mut VecDeque<T>, new: T) {
    if recent.len() >= RECENT {
        recent.pop_front();
    }
    recent.push_back(new);
}

/// The seconds of a sparkline: as many as a wide screen shows.
const SAMPLES: usize = 240;

/// The events that are remembered of each kind: those of the time that a list takes, and refusals for some pages.
const RECENT: usize = 1_024;
