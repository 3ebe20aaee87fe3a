//! What an open does to its file's times beyond what the file system does by itself (MS-FSA 2.1.4.17 and
//! 2.1.5.15.2): times that a client sets or freezes stay as they are whatever that open does, until another open or
//! somebody else changes the file.
//!
//! LastWriteTime moves with every write, for everybody at once: as the file system has it, and Windows too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use registry::FileKey;
use vfs::{Handle, SetTimes, Stat};
use wire::FileTime;

/// What the opens of each open file know of each other's writes.
#[derive(Default)]
pub(crate) struct WriteTimes(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// How often LastWriteTime was moved by writes of the server's clients.
    files: HashMap<FileKey, Weak<AtomicU64>>,
    /// How many entries there are before those of closed files are looked for.
    sweep_at: usize,
}

impl WriteTimes {
    /// The times of an open of a file.
    pub(crate) fn of(&self, file: FileKey) -> Times {
        // A stream's LastWriteTime is its file's.
        let file = FileKey { stream: 0, ..file };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moves) = table.files.get(&file).and_then(Weak::upgrade) {
            return Times { moves, ..Times::default() };
        }
        if table.files.len() >= table.sweep_at {
            table.files.retain(|_, times| times.strong_count() != 0);
            table.sweep_at = SWEEP_MIN.max(table.files.len().saturating_mul(2));
        }
        let times = Times::default();
        table.files.insert(file, Arc::downgrade(&times.moves));
        times
    }
}

/// Entries that are too few to look for those of closed files among them.
const SWEEP_MIN: usize = 64;

