//! Changes by local processes, which the kernel reports.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use registry::FileKey;
use rustix::fs::inotify::{ReadFlags, Reader};
use rustix::fs::{AtFlags, FileType, OFlags, Statx, StatxFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::NtStatus;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;
use wire::names::rest_below;

use super::own_changes::Happened;
use super::share_roots::on_host;
use super::watched_directories::{WatchedDirectory, way};
use super::{Tables, Watch, Watcher, Watches, directory_of};
use crate::core::limits;
use crate::core::server::Server;

/// Processes the kernel's reports, as long as the server runs.
pub(crate) async fn observe(server: Arc<Server>) {
    let kernel = server.files.watches.tables().observed.kernel().cloned();
    let Some(kernel) = kernel else { return };
    #[expect(deprecated, reason = "its replacement is unsafe, because types might return a wrong descriptor")]
    let registered = AsyncFd::with_interest(kernel, Interest::READABLE);
    let kernel = match registered {
        Ok(kernel) => kernel,
        Err(error) => {
            return tracing::warn!(%error, "cannot read the kernel's reports; clients are not notified of changes by local processes");
        }
    };
    loop {
        let mut ready = match kernel.readable().await {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "cannot read the kernel's reports; clients are no longer notified of changes by local processes");
                return server.reports_lost();
            }
        };
        let reports = read(kernel.get_ref());
        if reports.is_empty() {
            ready.clear_ready();
            continue;
        }
        // By then the server has recorded its own changes; and changes by others are processed together.
        tokio::time::sleep(limits::OBSERVATION_DELAY).await;
        server.take_reports(&reports);
    }
}

/// A report of the kernel about a directory.
struct Report {
    number: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Vec<u8>,
}

/// The key of a rename, equal in both halves: the kernel's number for it, and the index of the directory's path.
type Move = (u32, usize);

/// A change of a name or of the file with this name.
enum Event {
    /// The name appeared or vanished; `moved` is equal in both halves of a rename.
    Name { happened: Happened, place: WatchedDirectory, is_directory: bool, moved: Option<Move> },
    /// The file has changed; `data` is true if its contents have.
    File { place: WatchedDirectory, data: bool },
}

/// The consequences for caches and watches.
#[derive(Default)]
struct Outcome {
    /// Directories and files that have changed.
    changed: Vec<FileKey>,
    /// New directories below recursively watched ones, with true if their contents are new, too.
    entered: Vec<(WatchedDirectory, bool)>,
}

fn read(kernel: &OwnedFd) -> Vec<Report> {
    let mut buffer = vec![MaybeUninit::uninit(); limits::OBSERVATION_BYTES];
    let mut reader = Reader::new(kernel, &mut buffer);
    let mut reports = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => reports.push(Report {
                number: event.wd(),
                flags: event.events(),
                cookie: event.cookie(),
                name: event.file_name().map(|name| name.to_bytes().to_vec()).unwrap_or_default(),
            }),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return reports,
            Err(error) => {
                tracing::error!(%error, "cannot read the kernel's reports; clients are not notified of some changes by local processes");
                return reports;
            }
        }
        if reader.is_buffer_empty() {
            return reports;
        }
    }
}

/// The kernel's reports, by the share's directory.
#[derive(Default)]
struct Sorted {
    events: HashMap<Arc<Path>, Vec<Event>>,
    /// Renames that are part of the server's own changes.
    own_moves: HashSet<u32>,
    /// The consequences of lost reports.
    outcome: Outcome,
}

impl Server {
    /// Processes reports. This examines files, which may hang, so each share is processed separately.
    fn take_reports(self: &Arc<Self>, reports: &[Report]) {
        let Sorted { events, own_moves, outcome } = self.files.watches.sort(reports);
        self.take_outcome(outcome);
        let own_moves = Arc::new(own_moves);
        for (root, events) in events {
            let (server, own_moves) = (Arc::clone(self), Arc::clone(&own_moves));
            let is_taken = self.behind(&root, move || {
                let outcome = server.files.watches.take_events(events, &own_moves);
                server.take_outcome(outcome);
            });
            if !is_taken {
                let outcome = self.files.watches.tables().lose_track_below(&root);
                self.take_outcome(outcome);
            }
        }
    }

