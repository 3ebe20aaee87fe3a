//! Watches and directory leases of clients, and notifications of changes (MS-FSA 2.1.5.10, 2.1.4.1; MS-SMB2 3.3.5.19,
//! 3.3.4.7).
//!
//! Directories are identified by their path on the host, so that two shares of one tree notify each other, and by the
//! directory that their share had when the client connected (`share_roots.rs`). A watch belongs to an open: it begins
//! with the open's first CHANGE_NOTIFY, collects changes between requests, and ends with the open.
//!
//! Changes come from two sources. Handlers report the changes that they make, with all details of the protocol, before
//! they answer. The kernel (inotify, `watched_directories.rs`) reports all changes in the directories that have a watch
//! or a lease; `local_changes.rs` removes those that the server has made itself, which `own_changes.rs` records. So no
//! change is reported twice, and a local change is not lost because the server changed the same file: at worst, under
//! load, a local change is reported as another one of the server's.
//!
//! A watch of a tree reports only names that its user may list (`visible_names.rs`). The number of directories that the
//! kernel can report on is limited for all users together, and for each user.

mod local_changes;
mod own_changes;
mod share_roots;
mod visible_names;
mod watch;
mod watched_directories;

pub(crate) use local_changes::observe;
pub(crate) use share_roots::WatchRoot;
pub(crate) use visible_names::{Viewer, Visible};
pub(crate) use watch::{Found, News, Watch};

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use auth::IdentityKind;
use parking_lot::{Mutex, MutexGuard};
use registry::{FileKey, Time};
use vfs::{Handle, RelativePath};
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;
use wire::names::rest_below;
use wire::{AccountName, Guid, NtStatus};

use crate::core::limits;
use crate::core::open::Open;
use crate::core::server::Server;
use crate::core::session::User;
use crate::core::tree::Tree;
use own_changes::{Happened, Moment, OwnChanges};
use share_roots::Roots;
use watched_directories::{Observed, WatchedDirectory};

/// The watches of a server, and the directories that its clients have leases on.
pub(crate) struct Watches {
    /// The number of watches. While it is zero, writes cost nothing.
    watched: AtomicUsize,
    /// The number of directories with leases. While it is zero and there are no watches, changes cost nothing.
    leased: AtomicUsize,
    tables: Mutex<Tables>,
    roots: Roots,
}

struct Tables {
    watches: HashMap<String, Vec<Arc<Watch>>>,
    leases: HashMap<String, Leases>,
    leased_paths: HashMap<FileKey, String>,
    observed: Observed,
    own: OwnChanges,
}

/// The opens of a directory that may have leases on it.
struct Leases {
    directory: FileKey,
    opens: usize,
    watcher: Watcher,
}

/// The user that a watch or lease is counted for; `None` for nobody in particular.
pub(crate) type Watcher = Option<Arc<(IdentityKind, AccountName)>>;

/// The watcher of a user. Guests are counted apart from the accounts whose names they claim.
pub(crate) fn watcher(user: Option<&User>) -> Watcher {
    user.map(|user| Arc::new((user.kind, AccountName::new(&user.name))))
}

impl Server {
    /// Reports a change of the file at `path`, made through an open, to the watches of its directory and of those
    /// above, and breaks the leases on its directory.
    pub(crate) fn notify_change(
        &self,
        by: &Open,
        path: &RelativePath,
        action: NotifyAction,
        what: CompletionFilter,
    ) {
        let directory = self.files.watches.notify(by.tree(), path, action, what);
        if !what.intersects(UNLISTED) {
            self.break_directory(directory, by.parent_key());
        }
    }

    /// Does [`Self::notify_change`] for the open's own file.
    pub(crate) fn notify_change_of(&self, open: &Open, action: NotifyAction, what: CompletionFilter) {
        if self.files.watches.has_interests()
            && let Some(file) = open.file()
        {
            self.notify_change(open, &file.path(), action, what);
        }
    }

