//! Pending deletes, of a link or of a named stream (MS-FSA 2.1.5.15.3, `Link.IsDeleted`, `Stream.IsDeleted`), and
//! deletes that are being carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::{FileGlobalId, ShareName};

use crate::events::EventOpen;
use crate::links::{Link, Links, without_stream};
use crate::open::Open;
use crate::remaining_work::Work;
use crate::{Effects, FileKey, NotFound, OpenRef, OpenTarget, Rest, Shell, State, cost};

/// A delete that takes effect with the last open of a link or stream.
pub(crate) struct PendingDelete<S: Shell> {
    /// The path of the link when the delete was requested.
    path: Arc<str>,
    by: FileGlobalId,
    attached: S::Open,
    /// The open, as it was when the delete was requested.
    of: EventOpen,
}

impl<S: Shell> PendingDelete<S> {
    fn new(id: FileGlobalId, open: &Open<S>) -> Self {
        Self { path: without_stream(&open.path), by: id, attached: open.attached.clone(), of: open.event(id) }
    }
}

/// The pending deletes of a file, by link, or the one of a stream. All of them belong to one share: the registry cannot
/// distinguish the links of several shares, so a delete by another share counts as one of the same link.
pub(crate) struct PendingDeletes<S: Shell> {
    all: BTreeMap<Link, PendingDelete<S>>,
    /// The deletes of links without an open. They wait for the opens of the file by other shares, or for the next part
    /// of the work.
    left: BTreeSet<Link>,
    /// True while a [`Rest`] will carry out the deletes in `left`.
    going_on: bool,
}

impl<S: Shell> Default for PendingDeletes<S> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), left: BTreeSet::new(), going_on: false }
    }
}

impl<S: Shell> PendingDeletes<S> {
    /// True if one of the deletes may be of this link.
    fn concerns(&self, link: &Link) -> bool {
        cost::step();
        self.all.contains_key(link) || self.all.keys().next().is_some_and(|it| !it.is_of_share(link))
    }

    /// Records that a link has no opens any more.
    fn leave(&mut self, link: &Link) {
        if self.all.contains_key(link) {
            self.left.insert(link.clone());
        }
    }

    /// Takes out the delete of a link, if this open requested it.
    fn take_own(&mut self, link: &Link, by: FileGlobalId) -> Option<(Link, PendingDelete<S>)> {
        self.all.get(link).filter(|it| it.by == by)?;
        self.left.remove(link);
        self.all.remove_entry(link)
    }

    /// Takes out at most `most` deletes that are due: those of links without an open, unless the file is open by
    /// another share.
    fn due(&mut self, file: FileKey, links: &Links, most: usize) -> Vec<(Link, PendingDelete<S>)> {
        let waits = self.all.keys().next().is_some_and(|link| links.has_other_share(file, link));
        let mut due = Vec::new();
        if !waits {
            let left = std::iter::from_fn(|| self.left.pop_first()).take(most);
            let left = left.filter(|link| !links.contains(file, link));
            due.extend(left.filter_map(|link| self.all.remove(&link).map(|it| (link, it))));
        }
        self.going_on = !waits && !self.left.is_empty();
        due
    }

    /// True while a [`Rest`] will carry out deletes.
    pub(crate) fn is_going_on(&self) -> bool {
        self.going_on
    }

    /// Gives the delete of a link another name.
    fn rename(&mut self, old: &Link, new: Link, path: Arc<str>) -> Option<S::Open> {
        cost::step();
        let mut pending = self.all.remove(old)?;
        if self.left.remove(old) {
            self.left.insert(new.clone());
        }
        pending.path = path;
        let attached = pending.attached.clone();
        self.all.insert(new, pending);
        Some(attached)
    }

    /// Checks the invariants of the deletes.
    pub(crate) fn check(&self, file: FileKey, links: &Links) -> Result<(), &'static str> {
        let Some(first) = self.all.keys().next() else { return Err("the table is empty") };
        if !self.all.keys().all(|it| it.is_of_share(first)) {
            return Err("they belong to several shares");
        }
        if !self.left.iter().all(|it| self.all.contains_key(it)) {
            return Err("a link without opens has no delete");
        }
        if file.is_named_stream() {
            return if self.all.len() == 1 { Ok(()) } else { Err("a stream has several deletes") };
        }
        let waits = links.has_other_share(file, first) || self.going_on;
        let is_held = |link: &Link| links.contains(file, link) || waits && self.left.contains(link);
        if self.all.keys().all(is_held) { Ok(()) } else { Err("a delete waits, and its link has no open") }
    }
}