    /// Makes clients read their directories again, because changes were lost.
    fn reports_lost(self: &Arc<Self>) {
        let mut outcome = Outcome::default();
        self.files.watches.tables().lose_track(&mut outcome);
        self.take_outcome(outcome);
    }

    fn take_outcome(self: &Arc<Self>, outcome: Outcome) {
        for (place, fresh) in outcome.entered {
            let (server, root, path) = (Arc::clone(self), Arc::clone(&place.root), place.path.clone());
            if !self.behind(&root, move || server.files.watches.enter(&place, fresh)) {
                self.files.watches.tables().lose_track_above(&path);
            }
        }
        for file in outcome.changed {
            let effects = self.registry.lock("outsider").break_for_outsider(file, self.now());
            self.apply(effects);
        }
    }

    /// Submits work for which only the users of the share with this directory wait. Returns false if too much work
    /// waits.
    #[must_use]
    fn behind(&self, root: &Path, work: impl FnOnce() + Send + 'static) -> bool {
        // A share that is gone has no watches.
        let Some(share) = self.shares().into_iter().find(|it| it.is_at(root)) else { return true };
        if share.bulkhead.jobs_waiting() >= limits::REPORTS_WAITING {
            return false;
        }
        share.bulkhead.submit(false, work);
        true
    }
}

impl Watches {
    /// Lets the kernel report on the directories below a recursively watched one. This takes a while.
    pub(crate) fn observe_below(&self, watch: &Watch) {
        let Some(place) = self.tables().observed.place(&watch.directory()).cloned() else { return };
        if self.walk(place, false, &watch.watcher()).is_none() {
            watch.lose_track();
        }
    }

    /// Processes a directory that has appeared below a recursively watched one; `fresh` is true if it is new.
    fn enter(&self, place: &WatchedDirectory, fresh: bool) {
        let Some(watcher) = self.tables().recursive_above(&place.path) else { return };
        let found = match self.observe_place(place, &watcher) {
            Some(true) => self.walk(place.clone(), fresh, &watcher),
            Some(false) => None,
            None => return,
        };
        let mut tables = self.tables();
        match found {
            None => tables.lose_track_above(&place.path),
            // These entries were created before the kernel was asked to report.
            Some(found) => {
                for Entry { place, is_directory } in found {
                    if !tables.own.take(&place.path, Happened::Appeared) {
                        tables.tell(&place.path, NotifyAction::ADDED, name_kind(is_directory), "");
                    }
                }
            }
        }
    }

    /// Observes the directories below a directory, and returns all entries if `fresh`. Returns `None` if there are too
    /// many.
    fn walk(&self, top: WatchedDirectory, fresh: bool, watcher: &Watcher) -> Option<Vec<Entry>> {
        let mut queue = VecDeque::from([top]);
        let (mut found, mut count) = (Vec::new(), 0);
        while let Some(directory) = queue.pop_front() {
            let Some(entries) = entries(&directory, fresh) else { return too_large(&directory) };
            for entry in entries {
                if fresh {
                    found.push(entry.clone());
                }
                match entry.is_directory.then(|| self.observe_place(&entry.place, watcher)).flatten() {
                    Some(true) => {
                        count += 1;
                        queue.push_back(entry.place);
                    }
                    Some(false) => return too_large(&directory),
                    None => {}
                }
                if count > limits::OBSERVED_TREE || found.len() > limits::OBSERVED_TREE {
                    return too_large(&directory);
                }
            }
        }
        Some(found)
    }

