//! The effects of an open on its file's times, beyond those of the file system itself (MS-FSA 2.1.4.17 and 2.1.5.15.2):
//! times that a client sets or freezes stay the same regardless of that open's changes, until another open or a local
//! program changes the file.
//!
//! LastWriteTime changes with every write, at once and for all opens, as in the file system and in Windows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use registry::FileKey;
use vfs::{Handle, SetTimes, Stat};
use wire::FileTime;

use crate::core::open::OpenFile;
use crate::core::parted::Parted;

/// The changes of each open file, shared by its opens.
#[derive(Default)]
pub(crate) struct WriteTimes(Parted<Table>);

#[derive(Default)]
struct Table {
    files: HashMap<FileKey, Weak<Writes>>,
    /// The number of entries at which those of closed files are searched for.
    sweep_at: usize,
}

impl WriteTimes {
    /// The changes of a file, for one of its opens.
    pub(crate) fn of(&self, file: FileKey) -> Arc<Writes> {
        // A stream has the LastWriteTime of its file.
        let file = FileKey { stream: 0, ..file };
        let mut table = self.0.part(file.inode ^ file.device);
        if let Some(writes) = table.files.get(&file).and_then(Weak::upgrade) {
            return writes;
        }
        if table.files.len() >= table.sweep_at {
            table.files.retain(|_, writes| writes.strong_count() != 0);
            table.sweep_at = SWEEP_MIN.max(table.files.len().saturating_mul(2));
        }
        let writes = Arc::default();
        table.files.insert(file, Arc::downgrade(&writes));
        writes
    }
}

/// The number of entries of a part below which those of closed files are not searched for.
const SWEEP_MIN: usize = 64;

/// The changes of a file by clients, shared by all opens of the file: those that move LastWriteTime, and those that
/// keep it. A change of the second kind restores the previous time, or the one that a change of the first kind has set
/// since, unless a change of the first kind was under way at the same time.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// The number of changes that move the time and have begun; `ended` is the number of those that have also ended.
    begun: AtomicU64,
    ended: AtomicU64,
    /// There are changes under way that are to leave the time.
    is_left: AtomicBool,
    leaving: Mutex<Leaving>,
}

/// The changes under way that keep LastWriteTime.
#[derive(Debug, Default)]
struct Leaving {
    /// The number of these changes.
    count: usize,
    /// The LastWriteTime that they keep, and `begun`; `None` if another change moves the time.
    before: Option<(FileTime, u64)>,
}

impl Writes {
    fn begin_moving(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends a change that has set the time, or has moved it to whatever the file has now.
    fn end_moving(&self, handle: &dyn Handle, set: Option<FileTime>) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        if self.is_left.load(Ordering::SeqCst) {
            // They may be under way for ever, each beside the next.
            let mut leaving = self.leaving();
            if leaving.count != 0 {
                leaving.before = self.undisturbed(handle, set);
            }
        }
    }

    fn begin_leaving(&self, handle: &dyn Handle) {
        let mut leaving = self.leaving();
        if leaving.count == 0 {
            self.is_left.store(true, Ordering::SeqCst);
            leaving.before = self.undisturbed(handle, None);
        }
        leaving.count = leaving.count.saturating_add(1);
    }

    /// The time that was set, or else the file's, while nothing else moves it.
    fn undisturbed(&self, handle: &dyn Handle, set: Option<FileTime>) -> Option<(FileTime, u64)> {
        // In this order: one that ends meanwhile counts as being under way.
        let ended = self.ended.load(Ordering::SeqCst);
        let begun = self.begun.load(Ordering::SeqCst);
        let time = set.or_else(|| Some(handle.stat().ok()?.modified));
        time.filter(|_| begun == ended).map(|time| (time, begun))
    }

    fn end_leaving(&self, handle: &dyn Handle) {
        let mut leaving = self.leaving();
        let is_alone = |begun| self.begun.load(Ordering::SeqCst) == begun;
        if let Some((modified, begun)) = leaving.before.filter(|(_, begun)| is_alone(*begun)) {
            let moved = handle.stat().is_ok_and(|stat| stat.modified != modified);
            if moved {
                put(handle, modified);
            }
            if moved && !is_alone(begun) {
                // The time that was overwritten may be the time of that change, which has just happened.
                put(handle, now());
            }
        }
        leaving.count = leaving.count.saturating_sub(1);
        if leaving.count == 0 {
            self.is_left.store(false, Ordering::SeqCst);
        }
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock()
    }
}

