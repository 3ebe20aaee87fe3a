//! The execution of the registry's decisions: the objects that the server attaches to the registry's, and the work in
//! the [`Effects`] of a change, outside of the registry's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use registry::{
    AwaitedBreak, BreakKind, Cancelled, CloseReason, Dropped, Effects, InTheWay, MoveCount, MoveNames,
    Removal, Rest, State,
};
use wire::fscc::notify::NotifyAction;
use wire::msg::CompletionFilter;
use wire::msg::{LeaseBreakFlags, LeaseBreakNotification, OplockBreak};
use wire::{AccessMask, NtStatus};

use crate::core::connection_link::{ConnectionEvent, ConnectionLink};
use crate::core::files::display_path;
use crate::core::files::recycle::recycle;
use crate::core::limits;
use crate::core::open::{Content, Open, OpenFile};
use crate::core::server::Server;
use crate::core::session::Session;
use crate::core::tree::Tree;
use crate::core::waiting::Wake;

/// The types that the server attaches to the registry's objects.
#[derive(Clone, Debug)]
pub(crate) enum SmbShell {}

impl registry::Shell for SmbShell {
    type Connection = Arc<ConnectionLink>;
    type Session = Arc<Session>;
    type Tree = Arc<Tree>;
    type Open = Arc<Open>;
}

/// A break notification on its way to a client.
pub(crate) struct BreakNotification {
    /// The session whose keys seal the notification; `None` if it is not sealed.
    pub(crate) seal: Option<Arc<Session>>,
    kind: BreakKind,
    /// The break that the client has to acknowledge; `None` if it need not.
    pub(crate) awaited: Option<AwaitedBreak>,
    /// The connections on which it may be sent if this one fails, the best first.
    pub(crate) elsewhere: Vec<Arc<ConnectionLink>>,
}

impl std::fmt::Debug for BreakNotification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Break").field(&self.kind).finish()
    }
}

impl BreakNotification {
    /// Sends the notification to the first connection that has not ended. One is enough; if it fails, the next one is
    /// used (MS-SMB2 3.3.4.6).
    pub(crate) fn send(mut self) {
        while !self.elsewhere.is_empty() {
            let link = self.elsewhere.remove(0);
            match link.offer(ConnectionEvent::Break(Box::new(self))) {
                Err(ConnectionEvent::Break(unheard)) => self = *unheard,
                _ => return,
            }
        }
    }

    /// Appends the body (MS-SMB2 2.2.23).
    pub(crate) fn encode(&self, out: &mut Vec<u8>, base: usize) {
        match self.kind {
            BreakKind::Oplock { file_id, level } => {
                OplockBreak { oplock_level: level, file_id }.encode(out, base);
            }
            BreakKind::Lease { key, current, new, ack_required, epoch } => LeaseBreakNotification {
                new_epoch: epoch,
                flags: if ack_required { LeaseBreakFlags::ACK_REQUIRED } else { LeaseBreakFlags::NONE },
                lease_key: key,
                current_lease_state: current,
                new_lease_state: new,
                ..LeaseBreakNotification::default()
            }
            .encode(out, base),
        }
    }
}

/// The numbers of objects that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndedCounts {
    pub(crate) sessions: usize,
    pub(crate) files: usize,
}

impl Server {
    /// Waits until a removal, replacement or rename is no longer under way, for a limited time. The caller then looks
    /// the name up again.
    pub(crate) async fn wait_while_moving(&self, is_under_way: impl Fn(&State<SmbShell>) -> bool + Send) {
        let over = async {
            loop {
                // The notification is enabled before the check, so that an end after it is not missed.
                let mut vanished = std::pin::pin!(self.signals.moving_ended.notified());
                vanished.as_mut().enable();
                if !is_under_way(&self.registry.lock("vanishing")) {
                    return;
                }
                vanished.await;
            }
        };
        if tokio::time::timeout(limits::MAX_VANISHING_WAIT, over).await.is_err() {
            tracing::debug!("a removal or a rename takes long; a waiting request looks its name up again");
        }
    }

