//! Files: the entry of a stream that is open (MS-FSA 2.1.1.5), with the share modes of its opens, byte-range locks,
//! caching and waiting requests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use wire::{AccessMask, FileGlobalId, Guid, ShareAccess};

use crate::admit::is_stat_open;
use crate::caching::{Caching, Holder};
use crate::few::FewSet;
use crate::ids::MixHash;
use crate::open::Open;
use crate::parts::PartedMap;
use crate::ranges::Ranges;
use crate::{LeaseId, NotFound, OpenRef, RequestKey, Shell, State, cost};

/// The key of a stream of a file, equal by every link and share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The device.
    pub device: u64,
    /// The inode number on the device.
    pub inode: u64,
    /// The stream: zero for the unnamed one, otherwise a number that the server derives from the stream's name.
    pub stream: u64,
}

impl FileKey {
    pub(crate) const MIN: Self = Self { device: 0, inode: 0, stream: 0 };
    pub(crate) const MAX: Self = Self { device: u64::MAX, inode: u64::MAX, stream: u64::MAX };

    /// The key of the file that the stream belongs to, which is its unnamed stream.
    pub(crate) const fn base(self) -> Self {
        Self { stream: 0, ..self }
    }

    pub(crate) const fn is_named_stream(self) -> bool {
        self.stream != 0
    }
}

/// The object of an open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpenTarget {
    /// A file, directory or stream of the store.
    File(FileKey),
    /// A named pipe. It has no share modes, but administrators see its opens.
    Pipe(Arc<str>),
}

impl OpenTarget {
    /// The file's key.
    pub const fn file(&self) -> Option<FileKey> {
        match self {
            Self::File(key) => Some(*key),
            Self::Pipe(_) => None,
        }
    }
}

/// The part of a file that READ and WRITE use without the registry's lock.
#[derive(Debug, Default)]
pub struct FileShared {
    lock_count: AtomicU32,
    cachers: AtomicU32,
}

impl FileShared {
    /// The number of byte-range locks that are held on the file. While it is zero, READ and WRITE need not check locks.
    pub fn lock_count(&self) -> u32 {
        self.lock_count.load(Relaxed)
    }

    /// The number of oplocks and leases under which the file is cached.
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

/// The files that are open. They are boxed, because a hash table that has just grown is half empty.
pub(crate) type Files = PartedMap<FileKey, Box<File>, MixHash>;

#[derive(Default)]
pub(crate) struct File {
    pub(crate) shared: Arc<FileShared>,
    pub(crate) opens: FewSet<FileGlobalId>,
    pub(crate) share_mode: ShareMode,
    /// The opens that hold an oplock; leases are not included.
    pub(crate) oplocks: FewSet<FileGlobalId>,
    /// The leases of its opens, in any state.
    pub(crate) leases: FewSet<LeaseId>,
    /// The oplocks, and the leases with a state other than none: derived.
    pub(crate) caching: FewSet<Holder>,
    /// The opens that take part in sharing, by kind of sharing, to find one that conflicts with a new open.
    sharing: BTreeSet<(u8, FileGlobalId)>,
    /// The persistent opens that wait for their clients.
    pub(crate) awaited: BTreeSet<FileGlobalId>,
    /// The opens by instances of applications.
    instances: BTreeSet<(Guid, FileGlobalId)>,
    /// The number of opens that do not allow others to cache writes: derived.
    deny_write_caching: usize,
    pub(crate) ranges: Ranges,
    /// The requests that wait for breaks on the file, in the order in which they began to wait.
    pub(crate) waiting: BTreeSet<(u64, RequestKey)>,
}

/// A file at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// The number of its opens.
    pub opens: usize,
    /// A delete is pending: the file is removed with its last open.
    pub delete_pending: bool,
    /// The number of byte-range locks that are held on it.
    pub locks: usize,
}

/// The access that takes part in sharing (MS-FSA 2.1.5.1.2). An open without such access conflicts with no other.
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

    /// The number of this kind of sharing, which encodes all of its fields.
    fn kind(self) -> u8 {
        let bits = [
            self.reads,
            self.writes,
            self.deletes,
            self.share.contains(ShareAccess::READ),
            self.share.contains(ShareAccess::WRITE),
            self.share.contains(ShareAccess::DELETE),
        ];
        bits.into_iter().fold(0, |number, bit| number << 1 | u8::from(bit))
    }

    fn of_kind(kind: u8) -> Self {
        let bit = |place: u8| kind >> place & 1 != 0;
        let shares = |place, what| if bit(place) { what } else { ShareAccess::NONE };
        let share =
            shares(2, ShareAccess::READ) | shares(1, ShareAccess::WRITE) | shares(0, ShareAccess::DELETE);
        Self { reads: bit(5), writes: bit(4), deletes: bit(3), share }
    }

    const fn counts(self) -> bool {
        self.reads || self.writes || self.deletes
    }

    /// True if the two opens cannot exist at the same time.
    pub(crate) const fn conflicts_with(self, other: Self) -> bool {
        self.counts() && other.counts() && (self.is_denied_by(other) || other.is_denied_by(self))
    }

    const fn is_denied_by(self, other: Self) -> bool {
        self.reads && !other.share.contains(ShareAccess::READ)
            || self.writes && !other.share.contains(ShareAccess::WRITE)
            || self.deletes && !other.share.contains(ShareAccess::DELETE)
    }
}

