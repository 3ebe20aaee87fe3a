//! Changes that the server has answered but not yet flushed, and the reporting of their loss to opens.
//!
//! A server answers a WRITE when it has the data, which need not be on its disk before a FLUSH. If the
//! connection ends in between, the server may have crashed, and the data may be lost; the client cannot know.
//! So the next fsync fails, once for each open file description, like errseq_t in Linux
//! (`Documentation/core-api/errseq.rst`): a loss before a file was opened is reported to that open only if it
//! was not reported to any other.
//!
//! Changes are recorded by the number of the file or directory and by the connection that they were sent
//! over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::{Errno, INodeNo};
use parking_lot::{Mutex, MutexGuard};

/// The unflushed changes of a mount. A number has an entry if it has unflushed changes, or had losses, until
/// the kernel forgets the number.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    files: Mutex<HashMap<u64, Changes>>,
}

/// The number of losses that were reported to an open file description.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicU64);

/// The number of changes of a file at the time of a FLUSH.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

#[derive(Debug, Default)]
struct Changes {
    /// The number of answered changes.
    made: u64,
    /// The number of those that a FLUSH has covered, or that are known to be lost.
    settled: u64,
    /// The connection of the others.
    generation: u64,
    /// The number of losses.
    losses: u64,
    /// True if the last loss was reported to any open.
    heard: bool,
}

