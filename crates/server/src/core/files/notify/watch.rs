//! The watch of one open: the changes since its client's last request (MS-FSA 2.1.5.10, 2.1.4.1).

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use wire::NtStatus;
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;

use super::Watcher;
use crate::core::limits;

/// The watch of one open.
pub(crate) struct Watch {
    filter: CompletionFilter,
    recursive: bool,
    /// The number of bytes beyond which the collected changes are dropped and the client gets an overflow: the size of
    /// the first request's buffer.
    capacity: usize,
    watcher: Watcher,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The path of the watched directory, which a rename changes.
    directory: String,
    changes: Vec<(NotifyAction, String)>,
    bytes: usize,
    overflow: bool,
    ended: Option<NtStatus>,
    /// The requests that wait, the oldest first.
    waiting: VecDeque<oneshot::Sender<News>>,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum News {
    /// Changes in the directory.
    Changes(Vec<(NotifyAction, String)>),
    /// A status.
    Status(NtStatus),
}

/// The result of [`Watch::take`].
#[derive(Debug)]
pub(crate) enum Found {
    /// An answer is available.
    News(News),
    /// No answer yet; it will be sent on this channel.
    Nothing(oneshot::Receiver<News>),
}

impl Watch {
    /// Creates a watch, which collects changes once it is entered in [`super::Watches`].
    pub(crate) fn new(filter: CompletionFilter, recursive: bool, capacity: usize, watcher: Watcher) -> Self {
        Self {
            filter,
            recursive,
            capacity: capacity.min(limits::NOTIFY_BYTES),
            watcher,
            state: Mutex::default(),
        }
    }

    /// Takes the collected changes, or waits for them.
    pub(crate) fn take(&self) -> Found {
        let mut state = self.state();
        if let Some(status) = state.ended {
            return Found::News(News::Status(status));
        }
        if let Some(news) = state.news() {
            return Found::News(news);
        }
        // Requests that were cancelled are removed.
        state.waiting.retain(|request| !request.is_closed());
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Found::Nothing(receiver)
    }

    /// True if changes below its directory's directories are included (SMB2_WATCH_TREE).
    pub(crate) fn is_recursive(&self) -> bool {
        self.recursive
    }

    /// The user that the watch is counted for.
    pub(super) fn watcher(&self) -> Watcher {
        Watcher::clone(&self.watcher)
    }

    /// True if the watch includes changes of this kind.
    pub(super) fn wants(&self, what: CompletionFilter) -> bool {
        self.filter.intersects(what)
    }

    pub(super) fn directory(&self) -> String {
        self.state().directory.clone()
    }

    pub(super) fn moved_to(&self, directory: &str) {
        directory.clone_into(&mut self.state().directory);
    }

    /// Adds a change. The oldest request that waits is answered with it at once, so that each change answers one
    /// request; only an old name waits for the new one (MS-FSA 2.1.4.1).
    pub(super) fn note(&self, action: NotifyAction, name: String) {
        let mut state = self.state();
        if state.ended.is_some() || state.overflow {
            return;
        }
        let bytes = ENTRY_BYTES + name.len() * 2;
        // A repetition of the last change contains no news, for example when a file is written again.
        if state.changes.last().is_some_and(|(last, what)| *last == action && *what == name) {
            return;
        }
        if state.bytes + bytes > self.capacity {
            state.forget();
        } else {
            state.changes.push((action, name));
            state.bytes += bytes;
        }
        if action != NotifyAction::RENAMED_OLD_NAME {
            state.answer();
        }
    }

    /// Makes the client list the directory itself (STATUS_NOTIFY_ENUM_DIR), because changes were lost.
    pub(super) fn lose_track(&self) {
        let mut state = self.state();
        state.forget();
        state.answer();
    }

    pub(super) fn finish(&self, status: NtStatus) {
        let mut state = self.state();
        state.ended = Some(status);
        for request in state.waiting.drain(..) {
            let _ = request.send(News::Status(status));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn news(&mut self) -> Option<News> {
        if std::mem::take(&mut self.overflow) {
            return Some(News::Status(NtStatus::NOTIFY_ENUM_DIR));
        }
        self.bytes = 0;
        (!self.changes.is_empty()).then(|| News::Changes(std::mem::take(&mut self.changes)))
    }

    fn answer(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            // A request that was cancelled takes no changes.
            if !request.is_closed()
                && let Some(news) = self.news()
            {
                if let Err(News::Changes(changes)) = request.send(news) {
                    self.changes = changes;
                    self.bytes = self.changes.iter().map(|(_, name)| ENTRY_BYTES + name.len() * 2).sum();
                    continue;
                }
                return;
            }
        }
    }

    fn forget(&mut self) {
        self.changes.clear();
        self.bytes = 0;
        self.overflow = true;
    }
}

/// The size of the fixed part of FILE_NOTIFY_INFORMATION with its padding, in bytes.
const ENTRY_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(capacity: usize) -> Watch {
        Watch::new(CompletionFilter::FILE_NAME, false, capacity, Watcher::default())
    }

    fn waiting(watch: &Watch) -> oneshot::Receiver<News> {
        match watch.take() {
            Found::Nothing(receiver) => receiver,
            Found::News(news) => panic!("{news:?}"),
        }
    }

    fn names(news: News) -> Vec<String> {
        match news {
            News::Changes(changes) => changes.into_iter().map(|(_, name)| name).collect(),
            News::Status(status) => vec![format!("{status:?}")],
        }
    }

    #[test]
    fn each_change_answers_one_request() {
        let watch = watch(1000);
        let (mut first, mut second) = (waiting(&watch), waiting(&watch));
        watch.note(NotifyAction::ADDED, "a".into());
        watch.note(NotifyAction::ADDED, "b".into());
        assert_eq!(names(first.try_recv().unwrap()), ["a"]);
        assert_eq!(names(second.try_recv().unwrap()), ["b"]);
    }

    #[test]
    fn old_and_new_name_come_together() {
        let watch = watch(1000);
        let mut request = waiting(&watch);
        watch.note(NotifyAction::RENAMED_OLD_NAME, "a".into());
        assert!(request.try_recv().is_err());
        watch.note(NotifyAction::RENAMED_NEW_NAME, "b".into());
        assert_eq!(names(request.try_recv().unwrap()), ["a", "b"]);
    }

    #[test]
    fn a_cancelled_request_takes_nothing() {
        let watch = watch(1000);
        drop(waiting(&watch));
        let mut request = waiting(&watch);
        watch.note(NotifyAction::ADDED, "a".into());
        assert_eq!(names(request.try_recv().unwrap()), ["a"]);
        drop(waiting(&watch));
        watch.note(NotifyAction::ADDED, "b".into());
        let Found::News(news) = watch.take() else { panic!("the change is lost") };
        assert_eq!(names(news), ["b"]);
    }

    #[test]
    fn changes_beyond_the_buffer_cause_an_overflow() {
        let watch = watch(100);
        for number in 0..10_000 {
            watch.note(NotifyAction::ADDED, format!("file {number}"));
        }
        assert!(watch.state().changes.is_empty());
        let Found::News(News::Status(NtStatus::NOTIFY_ENUM_DIR)) = watch.take() else {
            panic!("no overflow")
        };
        let mut request = waiting(&watch);
        watch.lose_track();
        assert!(matches!(request.try_recv(), Ok(News::Status(NtStatus::NOTIFY_ENUM_DIR))));
        watch.finish(NtStatus::NOTIFY_CLEANUP);
        assert!(matches!(watch.take(), Found::News(News::Status(NtStatus::NOTIFY_CLEANUP))));
    }
}
