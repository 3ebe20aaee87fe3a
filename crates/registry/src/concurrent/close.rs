//! The plain close: see [`State::close_open`](crate::State::close_open).

use wire::{FileGlobalId, FileId, LeaseState, OplockLevel};

use crate::caching::{Caching, Holder};
use crate::events::EventKind;
use crate::file::File;
use crate::ids::volatile_part;
use crate::links::Link;
use crate::open::{Home, Open};
use crate::parts::Parted;
use crate::path_index::part_of_path;
use crate::shared::{Common, Shared};
use crate::{CloseReason, Dropped, Effects, FileKey, LeaseId, Shell, Time};

impl<S: Shell> Shared<'_, S> {
    /// Ends a plain open. If this is none, nothing has changed.
    pub(crate) fn close_open(&self, file_id: FileId, reason: CloseReason, now: Time) -> Option<Effects<S>> {
        let common = self.common();
        let (id, key) = self.find(file_id)?;
        if common.deletions.contains_key(&key) || common.announced_closes.contains_key(&id) {
            return None;
        }
        let mut files = self.files(key.part());
        let file = files.files().get_mut(&key).filter(|file| file.waiting.is_empty())?;
        let (open, home) = self.take_out(file_id, id, file, &common)?;

        self.paths(part_of_path(&open.folded)).leave(id, &open);
        file.leave(id, &open);
        if matches!(open.caching, Caching::Oplock { .. }) {
            file.oplocks.remove(&id);
            file.caching.remove(&Holder::Oplock(id));
            file.refresh_cachers();
            open.shared.set_oplock(OplockLevel::NONE);
        }
        if file.opens.is_empty() {
            files.files().remove(&key);
        }
        files.links().leave(key, &Link::of(&open));
        open.shared.close(reason);
        common.open_count.subtract();
        if let Some(tree) = common.trees.get(&home.tree) {
            tree.open_count.subtract();
        }
        if let Some(session) = common.sessions.get(&home.session) {
            session.open_count.subtract();
            session.opens_of_user.subtract();
        }
        common.events.push(now, EventKind::Closed { open: open.event(id), reason, used: open.used() });
        let mut effects = Effects::none();
        effects.dropped.push(Dropped::of(id, *open, Vec::new(), reason));
        Some(effects)
    }

    /// The open with this id, and its file. The file stays the same while this is shared; the open may end.
    fn find(&self, file_id: FileId) -> Option<(FileGlobalId, FileKey)> {
        let part = volatile_part(file_id.volatile);
        let opens = self.opens(part);
        let id = *opens.volatile_ids.get(&file_id.volatile).filter(|id| id.part() == part)?;
        let key = opens.opens.get(&id)?.target.file().filter(|key| !key.is_named_stream())?;
        Some((id, key))
    }

    /// Takes an open out of its table and its lease, if it is a plain one. `file` is its file.
    fn take_out(
        &self,
        file_id: FileId,
        id: FileGlobalId,
        file: &mut File,
        common: &Common<'_, S>,
    ) -> Option<(Box<Open<S>>, Home)> {
        let mut opens = self.opens(id.part());
        let open = opens.opens.get(&id).filter(|open| open.file_id == file_id && is_plain(open))?;
        let home = open.home?;
        // The user of the session may be another one by now.
        common.sessions.get(&home.session).filter(|it| it.user.as_ref() == Some(&open.user))?;
        if let Caching::Lease(lease) = open.caching {
            self.leave_lease(lease, id, file)?;
        }
        let open = opens.opens.remove(&id)?;
        opens.volatile_ids.remove(&file_id.volatile);
        opens.of_trees.remove(&(home.tree, id));
        if let Some(name) = open.replay {
            self.create_guids(name.part()).remove(&name);
        }
        Some((open, home))
    }

    /// Takes an open out of its lease, which ends with its last open. `None` if the lease is breaking or logged.
    fn leave_lease(&self, id: LeaseId, open: FileGlobalId, file: &mut File) -> Option<()> {
        let mut leases = self.leases(id.part());
        let lease = leases.get_mut(&id)?;
        if lease.breaking.is_some() || !lease.logs.is_empty() {
            return None;
        }
        lease.opens.remove(&open);
        lease.replayable.remove(&open);
        if lease.opens.is_empty() {
            lease.set_state(LeaseState::NONE);
            leases.remove(&id);
            file.leases.remove(&id);
            if file.caching.remove(&Holder::Lease(id)) {
                file.refresh_cachers();
            }
        }
        Some(())
    }
}

/// True if nothing but the file's tables depends on the open.
fn is_plain<S: Shell>(open: &Open<S>) -> bool {
    let breaks = matches!(open.caching, Caching::Oplock { breaking: Some(_), .. });
    let deletes = open.delete_on_close || open.deletes_with_own;
    let lasts = open.logged().is_some() || open.orphaned.is_some();
    let locks = open.locks != 0 || open.waiting_locks != 0;
    !(breaks || deletes || lasts || locks || open.of_stranger)
}
