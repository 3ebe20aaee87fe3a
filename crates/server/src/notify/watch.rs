//! One open's watch: what has changed since its client last heard (MS-FSA 2.1.5.10, 2.1.4.1).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wire::NtStatus;
use wire::fscc::notify::{NotifyAction, NotifyEntry, encode_changes};
use wire::msg::CompletionFilter;

use crate::limits;

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

impl Watch {
    pub(super) fn new(filter: CompletionFilter, recursive: bool, capacity: usize, directory: String) -> Self {
        Self {
            filter,
            recursive,
            capacity: capacity.min(limits::NOTIFY_BYTES),
            state: Mutex::new(State { directory, ..State::default() }),
            changed: Notify::new(),
        }
    }

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

    /// Whether what is below its directory's directories is watched, too (SMB2_WATCH_TREE).
    pub(crate) fn is_recursive(&self) -> bool {
        self.recursive
    }

    /// Whether it asks for changes of this kind.
    pub(super) fn wants(&self, what: CompletionFilter) -> bool {
        self.filter.intersects(what)
    }

    pub(super) fn directory(&self) -> String {
        self.state().directory.clone()
    }

    pub(super) fn moved_to(&self, directory: &str) {
        directory.clone_into(&mut self.state().directory);
    }

    pub(super) fn note(&self, action: NotifyAction, name: String) {
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
            state.forget();
        } else {
            state.changes.push_back((action, name));
            state.bytes += bytes;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Something has changed, and nobody knows what.
    pub(super) fn lose_track(&self) {
        self.state().forget();
        self.changed.notify_waiters();
    }

    pub(super) fn finish(&self, status: NtStatus) {
        self.state().ended = Some(status);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self) {
        self.changes.clear();
        self.bytes = 0;
        self.overflow = true;
    }
}

/// The fixed part of FILE_NOTIFY_INFORMATION with its padding, bytes.
const ENTRY_BYTES: usize = 16;
