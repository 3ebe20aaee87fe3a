//! What an open does to its file's times beyond what the file system does by itself (MS-FSA 2.1.4.17 and
//! 2.1.5.15.2): LastWriteTime moves late, and times that a client sets stay as it set them.
//!
//! The file system moves the modification time with every write. Through any open of the file a client sees what
//! Windows shows: the first write's time after [`WRITE_TIME_DELAY`], that of all later ones with the CLOSE of who
//! wrote, and at once where a client flushes or sets something. Listings see the disk's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use registry::FileKey;
use vfs::{Handle, SetTimes, Stat};
use wire::FileTime;

/// How long after an open's first write its LastWriteTime does not show it.
const WRITE_TIME_DELAY: Duration = Duration::from_secs(2);

/// What of the writes to each open file shows, for all opens of it.
#[derive(Default)]
pub(crate) struct WriteTimes(Mutex<Table>);

#[derive(Default)]
struct Table {
    files: HashMap<FileKey, Weak<Mutex<FileTimes>>>,
    /// How many entries there are before those of closed files are looked for.
    sweep_at: usize,
}

impl WriteTimes {
    /// The times of an open of a file.
    pub(crate) fn of(&self, file: FileKey) -> Times {
        // A stream's LastWriteTime is its file's.
        let file = FileKey { stream: 0, ..file };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = table.files.get(&file).and_then(Weak::upgrade) {
            return Times { file, ..Times::default() };
        }
        if table.files.len() >= table.sweep_at {
            table.files.retain(|_, times| times.strong_count() != 0);
            table.sweep_at = SWEEP_MIN.max(table.files.len().saturating_mul(2));
        }
        let times = Times::default();
        table.files.insert(file, Arc::downgrade(&times.file));
        times
    }
}

/// Entries that are too few to look for those of closed files among them.
const SWEEP_MIN: usize = 64;

/// The times of a file as one open has them.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// The same for all opens of the file.
    file: Arc<Mutex<FileTimes>>,
    /// Whether this open has written since.
    wrote: bool,
    /// `Open.UserSetModificationTime`: the time that this open's writes leave.
    modified: Option<FileTime>,
    /// `Open.UserSetChangeTime`: the time that this open's changes leave.
    changed: Option<FileTime>,
    /// What has become of the file since this open keeps one of these times: what others do to it is not this open's to
    /// undo.
    since: Since,
}

/// What all opens of a file share.
#[derive(Debug, Default)]
struct FileTimes {
    written: Written,
    /// How often LastWriteTime was moved by writes of the server's clients.
    moves: u64,
}

/// What has become of a file since an open keeps its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Since {
    /// `FileTimes::moves` when it began to.
    moves: u64,
    /// LastWriteTime and ChangeTime as the open's own last change has left them.
    left: Option<(FileTime, FileTime)>,
    /// Whether somebody else was seen to have moved LastWriteTime, and ChangeTime.
    by_others: (bool, bool),
}

/// What of the writes through an open shows in LastWriteTime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Written {
    /// Everything: there were none, or they were brought up to date.
    #[default]
    Shown,
    /// The first write was a moment ago.
    First { before: FileTime, at: Instant },
    /// There were more since.
    More { before: FileTime },
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

    fn apply(self, kept: &mut Option<FileTime>, now: FileTime) {
        match self {
            Self::Leave => {}
            Self::Freeze => *kept = Some(now),
            Self::Thaw => *kept = None,
            Self::Set(time) => *kept = Some(time),
        }
    }
}

impl Times {
    /// The metadata as this open shows it.
    pub(crate) fn shown(&self, mut stat: Stat) -> Stat {
        match self.file().written {
            Written::First { before, at } if at.elapsed() < WRITE_TIME_DELAY => stat.modified = before,
            Written::More { before } => stat.modified = before,
            Written::Shown | Written::First { .. } => {}
        }
        stat.modified = self.modified.unwrap_or(stat.modified);
        stat.changed = self.changed.unwrap_or(stat.changed);
        stat
    }

    /// Notes that the open is about to write.
    pub(crate) fn writing(&mut self, handle: &dyn Handle) {
        self.before_change(handle);
        if self.modified.is_some() {
            return;
        }
        self.wrote = true;
        let mut file = self.file();
        file.moves = file.moves.wrapping_add(1);
        let is_first = match file.written {
            Written::Shown => true,
            Written::First { at, .. } if at.elapsed() >= WRITE_TIME_DELAY => false,
            Written::First { .. } | Written::More { .. } => return,
        };
        // Where it cannot be told what LastWriteTime was, it moves at once.
        let Ok(stat) = handle.stat() else { return };
        let before = stat.modified;
        file.written =
            if is_first { Written::First { before, at: Instant::now() } } else { Written::More { before } };
    }

    /// Looks for what others have done to the file before the open changes it itself. Only needed where it keeps times.
    pub(crate) fn before_change(&mut self, handle: &dyn Handle) {
        let Some((modified, changed)) = self.since.left.filter(|_| self.keeps_any()) else { return };
        self.since.by_others = match handle.stat() {
            Ok(stat) => {
                let (was_modified, was_changed) = self.since.by_others;
                (was_modified || stat.modified != modified, was_changed || stat.changed != changed)
            }
            // What cannot be told from others' changes stays.
            Err(_) => (true, true),
        };
    }

    /// Notes how the open's own change has left the file. Only needed where it keeps times.
    pub(crate) fn changed_by_self(&mut self, handle: &dyn Handle) {
        if self.keeps_any() {
            self.since.left = handle.stat().ok().map(|stat| (stat.modified, stat.changed));
        }
    }

