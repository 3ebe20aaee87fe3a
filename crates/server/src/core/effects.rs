//! Where the registry's decisions become deeds: what it attaches to its objects, and what is done
//! with the [`Effects`] it returns, outside of its lock.

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
use crate::core::limits;
use crate::core::open::{Content, Open, OpenFile};
use crate::core::server::Server;
use crate::core::session::Session;
use crate::core::tree::Tree;
use crate::core::waiting::Wake;

/// What the server attaches to the registry's objects.
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
    /// The session whose keys seal it; none for one that goes in the clear.
    pub(crate) seal: Option<Arc<Session>>,
    kind: BreakKind,
    /// What the client has to acknowledge, if it has to.
    pub(crate) awaited: Option<AwaitedBreak>,
    /// The connections it may be sent on when this one has failed, the best first.
    pub(crate) elsewhere: Vec<Arc<ConnectionLink>>,
}

impl std::fmt::Debug for BreakNotification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Break").field(&self.kind).finish()
    }
}

impl BreakNotification {
    /// Hands it to the first connection that listens: one is enough, the next is for when it has failed
    /// (MS-SMB2 3.3.4.6).
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

/// How much has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndedCounts {
    pub(crate) sessions: usize,
    pub(crate) files: usize,
}

impl Server {
    /// Waits until a removal, replacement or rename is no longer under way, for a bounded time. The caller then looks
    /// the name up again.
    pub(crate) async fn wait_while_moving(&self, is_under_way: impl Fn(&State<SmbShell>) -> bool + Send) {
        let over = async {
            loop {
                // From before the look, so that nothing which ends after it is missed.
                let mut vanished = std::pin::pin!(self.vanished.notified());
                vanished.as_mut().enable();
                if !is_under_way(&self.registry.lock("vanishing")) {
                    return;
                }
                vanished.await;
            }
        };
        if tokio::time::timeout(limits::MAX_VANISHING_WAIT, over).await.is_err() {
            tracing::debug!("a removal or a rename takes long; a request that waits for it looks again");
        }
    }

    /// Does what a change of the registry's state obliges the server to do, to the end: where the registry has left
    /// something undone, others have had the lock before it is gone on with.
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
        // Breaks and durable opens that were left behind have deadlines.
        if !effects.breaks.is_empty() || !effects.retry.is_empty() || !effects.sessions_ended.is_empty() {
            self.timeouts_changed.notify_one();
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
        effects.rest
    }

    /// Does what the end of a file's open obliges to. That may hang: outside of a request about the same share it is
    /// done later, and requests that come after find a file removed that is to be.
    pub(crate) fn end_file(&self, dropped: Dropped<SmbShell>, flushes: bool) {
        let Some(server) = self.this() else { return };
        let bulkhead = Arc::clone(&dropped.attached.tree().share.bulkhead);
        bulkhead.submit(dropped.delete_on_close_now, move || server.finish_open(&dropped, flushes));
    }

    fn finish_open(&self, dropped: &Dropped<SmbShell>, flushes: bool) {
        let Some(file) = dropped.attached.file() else { return };
        self.host_locks.end(dropped.global_id, file);
        let writes = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA;
        if flushes && dropped.attached.access().intersects(writes) {
            let flushed = file.handle.flush();
            file.state().fail(flushed);
        }
        let watch = file.state().watch.take();
        if let Some(watch) = watch {
            self.watches.end(&watch, NtStatus::NOTIFY_CLEANUP);
        }
        self.finish_file(dropped, file);
        // The last of several opens will delete it; who watches it hears so now.
        if file.is_directory && file.deletes_on_close() {
            self.watches.end_for_delete(dropped.attached.tree(), &file.path());
        }
        for removal in &dropped.removals {
            let removed = self.finish_name(removal, removal.by == dropped.global_id);
            file.state().fail(removed);
        }
        self.report_late(dropped, file);
    }

    /// Logs what has failed of an open's end where no CLOSE is there to be told.
    fn report_late(&self, dropped: &Dropped<SmbShell>, file: &OpenFile) {
        let Some(status) = file.state().late else { return };
        let user = dropped.attached.session().user().map(|user| user.name.clone()).unwrap_or_default();
        let (share, path) = (&*dropped.share, &*dropped.path);
        match dropped.reason {
            CloseReason::ClientClose => tracing::info!(share, path, user, %status, "a CLOSE fails"),
            reason => tracing::warn!(
                share,
                path,
                user,
                %status,
                ?reason,
                "a file is closed without its client, and not all that the client was promised is done"
            ),
        }
    }