/// The times of a file as one open has them.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// How often LastWriteTime was moved by writes, the same for all opens of the file.
    moves: Arc<AtomicU64>,
    /// `Open.UserSetModificationTime`: whether this open's changes leave LastWriteTime.
    keeps_modified: bool,
    /// `Open.UserSetChangeTime`: the time that this open's changes leave.
    changed: Option<FileTime>,
    /// LastWriteTime before the change that is under way, and `moves`.
    before: Option<(FileTime, u64)>,
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

    /// Notes that the open is about to write.
    pub(crate) fn writing(&mut self, handle: &dyn Handle) {
        self.before_change(handle);
        if !self.keeps_modified {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at the file before the open changes it itself. Only needed where it keeps times.
    pub(crate) fn before_change(&mut self, handle: &dyn Handle) {
        if !self.keeps_any() {
            return;
        }
        let stat = handle.stat().ok();
        if self.keeps_modified {
            self.before = stat.as_ref().map(|stat| (stat.modified, self.moves.load(Ordering::Relaxed)));
        }
        if let Some(left) = self.since.left {
            // What cannot be told from others' changes stays.
            self.since.by_others |= stat.is_none_or(|stat| stat.changed != left);
        }
    }

    /// Takes back what the open's own change has done to the times it keeps. Only needed where it keeps times.
    pub(crate) fn changed_by_self(&mut self, handle: &dyn Handle) {
        if !self.keeps_any() {
            return;
        }
        if let Some((modified, moves)) = self.before.take()
            && moves == self.moves.load(Ordering::Relaxed)
        {
            self.put_back(handle, modified);
        }
        self.since.left = handle.stat().ok().map(|stat| stat.changed);
    }

    /// Changes a file in a way that moves its ChangeTime and not its LastWriteTime, whatever the file system thinks of
    /// it.
    pub(crate) fn leaving_modified<T>(&self, handle: &dyn Handle, change: impl FnOnce() -> T) -> T {
        let moves = self.moves.load(Ordering::Relaxed);
        let before = handle.stat().ok();
        let done = change();
        if let Some(before) = before.filter(|_| moves == self.moves.load(Ordering::Relaxed)) {
            put(handle, SetTimes { modified: Some(before.modified), ..SetTimes::default() });
        }
        done
    }

    /// Takes in what a client asks of the times, which is done; `stat` is how they were. Says whether the open keeps
    /// any.
    pub(crate) fn set(&mut self, modified: TimeWish, changed: TimeWish, stat: &Stat) -> bool {
        let kept = Some(stat.modified).filter(|_| self.keeps_modified);
        self.keeps_modified = modified.apply(kept, stat.modified).is_some();
        self.changed = changed.apply(self.changed, stat.changed);
        (self.before, self.since) = (None, Since::default());
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

    fn put_back(&self, handle: &dyn Handle, modified: FileTime) {
        let moved = handle.stat().is_ok_and(|stat| stat.modified != modified);
        if moved {
            put(handle, SetTimes { modified: Some(modified), ..SetTimes::default() });
        }
    }
}

fn put(handle: &dyn Handle, times: SetTimes) {
    match handle.set_times(times) {
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

    fn now() -> FileTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        FileTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
    }

    fn file() -> Arc<dyn Handle> {
        let path = RelativePath::new("f").unwrap();
        let made = MemBackend::new()
            .create_file(&Actor::Process, &path, FileAttributes::NONE, Wanted::BOTH)
            .unwrap();
        made.handle.set_times(SetTimes { modified: Some(LONG_AGO), ..SetTimes::default() }).unwrap();
        made.handle
    }

    fn write(times: &mut Times, handle: &dyn Handle) {
        times.writing(handle);
        handle.write_at(b"x", 0).unwrap();
        times.changed_by_self(handle);
    }

    fn modified(times: &Times, handle: &dyn Handle) -> FileTime {
        times.shown(handle.stat().unwrap()).modified
    }

    #[test]
    fn writes_show_at_once_and_once() {
        let (handle, table) = (file(), WriteTimes::default());
        let key = |inode, stream| FileKey { device: 1, inode, stream };
        let (mut writer, mut reader) = (table.of(key(1, 0)), table.of(key(1, 7)));
        write(&mut writer, &*handle);
        let written = modified(&writer, &*handle);
        assert_ne!(written, LONG_AGO);
        for times in [&mut writer, &mut reader] {
            assert_eq!(modified(times, &*handle), written);
            times.finish(&*handle).unwrap();
        }
        assert_eq!(modified(&table.of(key(1, 0)), &*handle), written, "closing moves nothing");
        drop((writer, reader));
        for inode in 0..1000 {
            let _ = table.of(key(inode, 0));
        }
        assert!(table.0.lock().unwrap().files.len() <= SWEEP_MIN);
    }

    #[test]
    fn a_set_time_stays_until_another_writes_and_is_then_everybodys() {
        let (handle, table) = (file(), WriteTimes::default());
        let key = FileKey { device: 1, inode: 1, stream: 0 };
        let (mut keeper, mut writer) = (table.of(key), table.of(key));
        assert!(keeper.set(TimeWish::Set(LONG_AGO), TimeWish::Leave, &handle.stat().unwrap()));
        write(&mut keeper, &*handle);
        assert_eq!(modified(&writer, &*handle), LONG_AGO, "others see it, too");
        write(&mut writer, &*handle);
        let written = modified(&writer, &*handle);
        assert!(written != LONG_AGO && modified(&keeper, &*handle) == written);
        write(&mut keeper, &*handle);
        keeper.finish(&*handle).unwrap();
        assert_eq!(modified(&writer, &*handle), written);
    }

    #[test]
    fn times_that_were_set_stay() {
        let (handle, mut times) = (file(), Times::default());
        for wish in [TimeWish::Freeze, TimeWish::Set(LONG_AGO), TimeWish::Leave] {
            times.set(wish, wish, &times.shown(handle.stat().unwrap()));
            write(&mut times, &*handle);
            assert_eq!(modified(&times, &*handle), LONG_AGO);
        }
        times.finish(&*handle).unwrap();
        let stat = handle.stat().unwrap();
        assert_eq!((stat.modified, stat.changed), (LONG_AGO, LONG_AGO));
        times.set(TimeWish::Freeze, TimeWish::Freeze, &stat);
        times.set(TimeWish::Thaw, TimeWish::Thaw, &stat);
        write(&mut times, &*handle);
        times.finish(&*handle).unwrap();
        assert_ne!(handle.stat().unwrap().modified, LONG_AGO);
    }

    #[test]
    fn closing_undoes_what_the_open_itself_wrote_and_nothing_else() {
        let table = WriteTimes::default();
        let key = FileKey { device: 1, inode: 1, stream: 0 };
        type Doing = fn(&mut Times, &mut Times, &dyn Handle);
        let own: Doing = |keeper, _, handle| write(keeper, handle);
        let other: Doing = |_, other, handle| write(other, handle);
        let local: Doing = |_, _, handle| assert_eq!(handle.write_at(b"x", 0).unwrap(), 1);
        for (doings, stays) in [
            (&[own][..], true),
            (&[own, own], true),
            (&[other], false),
            (&[local], false),
            (&[own, other], false),
            (&[own, local], false),
            (&[other, own], false),
            (&[own, other, own], false),
            (&[own, other, own, own], false),
            (&[own, local, own, own], false),
        ] {
            let handle = file();
            let (mut keeper, mut writer) = (table.of(key), table.of(key));
            let stat = keeper.shown(handle.stat().unwrap());
            assert!(keeper.set(TimeWish::Set(LONG_AGO), TimeWish::Leave, &stat));
            keeper.changed_by_self(&*handle);
            for doing in doings {
                doing(&mut keeper, &mut writer, &*handle);
                // What two do within one tick of the clock cannot be told apart.
                while now().0 <= handle.stat().unwrap().modified.0 {
                    std::hint::spin_loop();
                }
            }
            keeper.finish(&*handle).unwrap();
            assert_eq!(handle.stat().unwrap().modified == LONG_AGO, stays, "{} doings", doings.len());
        }
    }

    #[test]
    fn closing_leaves_a_change_time_that_others_have_moved() {
        let (handle, mut times) = (file(), Times::default());
        times.set(TimeWish::Leave, TimeWish::Set(LONG_AGO), &handle.stat().unwrap());
        write(&mut times, &*handle);
        handle.set_xattr("x", b"x").unwrap();
        times.finish(&*handle).unwrap();
        assert_ne!(handle.stat().unwrap().changed, LONG_AGO);
    }
}
