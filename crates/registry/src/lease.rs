//! Leases (MS-SMB2 3.3.1.12) and the global lease table (MS-SMB2 3.3.1.11).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use wire::{FileGlobalId, LeaseState};

use crate::admit::LeaseRequest;
use crate::caching::Holder;
use crate::deadlines::Deadline;
use crate::few::FewSet;
use crate::limits::{CONNECTIONS_LOOKED_AT, REPLAYABLE_PER_LEASE};
use crate::parts::PartedMap;
use crate::session::{Session, SessionState};
use crate::{BreakKind, ConnectionId, Effects, FileKey, LeaseId, LogId, Shell, State, Time, cost};

/// `GlobalLeaseTableList`: the leases of all clients.
pub(crate) type Leases = PartedMap<LeaseId, Lease>;

pub(crate) struct Lease {
    pub(crate) file: FileKey,
    pub(crate) version: u8,
    /// `Lease.LeaseState`. It changes when a break is acknowledged.
    pub(crate) state: LeaseState,
    pub(crate) breaking: Option<LeaseBreaking>,
    /// The state to which the lease is to be broken when its client is back.
    pub(crate) owed: Option<LeaseState>,
    /// `Lease.Epoch`.
    pub(crate) epoch: u16,
    /// The number of breaks that the client did not acknowledge in time: data that it had cached may be lost.
    pub(crate) unanswered_breaks: u32,
    /// `Lease.LeaseOpens`.
    pub(crate) opens: FewSet<FileGlobalId>,
    /// The opens of the lease that a replayed CREATE may be answered with (`Open.IsReplayEligible`).
    pub(crate) replayable: FewSet<FileGlobalId>,
    /// The number of opens of the lease that each log keeps: derived.
    pub(crate) logs: BTreeMap<LogId, usize>,
    /// The state, which is read without the lock: see [`OpenShared`](crate::OpenShared).
    pub(crate) shared: Arc<AtomicU8>,
}

/// `Lease.Breaking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseBreaking {
    /// `Lease.BreakToLeaseState`: the state in the break notification.
    pub(crate) to: LeaseState,
    /// The state that is required by now, which may take further steps.
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
            owed: None,
            epoch,
            unanswered_breaks: 0,
            opens: FewSet::default(),
            replayable: FewSet::default(),
            logs: BTreeMap::new(),
            shared: Arc::default(),
        }
    }

    pub(crate) fn set_state(&mut self, state: LeaseState) {
        self.state = state;
        self.shared.store((state.0 & 0xff) as u8, Relaxed);
    }

    /// True if an open that may have `caches` of the caching that it wants raises the lease to that (MS-SMB2 3.3.5.9.8,
    /// 3.3.5.9.11).
    pub(crate) fn is_raised_by(&self, caches: LeaseState, wanted: LeaseState, is_new: bool) -> bool {
        let whole = is_new || caches == wanted;
        whole && caches != self.state && caches.contains(self.state) && self.breaking.is_none()
    }

    /// Advances `Lease.Epoch`, which counts the changes that a client of version 2 is notified of (MS-SMB2 3.3.4.7).
    pub(crate) fn advance_epoch(&mut self) {
        if self.version >= 2 {
            self.epoch = self.epoch.wrapping_add(1);
        }
    }
}

/// The requested state of a lease, as far as it is allowed: directories have no write caching.
pub(crate) fn wanted(lease: &LeaseRequest, is_directory: bool) -> LeaseState {
    usable(if is_directory { lease.state.without(LeaseState::WRITE) } else { lease.state })
}

/// The lease state that a client may hold: a state without read caching is granted as none (MS-SMB2 3.3.5.9.8).
pub(crate) fn usable(state: LeaseState) -> LeaseState {
    let state = state & (LeaseState::READ | LeaseState::HANDLE | LeaseState::WRITE);
    if state.contains(LeaseState::READ) { state } else { LeaseState::NONE }
}

impl<S: Shell> State<S> {
    /// The file for which a client's lease key is in use. A CREATE with the key for another file is refused (MS-SMB2
    /// 3.3.5.9.8); the server checks this before it creates that file.
    pub fn lease_file(&self, lease: LeaseId) -> Option<FileKey> {
        self.leases.get(&lease).map(|it| it.file)
    }

    /// Adds an open to a lease. A new lease gets the state that can be granted; an existing one is raised to the whole
    /// requested state or not at all (MS-SMB2 3.3.5.9.8, 3.3.5.9.11). It is never lowered, and does not change while it
    /// is breaking.
    pub(crate) fn join_lease(
        &mut self,
        id: LeaseId,
        key: FileKey,
        asked: &LeaseRequest,
        is_directory: bool,
        caches: LeaseState,
        open: FileGlobalId,
    ) -> Arc<AtomicU8> {
        let is_new = !self.leases.contains_key(&id);
        let lease = self.leases.get_or_insert_with(id, || Lease::new(key, asked.version, asked.epoch));
        lease.opens.insert(open);
        let shared = lease.shared.clone();
        let raised = lease.is_raised_by(caches, wanted(asked, is_directory), is_new);
        // If nothing is granted, nothing has changed for the client.
        if raised {
            lease.advance_epoch();
        }
        if is_new && let Some(file) = self.files.get_mut(&key) {
            file.leases.insert(id);
        }
        if raised {
            self.set_lease_state(id, caches);
        }
        shared
    }

