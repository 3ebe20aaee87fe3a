//! What an open does to its file's times beyond what the file system does by itself (MS-FSA 2.1.4.17 and
//! 2.1.5.15.2): times that a client sets or freezes stay as they are whatever that open does, until another open or
//! somebody else changes the file.
//!
//! LastWriteTime moves with every write, for everybody at once: as the file system has it, and Windows too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use registry::FileKey;
use vfs::{Handle, SetTimes, Stat};
use wire::FileTime;

use crate::core::open::OpenFile;

/// The changes of each open file that its opens have to know of.
#[derive(Default)]
pub(crate) struct WriteTimes(Mutex<Table>);

#[derive(Default)]
struct Table {
    files: HashMap<FileKey, Weak<Writes>>,
    /// How many entries there are before those of closed files are looked for.
    sweep_at: usize,
}

impl WriteTimes {
    /// The changes of a file, for an open of it.
    pub(crate) fn of(&self, file: FileKey) -> Arc<Writes> {
        // A stream's LastWriteTime is its file's.
        let file = FileKey { stream: 0, ..file };
        let mut table = self.0.lock();
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

/// Entries that are too few to look for those of closed files among them.
const SWEEP_MIN: usize = 64;

/// The changes of a file that clients make, the same for all opens of the file: those that move LastWriteTime, and those
/// that are to leave it. A change of the second kind brings the time back to what it was before, unless one of the first
/// kind was under way beside it.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// The numbers of changes that move the time: those that have begun, and those of them that have ended.
    begun: AtomicU64,
    ended: AtomicU64,
    leaving: Mutex<Leaving>,
}

/// The changes under way that are to leave LastWriteTime.
#[derive(Debug, Default)]
struct Leaving {
    /// The number of them.
    count: usize,
    /// LastWriteTime before the first of them, and `begun`; none where something else moves it.
    before: Option<(FileTime, u64)>,
}

impl Writes {
    fn begin_moving(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    fn end_moving(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    fn begin_leaving(&self, handle: &dyn Handle) {
        let mut leaving = self.leaving();
        if leaving.count == 0 {
            // In this order: one that ends meanwhile counts as being under way.
            let ended = self.ended.load(Ordering::SeqCst);
            let begun = self.begun.load(Ordering::SeqCst);
            let stat = handle.stat().ok().filter(|_| begun == ended);
            leaving.before = stat.map(|stat| (stat.modified, begun));
        }
        leaving.count = leaving.count.saturating_add(1);
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
                // What was taken back may be that one's doing, which was just now.
                put(handle, now());
            }
        }
        leaving.count = leaving.count.saturating_sub(1);
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock()
    }
}

/// The effect of a change on its file's LastWriteTime, by its nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// It moves the time, but for an open that keeps it.
    Unless,
    /// It leaves the time, whatever the file system thinks of it.
    Never,
    /// It leaves the time, and so does the file system: only what an open keeps is of interest.
    Nothing,
}

/// A change of a file that is under way through an open. When this is dropped the change is done, or has failed.
pub(crate) struct Change<'a> {
    file: &'a OpenFile,
    moves: bool,
    leaves: bool,
    /// The open kept times when the change began.
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
            file.writes.end_moving();
        }
        if self.leaves {
            file.writes.end_leaving(handle);
        }
        if file.keeps_times() {
            file.state().times.end_change(handle, self.keeps);
        }
    }
}

/// The times of a file as one open has them.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// `Open.UserSetModificationTime`: whether this open's changes leave LastWriteTime.
    keeps_modified: bool,
    /// `Open.UserSetChangeTime`: the time that this open's changes leave.
    changed: Option<FileTime>,
    /// The number of the open's own changes under way.
    under_way: usize,
    /// What has become of ChangeTime since this open keeps it: what others do to it is not this open's to undo.
    since: Since,
}

/// What has become of a file since an open keeps its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since {
    /// ChangeTime as the open's own last change has left it.
    left: Option<FileTime>,
    /// Whether somebody else was seen to have moved it.
    by_others: bool,
}

/// What a client asks of one time (MS-FSCC 2.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeWish {
    /// 0: nothing.
    Leave,
    /// -1: this open's doings leave it from now on.
    Freeze,
    /// -2: they move it again.
    Thaw,
    /// This time, and that they leave it from now on.
    Set(FileTime),
}

impl TimeWish {
    /// The time to set now.
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
    /// The metadata as this open shows it.
    pub(crate) fn shown(&self, mut stat: Stat) -> Stat {
        stat.changed = self.changed.unwrap_or(stat.changed);
        stat
    }

    /// Looks at the file before the open changes it itself, where it keeps times. Says whether it keeps LastWriteTime.
    fn begin_change(&mut self, handle: &dyn Handle) -> bool {
        if let Some(left) = self.since.left
            && self.under_way == 0
        {
            // What cannot be told from others' changes stays.
            self.since.by_others |= handle.stat().map_or(true, |stat| stat.changed != left);
        }
        self.under_way = self.under_way.saturating_add(1);
        self.keeps_modified
    }

