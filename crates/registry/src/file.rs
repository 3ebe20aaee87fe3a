//! Files: what stands beside the opens of one stream (MS-FSA 2.1.1.5), and carries their share modes,
//! byte-range locks, caching and the pending delete.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wire::{AccessMask, FileGlobalId, ShareAccess};

use crate::deletion::Link;
use crate::ranges::Ranges;
use crate::share::ShareKey;
use crate::{LeaseId, NotFound, OpenRef, RequestKey, Shell, State};

/// A stream of a file, the same however it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The device.
    pub device: u64,
    /// The inode on it.
    pub inode: u64,
    /// The stream: zero for the unnamed one, else what the server derives from its name.
    pub stream: u64,
}

impl FileKey {
    /// The file whose stream this is: its unnamed stream.
    pub(crate) const fn base(self) -> Self {
        Self { stream: 0, ..self }
    }

    pub(crate) const fn is_named_stream(self) -> bool {
        self.stream != 0
    }
}

/// What an open is an open of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A file, directory or stream of the store.
    File(FileKey),
    /// A named pipe: shared by nobody, but administrators see it.
    Pipe(Arc<str>),
}

impl Target {
    /// The file's key.
    pub const fn file(&self) -> Option<FileKey> {
        match self {
            Self::File(key) => Some(*key),
            Self::Pipe(_) => None,
        }
    }
}

/// The part of a file that READ and WRITE look at without the registry's lock.
#[derive(Debug, Default)]
pub struct FileShared {
    lock_count: AtomicU32,
    cachers: AtomicU32,
}

impl FileShared {
    /// How many byte-range locks are held on it. Nobody needs to ask about locks while it is zero.
    pub fn lock_count(&self) -> u32 {
        self.lock_count.load(Relaxed)
    }

    /// How many oplocks and leases let somebody cache it.
    pub fn cachers(&self) -> u32 {
        self.cachers.load(Relaxed)
    }

    pub(crate) fn set_lock_count(&self, count: usize) {
        self.lock_count.store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }

    pub(crate) fn set_cachers(&self, count: usize) {
        self.cachers.store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct File {
    pub(crate) shared: Arc<FileShared>,
    pub(crate) opens: BTreeSet<FileGlobalId>,
    pub(crate) share_mode: ShareMode,
    /// The opens that hold an oplock (no lease).
    pub(crate) oplocks: BTreeSet<FileGlobalId>,
    /// The leases its opens are under, whatever their state.
    pub(crate) leases: BTreeSet<LeaseId>,
    /// How many of the leases are not in state none: derived.
    pub(crate) caching_leases: usize,
    pub(crate) ranges: Ranges,
    /// Requests that wait for breaks on it.
    pub(crate) waiting: Vec<RequestKey>,
}

/// A file at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// How many opens it has.
    pub opens: usize,
    /// A delete is pending: it goes with the last of them.
    pub delete_pending: bool,
    /// How many byte-range locks are held on it.
    pub locks: usize,
}

/// The access that takes part in sharing (MS-FSA 2.1.5.1.2): opens with none of it neither conflict
/// nor are conflicted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    reads: bool,
    writes: bool,
    deletes: bool,
    share: ShareAccess,
}

impl Sharing {
    pub(crate) fn of(access: AccessMask, share: ShareAccess) -> Self {
        Self {
            reads: access.intersects(AccessMask::READ_DATA | AccessMask::EXECUTE),
            writes: access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA),
            deletes: access.contains(AccessMask::DELETE),
            share,
        }
    }

    const fn counts(self) -> bool {
        self.reads || self.writes || self.deletes
    }

    /// Whether two opens of one file cannot be at the same time.
    pub(crate) const fn conflicts_with(self, other: Self) -> bool {
        self.counts() && other.counts() && (self.is_denied_by(other) || other.is_denied_by(self))
    }

    const fn is_denied_by(self, other: Self) -> bool {
        self.reads && !other.share.contains(ShareAccess::READ)
            || self.writes && !other.share.contains(ShareAccess::WRITE)
            || self.deletes && !other.share.contains(ShareAccess::DELETE)
    }
}

/// The share modes of all opens of a file as counts, so that admission does not look at each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShareMode {
    opens: u32,
    readers: u32,
    writers: u32,
    deleters: u32,
    share_read: u32,
    share_write: u32,
    share_delete: u32,
}

impl ShareMode {
    pub(crate) const fn conflicts_with(self, new: Sharing) -> bool {
        new.counts()
            && (new.reads && self.share_read < self.opens
                || new.writes && self.share_write < self.opens
                || new.deletes && self.share_delete < self.opens
                || self.readers > 0 && !new.share.contains(ShareAccess::READ)
                || self.writers > 0 && !new.share.contains(ShareAccess::WRITE)
                || self.deleters > 0 && !new.share.contains(ShareAccess::DELETE))
    }

    pub(crate) fn add(&mut self, sharing: Sharing) {
        self.each(sharing, |count| *count = count.saturating_add(1));
    }

    pub(crate) fn remove(&mut self, sharing: Sharing) {
        self.each(sharing, |count| *count = count.saturating_sub(1));
    }

    fn each(&mut self, sharing: Sharing, change: impl Fn(&mut u32)) {
        if !sharing.counts() {
            return;
        }
        change(&mut self.opens);
        for (applies, count) in [
            (sharing.reads, &mut self.readers),
            (sharing.writes, &mut self.writers),
            (sharing.deletes, &mut self.deleters),
            (sharing.share.contains(ShareAccess::READ), &mut self.share_read),
            (sharing.share.contains(ShareAccess::WRITE), &mut self.share_write),
            (sharing.share.contains(ShareAccess::DELETE), &mut self.share_delete),
        ] {
            if applies {
                change(count);
            }
        }
    }
}