/// The share modes of all opens of a file as counts, so that an admission need not examine each open.
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

impl File {
    /// An open that does not allow another of this kind.
    pub(crate) fn blocker(&self, wanted: Sharing) -> Option<FileGlobalId> {
        if !self.share_mode.conflicts_with(wanted) {
            return None;
        }
        let mut next = self.sharing.first().copied();
        while let Some((kind, id)) = next {
            cost::step();
            if Sharing::of_kind(kind).conflicts_with(wanted) {
                return Some(id);
            }
            next = self.sharing.range((kind.saturating_add(1), FileGlobalId::MIN)..).next().copied();
        }
        None
    }

    /// The opens by instances of this application.
    pub(crate) fn instances(&self, application: Guid) -> impl Iterator<Item = FileGlobalId> {
        let all = (application, FileGlobalId::MIN)..=(application, FileGlobalId::MAX);
        self.instances.range(all).map(|(_, id)| *id)
    }

    /// True if exactly these opens are counted and indexed. Used by tests.
    pub(crate) fn knows<'a, S: Shell>(
        &self,
        opens: impl Iterator<Item = (FileGlobalId, &'a Open<S>)>,
    ) -> bool {
        let mut expected = Self::default();
        opens.for_each(|(id, open)| expected.enter(id, open));
        let counts = |file: &Self| (file.share_mode, file.deny_write_caching);
        let sets = |file: &Self| (file.opens.clone(), file.sharing.clone(), file.instances.clone());
        counts(self) == counts(&expected) && sets(self) == sets(&expected)
    }

    /// The number of opens that do not allow others to cache writes.
    pub(crate) fn deny_write_caching(&self) -> usize {
        self.deny_write_caching
    }

    pub(crate) fn enter<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        self.opens.insert(id);
        self.share_mode.add(open.sharing());
        if open.sharing().counts() {
            self.sharing.insert((open.sharing().kind(), id));
        }
        if let Some(instance) = open.app_instance {
            self.instances.insert((instance.id, id));
        }
        self.count_denial(open.denies_write_caching(), true);
    }

    pub(crate) fn leave<S: Shell>(&mut self, id: FileGlobalId, open: &Open<S>) {
        self.opens.remove(&id);
        self.awaited.remove(&id);
        self.share_mode.remove(open.sharing());
        self.sharing.remove(&(open.sharing().kind(), id));
        if let Some(instance) = open.app_instance {
            self.instances.remove(&(instance.id, id));
        }
        self.count_denial(open.denies_write_caching(), false);
    }

    pub(crate) fn refresh_cachers(&self) {
        self.shared.set_cachers(self.caching.len());
    }

    pub(crate) fn count_denial(&mut self, denies: bool, more: bool) {
        let (count, by) = (self.deny_write_caching, usize::from(denies));
        self.deny_write_caching = if more { count.saturating_add(by) } else { count.saturating_sub(by) };
    }
}

impl<S: Shell> State<S> {
    /// The open of a named stream that does not allow its file to be opened with this access: a delete of the file
    /// would delete the stream (MS-FSA 2.1.5.1.2).
    pub(crate) fn stream_conflict(&self, file: FileKey, access: AccessMask) -> Option<FileGlobalId> {
        if file.is_named_stream() || !access.contains(AccessMask::DELETE) {
            return None;
        }
        let all = ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE;
        let wanted = Sharing::of(AccessMask::DELETE, all);
        self.streams_of(file).filter_map(|key| self.files.get(&key)).find_map(|it| it.blocker(wanted))
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
        self.files.get_or_insert_with(key, Box::default)
    }

    /// Removes the entry of a file whose last open has ended.
    pub(crate) fn leave_file(&mut self, key: FileKey) {
        self.files.remove(&key);
        self.streams.remove(&key);
    }

    /// A summary of the opens of a file; `None` if it is not open.
    pub fn file_summary(&self, file: FileKey) -> Option<FileSummary> {
        self.files.get(&file).map(|it| FileSummary {
            opens: it.opens.len(),
            delete_pending: self.deletions.contains_key(&file),
            locks: it.ranges.len(),
        })
    }

    /// The open of a file that does not allow another with `access` and `share`; `None` if there is no such open. A
    /// rename over a file, a delete and a set-size by path check this first.
    pub fn share_conflict(
        &self,
        file: FileKey,
        access: AccessMask,
        share: ShareAccess,
    ) -> Option<FileGlobalId> {
        let found = self.files.get(&file)?;
        found.blocker(Sharing::of(access, share))
    }

    pub(crate) fn file_of(&self, open: OpenRef) -> Result<FileKey, NotFound> {
        let id = self.open_global(open)?;
        self.opens.get(&id).and_then(|open| open.target.file()).ok_or(NotFound)
    }
}

impl<S: Shell> Open<S> {
    pub(crate) fn sharing(&self) -> Sharing {
        Sharing::of(self.access, self.share_access)
    }

    /// True if no other open may cache writes while this one exists.
    pub(crate) fn denies_write_caching(&self) -> bool {
        self.caching != Caching::None || !is_stat_open(self.access)
    }
}