    /// Removes a name whose opens have been released before, in the order of what its share's files have to have done.
    fn end_name(&self, removal: Removal<SmbShell>) {
        let Some(server) = self.this() else { return };
        let bulkhead = Arc::clone(&removal.attached.tree().share.bulkhead);
        bulkhead.submit(true, move || {
            if let Err(error) = server.finish_name(&removal, false) {
                let path = removal.attached.file().map(|file| file.path().to_string()).unwrap_or_default();
                tracing::warn!(path, %error, "what was to be deleted when the last had closed it stays");
            }
        });
    }

    fn finish_name(&self, removal: &Removal<SmbShell>, is_by_last: bool) -> vfs::Result<()> {
        let removed = self.remove_name(removal, is_by_last);
        self.registry.lock("removed").removed(removal);
        self.vanished.notify_waiters();
        removed
    }

    /// What an open leaves of itself in its file and in the directory's listing (MS-FSA 2.1.5.5).
    fn finish_file(&self, dropped: &Dropped<SmbShell>, file: &OpenFile) {
        let open = &dropped.attached;
        file.finish_times();
        // What is removed next need not be written first.
        if file.was_written() && !dropped.delete_on_close_now {
            let closing = file.handle.ask_closing();
            file.state().fail(closing);
        }
        if file.is_directory {
            if std::mem::take(&mut file.state().leased)
                && let Some(directory) = dropped.target.file()
            {
                self.watches.unlease(directory);
            }
            return;
        }
        // Windows brings a renamed file's entry up to date when the one who did it closes it.
        if std::mem::take(&mut file.state().renamed) && !dropped.delete_on_close_now {
            let what = CompletionFilter::ATTRIBUTES | CompletionFilter::CREATION;
            self.watches.notify(open.tree(), &file.path(), NotifyAction::MODIFIED, what);
        }
        if open.access().intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
            self.watches.note_own_change(open);
        }
        if file.was_written() && !file.is_stream {
            self.break_directory_leases(open.tree(), &file.path(), open.parent_key());
        }
    }

    /// Removes the name or the stream that a pending delete was of, now that its last open is gone (MS-FSA 2.1.5.5): as
    /// the open that asked for it knows it, with the rights of its user.
    fn remove_name(&self, removal: &Removal<SmbShell>, is_by_last: bool) -> vfs::Result<()> {
        let open = &removal.attached;
        let (Some(file), Some(backend)) = (open.file(), open.tree().backend()) else { return Ok(()) };
        let is_stream = file.is_stream;
        let path = file.path();
        match backend.remove(open.actor(), &path, &*file.handle) {
            // Somebody else has removed it, or given its name to another file.
            Err(vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::Replaced) => return Ok(()),
            // FILE_DELETE_ON_CLOSE asks nothing of a directory and takes it only if it is empty: so does Windows.
            Err(vfs::Error::NotEmpty) if file.deletes_on_close() => return Ok(()),
            removed => removed?,
        }
        let (action, what) = match (is_stream, file.is_directory) {
            (true, _) => (NotifyAction::REMOVED_STREAM, CompletionFilter::STREAM_NAME),
            (_, true) => (NotifyAction::REMOVED, CompletionFilter::DIR_NAME),
            (_, false) => (NotifyAction::REMOVED, CompletionFilter::FILE_NAME),
        };
        self.watches.notify(open.tree(), &path, action, what);
        if !is_stream {
            // What one open wished and another has done is not the doing of either's lease.
            let parent_key = open.parent_key().filter(|_| is_by_last);
            self.break_directory_leases(open.tree(), &path, parent_key);
        }
        Ok(())
    }
}

/// Keeps a file that nobody has open from being opened by a name, while it loses that name or stream.
pub(crate) struct Replacing<'a> {
    server: &'a Server,
    replacing: registry::Replacing,
}

impl<'a> Replacing<'a> {
    /// None where somebody has it open.
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

/// Keeps what is renamed, and what lies below it, from being opened by the old name, and others from caching handles
/// of it.
pub(crate) struct Moving {
    server: Arc<Server>,
    moving: registry::Moving,
}

impl Moving {
    /// Begins, unless something is in the way. The names were looked up when the count of renames was `looked_up`.
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

    /// Notes the new name, which the file has on the disk: from now on others find it by that.
    pub(crate) fn moved_to(&mut self, path: &vfs::RelativePath) {
        self.moving.moved_to(&display_path(path));
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.server.registry.lock("end_move").end_move(&self.moving);
        self.server.vanished.notify_waiters();
    }
}

impl Drop for Replacing<'_> {
    fn drop(&mut self) {
        self.server.registry.lock("end_replace").end_replace(&self.replacing);
        self.server.vanished.notify_waiters();
    }
}
