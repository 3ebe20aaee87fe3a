//! The recognition of repeated requests: channel sequences (MS-SMB2 3.3.5.2.10), lock sequences (MS-SMB2 3.3.5.14), and
//! CREATEs under way (MS-SMB2 3.3.5.9.10).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::{Mutex, MutexGuard};
use wire::{Guid, NtStatus};

/// `Open.ChannelSequence`, with the numbers of requests with it and with earlier ones (MS-SMB2 3.3.1.10).
#[derive(Debug)]
pub(crate) struct ChannelCounts {
    /// A copy of the sequence, which is compared without the lock.
    latest: AtomicU16,
    state: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    sequence: u16,
    /// `Open.OutstandingRequestCount`.
    now: u32,
    /// `Open.OutstandingPreRequestCount`.
    before: u32,
}

impl ChannelCounts {
    /// The counts of an open that was made by a request with this `ChannelSequence`.
    pub(crate) fn new(sequence: u16) -> Arc<Self> {
        let state = Mutex::new(Counts { sequence, now: 0, before: 0 });
        Arc::new(Self { latest: AtomicU16::new(sequence), state })
    }

    /// Records the sequence of a request that changes nothing. Such a request is executed even if it is late.
    pub(crate) fn note(&self, sequence: u16) {
        if sequence != self.latest.load(Ordering::Relaxed) {
            self.advance(&mut self.lock(), sequence);
        }
    }

    /// Counts a request that changes something (MS-SMB2 3.3.5.2.10). A request from before the client lost a channel is
    /// refused, and so is a repeated one while the first may still be under way.
    pub(crate) fn begin(self: &Arc<Self>, sequence: u16, is_replay: bool) -> Result<Counted, NtStatus> {
        let mut state = self.lock();
        if !self.advance(&mut state, sequence) {
            return Err(NtStatus::FILE_NOT_AVAILABLE);
        }
        if is_replay && state.before != 0 {
            return Err(NtStatus::FILE_NOT_AVAILABLE);
        }
        state.now = state.now.saturating_add(1);
        Ok(Counted { counts: Arc::clone(self), sequence })
    }

    /// Advances to a later sequence. Returns false if this sequence is an earlier one.
    fn advance(&self, state: &mut Counts, sequence: u16) -> bool {
        if sequence == state.sequence {
            return true;
        }
        if sequence.wrapping_sub(state.sequence) > LATEST {
            return false;
        }
        state.before = state.before.saturating_add(state.now);
        state.now = 0;
        state.sequence = sequence;
        self.latest.store(sequence, Ordering::Relaxed);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.state.lock()
    }
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    counts: Arc<ChannelCounts>,
    sequence: u16,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.counts.lock();
        let count = if state.sequence == self.sequence { &mut state.now } else { &mut state.before };
        *count = count.saturating_sub(1);
    }
}

/// `Open.LockSequenceArray` (MS-SMB2 3.3.1.10): the number of the last successful request in each bucket.
#[derive(Debug, Default)]
pub(crate) struct LockSequences {
    buckets: Option<Box<[Option<u8>; BUCKETS]>>,
    /// The buckets whose request is on its way to the log of opens, one bit for each.
    under_way: u64,
}

impl LockSequences {
    /// Compares a request with the last one that was executed of its bucket. Unless it is the same, the bucket is empty
    /// until [`Self::done`].
    pub(crate) fn begin(&mut self, lock_sequence: u32) -> LockSequence {
        let (Some(bucket), number) = split(lock_sequence) else { return LockSequence::New };
        let Some(last) = self.buckets.as_mut().and_then(|it| it.get_mut(bucket)) else {
            return LockSequence::New;
        };
        match *last {
            Some(it) if it == number && self.under_way & (1 << bucket) != 0 => LockSequence::UnderWay,
            Some(it) if it == number => LockSequence::Repeated,
            Some(_) => {
                *last = None;
                LockSequence::Emptied
            }
            None => LockSequence::New,
        }
    }

    /// Records that a request was not executed after all.
    pub(crate) fn forget(&mut self, lock_sequence: u32) {
        let (Some(bucket), _) = split(lock_sequence) else { return };
        if let Some(last) = self.buckets.as_mut().and_then(|it| it.get_mut(bucket)) {
            *last = None;
        }
    }

    /// The valid entries: their `LockSequenceIndex` and `LockSequenceNumber`.
    pub(crate) fn entries(&self) -> Vec<(u8, u8)> {
        let buckets = self.buckets.iter().flat_map(|all| all.iter().zip(1_u8..));
        buckets.filter_map(|(number, index)| number.map(|number| (index, number))).collect()
    }

    /// The array with these entries.
    pub(crate) fn restored(entries: &[(u8, u8)]) -> Self {
        let mut sequences = Self::default();
        for (index, number) in entries {
            sequences.set(u32::from(*index) << 4 | u32::from(*number & 0xf));
        }
        sequences
    }

    /// Records a request that was executed, and is under way until [`Self::recorded`].
    pub(crate) fn done(&mut self, lock_sequence: u32) {
        if let (Some(bucket), _) = split(lock_sequence) {
            self.under_way |= 1 << bucket;
        }
        self.set(lock_sequence);
    }

