//! The order of the registry's locks, checked where debug assertions are on.
//!
//! A thread takes them in this order only, and at most one of each rank:
//!
//! 1. [`Rank::Registry`]: the gate, whole or shared. Whoever has the whole takes no other lock.
//! 2. [`Rank::Files`]: a part of the table of files. Its holder decides about the opens of its files.
//! 3. [`Rank::Opens`]: a part of the table of opens.
//! 4. [`Rank::Leases`]: a part of the table of leases.
//! 5. [`Rank::Paths`]: a part of the index of paths.
//! 6. [`Rank::CreateGuids`]: a part of the table of create GUIDs.
//! 7. The event stream, which calls nothing while it is locked.

use std::cell::Cell;
use std::marker::PhantomData;

/// The place of a lock in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    None,
    Registry,
    Files,
    Opens,
    Leases,
    Paths,
    CreateGuids,
}

impl Rank {
    /// The name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Registry => "the registry",
            Self::Files => "a part of the files",
            Self::Opens => "a part of the opens",
            Self::Leases => "a part of the leases",
            Self::Paths => "a part of the paths",
            Self::CreateGuids => "a part of the GUIDs",
        }
    }
}

thread_local! {
    /// The last lock of this thread.
    static LAST: Cell<Rank> = const { Cell::new(Rank::None) };
}

/// The record that this thread has, or waits for, a lock of a rank.
#[derive(Debug)]
pub(crate) struct Ranked {
    before: Rank,
    /// The record stays on its thread.
    _thread: PhantomData<*const ()>,
}

impl Ranked {
    /// Records it before the lock is taken.
    ///
    /// # Panics
    ///
    /// With debug assertions, if the thread has a lock of this rank or a later one.
    pub(crate) fn new(rank: Rank) -> Self {
        let mut before = Rank::None;
        if cfg!(debug_assertions) {
            before = LAST.with(|last| last.replace(rank));
            debug_assert!(before < rank, "a lock of rank {rank:?} is taken after one of rank {before:?}");
        }
        Self { before, _thread: PhantomData }
    }
}

impl Drop for Ranked {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            LAST.with(|last| last.set(self.before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_order() {
        let registry = Ranked::new(Rank::Registry);
        let file = Ranked::new(Rank::Files);
        drop(Ranked::new(Rank::Opens));
        drop(Ranked::new(Rank::Leases));
        drop(Ranked::new(Rank::Paths));
        drop(Ranked::new(Rank::CreateGuids));
        drop(file);
        drop(registry);
        drop(Ranked::new(Rank::Registry));
    }

    #[test]
    #[should_panic(expected = "a lock of rank Files is taken after one of rank Opens")]
    fn lock_out_of_order_is_found() {
        let _opens = Ranked::new(Rank::Opens);
        let _files = Ranked::new(Rank::Files);
    }
}