    /// Breaks the leases on the directory of `path`, because the entries that it lists have changed.
    pub(crate) fn break_directory_leases(&self, tree: &Tree, path: &RelativePath, parent_key: Option<Guid>) {
        if self.files.watches.leased.load(Ordering::Acquire) != 0 {
            self.break_directory(
                self.files.watches.leased_directory(&self.files.watches.host_path(tree, path)),
                parent_key,
            );
        }
    }

    /// A client has connected to a share: watches know its directory by its path now, whatever had that before.
    pub(crate) async fn connected(&self, tree: &Tree) {
        let mut there = Vec::new();
        for root in self.files.watches.roots.in_doubt(tree.path(), tree.root()) {
            let path = std::path::PathBuf::from(&*root.name());
            let Some(share) = self.shares().into_iter().find(|it| it.is_at(&path)) else { continue };
            let identity = root.identity;
            let look = move || std::fs::metadata(path).is_ok_and(|stat| is_directory_of(identity, &stat));
            let looked = crate::core::blocking::run_behind(Some(Arc::clone(&share.bulkhead)), look);
            // One that hangs is taken to have gone with the directory that it was in.
            if matches!(tokio::time::timeout(limits::WATCH_ROOT_LOOK, looked).await, Ok(Ok(true))) {
                there.push(root);
            }
        }
        self.files.watches.root_beside(tree, &there);
    }

    fn break_directory(&self, directory: Option<FileKey>, parent_key: Option<Guid>) {
        if let Some(directory) = directory {
            let effects = self.registry.lock("break_directory").break_directory_caching(
                directory,
                parent_key,
                self.now(),
            );
            self.apply(effects);
        }
    }
}

impl Default for Watches {
    fn default() -> Self {
        let tables = Tables {
            watches: HashMap::new(),
            leases: HashMap::new(),
            leased_paths: HashMap::new(),
            observed: Observed::new(),
            own: OwnChanges::default(),
        };
        let (watched, leased) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { watched, leased, tables: Mutex::new(tables), roots: Roots::default() }
    }
}

impl Watches {
    /// Starts a watch of a directory.
    pub(crate) fn watch(
        &self,
        tree: &Tree,
        path: &RelativePath,
        handle: &dyn Handle,
        watch: Watch,
    ) -> Arc<Watch> {
        let directory = self.host_path(tree, path);
        watch.moved_to(&directory);
        let watch = Arc::new(watch);
        let (mut tables, _) = self.observe(tree, path, handle, true, watch.watcher());
        tables.watches.entry(directory).or_default().push(Arc::clone(&watch));
        self.watched.fetch_add(1, Ordering::Release);
        watch
    }

    /// Ends a watch; requests that wait on it are answered with `status`.
    pub(crate) fn end(&self, watch: &Arc<Watch>, status: NtStatus) {
        let mut tables = self.tables();
        let directory = watch.directory();
        if let Some(watches) = tables.watches.get_mut(&directory) {
            let before = watches.len();
            watches.retain(|other| !Arc::ptr_eq(other, watch));
            self.watched.fetch_sub(before - watches.len(), Ordering::Release);
            if watches.is_empty() {
                tables.watches.remove(&directory);
            }
        }
        tables.unobserve(&directory, watch.is_recursive());
        drop(tables);
        watch.finish(status);
    }

    /// True if directory leases are possible, which requires reports of local changes.
    pub(crate) fn supports_leases(&self) -> bool {
        self.tables().observed.kernel().is_some()
    }

    /// Prepares for a lease on a directory. Returns false if no lease is possible. [`Self::unlease`] ends it.
    pub(crate) fn lease(
        &self,
        tree: &Tree,
        path: &RelativePath,
        handle: &dyn Handle,
        directory: FileKey,
        watcher: Watcher,
    ) -> bool {
        let host = self.host_path(tree, path);
        let (mut tables, is_observed) = self.observe(tree, path, handle, false, watcher.clone());
        if !is_observed {
            return false;
        }
        let known = tables.leased_paths.entry(directory).or_insert_with(|| host.clone()).clone();
        // A client may have leased this directory by another path, for example through another share.
        tables.leases.entry(known).or_insert(Leases { directory, opens: 0, watcher }).opens += 1;
        self.leased.store(tables.leases.len(), Ordering::Release);
        true
    }

