//! Changes that the server has answered and not yet flushed, and the opens that have to be told if they are lost.
//!
//! A server answers a WRITE when it has the data, not when its disk has it; that takes a FLUSH. A connection that ends
//! in between may have ended with the server, and the data with it: nobody can tell from here. So the next fsync fails,
//! once for each open file description, as Linux' errseq_t has it for a disk (`Documentation/core-api/errseq.rst`): what
//! was lost before a file was opened is told to it only where nobody has been told yet.
//!
//! Changes are remembered by the number of the file or directory, and by the connection that they went over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::{Errno, INodeNo};
use parking_lot::{Mutex, MutexGuard};

/// The unflushed changes of a mount. It has an entry for each number that has any, or had some lost, until the kernel
/// forgets the number.
#[derive(Debug, Default)]
pub(crate) struct Unflushed {
    files: Mutex<HashMap<u64, Changes>>,
}

/// How many losses an open file description has been told of.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicU64);

/// How far a file was changed when a FLUSH was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

#[derive(Debug, Default)]
struct Changes {
    /// Changes that were answered.
    made: u64,
    /// Those among them that a FLUSH has covered, or that are known to be lost.
    settled: u64,
    /// The connection of the others.
    generation: u64,
    /// How many times some were lost.
    losses: u64,
    /// Whether somebody was told of the last loss.
    heard: bool,
}

impl Unflushed {
    fn files(&self) -> MutexGuard<'_, HashMap<u64, Changes>> {
        self.files.lock()
    }

    /// A file is opened.
    pub(crate) fn opened(&self, number: INodeNo) -> Told {
        let losses = self.files().get(&number.0).map_or(0, |changes| {
            if changes.heard { changes.losses } else { changes.losses.saturating_sub(1) }
        });
        Told(AtomicU64::new(losses))
    }

    /// The server has answered a change that went over this connection.
    pub(crate) fn changed(&self, number: INodeNo, generation: u64) {
        let mut files = self.files();
        let changes = files.entry(number.0).or_default();
        changes.lose_those_before(Some(generation));
        changes.generation = generation;
        changes.made = changes.made.saturating_add(1);
    }

    /// Whether there is something that a FLUSH would make safe.
    pub(crate) fn any(&self, number: INodeNo) -> bool {
        self.files().get(&number.0).is_some_and(Changes::any)
    }

    /// What a FLUSH that is sent now covers.
    pub(crate) fn mark(&self, number: INodeNo) -> Mark {
        Mark(self.files().get(&number.0).map_or(0, |changes| changes.made))
    }

    /// A FLUSH was answered.
    pub(crate) fn flushed(&self, number: INodeNo, mark: Mark) {
        let mut files = self.files();
        let Some(changes) = files.get_mut(&number.0) else { return };
        changes.settled = changes.settled.max(mark.0);
        if !changes.any() && changes.losses == 0 {
            files.remove(&number.0);
        }
    }

    /// A FLUSH failed, which the caller is told: what it would have covered counts as lost for everybody else.
    pub(crate) fn failed(&self, number: INodeNo, mark: Mark, told: &Told) {
        let mut files = self.files();
        let changes = files.entry(number.0).or_default();
        changes.settled = changes.settled.max(mark.0);
        changes.losses = changes.losses.saturating_add(1);
        changes.heard = true;
        told.0.store(changes.losses, Ordering::Relaxed);
    }

    /// EIO where something was lost that the description has not been told of; it has been, then. `alive` is the
    /// connection there is.
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

    /// As [`tell`](Self::tell), for close(2), after which a description may live on: it is told again by fsync(2).
    pub(crate) fn warn(&self, number: INodeNo, alive: Option<u64>, told: &Told) -> Result<(), Errno> {
        let mut files = self.files();
        let Some(changes) = files.get_mut(&number.0) else { return Ok(()) };
        changes.lose_those_before(alive);
        if told.0.load(Ordering::Relaxed) == changes.losses { Ok(()) } else { Err(Errno::EIO) }
    }

    /// The kernel has forgotten the number.
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
    fn what_a_lost_connection_may_have_lost_is_told_to_every_description_once() {
        let unflushed = Unflushed::default();
        let (first, second) = (unflushed.opened(FILE), unflushed.opened(FILE));
        unflushed.changed(FILE, 1);
        assert!(!is_told(&unflushed, 1, &first));
        for told in [&first, &second] {
            assert!(is_told(&unflushed, 2, told));
            assert!(!is_told(&unflushed, 2, told));
        }
        // Everybody has been told of this one: who comes now has nothing to do with it.
        assert!(!is_told(&unflushed, 2, &unflushed.opened(FILE)));
        unflushed.changed(FILE, 2);
        assert!(is_told(&unflushed, 3, &first));
    }

    #[test]
    fn a_loss_that_nobody_was_told_of_waits_for_the_next_to_open() {
        let unflushed = Unflushed::default();
        unflushed.changed(FILE, 1);
        // A change over the next connection finds out.
        unflushed.changed(FILE, 2);
        let late = unflushed.opened(FILE);
        assert!(is_told(&unflushed, 2, &late));
        assert!(!is_told(&unflushed, 2, &unflushed.opened(FILE)));
        unflushed.forget(FILE);
        assert!(!unflushed.any(FILE));
    }

    #[test]
    fn what_is_flushed_is_not_lost_and_what_is_written_meanwhile_may_be() {
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
    fn a_close_warns_and_does_not_count_as_told() {
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
    fn a_flush_that_failed_is_told_to_the_others_too() {
        let unflushed = Unflushed::default();
        let (first, second) = (unflushed.opened(FILE), unflushed.opened(FILE));
        unflushed.changed(FILE, 1);
        let mark = unflushed.mark(FILE);
        unflushed.failed(FILE, mark, &first);
        assert!(!is_told(&unflushed, 1, &first));
        assert!(is_told(&unflushed, 1, &second));
    }
}