/// A name or a stream that the server is to remove now, outside of the lock: a delete was pending, and the last open
/// has ended (MS-FSA 2.1.5.5). Until [`State::removed`] no open is admitted to it.
pub struct Removal<S: Shell> {
    /// The server's part of the open that requested the delete. The server removes the name of that open with the
    /// rights of its user. The open may have ended before.
    pub attached: S::Open,
    /// The open that requested the delete.
    pub by: FileGlobalId,
    /// The named stream that is removed, or the file whose link is removed.
    pub target: FileKey,
    link: Link,
    /// The open that requested the delete, with the path that is removed.
    pub(crate) of: EventOpen,
}

/// Pending deletes that were withdrawn, with the server's parts of the opens that requested them. The caller drops them
/// when the lock is free again: there may be many, and one may hold the last handle of a file.
pub struct Forgotten<S: Shell>(BTreeMap<Link, PendingDelete<S>>);

impl<S: Shell> Forgotten<S> {
    /// The number of these deletes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there was no such delete.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Shell> std::fmt::Debug for Forgotten<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Forgotten").field(&self.0.len()).finish()
    }
}

/// A link that is replaced outside of the lock: see [`State::begin_replace`].
#[must_use = "the link or stream cannot be opened until this is passed to end_replace"]
#[derive(Debug)]
pub struct Replacing {
    target: FileKey,
    link: Link,
}

impl<S: Shell> State<S> {
    /// Marks the link or the stream of an open to be deleted with its last open, or withdraws that (MS-FSA 2.1.5.15.3,
    /// FileDispositionInformation). The server has checked before that it may be deleted;
    /// [`break_handle_caching`](Self::break_handle_caching) breaks the handle caching of others. Returns the deletes
    /// that this one replaces.
    pub fn set_delete_pending(
        &mut self,
        open: impl Into<OpenRef>,
        pending: bool,
    ) -> Result<Forgotten<S>, NotFound> {
        let id = self.open_global(open.into())?;
        let open = self.opens.get(&id).ok_or(NotFound)?;
        let key = open.target.file().ok_or(NotFound)?;
        let (link, delete) = (Link::of(open), PendingDelete::new(id, open));
        if let Some(open) = self.opens.get_mut(&id) {
            open.deletes_with_own = false;
        }
        let forgotten = self.forget_delete(key, &link);
        if pending {
            self.deletions.entry(key).or_default().all.insert(link, delete);
        }
        self.touch_logs_of(key);
        Ok(forgotten)
    }

    /// Sets or clears that the name is removed when this open, which requests the delete, ends, even if the file has
    /// other opens (FILE_DISPOSITION_POSIX_SEMANTICS, MS-FSCC 2.4).
    pub fn set_delete_with_own_open(
        &mut self,
        open: impl Into<OpenRef>,
        with_own: bool,
    ) -> Result<(), NotFound> {
        let id = self.open_global(open.into())?;
        self.opens.get_mut(&id).ok_or(NotFound)?.deletes_with_own = with_own;
        self.touch_log(id);
        Ok(())
    }

    /// Sets or clears FILE_DELETE_ON_CLOSE of an open (FILE_DISPOSITION_ON_CLOSE, MS-FSCC 2.4).
    pub fn set_delete_on_close(&mut self, open: impl Into<OpenRef>, deletes: bool) -> Result<(), NotFound> {
        let id = self.open_global(open.into())?;
        self.opens.get_mut(&id).ok_or(NotFound)?.delete_on_close = deletes;
        self.touch_log(id);
        Ok(())
    }

    /// True if a delete of this file by any link, or of this stream or its file, is pending.
    pub fn is_delete_pending(&self, file: FileKey) -> bool {
        self.deletions.contains_key(&file) || self.deletions.contains_key(&file.base())
    }

    /// True if a delete of an open's link or stream is pending.
    pub fn is_open_deleted(&self, open: impl Into<OpenRef>) -> bool {
        let open = self.open_global(open.into()).ok().and_then(|id| self.opens.get(&id));
        open.is_some_and(|open| self.is_deleted(&open.target, &Link::of(open)))
    }

    /// True if the server is removing or replacing this stream, or a link or stream of this file, outside of the lock.
    pub fn is_vanishing(&self, file: FileKey) -> bool {
        self.vanishing.contains_key(&file) || self.vanishing.contains_key(&file.base())
    }