    /// Ends one preparation for a lease, when an open of the directory ends.
    pub(crate) fn unlease(&self, directory: FileKey) {
        let mut tables = self.tables();
        let Some(path) = tables.leased_paths.get(&directory).cloned() else { return };
        if let Some(leases) = tables.leases.get_mut(&path) {
            leases.opens = leases.opens.saturating_sub(1);
            if leases.opens == 0 {
                tables.leases.remove(&path);
                tables.leased_paths.remove(&directory);
                tables.unobserve(&path, false);
            }
        }
        self.leased.store(tables.leases.len(), Ordering::Release);
    }

    /// Reports a change of the file at `path` to the watches. Returns its directory if there are leases on it.
    pub(crate) fn notify(
        &self,
        tree: &Tree,
        path: &RelativePath,
        action: NotifyAction,
        what: CompletionFilter,
    ) -> Option<FileKey> {
        if !self.has_interests() {
            return None;
        }
        let full = self.host_path(tree, path);
        let stream = path.stream().map(|stream| format!(":{stream}:$DATA"));
        let mut tables = self.tables();
        let happened = match action {
            NotifyAction::ADDED | NotifyAction::RENAMED_NEW_NAME => Happened::Appeared,
            NotifyAction::REMOVED | NotifyAction::RENAMED_OLD_NAME => Happened::Vanished,
            _ => Happened::Touched,
        };
        tables.note_own(&full, happened);
        tables.tell(&full, action, what, stream.as_deref().unwrap_or_default());
        tables.leases.get(directory_of(&full)?).map(|leases| leases.directory)
    }

    /// Reports to the watches that a file was written. Leases on the directory are broken at CLOSE.
    pub(crate) fn notify_write(&self, open: &Open, action: NotifyAction, what: CompletionFilter, now: Time) {
        let Some(file) = open.file() else { return };
        if self.watched.load(Ordering::Acquire) != 0 {
            self.notify(open.tree(), &file.path(), action, what);
        } else if self.leased.load(Ordering::Acquire) != 0 && file.is_due(now, WRITING.as_millis()) {
            // No watch is notified, so one record is enough for the writes of a moment.
            let moment = Moment::now().and_on(WRITING * 2);
            let full = self.host_path(open.tree(), &file.path());
            self.tables().note_own_at(&full, Happened::Touched, moment);
        }
    }

    /// Records a change that the server has made and that no watch reports, so that the kernel's report of it is
    /// ignored.
    pub(crate) fn note_own_change(&self, open: &Open) {
        if self.has_interests()
            && let Some(file) = open.file()
        {
            let full = self.host_path(open.tree(), &file.path());
            self.tables().note_own(&full, Happened::Touched);
        }
    }

    /// Records that the server has created a file and removed it again, which no watch reports.
    pub(crate) fn note_own_undone(&self, tree: &Tree, path: &RelativePath) {
        if self.has_interests() {
            let (full, mut tables) = (self.host_path(tree, path), self.tables());
            tables.note_own(&full, Happened::Appeared);
            tables.note_own(&full, Happened::Vanished);
        }
    }

    /// Moves watches and leases to the new name of a directory.
    pub(crate) fn follow_rename(&self, tree: &Tree, from: &RelativePath, to: &RelativePath) {
        if self.has_interests() {
            // If the name cannot exist on the disk, no file can have been renamed to it.
            if let Some(to) = self.place(tree, to) {
                let from = self.host_path(tree, from);
                self.tables().follow_rename(&from, &to);
            }
        }
    }