    /// Does all the work that a change of the registry's state requires. If the registry has left a rest, other threads
    /// get the lock before each of its parts.
    pub(crate) fn apply(&self, effects: Effects<SmbShell>) -> EndedCounts {
        let mut ended = EndedCounts::default();
        if effects.is_empty() {
            return ended;
        }
        let mut rest = VecDeque::from(self.apply_part(effects, &mut ended));
        while let Some(next) = rest.pop_front() {
            // The lock is not a fair one.
            std::thread::yield_now();
            let effects = self.registry.lock("go_on").go_on(next, self.now());
            rest.extend(self.apply_part(effects, &mut ended));
        }
        ended
    }

    fn apply_part(&self, effects: Effects<SmbShell>, ended: &mut EndedCounts) -> Vec<Rest> {
        ended.sessions = ended.sessions.saturating_add(effects.sessions_ended.len());
        ended.files = ended.files.saturating_add(effects.dropped.len());
        // Breaks and orphans have deadlines.
        if !effects.breaks.is_empty() || !effects.retry.is_empty() || !effects.sessions_ended.is_empty() {
            self.signals.timeouts_changed.notify_one();
        }
        for notice in effects.breaks {
            BreakNotification {
                seal: Some(notice.session).filter(|_| notice.sealed),
                kind: notice.kind,
                awaited: notice.awaited,
                elsewhere: notice.connections,
            }
            .send();
        }
        for dropped in effects.dropped {
            dropped.attached.session().forget_open(dropped.file_id);
            match &*dropped.attached.content {
                Content::Pipe(pipe) => pipe.close(),
                Content::File(_) => self.end_file(dropped, false),
                Content::Gone => {}
            }
        }
        for removal in effects.removals {
            self.end_name(removal);
        }
        for tree in effects.trees_ended {
            tree.attached.end();
            tree.session.forget_tree(tree.tree_id);
        }
        for session in effects.sessions_ended {
            session.attached.end();
            for link in session.connections {
                link.send(ConnectionEvent::SessionEnded);
            }
        }
        for key in effects.granted {
            self.waiters.wake(key, Wake::Granted);
        }
        for key in effects.retry {
            self.waiters.wake(key, Wake::Retry);
        }
        for Cancelled { request, outcome } in effects.cancelled {
            self.waiters.wake(request, Wake::Ended(outcome));
        }
        for key in effects.forgotten {
            self.waiters.leave(key);
        }
        for link in effects.disconnected {
            link.send(ConnectionEvent::Close);
        }
        if !effects.logs.is_empty() {
            self.signals.logs_changed.notify_one();
        }
        effects.rest
    }

    /// Does the work at the end of a file's open. This may hang: outside of a request for the same share it becomes a
    /// job, and if the file is to be removed, later requests wait for that.
    pub(crate) fn end_file(&self, dropped: Dropped<SmbShell>, flushes: bool) {
        // A CLOSE ends its file here: no reference is counted that all cores share.
        if dropped.attached.tree().share.bulkhead.is_current() {
            return self.finish_open(&dropped, flushes);
        }
        let Some(server) = self.this() else { return };
        let bulkhead = Arc::clone(&dropped.attached.tree().share.bulkhead);
        bulkhead.submit(dropped.delete_on_close_now, move || server.finish_open(&dropped, flushes));
    }

    fn finish_open(&self, dropped: &Dropped<SmbShell>, flushes: bool) {
        let Some(file) = dropped.attached.file() else { return };
        self.files.host_locks.end(dropped.global_id, file);
        let writes = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA;
        if flushes && dropped.attached.access().intersects(writes) {
            let flushed = file.handle.flush();
            file.state().fail(flushed);
        }
        let watch = file.state().watch.take();
        if let Some(watch) = watch {
            self.files.watches.end(&watch, NtStatus::NOTIFY_CLEANUP);
        }
        self.finish_file(dropped, file);
        // The last of several opens will delete the directory; its watches end now.
        if file.is_directory && file.deletes_on_close() {
            self.files.watches.end_for_delete(dropped.attached.tree(), &file.path());
        }
        for removal in &dropped.removals {
            let removed = self.finish_name(removal, removal.by == dropped.global_id);
            file.state().fail(removed);
        }
        self.report_late(dropped, file);
    }

