//! Leases (MS-SMB2 3.3.1.12) and the global lease table (MS-SMB2 3.3.1.11).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use wire::{FileGlobalId, LeaseState};

use crate::{FileKey, LeaseId, Shell, State, Time};

pub(crate) struct Lease {
    pub(crate) file: FileKey,
    pub(crate) version: u8,
    /// `Lease.LeaseState`: until a break is acknowledged, what it was before.
    pub(crate) state: LeaseState,
    pub(crate) breaking: Option<LeaseBreaking>,
    /// `Lease.Epoch`.
    pub(crate) epoch: u16,
    /// Breaks that the client did not acknowledge in time: what it had cached may not have come back.
    pub(crate) unanswered_breaks: u32,
    /// `Lease.LeaseOpens`.
    pub(crate) opens: BTreeSet<FileGlobalId>,
    /// Those of them that a CREATE can be the replay of (`Open.IsReplayEligible`).
    pub(crate) replayable: BTreeSet<FileGlobalId>,
    /// The state for those who have no lock: see [`OpenShared`](crate::OpenShared).
    pub(crate) shared: Arc<AtomicU8>,
}

/// `Lease.Breaking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseBreaking {
    /// `Lease.BreakToLeaseState`: what the client was told.
    pub(crate) to: LeaseState,
    /// What has to be reached since, in further steps.
    pub(crate) required: LeaseState,
    /// `Lease.LeaseBreakTimeout`.
    pub(crate) deadline: Time,
}

impl Lease {
    pub(crate) fn new(file: FileKey, version: u8, epoch: u16) -> Self {
        Self {
            file,
            version,
            state: LeaseState::NONE,
            breaking: None,
            epoch,
            unanswered_breaks: 0,
            opens: BTreeSet::new(),
            replayable: BTreeSet::new(),
            shared: Arc::default(),
        }
    }

    pub(crate) fn set_state(&mut self, state: LeaseState) {
        self.state = state;
        self.shared.store((state.0 & 0xff) as u8, Relaxed);
    }
}

/// A lease state a client may hold: all others are granted as none (MS-SMB2 3.3.5.9.8).
pub(crate) fn usable(state: LeaseState) -> LeaseState {
    let state = state & (LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE);
    if state.contains(LeaseState::READ) { state } else { LeaseState::NONE }
}

impl<S: Shell> State<S> {
    /// The file a client's lease key is in use for: CREATE with the key for another one is refused
    /// (MS-SMB2 3.3.5.9.8), which is better known before the other one is created.
    pub fn lease_file(&self, lease: LeaseId) -> Option<FileKey> {
        self.leases.get(&lease).map(|it| it.file)
    }
}