    /// Ends the way of a request to the log, whatever its result.
    pub(crate) fn recorded(&mut self, lock_sequence: u32) {
        if let (Some(bucket), _) = split(lock_sequence) {
            self.under_way &= !(1 << bucket);
        }
    }

    fn set(&mut self, lock_sequence: u32) {
        let (Some(bucket), number) = split(lock_sequence) else { return };
        let buckets = self.buckets.get_or_insert_with(|| Box::new([None; BUCKETS]));
        if let Some(last) = buckets.get_mut(bucket) {
            *last = Some(number);
        }
    }
}

/// A LOCK request, as its sequence number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockSequence {
    /// The request was executed before.
    Repeated,
    /// The request was executed, and may still be taken back: it is on its way to the log of opens.
    UnderWay,
    /// The request is new, and its bucket had the number of an earlier one, which is forgotten.
    Emptied,
    /// The request is new.
    New,
}

/// `LockSequenceIndex` as an index, `None` if it is zero, and `LockSequenceNumber`.
fn split(lock_sequence: u32) -> (Option<usize>, u8) {
    let bucket = usize::try_from(lock_sequence >> 4).ok().and_then(|index| index.checked_sub(1));
    (bucket.filter(|&bucket| bucket < BUCKETS), (lock_sequence & 0xf) as u8)
}

/// The CREATEs with a create GUID that are under way, by client and GUID. There are no more of them than requests that
/// the server is working on.
#[derive(Debug, Default)]
pub(crate) struct Creations {
    under_way: Arc<Mutex<HashSet<(Guid, Guid)>>>,
}

/// A CREATE that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Creation {
    under_way: Arc<Mutex<HashSet<(Guid, Guid)>>>,
    name: (Guid, Guid),
}

impl Creations {
    /// Enters a CREATE. Returns `None` if it is already under way.
    pub(crate) fn begin(&self, client: Guid, create_guid: Guid) -> Option<Creation> {
        let name = (client, create_guid);
        let is_new = self.under_way.lock().insert(name);
        is_new.then(|| Creation { under_way: Arc::clone(&self.under_way), name })
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.name);
    }
}

/// The largest difference by which a `ChannelSequence` counts as later (MS-SMB2 3.3.5.2.10).
const LATEST: u16 = 0x7fff;

/// `LockSequenceIndex` goes from 1 to 64 (MS-SMB2 3.3.5.14).
const BUCKETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_from_before_a_channel_was_lost_are_refused() {
        let counts = ChannelCounts::new(0xfffe);
        let first = counts.begin(0xfffe, false).unwrap();
        assert_eq!(counts.begin(0xfffd, false).err(), Some(NtStatus::FILE_NOT_AVAILABLE));
        let second = counts.begin(1, false).unwrap();
        assert_eq!(counts.begin(0xfffe, false).err(), Some(NtStatus::FILE_NOT_AVAILABLE));
        assert_eq!(counts.begin(0x8002, false).err(), Some(NtStatus::FILE_NOT_AVAILABLE));
        drop((first, second));
        assert!(counts.begin(0x8000, false).is_ok());
        counts.note(0x8003);
        counts.note(0x8001);
        assert_eq!(counts.begin(0x8002, false).err(), Some(NtStatus::FILE_NOT_AVAILABLE));
    }

    #[test]
    fn repeated_request_is_refused_while_the_lost_channel_has_requests() {
        let counts = ChannelCounts::new(0);
        let lost = counts.begin(0, false).unwrap();
        assert!(counts.begin(0, true).is_ok(), "no channel was lost yet");
        assert_eq!(counts.begin(1, true).err(), Some(NtStatus::FILE_NOT_AVAILABLE));
        drop(lost);
        assert!(counts.begin(1, true).is_ok());
    }

    #[test]
    fn repeated_lock_sequence_is_recognized() {
        let mut sequences = LockSequences::default();
        let request = |index: u32, number: u32| index << 4 | number;
        for unnumbered in [request(0, 3), request(65, 3)] {
            sequences.done(unnumbered);
            assert_eq!(sequences.begin(unnumbered), LockSequence::New);
        }
        for index in [1, 64] {
            assert_eq!(sequences.begin(request(index, 3)), LockSequence::New);
            sequences.done(request(index, 3));
            assert_eq!(sequences.begin(request(index, 3)), LockSequence::UnderWay);
            sequences.recorded(request(index, 3));
            assert_eq!(sequences.begin(request(index, 3)), LockSequence::Repeated);
            assert_eq!(sequences.begin(request(index, 4)), LockSequence::Emptied);
            assert_eq!(sequences.begin(request(index, 3)), LockSequence::New, "its bucket is empty");
        }
    }

    #[test]
    fn a_create_is_under_way_once() {
        let creations = Creations::default();
        let (client, guid) = (Guid([1; 16]), Guid([2; 16]));
        let first = creations.begin(client, guid);
        assert!(first.is_some() && creations.begin(client, guid).is_none());
        assert!(creations.begin(guid, client).is_some());
        drop(first);
        assert!(creations.begin(client, guid).is_some());
    }
}