    fn keeps_any(&self) -> bool {
        self.modified.is_some() || self.changed.is_some()
    }

    /// Lets LastWriteTime show what was written: FLUSH and most of SET_INFO do.
    pub(crate) fn catch_up(&mut self, handle: &dyn Handle) -> vfs::Result<()> {
        let is_late = match std::mem::take(&mut self.file().written) {
            Written::Shown => false,
            Written::First { at, .. } => at.elapsed() < WRITE_TIME_DELAY,
            Written::More { .. } => true,
        };
        if !is_late || self.modified.is_some() {
            return Ok(());
        }
        put(handle, SetTimes { modified: Some(now()), ..SetTimes::default() })
    }

    /// Takes in what a client asks of the times, which is done; `stat` is how they were. Says whether the open keeps
    /// any.
    pub(crate) fn set(&mut self, modified: TimeWish, changed: TimeWish, stat: &Stat) -> bool {
        modified.apply(&mut self.modified, stat.modified);
        changed.apply(&mut self.changed, stat.changed);
        let moves = self.file().moves;
        self.since = Since { moves, ..Since::default() };
        self.keeps_any()
    }

    /// Brings the file's times to what they are when the open ends. It is an error that one which a client has set, or
    /// that of its writes, does not stay.
    pub(crate) fn finish(&mut self, handle: &dyn Handle) -> vfs::Result<()> {
        let (modified, changed) = (self.modified.take(), self.changed.take());
        let since = std::mem::take(&mut self.since);
        let is_modified_by_others = since.by_others.0 || since.moves != self.file().moves;
        let wrote = std::mem::take(&mut self.wrote);
        let written = if wrote { std::mem::take(&mut self.file().written) } else { Written::Shown };
        let mut times = SetTimes::default();
        if modified.is_some() || changed.is_some() {
            let stat = handle.stat()?;
            times.modified = modified.filter(|time| {
                let own = since.left.is_some_and(|(modified, _)| modified == stat.modified);
                *time != stat.modified && own && !is_modified_by_others
            });
            times.changed = changed.filter(|time| {
                let own = since.left.is_some_and(|(_, changed)| changed == stat.changed);
                let own = *time == stat.changed || own && !since.by_others.1;
                // Setting another time changes the file.
                own && (*time != stat.changed || times.modified.is_some())
            });
        } else if matches!(written, Written::More { .. }) {
            return put(handle, SetTimes { modified: Some(now()), ..SetTimes::default() });
        }
        if times == SetTimes::default() { Ok(()) } else { handle.set_times(times) }
    }
}

impl Times {
    fn file(&self) -> MutexGuard<'_, FileTimes> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets times to now.
fn put(handle: &dyn Handle, times: SetTimes) -> vfs::Result<()> {
    match handle.set_times(times) {
        // A file that the server's user may write but does not own: the kernel's times are all there is, and they are of
        // the last write.
        Err(vfs::Error::AccessDenied) => Ok(()),
        result => result,
    }
}

fn now() -> FileTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    FileTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
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

    fn write(times: &mut Times, handle: &dyn Handle) {
        times.writing(handle);
        handle.write_at(b"x", 0).unwrap();
        times.changed_by_self(handle);
    }

    fn modified(times: &Times, handle: &dyn Handle) -> FileTime {
        times.shown(handle.stat().unwrap()).modified
    }

    #[test]
    fn the_first_write_shows_after_a_while_and_later_ones_at_the_end() {
        let (handle, mut times) = (file(), Times::default());
        write(&mut times, &*handle);
        write(&mut times, &*handle);
        assert_eq!(modified(&times, &*handle), LONG_AGO);
        times.file().written =
            Written::First { before: LONG_AGO, at: Instant::now().checked_sub(WRITE_TIME_DELAY).unwrap() };
        let first = modified(&times, &*handle);
        assert_ne!(first, LONG_AGO);
        write(&mut times, &*handle);
        assert_eq!(modified(&times, &*handle), first);
        times.finish(&*handle).unwrap();
        assert!(modified(&times, &*handle) > first);
    }

    #[test]
    fn all_opens_of_a_file_see_the_same() {
        let (handle, table) = (file(), WriteTimes::default());
        let key = |inode, stream| FileKey { device: 1, inode, stream };
        let (mut writer, mut reader) = (table.of(key(1, 0)), table.of(key(1, 7)));
        write(&mut writer, &*handle);
        for times in [&writer, &reader, &table.of(key(1, 0))] {
            assert_eq!(modified(times, &*handle), LONG_AGO);
        }
        assert_ne!(modified(&table.of(key(2, 0)), &*handle), LONG_AGO);
        // Who has not written brings nothing up to date.
        reader.finish(&*handle).unwrap();
        assert_eq!(modified(&writer, &*handle), LONG_AGO);
        writer.finish(&*handle).unwrap();
        assert_ne!(modified(&reader, &*handle), LONG_AGO);
        drop((writer, reader));
        for inode in 0..1000 {
            let _ = table.of(key(inode, 0));
        }
        assert!(table.0.lock().unwrap().files.len() <= SWEEP_MIN);
    }

    #[test]
    fn catching_up_shows_what_was_written() {
        let (handle, mut times) = (file(), Times::default());
        times.catch_up(&*handle).unwrap();
        assert_eq!(modified(&times, &*handle), LONG_AGO);
        write(&mut times, &*handle);
        times.catch_up(&*handle).unwrap();
        assert_ne!(modified(&times, &*handle), LONG_AGO);
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