/// The effect of a kind of change on its file's LastWriteTime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// The change moves the time, unless the open keeps it.
    Unless,
    /// The change keeps the time, even if the file system moves it.
    Never,
    /// The change keeps the time, and so does the file system: only the times that an open keeps matter.
    Nothing,
}

/// A change of a file that is under way through an open. It ends, done or failed, when this is dropped.
pub(crate) struct Change<'a> {
    file: &'a OpenFile,
    moves: bool,
    leaves: bool,
    /// True if the open kept times when the change began.
    keeps: bool,
}

impl<'a> Change<'a> {
    /// Begins a change.
    pub(crate) fn begin(file: &'a OpenFile, moves: Moves) -> Self {
        let keeps = file.keeps_times();
        let keeps_modified = keeps && file.state().times.begin_change(&*file.handle);
        let leaves = keeps_modified || moves == Moves::Never;
        let moves = moves == Moves::Unless && !leaves;
        if leaves {
            file.writes.begin_leaving(&*file.handle);
        }
        if moves {
            file.writes.begin_moving();
        }
        Self { file, moves, leaves, keeps }
    }

    /// Ends the change.
    pub(crate) fn done(self) {}
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let (file, handle) = (self.file, &*self.file.handle);
        if self.moves {
            file.writes.end_moving(handle, None);
        }
        if self.leaves {
            file.writes.end_leaving(handle);
        }
        if file.keeps_times() {
            file.state().times.end_change(handle, self.keeps);
        }
    }
}

/// The times that one open of a file keeps.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// `Open.UserSetModificationTime`: true if this open's changes keep LastWriteTime.
    keeps_modified: bool,
    /// `Open.UserSetChangeTime`: the time that this open's changes keep.
    changed: Option<FileTime>,
    /// The number of this open's changes under way.
    under_way: usize,
    /// The history of ChangeTime since this open keeps it: changes by others are not undone.
    since: Since,
}

/// The history of a file's ChangeTime since an open keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since {
    /// ChangeTime after the open's own last change.
    left: Option<FileTime>,
    /// True if another open or program was seen to have moved it.
    by_others: bool,
}

/// The request of a client for one of the times (MS-FSCC 2.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeWish {
    /// 0: no change.
    Leave,
    /// -1: this open's changes keep the time from now on.
    Freeze,
    /// -2: this open's changes move the time again.
    Thaw,
    /// The time is set to this value, and this open's changes keep it from now on.
    Set(FileTime),
}

impl TimeWish {
    /// The time to set now; `None` if it is not set.
    pub(crate) fn time(self) -> Option<FileTime> {
        match self {
            Self::Set(time) => Some(time),
            Self::Leave | Self::Freeze | Self::Thaw => None,
        }
    }

    fn apply(self, kept: Option<FileTime>, now: FileTime) -> Option<FileTime> {
        match self {
            Self::Leave => kept,
            Self::Freeze => Some(now),
            Self::Thaw => None,
            Self::Set(time) => Some(time),
        }
    }
}

impl Times {
    /// The metadata that this open shows.
    pub(crate) fn shown(&self, mut stat: Stat) -> Stat {
        stat.changed = self.changed.unwrap_or(stat.changed);
        stat
    }

    /// Examines the file before the open changes it, if the open keeps times. Returns true if it keeps LastWriteTime.
    fn begin_change(&mut self, handle: &dyn Handle) -> bool {
        if let Some(left) = self.since.left
            && self.under_way == 0
        {
            // If this cannot be distinguished from others' changes, the time stays.
            self.since.by_others |= handle.stat().map_or(true, |stat| stat.changed != left);
        }
        self.under_way = self.under_way.saturating_add(1);
        self.keeps_modified
    }

    /// Examines the file after the open has changed it. `had_begun` is true if the open kept times before the change.
    fn end_change(&mut self, handle: &dyn Handle, had_begun: bool) {
        self.under_way = self.under_way.saturating_sub(had_begun.into());
        if self.under_way == 0 && self.keeps_any() {
            self.since.left = handle.stat().ok().map(|stat| stat.changed);
        }
    }

