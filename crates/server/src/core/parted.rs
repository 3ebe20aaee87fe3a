//! Tables that every request uses, in parts with a lock each, so that requests on different cores seldom meet.

use parking_lot::{Mutex, MutexGuard};

/// A table in parts. The part of an entry follows from its key alone.
#[derive(Debug, Default)]
pub(crate) struct Parted<T>([Part<T>; PARTS]);

/// A part on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part<T>(Mutex<T>);

/// The number of parts: with 64 cores that each hold a part for a hundredth of a request, few meet.
const PARTS: usize = 16;

impl<T> Parted<T> {
    /// Locks the part of the key with this number. Numbers that follow each other are in different parts.
    pub(crate) fn part(&self, number: u64) -> MutexGuard<'_, T> {
        let Self(parts) = self;
        // The remainder is below 16.
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of parts")]
        parts[(number % PARTS as u64) as usize].0.lock()
    }

    /// Locks all parts, one after the other.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(|part| part.0.lock())
    }
}
