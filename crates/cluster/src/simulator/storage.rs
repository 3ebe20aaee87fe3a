//! A model of the storage of shares: a lock, the stamp of the last owner, and writes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Locks, ProcessId};
use crate::ids::{Attempt, Generation, ShareKey};
use crate::protocol::{Event, Stamp};

/// The storages of all shares.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    volumes: BTreeMap<ShareKey, Volume>,
    /// True if the fencing hook has cut off anything.
    has_fenced: bool,
}

#[derive(Debug, Default)]
struct Volume {
    lock: Option<Holder>,
    stamp: Option<Stamp>,
    written: Generation,
    /// The attempts that the fencing hook has cut off.
    fenced: BTreeSet<Holder>,
}

type Holder = (ProcessId, Attempt);

impl Storage {
    /// Takes the lock and writes the stamp, as [`crate::protocol::Action::OpenStorage`] wants it.
    pub(crate) fn open(
        &mut self,
        locks: Locks,
        process: ProcessId,
        share: ShareKey,
        attempt: Attempt,
        stamp: Stamp,
    ) -> Event {
        let volume = self.volumes.entry(share.clone()).or_default();
        if locks == Locks::Honoured && volume.lock.is_some_and(|it| it != (process, attempt)) {
            return Event::StorageBusy { share, attempt, holder: volume.stamp.clone() };
        }
        volume.lock = Some((process, attempt));
        match &volume.stamp {
            Some(found) if *found != stamp && found.generation >= stamp.generation => {
                Event::StorageAhead { share, attempt, found: found.generation }
            }
            _ => {
                volume.stamp = Some(stamp);
                Event::StorageOpened { share, attempt }
            }
        }
    }

    pub(crate) fn release(&mut self, process: ProcessId, share: &ShareKey, attempt: Attempt) {
        if let Some(volume) = self.volumes.get_mut(share)
            && volume.lock == Some((process, attempt))
        {
            volume.lock = None;
        }
    }

    /// The holders of locks among the attempts of a process.
    pub(crate) fn held_by(&self, process: ProcessId) -> Vec<(ShareKey, Attempt)> {
        let held = self.volumes.iter().filter_map(|(share, it)| Some((share.clone(), it.lock?)));
        held.filter(|(_, holder)| holder.0 == process).map(|(share, holder)| (share, holder.1)).collect()
    }

    /// Cuts off the holder of the lock, and takes the lock from it.
    pub(crate) fn fence(&mut self, share: &ShareKey, by: ProcessId) {
        if let Some(volume) = self.volumes.get_mut(share)
            && let Some(holder) = volume.lock
            && holder.0 != by
        {
            self.has_fenced = true;
            volume.fenced.insert(holder);
            volume.lock = None;
        }
    }

    /// True if the fencing hook has cut off the attempt.
    pub(crate) fn is_fenced(&self, process: ProcessId, share: &ShareKey, attempt: Attempt) -> bool {
        self.has_fenced && self.volumes.get(share).is_some_and(|it| it.fenced.contains(&(process, attempt)))
    }

    /// A write of an owner. Returns the later generation that has written before, which is a violation.
    pub(crate) fn write(
        &mut self,
        process: ProcessId,
        share: &ShareKey,
        attempt: Attempt,
        generation: Generation,
    ) -> Option<Generation> {
        let volume = self.volumes.entry(share.clone()).or_default();
        if volume.fenced.contains(&(process, attempt)) {
            return None;
        }
        let before = volume.written;
        volume.written = before.max(generation);
        (generation < before).then_some(before)
    }
}