    /// Sets a lease's state, and enters or removes the lease among the holders that cache the file.
    pub(crate) fn set_lease_state(&mut self, id: LeaseId, state: LeaseState) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        let before = lease.state;
        lease.set_state(state);
        if before.is_none() != state.is_none()
            && let Some(file) = self.files.get_mut(&lease.file)
        {
            if state.is_none() {
                file.caching.remove(&Holder::Lease(id));
            } else {
                file.caching.insert(Holder::Lease(id));
            }
            file.refresh_cachers();
        }
        self.touch_lease_log(id);
    }

    /// Breaks a lease to `to`, and records that `required` has to be reached. A break that grows takes several steps,
    /// which advance the epoch once.
    pub(crate) fn break_lease(
        &mut self,
        id: LeaseId,
        to: LeaseState,
        required: LeaseState,
        now: Time,
        effects: &mut Effects<S>,
    ) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if let Some(breaking) = &mut lease.breaking {
            breaking.required = breaking.required & required;
            return;
        }
        let current = lease.state;
        let ack_required = current.intersects(LeaseState::WRITE | LeaseState::HANDLE);
        let epoch = lease.epoch;
        let open = self.open_for_breaks(id);
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if ack_required {
            let deadline = now.after_ms(self.limits.break_timeout_ms);
            lease.breaking = Some(LeaseBreaking { to, required, deadline });
            self.deadlines.set(deadline, Deadline::LeaseBreak(id));
        } else {
            self.set_lease_state(id, to);
        }
        if let Some(open) = open {
            self.notify(
                open,
                BreakKind::Lease { key: id.key, current, new: to, ack_required, epoch },
                now,
                effects,
            );
        }
    }

    /// Limits the number of opens of a lease that can be replayed, so that one hold of the lock can reset them.
    pub(crate) fn bound_replayable(&mut self, id: LeaseId) {
        let replayable = self.leases.get(&id).map(|it| &it.replayable);
        let oldest = replayable.filter(|it| it.len() > REPLAYABLE_PER_LEASE).and_then(FewSet::first);
        if let Some(oldest) = oldest.copied() {
            self.forget_replay(oldest);
        }
    }

    pub(crate) fn leave_lease(&mut self, id: LeaseId, open: FileGlobalId) {
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        lease.opens.remove(&open);
        lease.replayable.remove(&open);
        if !lease.opens.is_empty() {
            return;
        }
        if let Some(breaking) = lease.breaking.take() {
            self.deadlines.clear(breaking.deadline, Deadline::LeaseBreak(id));
        }
        self.set_lease_state(id, LeaseState::NONE);
        if let Some(lease) = self.leases.remove(&id)
            && let Some(file) = self.files.get_mut(&lease.file)
        {
            file.leases.remove(&id);
        }
    }

    /// The open that determines the client for breaks of a lease: the first that is no orphan.
    pub(crate) fn open_for_breaks(&self, id: LeaseId) -> Option<FileGlobalId> {
        let lease = self.leases.get(&id)?;
        lease.opens.iter().find(|open| self.opens.get(open).is_some_and(|it| it.home.is_some())).copied()
    }

    /// True if messages about an open must be sealed (MS-SMB2 3.3.4.1.4).
    pub(crate) fn is_sealed(&self, id: FileGlobalId) -> bool {
        let Some(home) = self.opens.get(&id).and_then(|open| open.home) else {
            return false;
        };
        self.trees.get(&home.tree).is_some_and(|tree| tree.encrypted)
            || self.sessions.get(&home.session).is_some_and(|session| session.identity.flags.encrypted)
    }

    /// The connections for the breaks of a lease, the best first. They belong to the client and not to a session, and
    /// breaks are not signed: like Windows and Samba, the server uses the client's oldest connection that still works.
    /// Any client can claim this GUID, so only connections on which the user of the lease is logged on are included.
    pub(crate) fn channels_of_lease(&self, id: LeaseId) -> Vec<ConnectionId> {
        let open = self.open_for_breaks(id).and_then(|open| self.opens.get(&open));
        let Some(session) = open.and_then(|open| self.sessions.get(&open.home?.session)) else {
            return Vec::new();
        };
        let is_users =
            |other: &Session<S>| other.state != SessionState::InProgress && other.user == session.user;
        let first = (id.client, ConnectionId(0));
        let named = self.client_connections.range(first..).take_while(|(guid, _)| *guid == id.client);
        let connections = named.map(|(_, connection)| *connection).take(CONNECTIONS_LOOKED_AT);
        let sessions = connections.flat_map(|connection| {
            let carried = self.connections.get(&connection).into_iter().flat_map(|it| &it.sessions);
            carried.map(move |session| (connection, session))
        });
        let of_user = sessions
            .take(CONNECTIONS_LOOKED_AT)
            .inspect(|_| cost::step())
            .filter(|(_, other)| self.sessions.get(other).is_some_and(is_users))
            .map(|(connection, _)| connection);
        // The session's own connections belong to the user, even if many others claim the same GUID.
        let own = session.channels.iter().copied();
        let own = own.filter(|connection| self.client_connections.contains(&(id.client, *connection)));
        let mut all: Vec<ConnectionId> = of_user.chain(own).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(self.limits.channels_per_session);
        all
    }
}