impl<S: Shell> State<S> {
    /// The open of a named stream that keeps its file from being opened with this access: who may delete
    /// the file would delete the stream (MS-FSA 2.1.5.1.2).
    pub(crate) fn stream_conflict(&self, file: FileKey, access: AccessMask) -> Option<FileGlobalId> {
        if file.is_named_stream() || !access.contains(AccessMask::DELETE) {
            return None;
        }
        let all = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
        let wanted = Sharing::of(AccessMask::DELETE, all);
        let opens = self.streams_of(file).filter_map(|key| self.files.get(&key)).flat_map(|it| &it.opens);
        opens.copied().find(|id| self.opens.get(id).is_some_and(|open| open.sharing().conflicts_with(wanted)))
    }

    /// The named streams of a file that are open.
    pub(crate) fn streams_of(&self, file: FileKey) -> impl Iterator<Item = FileKey> {
        let last = FileKey { stream: u64::MAX, ..file };
        self.streams.range(file.base()..=last).copied()
    }

    pub(crate) fn enter_file(&mut self, key: FileKey) -> &mut File {
        if key.is_named_stream() {
            self.streams.insert(key);
        }
        self.files.entry(key).or_default()
    }

    /// Takes out what stood beside the opens of a file, the last of which is gone.
    pub(crate) fn leave_file(&mut self, key: FileKey) {
        self.files.remove(&key);
        self.streams.remove(&key);
    }

    /// The opens of a file and what follows from them; none if nobody has it open.
    pub fn file_summary(&self, file: FileKey) -> Option<FileSummary> {
        self.files.get(&file).map(|it| FileSummary {
            opens: it.opens.len(),
            delete_pending: self.deletions.contains_key(&file),
            locks: it.ranges.len(),
        })
    }

    /// The open of a file that keeps others from having `access` and leaving `share`, if there is one:
    /// what a rename over a file, a delete or a set-size by path must ask first.
    pub fn share_conflict(
        &self,
        file: FileKey,
        access: AccessMask,
        share: ShareAccess,
    ) -> Option<FileGlobalId> {
        let found = self.files.get(&file)?;
        let wanted = Sharing::of(access, share);
        if !found.share_mode.conflicts_with(wanted) {
            return None;
        }
        found
            .opens
            .iter()
            .find(|id| self.opens.get(id).is_some_and(|open| open.sharing().conflicts_with(wanted)))
            .copied()
    }

    /// Records that a file was renamed: every open of it by that name in that share shows the new path.
    /// Returns what the server attached to them.
    pub fn rename(&mut self, open: impl Into<OpenRef>, new_path: &str) -> Result<Vec<S::Open>, NotFound> {
        let id = self.open_global(open.into())?;
        let renamed = self.opens.get(&id).ok_or(NotFound)?;
        let key = renamed.target.file().ok_or(NotFound)?;
        let (share, old_path) = (renamed.share.clone(), renamed.path.clone());
        Ok(self.rename_link(key, share, &old_path, new_path))
    }

    /// As [`Self::rename`], for a rename whose own open has ended meanwhile.
    pub fn rename_by_path(&mut self, file: FileKey, share: &str, old: &str, new: &str) -> Vec<S::Open> {
        self.rename_link(file, ShareKey::new(share), &old.into(), new)
    }

    fn rename_link(&mut self, key: FileKey, share: ShareKey, old: &Arc<str>, new: &str) -> Vec<S::Open> {
        let path: Arc<str> = new.into();
        let ids: Vec<FileGlobalId> =
            self.files.get(&key).map_or(Vec::new(), |it| it.opens.iter().copied().collect());
        let mut moved = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(open) = self.opens.get_mut(&id)
                && open.share == share
                && open.path == *old
            {
                open.path = path.clone();
                moved.push(open.attached.clone());
            }
        }
        moved.extend(self.rename_deletes(key, &Link::new(share, old), &path));
        moved
    }

    /// The opens of what lies below a directory of a share: what stands in the way of its rename. Looks
    /// at every open.
    pub fn opens_below(&self, share: &str, directory: &str) -> Vec<FileGlobalId> {
        let share = ShareKey::new(share);
        self.opens
            .iter()
            .filter(|(_, open)| open.share == share && below(&open.path, directory).is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    /// Records that a directory was renamed: what is open below it shows its new path. Returns what the
    /// server attached to those opens.
    pub fn rename_below(&mut self, share: &str, old: &str, new: &str) -> Vec<S::Open> {
        let mut moved = Vec::new();
        for id in self.opens_below(share, old) {
            if let Some(open) = self.opens.get_mut(&id)
                && let Some(rest) = below(&open.path, old)
            {
                open.path = format!("{new}\\{rest}").into();
                moved.push(open.attached.clone());
            }
        }
        moved
    }

    pub(crate) fn file_of(&self, open: OpenRef) -> Result<FileKey, NotFound> {
        let id = self.open_global(open)?;
        self.opens.get(&id).and_then(|open| open.target.file()).ok_or(NotFound)
    }
}

impl<S: Shell> crate::open::Open<S> {
    pub(crate) fn sharing(&self) -> Sharing {
        Sharing::of(self.access, self.share_access)
    }
}

/// What of `path` lies below `directory` (empty for the share's root), compared without regard to case.
pub(crate) fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    if directory.is_empty() {
        return (!path.is_empty()).then_some(path);
    }
    let (head, rest) = path.split_at_checked(directory.len())?;
    let rest = rest.strip_prefix('\\')?;
    (!rest.is_empty() && head.to_lowercase() == directory.to_lowercase()).then_some(rest)
}