    /// The number of links of a file that have a delete pending. They are not counted as links any more (MS-FSA
    /// 2.1.5.12.27).
    pub fn deleted_links(&self, file: FileKey) -> usize {
        self.deletions.get(&file.base()).map_or(0, |it| it.all.len())
    }

    /// Records that a [`Removal`] was carried out or has failed.
    pub fn removed(&mut self, removal: &Removal<S>) {
        self.end_vanishing(removal.target, &removal.link);
        self.note_removed(&removal.link);
    }

    /// Refuses opens of a file by the name `path` of a share (or of a stream by any name) from now on, while the server
    /// replaces or removes it outside of the lock. Returns `None` if the file is open.
    pub fn begin_replace(&mut self, target: FileKey, share: &str, path: &str) -> Option<Replacing> {
        if self.files.contains_key(&target) {
            return None;
        }
        let link = Link::new(ShareName::new(share), &path.into());
        self.begin_vanishing(target, link.clone());
        Some(Replacing { target, link })
    }

    /// Ends a replacement that [`Self::begin_replace`] began.
    pub fn end_replace(&mut self, replacing: &Replacing) {
        self.end_vanishing(replacing.target, &replacing.link);
        self.note_removed(&replacing.link);
    }

    /// Records a removal: a CREATE that has looked the name up before must look it up again.
    fn note_removed(&mut self, link: &Link) {
        let (share, path) = link.place();
        self.moves.removed(share.clone(), path.clone());
    }

    /// True if a delete of this link, or of the stream, is pending.
    pub(crate) fn is_deleted(&self, target: &OpenTarget, link: &Link) -> bool {
        let Some(key) = target.file() else { return false };
        let of_link = self.deletions.get(&key.base()).is_some_and(|all| all.concerns(link));
        of_link || key.is_named_stream() && self.deletions.contains_key(&key)
    }

    /// True if this link, or the stream, is being removed or replaced.
    pub(crate) fn is_link_vanishing(&self, key: FileKey, link: &Link) -> bool {
        cost::step();
        let of_link = self.vanishing.get(&key.base()).is_some_and(|all| {
            // The links are in the order of their shares, so one of another share is the first or the last.
            let ends = [all.first_key_value(), all.last_key_value()];
            all.contains_key(link) || ends.into_iter().flatten().any(|(it, _)| !it.is_of_share(link))
        });
        of_link || key.is_named_stream() && self.vanishing.contains_key(&key)
    }

    /// Marks the link or stream of an open with FILE_DELETE_ON_CLOSE that ends (MS-FSA 2.1.5.5, phase 1).
    pub(crate) fn delete_on_close(&mut self, key: FileKey, id: FileGlobalId, open: &Open<S>) {
        let link = Link::of(open);
        if !self.is_deleted(&open.target, &link) {
            self.deletions.entry(key).or_default().all.insert(link, PendingDelete::new(id, open));
        }
    }

    /// Takes out the deletes of links and streams whose last open was one of `key` by `link`; from now on no open is
    /// admitted to these. A delete that the open `own` has requested is due in any case. Only deletes that can depend
    /// on this open are considered; those for which this hold of the lock has no time are left to a [`Rest`].
    pub(crate) fn due_removals(
        &mut self,
        key: FileKey,
        link: &Link,
        own: Option<FileGlobalId>,
        effects: &mut Effects<S>,
    ) -> Vec<Removal<S>> {
        let mut due = Vec::new();
        if key.is_named_stream() && !self.files.contains_key(&key) {
            let pending = self.deletions.remove(&key).unwrap_or_default();
            due.extend(pending.all.into_iter().map(|it| (key, it)));
        }
        let base = key.base();
        if let Some(pending) = self.deletions.get_mut(&base) {
            let own = own.filter(|_| base == key).and_then(|id| pending.take_own(link, id));
            due.extend(own.map(|it| (base, it)));
            if !self.links.contains(base, link) {
                pending.leave(link);
            }
        }
        let mut removals: Vec<Removal<S>> =
            due.into_iter().map(|(target, it)| self.removal(target, it)).collect();
        removals.extend(self.due_of_links(base, effects));
        removals
    }