    /// Logs an error at the end of an open if there is no CLOSE to return it.
    fn report_late(&self, dropped: &Dropped<SmbShell>, file: &OpenFile) {
        let Some(status) = file.state().late else { return };
        let user = dropped.attached.session().user().map(|user| user.name.clone()).unwrap_or_default();
        let (share, path) = (&*dropped.share, &*dropped.path);
        // The next owner of the share has the handles that its log keeps, and all bytes that were written; only a delete on
        // close can be lost.
        let goes_on = dropped.attached.is_durable() || !file.deletes_on_close();
        if dropped.attached.tree().is_fenced() && status == NtStatus::NETWORK_NAME_DELETED && goes_on {
            return tracing::debug!(
                share,
                path,
                user,
                "a file was closed with its share, which was given up"
            );
        }
        match dropped.reason {
            CloseReason::ClientClose => tracing::info!(share, path, user, %status, "a CLOSE failed"),
            reason => tracing::warn!(
                share,
                path,
                user,
                %status,
                ?reason,
                "the server closed a file without a CLOSE, and data or a delete that the client requested may be lost"
            ),
        }
    }

    /// Removes a name whose opens have been released before, in the order of the jobs of its share.
    fn end_name(&self, removal: Removal<SmbShell>) {
        let Some(server) = self.this() else { return };
        let bulkhead = Arc::clone(&removal.attached.tree().share.bulkhead);
        bulkhead.submit(true, move || {
            if let Err(error) = server.finish_name(&removal, false) {
                let path = removal.attached.file().map(|file| file.path().to_string()).unwrap_or_default();
                tracing::warn!(path, %error, "cannot delete a file at its last close; it stays");
            }
        });
    }

    fn finish_name(&self, removal: &Removal<SmbShell>, is_by_last: bool) -> vfs::Result<()> {
        let removed = self.remove_name(removal, is_by_last);
        let mut registry = self.registry.lock("removed");
        registry.removed(removal);
        if matches!(removed, Ok(true)) {
            registry.deleted(removal, self.now());
        }
        drop(registry);
        self.signals.moving_ended.notify_waiters();
        removed.map(drop)
    }

