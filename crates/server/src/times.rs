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
    files: HashMap<FileKey, Weak<Mutex<Written>>>,
    /// How many entries there are before those of closed files are looked for.
    sweep_at: usize,
}

impl WriteTimes {
    /// The times of an open of a file.
    pub(crate) fn of(&self, file: FileKey) -> Times {
        // A stream's LastWriteTime is its file's.
        let file = FileKey { stream: 0, ..file };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = table.files.get(&file).and_then(Weak::upgrade) {
            return Times { written, ..Times::default() };
        }
        if table.files.len() >= table.sweep_at {
            table.files.retain(|_, written| written.strong_count() != 0);
            table.sweep_at = SWEEP_MIN.max(table.files.len().saturating_mul(2));
        }
        let times = Times::default();
        table.files.insert(file, Arc::downgrade(&times.written));
        times
    }
}

/// Entries that are too few to look for those of closed files among them.
const SWEEP_MIN: usize = 64;

/// The times of a file as one open has them.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// The same for all opens of the file.
    written: Arc<Mutex<Written>>,
    /// Whether this open has written since.
    wrote: bool,
    /// `Open.UserSetModificationTime`: the time that this open's writes leave.
    modified: Option<FileTime>,
    /// `Open.UserSetChangeTime`: the time that this open's changes leave.
    changed: Option<FileTime>,
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
        match *self.written() {
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
        if self.modified.is_some() {
            return;
        }
        self.wrote = true;
        let mut written = self.written();
        let is_first = match *written {
            Written::Shown => true,
            Written::First { at, .. } if at.elapsed() >= WRITE_TIME_DELAY => false,
            Written::First { .. } | Written::More { .. } => return,
        };
        let Ok(stat) = handle.stat() else { return };
        let before = stat.modified;
        *written =
            if is_first { Written::First { before, at: Instant::now() } } else { Written::More { before } };
    }

    /// Lets LastWriteTime show what was written: FLUSH and most of SET_INFO do.
    pub(crate) fn catch_up(&mut self, handle: &dyn Handle) {
        let is_late = match std::mem::take(&mut *self.written()) {
            Written::Shown => false,
            Written::First { at, .. } => at.elapsed() < WRITE_TIME_DELAY,
            Written::More { .. } => true,
        };
        if is_late && self.modified.is_none() {
            put(handle, SetTimes { modified: Some(now()), ..SetTimes::default() });
        }
    }

    /// Takes in what a client asks of the times; `stat` is how they are.
    pub(crate) fn set(&mut self, modified: TimeWish, changed: TimeWish, stat: &Stat) {
        modified.apply(&mut self.modified, stat.modified);
        changed.apply(&mut self.changed, stat.changed);
    }

    /// Brings the file's times to what they are when the open ends.
    pub(crate) fn finish(&mut self, handle: &dyn Handle) {
        let (modified, changed) = (self.modified.take(), self.changed.take());
        let wrote = std::mem::take(&mut self.wrote);
        let written = if wrote { std::mem::take(&mut *self.written()) } else { Written::Shown };
        let mut times = SetTimes::default();
        if modified.is_some() || changed.is_some() {
            let Ok(stat) = handle.stat() else { return };
            times.modified = modified.filter(|time| *time != stat.modified);
            // Setting another time changes the file.
            times.changed = changed.filter(|time| *time != stat.changed || times.modified.is_some());
        } else if matches!(written, Written::More { .. }) {
            times.modified = Some(now());
        }
        if times != SetTimes::default() {
            put(handle, times);
        }
    }
}

impl Times {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(handle: &dyn Handle, times: SetTimes) {
    if let Err(error) = handle.set_times(times) {
        tracing::debug!(%error, "a file's times stay as the file system has them");
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
        *times.written() =
            Written::First { before: LONG_AGO, at: Instant::now().checked_sub(WRITE_TIME_DELAY).unwrap() };
        let first = modified(&times, &*handle);
        assert_ne!(first, LONG_AGO);
        write(&mut times, &*handle);
        assert_eq!(modified(&times, &*handle), first);
        times.finish(&*handle);
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
        reader.finish(&*handle);
        assert_eq!(modified(&writer, &*handle), LONG_AGO);
        writer.finish(&*handle);
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
        times.catch_up(&*handle);
        assert_eq!(modified(&times, &*handle), LONG_AGO);
        write(&mut times, &*handle);
        times.catch_up(&*handle);
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
        times.finish(&*handle);
        let stat = handle.stat().unwrap();
        assert_eq!((stat.modified, stat.changed), (LONG_AGO, LONG_AGO));
        times.set(TimeWish::Freeze, TimeWish::Freeze, &stat);
        times.set(TimeWish::Thaw, TimeWish::Thaw, &stat);
        write(&mut times, &*handle);
        times.finish(&*handle);
        assert_ne!(handle.stat().unwrap().modified, LONG_AGO);
    }
}
