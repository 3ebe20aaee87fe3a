//! Leases (MS-SMB2 3.3.1.12) and the global lease table (MS-SMB2 3.3.1.11).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use wire::{FileGlobalId, Guid, LeaseState};

use crate::{FileKey, LeaseId, Shell, State, Time};

pub(crate) struct Lease {
    pub(crate) file: FileKey,
    pub(crate) version: u8,
    pub(crate) parent: Option<Guid>,
    /// `Lease.LeaseState`: until a break is acknowledged, what it was before.
    pub(crate) state: LeaseState,
    pub(crate) breaking: Option<LeaseBreaking>,
    /// `Lease.Epoch`.
    pub(crate) epoch: u16,
    /// `Lease.LeaseOpens`.
    pub(crate) opens: BTreeSet<FileGlobalId>,
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
    pub(crate) fn new(file: FileKey, version: u8, parent: Option<Guid>, epoch: u16) -> Self {
        Self {
            file,
            version,
            parent,
            state: LeaseState::NONE,
            breaking: None,
            epoch,
            opens: BTreeSet::new(),
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

    /// A lease's parent key (MS-SMB2 2.2.13.2.10), for the break of its directory's lease.
    pub fn lease_parent(&self, lease: LeaseId) -> Option<Guid> {
        self.leases.get(&lease).and_then(|it| it.parent)
    }
}