    /// Ends the watches of a directory that is going to be deleted (MS-FSA 2.1.5.15.3).
    pub(crate) fn end_for_delete(&self, tree: &Tree, path: &RelativePath) {
        if self.watched.load(Ordering::Acquire) == 0 {
            return;
        }
        let full = self.host_path(tree, path);
        let watches = self.tables().watches.get(&full).cloned().unwrap_or_default();
        for watch in watches {
            watch.finish(NtStatus::DELETE_PENDING);
        }
    }

    fn leased_directory(&self, full: &str) -> Option<FileKey> {
        self.tables().leases.get(directory_of(full)?).map(|leases| leases.directory)
    }

    fn has_interests(&self) -> bool {
        self.watched.load(Ordering::Acquire) != 0 || self.leased.load(Ordering::Acquire) != 0
    }

    /// Lets the kernel report on an open directory. Returns false if it does not.
    fn observe(
        &self,
        tree: &Tree,
        path: &RelativePath,
        handle: &dyn Handle,
        data: bool,
        watcher: Watcher,
    ) -> (MutexGuard<'_, Tables>, bool) {
        match vfs::local::reopen_path(handle).zip(self.place(tree, path)) {
            Some((way, place)) => self.observe_by(place, &way, data, watcher),
            None => (self.tables(), false),
        }
    }

    /// Does the same as [`Self::observe`] by a path to the open directory. The kernel accesses the directory, whose
    /// file system may hang, so the tables are not locked meanwhile.
    fn observe_by(
        &self,
        place: WatchedDirectory,
        way: &str,
        data: bool,
        watcher: Watcher,
    ) -> (MutexGuard<'_, Tables>, bool) {
        let question = self.tables().observed.question(&place.path, &watcher);
        let number = question.map(|question| question.ask(way, data));
        let mut tables = self.tables();
        let is_observed = number.is_some_and(|number| tables.observed.answered(place, number, watcher));
        (tables, is_observed)
    }

    /// The path of a file of a share on the host, with `/` and without a trailing one, and with a prefix if the share
    /// has other directories at that path.
    fn host_path(&self, tree: &Tree, path: &RelativePath) -> String {
        let root = self.root(tree).name();
        if path.is_root() { root.to_string() } else { format!("{root}/{}", path.as_str()) }
    }

    /// The place of a file of a share on the host and on the disk; `None` for a name that cannot exist there.
    fn place(&self, tree: &Tree, path: &RelativePath) -> Option<WatchedDirectory> {
        let disk = vfs::local::disk_path(path).ok()?;
        let root = tree.path().into();
        let identity = self.root(tree).identity;
        let streams = tree.share.settings.streams;
        Some(WatchedDirectory { path: self.host_path(tree, path), root, identity, below: disk, streams })
    }

    /// The tables must not be held.
    fn root<'a>(&self, tree: &'a Tree) -> &'a WatchRoot {
        self.root_beside(tree, &[])
    }

    fn root_beside<'a>(&self, tree: &'a Tree, there: &[Arc<WatchRoot>]) -> &'a WatchRoot {
        tree.watch_root.get_or_init(|| self.root_at(tree.path(), tree.root(), there))
    }

    fn root_at(&self, path: &Path, identity: FileKey, there: &[Arc<WatchRoot>]) -> Arc<WatchRoot> {
        // Locked first, so that the tables never have other names than the roots.
        let mut tables = self.tables();
        let (root, renamed) = self.roots.of(path, identity, there);
        for it in renamed {
            tables.rekey(|old| it.new_name(old));
            tables.observed.known_as(|old| it.new_name(old));
        }
        root
    }

    /// The number of paths that directories of shares are known by.
    #[cfg(test)]
    pub(crate) fn known_paths(&self) -> usize {
        self.roots.known_paths()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock()
    }
}

impl Tables {
    /// Ends the kernel's reports on a directory that no watch or lease needs any more.
    fn unobserve(&mut self, directory: &str, recursive: bool) {
        let candidates = match recursive {
            true => self.observed.paths_in(directory),
            false => vec![directory.to_owned()],
        };
        for path in candidates {
            match self.needed_by(&path) {
                Some(watcher) => self.observed.count_for(&path, watcher),
                None => self.observed.remove(&path),
            }
        }
    }