impl Unflushed {
    fn files(&self) -> MutexGuard<'_, HashMap<u64, Changes>> {
        self.files.lock()
    }

    /// The state for a file that is being opened.
    pub(crate) fn opened(&self, number: INodeNo) -> Told {
        let losses = self.files().get(&number.0).map_or(0, |changes| {
            if changes.heard { changes.losses } else { changes.losses.saturating_sub(1) }
        });
        Told(AtomicU64::new(losses))
    }

    /// Records a change that the server has answered over this connection.
    pub(crate) fn changed(&self, number: INodeNo, generation: u64) {
        let mut files = self.files();
        let changes = files.entry(number.0).or_default();
        changes.lose_those_before(Some(generation));
        changes.generation = generation;
        changes.made = changes.made.saturating_add(1);
    }

    /// True if there are changes to flush.
    pub(crate) fn any(&self, number: INodeNo) -> bool {
        self.files().get(&number.0).is_some_and(Changes::any)
    }

    /// The changes that a FLUSH sent now covers.
    pub(crate) fn mark(&self, number: INodeNo) -> Mark {
        Mark(self.files().get(&number.0).map_or(0, |changes| changes.made))
    }

    /// Records a successful FLUSH.
    pub(crate) fn flushed(&self, number: INodeNo, mark: Mark) {
        let mut files = self.files();
        let Some(changes) = files.get_mut(&number.0) else { return };
        changes.settled = changes.settled.max(mark.0);
        if !changes.any() && changes.losses == 0 {
            files.remove(&number.0);
        }
    }

    /// Records a failed FLUSH, which is reported to the caller: the changes that it should have covered count
    /// as lost for all other opens.
    pub(crate) fn failed(&self, number: INodeNo, mark: Mark, told: &Told) {
        let mut files = self.files();
        let changes = files.entry(number.0).or_default();
        changes.settled = changes.settled.max(mark.0);
        changes.losses = changes.losses.saturating_add(1);
        changes.heard = true;
        told.0.store(changes.losses, Ordering::Relaxed);
    }

    /// EIO if there was a loss that the description has not reported; then it counts as reported. `alive` is
    /// the current connection.
    pub(crate) fn tell(&self, number: INodeNo, alive: Option<u64>, told: &Told) -> Result<(), Errno> {
        let mut files = self.files();
        let Some(changes) = files.get_mut(&number.0) else { return Ok(()) };
        changes.lose_those_before(alive);
        if told.0.swap(changes.losses, Ordering::Relaxed) == changes.losses {
            return Ok(());
        }
        changes.heard = true;
        Err(Errno::EIO)
    }

    /// Checks for losses as [`tell`](Self::tell) does, but for close(2), after which other copies of the
    /// description may remain: the loss does not count as reported.
    pub(crate) fn warn(&self, number: INodeNo, alive: Option<u64>, told: &Told) -> Result<(), Errno> {
        let mut files = self.files();
        let Some(changes) = files.get_mut(&number.0) else { return Ok(()) };
        changes.lose_those_before(alive);
        if told.0.load(Ordering::Relaxed) == changes.losses { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Drops a number that the kernel has forgotten.
    pub(crate) fn forget(&self, number: INodeNo) {
        self.files().remove(&number.0);
    }
}

impl Changes {
    fn any(&self) -> bool {
        self.made > self.settled
    }

    fn lose_those_before(&mut self, alive: Option<u64>) {
        if self.any() && alive != Some(self.generation) {
            self.settled = self.made;
            self.losses = self.losses.saturating_add(1);
            self.heard = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: INodeNo = INodeNo(7);

    fn is_told(unflushed: &Unflushed, alive: u64, told: &Told) -> bool {
        unflushed.tell(FILE, Some(alive), told).is_err()
    }

    #[test]
    fn a_loss_is_reported_once_to_each_description() {
        let unflushed = Unflushed::default();
        let (first, second) = (unflushed.opened(FILE), unflushed.opened(FILE));
        unflushed.changed(FILE, 1);
        assert!(!is_told(&unflushed, 1, &first));
        for told in [&first, &second] {
            assert!(is_told(&unflushed, 2, told));
            assert!(!is_told(&unflushed, 2, told));
        }
        // All opens have reported this loss, so a new one does not.
        assert!(!is_told(&unflushed, 2, &unflushed.opened(FILE)));
        unflushed.changed(FILE, 2);
        assert!(is_told(&unflushed, 3, &first));
    }

    #[test]
    fn an_unreported_loss_is_reported_to_the_next_open() {
        let unflushed = Unflushed::default();
        unflushed.changed(FILE, 1);
        // A change over the next connection reveals the loss.
        unflushed.changed(FILE, 2);
        let late = unflushed.opened(FILE);
        assert!(is_told(&unflushed, 2, &late));
        assert!(!is_told(&unflushed, 2, &unflushed.opened(FILE)));
        unflushed.forget(FILE);
        assert!(!unflushed.any(FILE));
    }

    #[test]
    fn only_changes_that_were_not_flushed_count_as_lost() {
        let unflushed = Unflushed::default();
        let told = unflushed.opened(FILE);
        unflushed.changed(FILE, 1);
        let mark = unflushed.mark(FILE);
        unflushed.changed(FILE, 1);
        unflushed.flushed(FILE, mark);
        assert!(unflushed.any(FILE));
        let mark = unflushed.mark(FILE);
        unflushed.flushed(FILE, mark);
        assert!(!unflushed.any(FILE) && unflushed.files().is_empty());
        assert!(!is_told(&unflushed, 2, &told));
    }

    #[test]
    fn a_close_reports_a_loss_without_settling_it() {
        let unflushed = Unflushed::default();
        let told = unflushed.opened(FILE);
        unflushed.changed(FILE, 1);
        assert!(unflushed.warn(FILE, Some(1), &told).is_ok());
        assert!(unflushed.warn(FILE, None, &told).is_err());
        assert!(unflushed.warn(FILE, None, &told).is_err());
        assert!(is_told(&unflushed, 2, &told));
        assert!(unflushed.warn(FILE, Some(2), &told).is_ok());
    }

    #[test]
    fn a_failed_flush_is_reported_to_other_descriptions() {
        let unflushed = Unflushed::default();
        let (first, second) = (unflushed.opened(FILE), unflushed.opened(FILE));
        unflushed.changed(FILE, 1);
        let mark = unflushed.mark(FILE);
        unflushed.failed(FILE, mark, &first);
        assert!(!is_told(&unflushed, 1, &first));
        assert!(is_told(&unflushed, 1, &second));
    }
}