    /// Looks at the file after the open has changed it itself. Whether it kept times before, `had_begun` says.
    fn end_change(&mut self, handle: &dyn Handle, had_begun: bool) {
        self.under_way = self.under_way.saturating_sub(had_begun.into());
        if self.under_way == 0 && self.keeps_any() {
            self.since.left = handle.stat().ok().map(|stat| stat.changed);
        }
    }

    /// Takes in what a client asks of the times, which is done; `stat` is how they were. Says whether the open keeps
    /// any.
    fn set(&mut self, modified: TimeWish, changed: TimeWish, stat: &Stat) -> bool {
        let kept = Some(stat.modified).filter(|_| self.keeps_modified);
        self.keeps_modified = modified.apply(kept, stat.modified).is_some();
        self.changed = changed.apply(self.changed, stat.changed);
        self.since = Since::default();
        self.keeps_any()
    }

    /// Brings the file's ChangeTime to what it is when the open ends. It is an error that one which a client has set
    /// does not stay.
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

/// Sets times of a file as a client asks for, and remembers what it asks the open to keep.
pub(crate) fn set(
    file: &OpenFile,
    times: SetTimes,
    (modified, changed): (TimeWish, TimeWish),
    stat: &Stat,
) -> vfs::Result<()> {
    if times != SetTimes::default() {
        // Others' changes under way are not to bring back what was before.
        let moves = times.modified.is_some();
        if moves {
            file.writes.begin_moving();
        }
        let set = file.handle.set_times(times);
        if moves {
            file.writes.end_moving();
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
        // A file that the server's user may write but does not own: the kernel's times are all there is.
        Err(vfs::Error::AccessDenied) => tracing::debug!("a file's times stay as the file system has them"),
        Err(error) => {
            tracing::warn!(%error, "cannot set a file's times; they stay as the file system has them")
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

    /// An open of a file.
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
    fn writes_show_at_once_and_once() {
        let (handle, table) = (file(), WriteTimes::default());
        let (writer, reader) = (open(&table, &handle), open(&table, &handle));
        write(&writer);
        let written = modified(&writer);
        assert_ne!(written, LONG_AGO);
        for file in [&writer, &reader] {
            assert_eq!(modified(file), written);
            finish(file);
        }
        assert_eq!(modified(&open(&table, &handle)), written, "closing moves nothing");
        let key = |inode, stream| FileKey { device: 1, inode, stream };
        assert!(Arc::ptr_eq(&table.of(key(1, 7)), &writer.writes), "a stream's times are its file's");
        drop((writer, reader));
        for inode in 0..1000 {
            let _ = table.of(key(inode, 0));
        }
        assert!(table.0.lock().files.len() <= SWEEP_MIN);
    }

    #[test]
    fn a_set_time_stays_until_another_writes_and_is_then_everybodys() {
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

    /// An open that keeps the time takes nothing of another's change back, in whatever order their changes begin and end.
    #[test]
    fn what_is_beside_anothers_change_takes_nothing_of_it_back() {
        type Begin = for<'a> fn(&'a OpenFile) -> Change<'a>;
        let kept: Begin = |file| Change::begin(file, Moves::Unless);
        let allocates: Begin = |file| Change::begin(file, Moves::Never);
        // The order of the keeper's begin and end (k, K) and the writer's (w, W), which writes right before it ends or
        // in the middle.
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
    fn changes_that_leave_the_time_leave_it_beside_each_other() {
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
    fn a_time_that_is_set_is_not_taken_back_by_what_is_under_way() {
        let (handle, table) = (file(), WriteTimes::default());
        let (keeper, other) = (open(&table, &handle), open(&table, &handle));
        keep(&keeper, TimeWish::Freeze, TimeWish::Leave);
        let change = Change::begin(&keeper, Moves::Unless);
        let set = FileTime(LONG_AGO.0 + 10_000_000);
        keep(&other, TimeWish::Set(set), TimeWish::Leave);
        change.done();
        assert_eq!(modified(&keeper), set);
    }

    #[test]
    fn times_that_were_set_stay() {
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
    fn closing_undoes_what_the_open_itself_wrote_and_nothing_else() {
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
                // What two do within one tick of the clock cannot be told apart.
                while now().0 <= handle.stat().unwrap().modified.0 {
                    std::hint::spin_loop();
                }
            }
            finish(&keeper);
            assert_eq!(handle.stat().unwrap().modified == LONG_AGO, stays, "{} doings", doings.len());
        }
    }

    #[test]
    fn closing_leaves_a_change_time_that_others_have_moved() {
        let (handle, table) = (file(), WriteTimes::default());
        let file = open(&table, &handle);
        keep(&file, TimeWish::Leave, TimeWish::Set(LONG_AGO));
        write(&file);
        handle.set_xattr("x", b"x").unwrap();
        finish(&file);
        assert_ne!(handle.stat().unwrap().changed, LONG_AGO);
    }
}
