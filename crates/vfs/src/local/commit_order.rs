//! The order in which file systems make changes durable.
//!
//! POSIX promises nothing about the name of a file after fsync(2) of the file. A file system with one journal for all
//! changes of metadata promises more: it commits the changes in the order in which they were made, so with the last change
//! of a file all earlier ones of any directory are on the disk, the file's own name included. That holds for
//!
//! - ext4 with a journal, in all modes of its data: fsync(2) commits the transaction with the last change of the inode
//!   (`i_sync_tid` in the kernel), and transactions are committed one after the other. An ext4 without a journal has no
//!   order; sysfs(5) tells them apart.
//! - XFS: fsync(2) forces the log up to the last change of the inode.
//!
//! A rename sets the change time of the renamed file or directory, as each other change does. So a directory whose
//! change time is before that of a flushed file got its name before the file's last change, and is on the disk with its
//! name. If both times are equal, the order is unknown: before Linux 6.13, the clock of change times ticks every 1 to
//! 10 ms.

use super::resolve::device;
use rustix::fs::{FsWord, Statx, major, minor};
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The order in which a file system makes changes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitOrder {
    Unknown,
    /// The order of the changes, if their change times differ by more than this number of nanoseconds.
    OfChanges {
        margin: i128,
    },
}

/// The changes of a file system that are durable because a file was flushed.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurableChanges {
    device: u64,
    /// All changes with earlier change times are durable, in nanoseconds since 1970.
    before: i128,
}

impl CommitOrder {
    /// The order of the file system with this device number; `fd` is of a file in it, and keeps it mounted.
    pub(super) fn of(device: u64, fd: BorrowedFd<'_>) -> Self {
        match rustix::fs::fstatfs(fd).map(|it| it.f_type) {
            Ok(EXT4) if has_journal(Path::new("/sys"), device) => Self::OfChanges { margin: 0 },
            Ok(XFS) => Self::OfChanges { margin: XFS_MARGIN },
            _ => Self::Unknown,
        }
    }
}

impl DurableChanges {
    /// The changes that are durable after fsync of a file, whose metadata before that are `own`; `None` if only its own
    /// are.
    pub(super) fn by_fsync(order: CommitOrder, own: &Statx) -> Option<Self> {
        Self::at(order, own, nanoseconds_now())
    }

    fn at(order: CommitOrder, own: &Statx, now: i128) -> Option<Self> {
        let CommitOrder::OfChanges { margin } = order else { return None };
        let changed = changed(own);
        // If the clock was set back, changes that were made after that seem to be earlier.
        let is_past = changed <= now;
        is_past.then(|| Self { device: device(own), before: changed.saturating_sub(margin) })
    }

    /// True if all changes of a file or directory with these metadata are among them, its last rename included.
    pub(super) fn include(&self, raw: &Statx) -> bool {
        device(raw) == self.device && changed(raw) < self.before
    }
}

/// EXT4_SUPER_MAGIC, which is also that of ext2 and ext3.
const EXT4: FsWord = 0xef53;

/// XFS_SUPER_MAGIC.
const XFS: FsWord = 0x5846_5342;

/// XFS takes the change time of a rename before the rename gets its place in the log, and in between it may have to
/// read blocks of the directory: a second is more than that takes.
const XFS_MARGIN: i128 = NANOSECONDS;

const NANOSECONDS: i128 = 1_000_000_000;

/// True if the file system of the ext4 driver on this device has a journal; `sys` is where sysfs(5) is mounted. False if
/// sysfs does not show it, as before Linux 5.0.
fn has_journal(sys: &Path, device: u64) -> bool {
    let numbers = format!("dev/block/{}:{}", major(device), minor(device));
    let Ok(target) = std::fs::read_link(sys.join(numbers)) else { return false };
    let Some(name) = target.file_name() else { return false };
    // The process id of the thread that commits transactions, which is 0 in another namespace, or `<none>`.
    let task = std::fs::read_to_string(sys.join("fs/ext4").join(name).join("journal_task"));
    task.is_ok_and(|task| task.trim().parse::<u32>().is_ok())
}

fn changed(raw: &Statx) -> i128 {
    nanoseconds(raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec.into())
}