    /// A user that needs reports on a directory.
    fn needed_by(&self, path: &str) -> Option<Watcher> {
        let watch = self.watches.get(path).and_then(|watches| watches.first()).map(|it| it.watcher());
        let lease = || self.leases.get(path).map(|leases| leases.watcher.clone());
        watch.or_else(lease).or_else(|| self.recursive_above(path))
    }

    /// A user with a recursive watch on a directory above.
    fn recursive_above(&self, path: &str) -> Option<Watcher> {
        ancestors(path).find_map(|above| {
            let watches = self.watches.get(above)?;
            watches.iter().find(|it| it.is_recursive()).map(|it| it.watcher())
        })
    }

    /// True if a directory above has a recursive watch.
    fn is_below_recursive(&self, path: &str) -> bool {
        self.recursive_above(path).is_some()
    }

    /// Records a change by the server that the kernel will report, too.
    fn note_own(&mut self, full: &str, happened: Happened) {
        self.note_own_at(full, happened, Moment::now());
    }

    fn note_own_at(&mut self, full: &str, happened: Happened, moment: Moment) {
        let Some(directory) = directory_of(full) else { return };
        if self.observed.contains(directory) || self.is_below_recursive(full) {
            self.own.note(full, happened, moment);
        }
    }

    fn tell(&self, full: &str, action: NotifyAction, what: CompletionFilter, stream: &str) {
        for (depth, directory) in ancestors(full).enumerate() {
            for watch in self.watches.get(directory).into_iter().flatten() {
                if (depth == 0 || watch.is_recursive()) && watch.wants(what) {
                    let name = full.get(directory.len() + 1..).unwrap_or_default();
                    watch.note(action, format!("{}{stream}", name.replace('/', "\\")));
                }
            }
        }
    }

    fn follow_rename(&mut self, from: &str, to: &WatchedDirectory) {
        self.rekey(|old| {
            let rest = is_in(old, from).then(|| old.get(from.len()..).unwrap_or_default())?;
            Some(format!("{}{rest}", to.path))
        });
        self.observed.renamed(from, to);
    }

    /// Gives watches and leases their new names, where they have one.
    fn rekey(&mut self, new_name: impl Fn(&str) -> Option<String>) {
        let known = self.watches.keys().chain(self.leases.keys());
        let moved: HashMap<String, String> =
            known.filter_map(|old| Some((old.clone(), new_name(old)?))).collect();
        for (old, new) in moved {
            if let Some(watches) = self.watches.remove(&old) {
                watches.iter().for_each(|watch| watch.moved_to(&new));
                self.watches.entry(new.clone()).or_default().extend(watches);
            }
            if let Some(leases) = self.leases.remove(&old) {
                self.leased_paths.insert(leases.directory, new.clone());
                self.leases.insert(new, leases);
            }
        }
    }
}

fn is_directory_of(identity: FileKey, stat: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (stat.dev(), stat.ino()) == (identity.device, identity.inode)
}

/// The directory that a path is in.
fn directory_of(full: &str) -> Option<&str> {
    full.get(..full.rfind('/')?)
}

/// The directories above a path, the nearest first.
fn ancestors(full: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(directory_of(full), |path| directory_of(path))
}

/// True if a path is a directory or below it.
fn is_in(path: &str, directory: &str) -> bool {
    rest_below(path, directory, &['/']).is_some()
}

/// The time for which one record stands for all writes of the server to a file.
const WRITING: Duration = Duration::from_millis(50);

/// Changes that a listing of the directory does not show.
const UNLISTED: CompletionFilter = CompletionFilter(
    CompletionFilter::SECURITY.0
        | CompletionFilter::STREAM_NAME.0
        | CompletionFilter::STREAM_SIZE.0
        | CompletionFilter::STREAM_WRITE.0,
);