    /// Observes a directory, and returns true if the kernel reports on it; `None` if the directory is gone or cannot be
    /// read, so that clients cannot read it either.
    fn observe_place(&self, place: &WatchedDirectory, watcher: &Watcher) -> Option<bool> {
        let fd = place.open(OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
        let watcher = Watcher::clone(watcher);
        Some(self.observe_by(place.clone(), &way(fd.as_fd()), true, watcher).1)
    }

    fn sort(&self, reports: &[Report]) -> Sorted {
        let Sorted { mut events, mut own_moves, mut outcome } = Sorted::default();
        let mut tables = self.tables();
        for report in reports {
            if report.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                tables.lose_track(&mut outcome);
            } else if report.flags.contains(ReadFlags::IGNORED) {
                tables.observed.forget(report.number);
            } else if report.flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::UNMOUNT) {
                tables.directory_gone(report.number);
            } else if vfs::local::is_temporary_name(&report.name) {
                // A move from a temporary name is the server's own change.
                own_moves.insert(report.cookie);
            } else if !report.name.is_empty() {
                let places = tables.observed.places(report.number).iter().enumerate();
                for (index, place) in places {
                    if let Some(event) = report.event(place, index) {
                        events.entry(Arc::clone(&place.root)).or_insert_with(Vec::new).push(event);
                    }
                }
            }
        }
        Sorted { events, own_moves, outcome }
    }

    fn take_events(&self, mut events: Vec<Event>, own_moves: &HashSet<u32>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut stats: HashMap<String, Option<Statx>> = HashMap::new();
        for event in &events {
            if let Event::File { place, .. } = event
                && !stats.contains_key(&place.path)
            {
                stats.insert(place.path.clone(), stat(place));
            }
        }
        let mut tables = self.tables();
        events.retain(|event| match event {
            Event::Name { moved: Some((cookie, _)), place, happened, .. } if own_moves.contains(cookie) => {
                tables.own.take(&place.path, *happened);
                false
            }
            _ => true,
        });
        let mut partners: HashMap<Move, WatchedDirectory> = HashMap::new();
        for event in &events {
            if let Event::Name { happened: Happened::Appeared, moved: Some(number), place, .. } = event {
                partners.insert(*number, place.clone());
            }
        }
        for event in events {
            tables.take_event(event, &mut partners, &stats, &mut outcome);
        }
        outcome
    }
}

impl Tables {
    fn take_event(
        &mut self,
        event: Event,
        partners: &mut HashMap<Move, WatchedDirectory>,
        stats: &HashMap<String, Option<Statx>>,
        outcome: &mut Outcome,
    ) {
        match event {
            Event::File { place, data } => {
                let Some(Some(stat)) = stats.get(&place.path) else { return };
                if !self.own.covers(&place.path, changed_at(stat)) {
                    let what = if data { DATA } else { METADATA };
                    self.tell(&place.path, NotifyAction::MODIFIED, what, "");
                    if data {
                        outcome.changed.push(key(stat));
                    }
                    self.lease_on(&place.path, outcome);
                }
            }
            Event::Name { happened: Happened::Vanished, place, is_directory, moved } => {
                let own = self.own.take(&place.path, Happened::Vanished);
                match moved.and_then(|number| partners.remove(&number)) {
                    None => self.vanished(own, &place, is_directory, outcome),
                    Some(to) => {
                        let own = self.own.take(&to.path, Happened::Appeared) || own;
                        self.renamed_locally(own, &place, &to, is_directory, outcome);
                    }
                }
            }
            Event::Name { place, is_directory, moved, .. } => {
                // The other half of the rename has been processed already.
                if moved.is_some_and(|number| partners.remove(&number).is_none()) {
                    return;
                }
                if !self.own.take(&place.path, Happened::Appeared) {
                    self.tell(&place.path, NotifyAction::ADDED, name_kind(is_directory), "");
                    self.lease_on(&place.path, outcome);
                }
                if is_directory
                    && self.is_below_recursive(&place.path)
                    && !self.observed.contains(&place.path)
                {
                    outcome.entered.push((place, moved.is_none()));
                }
            }
        }
    }

