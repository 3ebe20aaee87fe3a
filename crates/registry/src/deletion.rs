//! Deletes: pending ones, which are of a link or of a named stream (MS-FSA 2.1.5.15.3, `Link.IsDeleted`,
//! `Stream.IsDeleted`), and those that are being carried out.
//!
//! A link is known by the share and the path that it was opened by. What other shares call the same file cannot be
//! told from it, and counts as the same link.

use std::sync::Arc;

use wire::FileGlobalId;

use crate::open::Open;
use crate::share::ShareKey;
use crate::{FileKey, NotFound, OpenRef, Shell, State, Target};

/// A name of a file (MS-FSA 2.1.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    share: ShareKey,
    /// Without the stream.
    path: Arc<str>,
}

impl Link {
    pub(crate) fn new(share: ShareKey, path: &Arc<str>) -> Self {
        let path = match path.split_once(':') {
            Some((path, _)) => path.into(),
            None => path.clone(),
        };
        Self { share, path }
    }

    pub(crate) fn of<S: Shell>(open: &Open<S>) -> Self {
        Self::new(open.share.clone(), &open.path)
    }

    /// Whether both may be one name; where case does not count on the disk, one name is opened in several.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.share != other.share
            || self.path == other.path
            || self.path.to_lowercase() == other.path.to_lowercase()
    }
}

/// A delete that is to happen with the last open of a link or stream.
pub(crate) struct PendingDelete<S: Shell> {
    link: Link,
    by: FileGlobalId,
    attached: S::Open,
}

/// A name or a stream to remove now, outside of the lock: a delete was pending, and the last open is gone (MS-FSA
/// 2.1.5.5). Until [`State::removed`] nobody is admitted to it.
pub struct Removal<S: Shell> {
    /// What the server attached to the open that asked for it, which may have ended before: by its name, and with
    /// its user's rights, it is to be removed.
    pub attached: S::Open,
    /// The open that asked for it.
    pub by: FileGlobalId,
    /// What is removed: a named stream, or of a file (its unnamed stream) the link.
    pub target: FileKey,
    link: Link,
}

/// A link that is replaced outside of the lock: see [`State::begin_replace`].
#[must_use = "whatever it is of cannot be opened until it is given back"]
#[derive(Debug)]
pub struct Replacing {
    target: FileKey,
    link: Link,
}

impl<S: Shell> State<S> {
    /// Marks the link or the stream of an open to be deleted with its last open, or takes that back (MS-FSA
    /// 2.1.5.15.3, FileDispositionInformation). That it may be deleted has been checked by the server; others'
    /// handle caching is broken by [`break_handle_caching`](Self::break_handle_caching).
    pub fn set_delete_pending(&mut self, open: impl Into<OpenRef>, pending: bool) -> Result<(), NotFound> {
        let id = self.open_global(open.into())?;
        let open = self.opens.get(&id).ok_or(NotFound)?;
        let key = open.target.file().ok_or(NotFound)?;
        let (link, attached) = (Link::of(open), open.attached.clone());
        self.forget_delete(key, &link);
        if pending {
            self.deletions.entry(key).or_default().push(PendingDelete { link, by: id, attached });
        }
        Ok(())
    }

    /// Whether a delete of this file or stream is pending, by whatever link; of a stream, also while one of its file
    /// is.
    pub fn is_delete_pending(&self, file: FileKey) -> bool {
        self.deletions.contains_key(&file) || self.deletions.contains_key(&file.base())
    }

    /// Whether a delete of the link that an open was opened by, or of its stream, is pending.
    pub fn is_open_deleted(&self, open: impl Into<OpenRef>) -> bool {
        let open = self.open_global(open.into()).ok().and_then(|id| self.opens.get(&id));
        open.is_some_and(|open| self.is_deleted(&open.target, &Link::of(open)))
    }

    /// Whether a link or stream of this file, or the stream, is being removed or replaced outside of the lock.
    pub fn is_vanishing(&self, file: FileKey) -> bool {
        self.vanishing.contains_key(&file) || self.vanishing.contains_key(&file.base())
    }

    /// How many links of a file have a delete pending: they count no more (MS-FSA 2.1.5.12.27).
    pub fn deleted_links(&self, file: FileKey) -> usize {
        self.deletions.get(&file.base()).map_or(0, Vec::len)
    }

    /// Notes that what a [`Removal`] said was done, or could not be.
    pub fn removed(&mut self, removal: &Removal<S>) {
        self.end_vanishing(removal.target, &removal.link);
    }