    /// Continues with the deletes of a file's links that are due.
    pub(crate) fn go_on_deleting(&mut self, base: FileKey, effects: &mut Effects<S>) {
        if let Some(pending) = self.deletions.get_mut(&base) {
            pending.going_on = false;
        }
        let removals = self.due_of_links(base, effects);
        effects.removals.extend(removals);
    }

    fn due_of_links(&mut self, base: FileKey, effects: &mut Effects<S>) -> Vec<Removal<S>> {
        let Some(pending) = self.deletions.get_mut(&base) else { return Vec::new() };
        let was_going_on = pending.going_on;
        let most = self.limits.work_per_hold.saturating_sub(effects.spent).max(1);
        let due = pending.due(base, &self.links, most);
        if pending.going_on && !was_going_on {
            effects.rest.push(Rest(Work::Deletes(base)));
        }
        if pending.all.is_empty() {
            self.deletions.remove(&base);
        }
        // The first delete is counted with the open that ended.
        effects.spent = effects.spent.saturating_add(due.len().saturating_sub(1));
        due.into_iter().map(|it| self.removal(base, it)).collect()
    }

    fn removal(
        &mut self,
        target: FileKey,
        (link, PendingDelete { path, by, attached, mut of }): (Link, PendingDelete<S>),
    ) -> Removal<S> {
        self.begin_vanishing(target, link.clone());
        // The path of a stream's delete has the stream's name, which a rename of the file does not change.
        if !target.is_named_stream() {
            of.path = path;
        }
        Removal { attached, by, target, link, of }
    }

    /// Gives the pending delete of a link its new name, and returns the server's part of the open that requested it,
    /// which may have ended.
    pub(crate) fn rename_delete(
        &mut self,
        key: FileKey,
        share: &ShareName,
        old: &Arc<str>,
        new: &Arc<str>,
    ) -> Option<S::Open> {
        let pending = self.deletions.get_mut(&key.base())?;
        let (old_link, new_link) = (Link::new(share.clone(), old), Link::new(share.clone(), new));
        pending.all.get(&old_link).filter(|it| it.path == without_stream(old))?;
        let attached = pending.rename(&old_link, new_link, without_stream(new))?;
        // Opens that had the new name before are deleted with it from now on.
        self.touch_logs_of(key.base());
        Some(attached)
    }

    /// The server's part of the open that requested the delete of a stream. The open may have ended.
    pub(crate) fn asked_to_delete(&self, stream: FileKey) -> Option<S::Open> {
        Some(self.deletions.get(&stream)?.all.values().next()?.attached.clone())
    }

    /// Records that a rename has moved the last open away from a link.
    pub(crate) fn leave_link(&mut self, key: FileKey, link: &Link) {
        if let Some(pending) = self.deletions.get_mut(&key.base()) {
            pending.leave(link);
        }
    }

    /// Marks the link or stream of an open that is restored to be deleted with its last open.
    pub(crate) fn restore_delete(&mut self, key: FileKey, id: FileGlobalId) {
        if let Some(open) = self.opens.get(&id) {
            let (link, delete) = (Link::of(open), PendingDelete::new(id, open));
            self.deletions.entry(key).or_default().all.entry(link).or_insert(delete);
        }
    }

    /// Forgets the deletes of a file whose opens are suspended.
    pub(crate) fn forget_deletes(&mut self, key: FileKey) {
        self.deletions.remove(&key);
        self.deletions.remove(&key.base());
    }

    fn forget_delete(&mut self, key: FileKey, link: &Link) -> Forgotten<S> {
        let Some(pending) = self.deletions.get_mut(&key) else { return Forgotten(BTreeMap::new()) };
        if key.is_named_stream() || !pending.all.contains_key(link) && pending.concerns(link) {
            return Forgotten(self.deletions.remove(&key).unwrap_or_default().all);
        }
        let forgotten = pending.all.remove_entry(link).into_iter().collect();
        pending.left.remove(link);
        if pending.all.is_empty() {
            self.deletions.remove(&key);
        }
        Forgotten(forgotten)
    }

    fn begin_vanishing(&mut self, target: FileKey, link: Link) {
        let count = self.vanishing.entry(target).or_default().entry(link).or_default();
        *count = count.saturating_add(1);
    }

    fn end_vanishing(&mut self, target: FileKey, link: &Link) {
        if let Some(links) = self.vanishing.get_mut(&target) {
            if let Some(count) = links.get_mut(link) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    links.remove(link);
                }
            }
            if links.is_empty() {
                self.vanishing.remove(&target);
            }
        }
    }
}