    fn vanished(&mut self, own: bool, place: &WatchedDirectory, is_directory: bool, outcome: &mut Outcome) {
        if !own {
            self.tell(&place.path, NotifyAction::REMOVED, name_kind(is_directory), "");
            self.lease_on(&place.path, outcome);
            if is_directory {
                // If the directory was moved away, the kernel would still report on it, under its old name.
                self.unobserve_gone(&place.path);
            }
        }
    }

    fn renamed_locally(
        &mut self,
        own: bool,
        from: &WatchedDirectory,
        to: &WatchedDirectory,
        is_directory: bool,
        outcome: &mut Outcome,
    ) {
        if own {
            return;
        }
        let what = name_kind(is_directory);
        if directory_of(&from.path) == directory_of(&to.path) {
            self.tell(&from.path, NotifyAction::RENAMED_OLD_NAME, what, "");
            self.tell(&to.path, NotifyAction::RENAMED_NEW_NAME, what, "");
        } else {
            self.tell(&from.path, NotifyAction::REMOVED, what, "");
            self.tell(&to.path, NotifyAction::ADDED, what, "");
        }
        self.lease_on(&from.path, outcome);
        self.lease_on(&to.path, outcome);
        if is_directory {
            self.follow_rename(&from.path, to);
            if self.is_below_recursive(&to.path) && !self.observed.contains(&to.path) {
                outcome.entered.push((to.clone(), false));
            }
        }
    }

    /// Adds the leases on the directory of `full` to those that are broken.
    fn lease_on(&self, full: &str, outcome: &mut Outcome) {
        if let Some(leases) = directory_of(full).and_then(|directory| self.leases.get(directory))
            && !outcome.changed.contains(&leases.directory)
        {
            outcome.changed.push(leases.directory);
        }
    }

    fn unobserve_gone(&mut self, path: &str) {
        for gone in self.observed.paths_in(path) {
            if !self.watches.contains_key(&gone) && !self.leases.contains_key(&gone) {
                self.observed.remove(&gone);
            }
        }
    }

    /// Makes all watches report lost changes, because the kernel had more reports than its queue can hold.
    fn lose_track(&mut self, outcome: &mut Outcome) {
        tracing::debug!("inotify's queue overflowed; clients are told to list their directories again");
        self.own.clear();
        self.watches.values().flatten().for_each(|watch| watch.lose_track());
        outcome.changed.extend(self.leases.values().map(|leases| leases.directory));
        // New directories may have been missed.
        for (path, watches) in &self.watches {
            if watches.iter().any(|watch| watch.is_recursive())
                && let Some(place) = self.observed.place(path)
            {
                outcome.entered.push((place.clone(), false));
            }
        }
    }

    /// Makes the watches of a share report lost changes, because its file system hangs and too many reports wait.
    fn lose_track_below(&self, root: &Path) -> Outcome {
        let root = root.to_string_lossy();
        let is_below = |path: &str| rest_below(on_host(path), root.trim_end_matches('/'), &['/']).is_some();
        let below = self.watches.iter().filter(|(path, _)| is_below(path));
        below.flat_map(|(_, watches)| watches).for_each(|watch| watch.lose_track());
        let leases = self.leases.iter().filter(|(path, _)| is_below(path));
        Outcome { changed: leases.map(|(_, leases)| leases.directory).collect(), entered: Vec::new() }
    }

    fn lose_track_above(&self, path: &str) {
        for directory in super::ancestors(path) {
            let watches = self.watches.get(directory).into_iter().flatten();
            watches.filter(|watch| watch.is_recursive()).for_each(|watch| watch.lose_track());
        }
    }

    /// Ends the watches of a directory that was deleted or unmounted.
    fn directory_gone(&self, number: i32) {
        for place in self.observed.places(number) {
            for watch in self.watches.get(&place.path).into_iter().flatten() {
                watch.finish(NtStatus::DELETE_PENDING);
            }
        }
    }
}

