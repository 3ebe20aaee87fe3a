//! The kernel's reports about changes of directories (inotify).

use super::xattr;
use rustix::fs::FsWord;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The queue of reports; there is none before it is prepared or used, or if the user has too many (fs.inotify.max_user_instances).
#[derive(Clone)]
pub(super) struct DirectoryReports(Option<Arc<OwnedFd>>);

/// A report about the directory with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    Added {
        number: i32,
        name: &'a [u8],
    },
    Removed {
        number: i32,
        name: &'a [u8],
    },
    /// The entry has another name or directory now. If two entries were exchanged (RENAME_EXCHANGE), this is the report
    /// about each of them, and the name has another entry. The order of the reports does not show that: the last of them
    /// about the second name is this one.
    MovedAway {
        number: i32,
        name: &'a [u8],
    },
    /// The directory is gone, or its file system is unmounted.
    Ended {
        number: i32,
    },
    /// Reports about any directory are lost.
    Lost,
}

impl DirectoryReports {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Makes the queue, if there is none, with the identity of the thread, to whose user it is charged.
    pub(super) fn prepare(&mut self) {
        if let Err(error) = self.queue() {
            warn_once(error);
        }
    }

    /// Asks for reports on a directory, which the thread must be allowed to list, and returns their number. It is the same
    /// for all descriptors of the directory.
    pub(super) fn watch(&mut self, directory: BorrowedFd<'_>) -> Option<i32> {
        let watched =
            self.queue().and_then(|queue| inotify::add_watch(&*queue, xattr::proc_path(directory), NAMES));
        // ENOSPC: all watches of the user are taken (fs.inotify.max_user_watches).
        watched.inspect_err(|error| warn_once(*error)).ok()
    }

    /// Ends the reports with this number.
    pub(super) fn unwatch(&self, number: i32) {
        let Some(queue) = &self.0 else { return };
        match inotify::remove_watch(queue, number) {
            // The kernel itself ends the reports on a directory that is deleted.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot end the kernel's reports on a directory whose names are no longer in memory");
            }
        }
    }

    /// Passes all reports on that the kernel has made by now; it does not wait for more.
    pub(super) fn read(&self, mut take: impl FnMut(Event<'_>)) -> Result<(), Errno> {
        let Some(queue) = &self.0 else { return Ok(()) };
        let mut buffer = [MaybeUninit::uninit(); QUEUE_BUFFER_BYTES];
        let mut reader = Reader::new(&**queue, &mut buffer);
        let mut events = 0_usize;
        loop {
            // A buffer that has room for another report has all that there were.
            if events > 0 && reader.is_buffer_empty() && events < REPORTS_MIN {
                return Ok(());
            }
            if reader.is_buffer_empty() {
                events = 0;
            }
            match reader.next() {
                Ok(event) => {
                    events = events.saturating_add(1);
                    let name = event.file_name().map(|name| name.to_bytes()).unwrap_or_default();
                    take(Event::of(event.wd(), event.events(), name));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The queue, which is made if there is none.
    fn queue(&mut self) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(queue) = &self.0 {
            return Ok(Arc::clone(queue));
        }
        let queue = Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
        self.0 = Some(Arc::clone(&queue));
        Ok(queue)
    }
}

impl<'a> Event<'a> {
    fn of(number: i32, flags: ReadFlags, name: &'a [u8]) -> Self {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            Self::Lost
        } else if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            Self::Added { number, name }
        } else if flags.contains(ReadFlags::DELETE) {
            Self::Removed { number, name }
        } else if flags.contains(ReadFlags::MOVED_FROM) {
            Self::MovedAway { number, name }
        } else {
            Self::Ended { number }
        }
    }
}

/// True if all changes on the file system of a directory are made by this machine's kernel and through the mounts that
/// it reports on, with names in the spelling that they have on disk. `kind` is the file system's number (statfs(2)).
pub(super) fn is_changed_here_only(kind: FsWord) -> bool {
    const KINDS: [u32; 7] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x0102_1994, // tmpfs
        0xf2f5_2010, // F2FS
        0xca45_1a4e, // bcachefs
        0x794c_7630, // overlayfs, whose layers must not be changed while they are mounted
    ];
    KINDS.contains(&(kind as u32))
}

fn warn_once(error: Errno) {
    static IS_WARNED: AtomicBool = AtomicBool::new(false);
    if !IS_WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(%error, "the kernel does not report changes of a directory; names in large directories are read again every second");
    }
}

/// The changes of a directory's names, and its own end.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The part of the queue that is read at once, in bytes: some hundred reports.
const QUEUE_BUFFER_BYTES: usize = 8 * 1024;

/// The number of reports that fit into the buffer whatever their names are (inotify(7)).
const REPORTS_MIN: usize = QUEUE_BUFFER_BYTES / REPORT_BYTES_MAX;
const REPORT_BYTES_MAX: usize = 16 + 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn all_reports_are_read_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut reports = DirectoryReports::new();
        let fd = std::fs::File::open(directory.path()).unwrap();
        reports.watch(fd.as_fd()).unwrap();
        let longest = "x".repeat(250);
        // Around the number that fits into the buffer, with the shortest and the longest names.
        for name in ["", &longest] {
            for count in
                [1, REPORTS_MIN - 1, REPORTS_MIN, REPORTS_MIN + 1, 8 * REPORTS_MIN, 100 * REPORTS_MIN]
            {
                for number in 0..count {
                    std::fs::write(directory.path().join(format!("{number}{name}")), "").unwrap();
                    std::fs::remove_file(directory.path().join(format!("{number}{name}"))).unwrap();
                }
                let mut seen = 0;
                reports.read(|_| seen += 1).unwrap();
                assert_eq!(seen, 2 * count, "{count} names of {} bytes", name.len());
            }
        }
    }
}