    /// Records the request of a client for the times, which has been executed; `stat` is the state before. Returns true
    /// if the open now keeps a time.
    fn set(&mut self, modified: TimeWish, changed: TimeWish, stat: &Stat) -> bool {
        let kept = Some(stat.modified).filter(|_| self.keeps_modified);
        self.keeps_modified = modified.apply(kept, stat.modified).is_some();
        self.changed = changed.apply(self.changed, stat.changed);
        self.since = Since::default();
        self.keeps_any()
    }

    /// Restores the file's ChangeTime when the open ends. Fails if a time that the client has set cannot be restored.
    pub(crate) fn finish(&mut self, handle: &dyn Handle) -> vfs::Result<()> {
        self.keeps_modified = false;
        let since = std::mem::take(&mut self.since);
        let Some(time) = self.changed.take() else { return Ok(()) };
        let stat = handle.stat()?;
        if time == stat.changed || since.left != Some(stat.changed) || since.by_others {
            return Ok(());
        }
        handle.set_times(SetTimes { changed: Some(time), ..SetTimes::default() })
    }

    fn keeps_any(&self) -> bool {
        self.keeps_modified || self.changed.is_some()
    }
}

/// Sets times of a file for a client, and records the times that the open is to keep.
pub(crate) fn set(
    file: &OpenFile,
    times: SetTimes,
    (modified, changed): (TimeWish, TimeWish),
    stat: &Stat,
) -> vfs::Result<()> {
    if times != SetTimes::default() {
        // Changes of others that are under way must not restore the previous time.
        let moves = times.modified.is_some();
        if moves {
            file.writes.begin_moving();
        }
        let set = file.handle.set_times(times);
        if moves {
            file.writes.end_moving(&*file.handle, times.modified.filter(|_| set.is_ok()));
        }
        set?;
    }
    if file.state().times.set(modified, changed, stat) {
        file.set_keeps_times();
    }
    Ok(())
}

fn now() -> FileTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    FileTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