impl Report {
    fn event(&self, directory: &WatchedDirectory, index: usize) -> Option<Event> {
        let place = directory.child(&self.name)?;
        let is_directory = self.flags.contains(ReadFlags::ISDIR);
        let name = |happened, moved: bool| {
            let moved = moved.then_some((self.cookie, index));
            Event::Name { happened, place: place.clone(), is_directory, moved }
        };
        if self.flags.contains(ReadFlags::CREATE) {
            Some(name(Happened::Appeared, false))
        } else if self.flags.contains(ReadFlags::MOVED_TO) {
            Some(name(Happened::Appeared, true))
        } else if self.flags.contains(ReadFlags::DELETE) {
            Some(name(Happened::Vanished, false))
        } else if self.flags.contains(ReadFlags::MOVED_FROM) {
            Some(name(Happened::Vanished, true))
        } else if self.flags.intersects(ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE) {
            Some(Event::File { place, data: true })
        } else if self.flags.contains(ReadFlags::ATTRIB) {
            Some(Event::File { place, data: false })
        } else {
            None
        }
    }
}

fn too_large(directory: &WatchedDirectory) -> Option<Vec<Entry>> {
    tracing::warn!(directory = %directory.path, "the tree is too large; clients are not notified of all changes by local processes");
    None
}

/// An entry of a directory on disk.
#[derive(Clone)]
struct Entry {
    place: WatchedDirectory,
    is_directory: bool,
}

/// The entries of a directory, or only its directories; `None` if there are too many.
fn entries(directory: &WatchedDirectory, all: bool) -> Option<Vec<Entry>> {
    let Ok(fd) = directory.open(OFlags::RDONLY | OFlags::DIRECTORY) else { return Some(Vec::new()) };
    let Ok(listing) = rustix::fs::Dir::new(fd) else { return Some(Vec::new()) };
    let mut found = Vec::new();
    for entry in listing.filter_map(Result::ok) {
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let Some(place) = directory.child(name) else { continue };
        let is_directory = match entry.file_type() {
            FileType::Unknown => stat(&place).is_some_and(|stat| file_type(&stat) == FileType::Directory),
            kind => kind == FileType::Directory,
        };
        if !is_directory && !all {
            continue;
        }
        if found.len() == limits::OBSERVED_TREE {
            return None;
        }
        found.push(Entry { place, is_directory });
    }
    Some(found)
}

/// The metadata of the file with a name; a link is not followed.
fn stat(place: &WatchedDirectory) -> Option<Statx> {
    let fd = place.open(OFlags::PATH).ok()?;
    rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).ok()
}

fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

fn key(stat: &Statx) -> FileKey {
    let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    FileKey { device, inode: stat.stx_ino, stream: 0 }
}

fn changed_at(stat: &Statx) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(stat.stx_ctime.tv_sec).unwrap_or(0));
    let nanos = Duration::from_nanos(stat.stx_ctime.tv_nsec.into());
    SystemTime::UNIX_EPOCH.checked_add(seconds + nanos).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn name_kind(is_directory: bool) -> CompletionFilter {
    if is_directory { CompletionFilter::DIR_NAME } else { CompletionFilter::FILE_NAME }
}

/// The changes that a write causes.
const DATA: CompletionFilter = CompletionFilter(
    CompletionFilter::SIZE.0 | CompletionFilter::LAST_WRITE.0 | CompletionFilter::ATTRIBUTES.0,
);

/// The changes that the kernel reports as one.
const METADATA: CompletionFilter = CompletionFilter(
    CompletionFilter::ATTRIBUTES.0
        | CompletionFilter::LAST_WRITE.0
        | CompletionFilter::LAST_ACCESS.0
        | CompletionFilter::CREATION.0
        | CompletionFilter::EA.0
        | CompletionFilter::SECURITY.0,
);