fn nanoseconds_now() -> i128 {
    let now = clock_gettime(ClockId::Realtime);
    nanoseconds(now.tv_sec, now.tv_nsec)
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds).saturating_mul(NANOSECONDS).saturating_add(i128::from(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::resolve::statx_fd;
    use proptest::prelude::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_journal_is_found_in_sysfs() {
        let sys = tempfile::tempdir().unwrap();
        let at = |path: &str| sys.path().join(path);
        for directory in ["dev/block", "fs/ext4/sda1", "fs/ext4/dm-0"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        symlink("../../devices/pci0000:00/block/sda/sda1", at("dev/block/8:1")).unwrap();
        symlink("../../devices/virtual/block/dm-0", at("dev/block/254:0")).unwrap();
        symlink("../../devices/virtual/block/zram0", at("dev/block/253:0")).unwrap();
        let has = |major, minor| has_journal(sys.path(), rustix::fs::makedev(major, minor));
        assert!(!has(8, 1), "an old kernel does not show it");
        std::fs::write(at("fs/ext4/sda1/journal_task"), "312\n").unwrap();
        std::fs::write(at("fs/ext4/dm-0/journal_task"), "<none>\n").unwrap();
        assert!(has(8, 1));
        std::fs::write(at("fs/ext4/sda1/journal_task"), "0\n").unwrap();
        assert!(has(8, 1), "in another namespace of processes");
        assert!(!has(254, 0), "ext4 without a journal");
        assert!(!has(253, 0), "another file system");
        assert!(!has(7, 7), "no such device");
    }

    #[test]
    fn changes_after_the_clock_was_set_back_are_not_durable() {
        let file = tempfile::tempfile().unwrap();
        let mut own = statx_fd(file.as_fd()).unwrap();
        let order = CommitOrder::OfChanges { margin: 0 };
        let now = changed(&own);
        assert!(DurableChanges::at(order, &own, now).is_some());
        own.stx_ctime.tv_sec += 1;
        assert!(DurableChanges::at(order, &own, now).is_none());
        assert!(DurableChanges::at(CommitOrder::Unknown, &own, now + 2 * NANOSECONDS).is_none());
    }

    /// A step of the history of a file below directories.
    #[derive(Clone, Debug)]
    enum Step {
        /// The file is changed.
        Write,
        /// A directory above it gets another name.
        Rename(usize),
        /// Another entry is made in a directory above it.
        Entry(usize),
        /// The clock of change times ticks.
        Tick,
        /// The journal begins a new transaction.
        Transaction,
        /// The file is flushed, and then the power fails.
        Flush,
    }

    /// An object of the model: the time and the transaction of its last change, and the transaction of its last rename.
    #[derive(Clone, Copy, Default)]
    struct Object {
        changed: i64,
        transaction: u32,
        renamed: u32,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Write),
            2 => (0..DEPTH).prop_map(Step::Rename),
            2 => (0..DEPTH).prop_map(Step::Entry),
            3 => Just(Step::Tick),
            2 => Just(Step::Transaction),
            2 => Just(Step::Flush),
        ]
    }

    const DEPTH: usize = 3;

    fn raw_of(of: &Statx, object: &Object) -> Statx {
        let mut raw = *of;
        (raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec) = (object.changed, 0);
        raw
    }

    proptest! {
        /// A flush of a file, and of those directories above it that the rule does not except, commits the renames of
        /// all of them: a naive model of a journal says which.
        #[test]
        fn directories_that_need_no_flush_are_durable(steps in proptest::collection::vec(step(), 1..60)) {
            let any = statx_fd(tempfile::tempfile().unwrap().as_fd()).unwrap();
            let (mut clock, mut transaction) = (0, 0);
            let (mut file, mut above) = (Object::default(), [Object::default(); DEPTH]);
            for step in steps {
                let change = |object: &mut Object| (object.changed, object.transaction) = (clock, transaction);
                match step {
                    Step::Write => change(&mut file),
                    Step::Entry(at) => change(&mut above[at]),
                    Step::Rename(at) => {
                        change(&mut above[at]);
                        above[at].renamed = transaction;
                        if let Some(parent) = above.get_mut(at + 1) {
                            change(parent);
                        }
                    }
                    Step::Tick => clock += 1,
                    Step::Transaction => transaction += 1,
                    Step::Flush => {
                        let order = CommitOrder::OfChanges { margin: 0 };
                        let now = i128::from(clock) * NANOSECONDS;
                        let durable = DurableChanges::at(order, &raw_of(&any, &file), now).unwrap();
                        let flushed = above.iter().filter(|it| !durable.include(&raw_of(&any, it)));
                        let last = flushed.map(|it| it.transaction).chain([file.transaction]).max();
                        let renamed = above.iter().map(|it| it.renamed).max();
                        prop_assert!(renamed <= last, "{renamed:?} is lost, {last:?} is durable");
                    }
                }
            }
        }
    }
}