fn put(handle: &dyn Handle, modified: FileTime) {
    match handle.set_times(SetTimes { modified: Some(modified), ..SetTimes::default() }) {
        Ok(()) => {}
        // The server's user may write the file but does not own it, so only the kernel's times are possible.
        Err(vfs::Error::AccessDenied) => tracing::debug!(
            "cannot set a file's times, since another user owns it; they stay as the file system set them"
        ),
        Err(error) => {
            tracing::warn!(%error, "cannot set a file's times; they stay as the file system set them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use vfs::{Actor, Backend, MemBackend, RelativePath, Wanted};
    use wire::FileAttributes;

    const LONG_AGO: FileTime = FileTime(131_000_000_000_000_000);

    fn file() -> Arc<dyn Handle> {
        let path = RelativePath::new("f").unwrap();
        let made = MemBackend::new()
            .create_file(&Actor::Process, &path, FileAttributes::NONE, Wanted::BOTH)
            .unwrap();
        made.handle.set_times(SetTimes { modified: Some(LONG_AGO), ..SetTimes::default() }).unwrap();
        made.handle
    }

    /// Opens a file.
    fn open(table: &WriteTimes, handle: &Arc<dyn Handle>) -> OpenFile {
        let key = FileKey { device: 1, inode: 1, stream: 0 };
        OpenFile::new(Arc::clone(handle), RelativePath::root(), false, 0, table.of(key))
    }

    fn keep(file: &OpenFile, modified: TimeWish, changed: TimeWish) {
        let times = SetTimes { modified: modified.time(), changed: changed.time(), ..SetTimes::default() };
        let stat = file.stat().unwrap();
        set(file, times, (modified, changed), &stat).unwrap();
    }

    fn write(file: &OpenFile) {
        let change = Change::begin(file, Moves::Unless);
        file.handle.write_at(b"x", 0).unwrap();
        change.done();
    }

    fn modified(file: &OpenFile) -> FileTime {
        file.stat().unwrap().modified
    }

    fn finish(file: &OpenFile) {
        file.finish_times();
        assert_eq!(file.state().late, None);
    }

    #[test]
    fn write_changes_last_write_time_at_once() {
        let (handle, table) = (file(), WriteTimes::default());
        let (writer, reader) = (open(&table, &handle), open(&table, &handle));
        write(&writer);
        let written = modified(&writer);
        assert_ne!(written, LONG_AGO);
        for file in [&writer, &reader] {
            assert_eq!(modified(file), written);
            finish(file);
        }
        assert_eq!(modified(&open(&table, &handle)), written, "a close does not move the time");
        let key = |inode, stream| FileKey { device: 1, inode, stream };
        assert!(Arc::ptr_eq(&table.of(key(1, 7)), &writer.writes), "a stream has the times of its file");
        drop((writer, reader));
        for inode in 0..1000 {
            let _ = table.of(key(inode, 0));
        }
        assert!(table.0.each().all(|part| part.files.len() <= SWEEP_MIN));
    }

    #[test]
    fn set_time_stays_until_another_open_writes() {
        let (handle, table) = (file(), WriteTimes::default());
        let (keeper, writer) = (open(&table, &handle), open(&table, &handle));
        keep(&keeper, TimeWish::Set(LONG_AGO), TimeWish::Leave);
        write(&keeper);
        assert_eq!(modified(&writer), LONG_AGO, "others see it, too");
        write(&writer);
        let written = modified(&writer);
        assert!(written != LONG_AGO && modified(&keeper) == written);
        write(&keeper);
        finish(&keeper);
        assert_eq!(modified(&writer), written);
    }

    /// An open that keeps the time does not undo another's change, in any order of their begins and ends.
    #[test]
    fn concurrent_change_of_another_open_is_not_undone() {
        type Begin = for<'a> fn(&'a OpenFile) -> Change<'a>;
        let kept: Begin = |file| Change::begin(file, Moves::Unless);
        let allocates: Begin = |file| Change::begin(file, Moves::Never);
        // The order of the keeper's begin and end (k, K) and the writer's (w, W). The writer writes right before its
        // end or in the middle.
        for (leaves, keeps_time) in [(kept, true), (allocates, false)] {
            for (order, stays) in [
                ("kKwW", false),
                ("wWkK", false),
                ("kwWK", false),
                ("wkKW", false),
                ("kwKW", false),
                ("wkWK", false),
                ("kK", true),
                ("kKkK", true),
            ] {
                let (handle, table) = (file(), WriteTimes::default());
                let (keeper, writer) = (open(&table, &handle), open(&table, &handle));
                if keeps_time {
                    keep(&keeper, TimeWish::Set(LONG_AGO), TimeWish::Leave);
                }
                let (mut keeps, mut writes) = (None, None);
                for step in order.chars() {
                    match step {
                        'k' => keeps = Some(leaves(&keeper)),
                        'w' => writes = Some(Change::begin(&writer, Moves::Unless)),
                        'K' => drop((keeper.handle.write_at(b"k", 0).unwrap(), keeps.take())),
                        _ => drop(writes.take()),
                    }
                    if step != 'k' && writes.is_some() {
                        handle.write_at(b"w", 0).unwrap();
                    }
                }
                assert_eq!(modified(&writer) == LONG_AGO, stays, "{order}");
            }
        }
    }

    #[test]
    fn concurrent_changes_that_keep_the_time_keep_it() {
        let (handle, table) = (file(), WriteTimes::default());
        let (one, other) = (open(&table, &handle), open(&table, &handle));
        for keeper in [&one, &other] {
            keep(keeper, TimeWish::Freeze, TimeWish::Leave);
        }
        let first = Change::begin(&one, Moves::Unless);
        handle.write_at(b"1", 0).unwrap();
        let second = Change::begin(&other, Moves::Unless);
        first.done();
        handle.write_at(b"2", 0).unwrap();
        second.done();
        assert_eq!(modified(&one), LONG_AGO);
    }

    #[test]
    fn set_time_is_not_undone_by_changes_under_way() {
        let (handle, table) = (file(), WriteTimes::default());
        let (keeper, other) = (open(&table, &handle), open(&table, &handle));
        keep(&keeper, TimeWish::Freeze, TimeWish::Leave);
        let change = Change::begin(&keeper, Moves::Unless);
        let set = FileTime(LONG_AGO.0 + 10_000_000);
        keep(&other, TimeWish::Set(set), TimeWish::Leave);
        change.done();
        assert_eq!(modified(&keeper), set);
    }

    /// Begins a change and ends the one before.
    fn begin_next<'a>(file: &'a OpenFile, under_way: &mut Change<'a>) {
        let next = Change::begin(file, Moves::Unless);
        file.handle.write_at(b"x", 0).unwrap();
        drop(std::mem::replace(under_way, next));
    }

    /// Changes that leave the time may overlap for ever: each begins before the last one ends.
    #[test]
    fn a_time_is_kept_that_was_set_between_changes_that_overlap() {
        for writes_before in [false, true] {
            let (handle, table) = (file(), WriteTimes::default());
            let keeper = open(&table, &handle);
            let set = FileTime(LONG_AGO.0 + 10_000_000);
            if !writes_before {
                keep(&keeper, TimeWish::Freeze, TimeWish::Leave);
            }
            let mut under_way = Change::begin(&keeper, Moves::Unless);
            if writes_before {
                // One that moves the time is under way when the first begins that leaves it.
                keep(&keeper, TimeWish::Freeze, TimeWish::Leave);
                begin_next(&keeper, &mut under_way);
                begin_next(&keeper, &mut under_way);
            }
            keep(&keeper, TimeWish::Set(set), TimeWish::Leave);
            for _ in 0..3 {
                begin_next(&keeper, &mut under_way);
                assert_eq!(modified(&keeper), set, "{writes_before}");
            }
            under_way.done();
            assert_eq!(modified(&keeper), set);
        }
    }

    #[test]
    fn set_and_frozen_times_stay() {
        let (handle, table) = (file(), WriteTimes::default());
        let file = open(&table, &handle);
        for wish in [TimeWish::Freeze, TimeWish::Set(LONG_AGO), TimeWish::Leave] {
            keep(&file, wish, wish);
            write(&file);
            assert_eq!(modified(&file), LONG_AGO);
        }
        finish(&file);
        let stat = handle.stat().unwrap();
        assert_eq!((stat.modified, stat.changed), (LONG_AGO, LONG_AGO));
        keep(&file, TimeWish::Freeze, TimeWish::Freeze);
        keep(&file, TimeWish::Thaw, TimeWish::Thaw);
        write(&file);
        finish(&file);
        assert_ne!(handle.stat().unwrap().modified, LONG_AGO);
    }

    #[test]
    fn close_undoes_only_time_changes_of_its_own_open() {
        type Doing = fn(&OpenFile, &OpenFile);
        let own: Doing = |keeper, _| write(keeper);
        let beside: Doing = |keeper, _| {
            let changes = [Change::begin(keeper, Moves::Unless), Change::begin(keeper, Moves::Nothing)];
            keeper.handle.write_at(b"x", 0).unwrap();
            drop(changes);
        };
        let other: Doing = |_, other| write(other);
        let local: Doing = |_, other| assert_eq!(other.handle.write_at(b"x", 0).unwrap(), 1);
        for (doings, stays) in [
            (&[own][..], true),
            (&[own, own], true),
            (&[own, beside, own], true),
            (&[other], false),
            (&[local], false),
            (&[own, other], false),
            (&[own, local], false),
            (&[other, own], false),
            (&[own, other, own], false),
            (&[own, other, own, own], false),
            (&[own, local, own, own], false),
        ] {
            let (handle, table) = (file(), WriteTimes::default());
            let (keeper, writer) = (open(&table, &handle), open(&table, &handle));
            let change = Change::begin(&keeper, Moves::Nothing);
            keep(&keeper, TimeWish::Set(LONG_AGO), TimeWish::Leave);
            change.done();
            for doing in doings {
                doing(&keeper, &writer);
                // Two changes within one tick of the clock cannot be distinguished.
                while now().0 <= handle.stat().unwrap().modified.0 {
                    std::hint::spin_loop();
                }
            }
            finish(&keeper);
            assert_eq!(handle.stat().unwrap().modified == LONG_AGO, stays, "{} doings", doings.len());
        }
    }

    #[test]
    fn close_keeps_a_change_time_that_others_moved() {
        let (handle, table) = (file(), WriteTimes::default());
        let file = open(&table, &handle);
        keep(&file, TimeWish::Leave, TimeWish::Set(LONG_AGO));
        write(&file);
        handle.set_xattr("x", b"x").unwrap();
        finish(&file);
        assert_ne!(handle.stat().unwrap().changed, LONG_AGO);
    }
}