    /// Keeps everybody from opening a file by the name `path` of a share (or a stream by any) while the server
    /// replaces or removes it outside of the lock; none while somebody has it open.
    pub fn begin_replace(&mut self, target: FileKey, share: &str, path: &str) -> Option<Replacing> {
        if self.files.contains_key(&target) {
            return None;
        }
        let link = Link::new(ShareKey::new(share), &path.into());
        self.vanishing.entry(target).or_default().push(link.clone());
        Some(Replacing { target, link })
    }

    /// Ends what [`Self::begin_replace`] began.
    pub fn end_replace(&mut self, replacing: &Replacing) {
        self.end_vanishing(replacing.target, &replacing.link);
    }

    /// Whether this link, or the stream, has a delete pending.
    pub(crate) fn is_deleted(&self, target: &Target, link: &Link) -> bool {
        let Some(key) = target.file() else { return false };
        let of_link =
            self.deletions.get(&key.base()).is_some_and(|all| all.iter().any(|it| it.link.is_same(link)));
        of_link || key.is_named_stream() && self.deletions.contains_key(&key)
    }

    /// Whether this link, or the stream, is being removed.
    pub(crate) fn is_link_vanishing(&self, key: FileKey, link: &Link) -> bool {
        let of_link =
            self.vanishing.get(&key.base()).is_some_and(|all| all.iter().any(|it| it.is_same(link)));
        of_link || key.is_named_stream() && self.vanishing.contains_key(&key)
    }

    /// Marks what an open was of, which ends with FILE_DELETE_ON_CLOSE (MS-FSA 2.1.5.5, phase 1).
    pub(crate) fn delete_on_close(&mut self, key: FileKey, id: FileGlobalId, open: &Open<S>) {
        let link = Link::of(open);
        if !self.is_deleted(&open.target, &link) {
            let pending = PendingDelete { link, by: id, attached: open.attached.clone() };
            self.deletions.entry(key).or_default().push(pending);
        }
    }

    /// Takes out the deletes whose link or stream an open of `key` was the last to have; nobody is admitted to these
    /// from now on.
    pub(crate) fn due_removals(&mut self, key: FileKey) -> Vec<Removal<S>> {
        let mut due = Vec::new();
        if key.is_named_stream() && !self.files.contains_key(&key) {
            due.extend(self.deletions.remove(&key).unwrap_or_default().into_iter().map(|it| (key, it)));
        }
        let base = key.base();
        if let Some(pending) = self.deletions.remove(&base) {
            let opened = self.opened_links(base);
            let (kept, gone): (Vec<_>, Vec<_>) =
                pending.into_iter().partition(|it| opened.iter().any(|link| link.is_same(&it.link)));
            if !kept.is_empty() {
                self.deletions.insert(base, kept);
            }
            due.extend(gone.into_iter().map(|it| (base, it)));
        }
        due.into_iter()
            .map(|(target, PendingDelete { link, by, attached })| {
                self.vanishing.entry(target).or_default().push(link.clone());
                Removal { attached, by, target, link }
            })
            .collect()
    }

    /// Lets pending deletes know the new name of a link; gives what the server attached to the opens that asked for
    /// them, which may have ended.
    pub(crate) fn rename_deletes(&mut self, key: FileKey, old: &Link, new_path: &Arc<str>) -> Vec<S::Open> {
        let pending = self.deletions.get_mut(&key.base()).into_iter().flatten();
        pending
            .filter(|it| it.link == *old)
            .map(|it| {
                it.link = Link::new(old.share.clone(), new_path);
                it.attached.clone()
            })
            .collect()
    }

    /// The links by which a file or its streams are open.
    fn opened_links(&self, base: FileKey) -> Vec<Link> {
        let keys = std::iter::once(base).chain(self.streams_of(base));
        let opens = keys.filter_map(|key| self.files.get(&key)).flat_map(|file| &file.opens);
        opens.filter_map(|id| self.opens.get(id)).map(Link::of).collect()
    }

    fn forget_delete(&mut self, key: FileKey, link: &Link) {
        if let Some(pending) = self.deletions.get_mut(&key) {
            pending.retain(|it| !key.is_named_stream() && !it.link.is_same(link));
            if pending.is_empty() {
                self.deletions.remove(&key);
            }
        }
    }

    fn end_vanishing(&mut self, target: FileKey, link: &Link) {
        if let Some(links) = self.vanishing.get_mut(&target) {
            if let Some(at) = links.iter().position(|it| it == link) {
                links.remove(at);
            }
            if links.is_empty() {
                self.vanishing.remove(&target);
            }
        }
    }
}