    /// Brings a file and its directory's listing up to date at the end of an open (MS-FSA 2.1.5.5).
    fn finish_file(&self, dropped: &Dropped<SmbShell>, file: &OpenFile) {
        let open = &dropped.attached;
        file.finish_times();
        // A file that is removed next need not be written first.
        if file.was_written() && !dropped.delete_on_close_now {
            let closing = file.handle.ask_closing();
            file.state().fail(closing);
        }
        if file.is_directory {
            if std::mem::take(&mut file.state().leased)
                && let Some(directory) = dropped.target.file()
            {
                self.files.watches.unlease(directory);
            }
            return;
        }
        // Windows updates the entry of a renamed file when the open that renamed it is closed.
        if std::mem::take(&mut file.state().renamed) && !dropped.delete_on_close_now {
            let what = CompletionFilter::ATTRIBUTES | CompletionFilter::CREATION;
            self.files.watches.notify(open.tree(), &file.path(), NotifyAction::MODIFIED, what);
        }
        if open.access().intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
            self.files.watches.note_own_change(open);
        }
        if file.was_written() && !file.is_stream {
            self.break_directory_leases(open.tree(), &file.path(), open.parent_key());
        }
    }

    /// Removes the name or the stream with a pending delete after its last open has ended (MS-FSA 2.1.5.5): by the path
    /// of the open that requested it, with the rights of its user. Returns false if the name stays, or no longer names the
    /// file.
    fn remove_name(&self, removal: &Removal<SmbShell>, is_by_last: bool) -> vfs::Result<bool> {
        let open = &removal.attached;
        let (Some(file), Some(backend)) = (open.file(), open.tree().backend()) else { return Ok(false) };
        let is_stream = file.is_stream;
        let path = file.path();
        let removed = match recycle(&self.files.bins, open, file, &path, &**backend) {
            Ok(false) => backend.remove(open.actor(), &path, &*file.handle),
            kept => kept.map(drop),
        };
        match removed {
            // Another program has removed the file, or given its name to another file.
            Err(vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::Replaced) => return Ok(false),
            // FILE_DELETE_ON_CLOSE does not check if a directory is empty, and removes it only then, as in Windows.
            Err(vfs::Error::NotEmpty) if file.deletes_on_close() => return Ok(false),
            removed => removed?,
        }
        let (action, what) = match (is_stream, file.is_directory) {
            (true, _) => (NotifyAction::REMOVED_STREAM, CompletionFilter::STREAM_NAME),
            (_, true) => (NotifyAction::REMOVED, CompletionFilter::DIR_NAME),
            (_, false) => (NotifyAction::REMOVED, CompletionFilter::FILE_NAME),
        };
        self.files.watches.notify(open.tree(), &path, action, what);
        if !is_stream {
            // If another open carries out the delete, it is not a change by the lease of either open.
            let parent_key = open.parent_key().filter(|_| is_by_last);
            self.break_directory_leases(open.tree(), &path, parent_key);
        }
        Ok(true)
    }
}

/// A guard that prevents opens of a closed file by a name while the file loses that name or stream.
pub(crate) struct Replacing<'a> {
    server: &'a Server,
    replacing: registry::Replacing,
}

impl<'a> Replacing<'a> {
    /// Begins a replacement. Returns `None` if the file is open.
    pub(crate) fn begin(
        server: &'a Server,
        tree: &Tree,
        key: registry::FileKey,
        path: &vfs::RelativePath,
    ) -> Option<Self> {
        let (share, path) = (&tree.share.settings.name, display_path(path));
        let replacing = server.registry.lock("begin_replace").begin_replace(key, share, &path)?;
        Some(Self { server, replacing })
    }
}

/// A guard that prevents opens of a renamed file, and of all files below it, by the old name, and new handle caching of
/// it.
pub(crate) struct Moving {
    server: Arc<Server>,
    moving: registry::Moving,
}

impl Moving {
    /// Begins a rename, unless there is an obstacle. The names were looked up when the count of renames was
    /// `looked_up`.
    pub(crate) fn begin(
        server: &Arc<Server>,
        open: &Open,
        (from, to): (&vfs::RelativePath, &vfs::RelativePath),
        looked_up: MoveCount,
        others_follow: bool,
    ) -> Result<Self, InTheWay> {
        let tree = open.tree();
        let (share, from, to) = (&*tree.share.settings.name, display_path(from), display_path(to));
        let names = MoveNames { share, from: &from, to: &to, looked_up };
        let (root, id) = (tree.root(), open.file_id());
        let mut registry = server.registry.lock("begin_move");
        let moving = match open.file().is_some_and(|file| file.is_stream) {
            true => registry.begin_stream_move(id, names)?,
            false => registry.begin_move(id, names, root, others_follow)?,
        };
        drop(registry);
        Ok(Self { server: Arc::clone(server), moving })
    }

    /// Records the new name, which the file has on the disk. From now on it is found by this name.
    pub(crate) fn moved_to(&mut self, path: &vfs::RelativePath) {
        self.moving.moved_to(&display_path(path), self.server.now());
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.server.registry.lock("end_move").end_move(&self.moving);
        self.server.signals.moving_ended.notify_waiters();
    }
}

impl Drop for Replacing<'_> {
    fn drop(&mut self) {
        self.server.registry.lock("end_replace").end_replace(&self.replacing);
        self.server.signals.moving_ended.notify_waiters();
    }
}
