//! Who watches which directory, and what has changed there (MS-FSA 2.1.5.10, 2.1.4.1;
//! MS-SMB2 3.3.5.19).
//!
//! Directories are known by their path on the host, so that two shares over one tree tell each
//! other. A watch belongs to an open: it begins with the open's first CHANGE_NOTIFY, gathers
//! changes between requests, and ends with the open.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use vfs::RelativePath;
use wire::NtStatus;
use wire::fscc::notify::{NotifyAction, NotifyEntry, encode_changes};
use wire::msg::CompletionFilter;

use crate::limits;
use crate::open::Open;
use crate::tree::Tree;

/// The watches of a server.
#[derive(Default)]
pub(crate) struct Watches {
    /// How many there are: as long as there is none, changes cost nothing.
    count: AtomicUsize,
    directories: Mutex<HashMap<String, Vec<Arc<Watch>>>>,
}

/// One open's watch.
pub(crate) struct Watch {
    filter: CompletionFilter,
    recursive: bool,
    /// Changes gathered beyond this many bytes are forgotten, and the client told so: the size of
    /// the first request's buffer.
    capacity: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Where the watched directory is; a rename moves it.
    directory: String,
    changes: VecDeque<(NotifyAction, String)>,
    bytes: usize,
    overflow: bool,
    ended: Option<NtStatus>,
}

/// What a request finds.
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// The changes are written.
    Changes,
    /// The answer is this status.
    Status(NtStatus),
}

impl Watches {
    /// Starts a watch.
    pub(crate) fn watch(
        &self,
        tree: &Tree,
        path: &RelativePath,
        filter: CompletionFilter,
        recursive: bool,
        capacity: usize,
    ) -> Arc<Watch> {
        let directory = host_path(tree, path);
        let watch = Arc::new(Watch {
            filter,
            recursive,
            capacity: capacity.min(limits::NOTIFY_BYTES),
            state: Mutex::new(State { directory: directory.clone(), ..State::default() }),
            changed: Notify::new(),
        });
        self.directories().entry(directory).or_default().push(Arc::clone(&watch));
        self.count.fetch_add(1, Ordering::Release);
        watch
    }

    /// Ends a watch: whoever waits on it hears `status`.
    pub(crate) fn end(&self, watch: &Arc<Watch>, status: NtStatus) {
        let mut directories = self.directories();
        let directory = watch.state().directory.clone();
        if let Some(watches) = directories.get_mut(&directory) {
            let before = watches.len();
            watches.retain(|other| !Arc::ptr_eq(other, watch));
            self.count.fetch_sub(before - watches.len(), Ordering::Release);
            if watches.is_empty() {
                directories.remove(&directory);
            }
        }
        drop(directories);
        watch.finish(status);
    }

    /// Tells of a change to the file at `path`: to who watches its directory, and to who watches a
    /// directory above with all below.
    pub(crate) fn changed(
        &self,
        tree: &Tree,
        path: &RelativePath,
        action: NotifyAction,
        what: CompletionFilter,
    ) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let full = host_path(tree, path);
        let stream = path.stream().map(|stream| format!(":{stream}:$DATA")).unwrap_or_default();
        let directories = self.directories();
        let mut end = full.len();
        let mut direct = true;
        while let Some(split) = full.get(..end).and_then(|text| text.rfind('/')) {
            let (directory, name) =
                (full.get(..split).unwrap_or_default(), full.get(split + 1..).unwrap_or_default());
            for watch in directories.get(directory).into_iter().flatten() {
                if (direct || watch.recursive) && watch.filter.intersects(what) {
                    watch.note(action, format!("{}{stream}", name.replace('/', "\\")));
                }
            }
            direct = false;
            end = split;
        }
    }

    /// As [`Self::changed`] for the file of an open.
    pub(crate) fn touched(&self, open: &Open, action: NotifyAction, what: CompletionFilter) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(file) = open.file() {
            self.changed(open.tree(), &file.path(), action, what);
        }
    }

    /// Lets watches follow a directory that was renamed.
    pub(crate) fn renamed(&self, tree: &Tree, from: &RelativePath, to: &RelativePath) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let (from, to) = (host_path(tree, from), host_path(tree, to));
        let mut directories = self.directories();
        let inside = |directory: &str| {
            directory.strip_prefix(&from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let moved: Vec<String> = directories.keys().filter(|directory| inside(directory)).cloned().collect();
        for old in moved {
            let new = format!("{to}{}", old.get(from.len()..).unwrap_or_default());
            for watch in directories.remove(&old).unwrap_or_default() {
                watch.state().directory.clone_from(&new);
                directories.entry(new.clone()).or_default().push(watch);
            }
        }
    }

    /// Tells those who watch a directory that it is going to be deleted (MS-FSA 2.1.5.15.3).
    pub(crate) fn deleting(&self, tree: &Tree, path: &RelativePath) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let watches = self.directories().get(&host_path(tree, path)).cloned().unwrap_or_default();
        for watch in watches {
            watch.finish(NtStatus::DELETE_PENDING);
        }
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Watch>>>> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Takes what there is to tell, as far as `max` bytes hold it; what does not fit is forgotten,
    /// and the client told to look for itself (STATUS_NOTIFY_ENUM_DIR).
    pub(crate) fn take(&self, out: &mut Vec<u8>, max: usize) -> Found {
        let mut state = self.state();
        if let Some(status) = state.ended {
            return Found::Status(status);
        }
        if std::mem::take(&mut state.overflow) {
            return Found::Status(NtStatus::NOTIFY_ENUM_DIR);
        }
        if state.changes.is_empty() {
            return Found::Nothing;
        }
        let changes = std::mem::take(&mut state.changes);
        state.bytes = 0;
        drop(state);
        let entries =
            changes.iter().map(|(action, name)| NotifyEntry { action: *action, name: name.as_str() });
        if encode_changes(entries, out, max) {
            Found::Changes
        } else {
            Found::Status(NtStatus::NOTIFY_ENUM_DIR)
        }
    }

    /// Returns when there may be something to take.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    fn note(&self, action: NotifyAction, name: String) {
        let mut state = self.state();
        if state.ended.is_some() || state.overflow {
            return;
        }
        let bytes = ENTRY_BYTES + name.len() * 2;
        // The same again tells nothing new, however often a file is written.
        if state.changes.back().is_some_and(|(last, what)| *last == action && *what == name) {
            return;
        }
        if state.bytes + bytes > self.capacity {
            state.changes.clear();
            state.bytes = 0;
            state.overflow = true;
        } else {
            state.changes.push_back((action, name));
            state.bytes += bytes;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn finish(&self, status: NtStatus) {
        self.state().ended = Some(status);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a file of a share is on the host, with `/` and none at the end.
fn host_path(tree: &Tree, path: &RelativePath) -> String {
    let root: &Path = &tree.share.settings.path;
    let root = root.to_string_lossy();
    let root = root.trim_end_matches('/');
    if path.is_root() { root.to_owned() } else { format!("{root}/{}", path.as_str()) }
}

/// The fixed part of FILE_NOTIFY_INFORMATION with its padding, bytes.
const ENTRY_BYTES: usize = 16;
