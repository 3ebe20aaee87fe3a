//! Durable opens, which wait for their client when it is lost (MS-SMB2 3.3.5.9.6, 3.3.5.9.7, 3.3.5.9.10, 3.3.5.9.12,
//! 3.3.7.1).

use std::collections::HashMap;
use std::sync::Arc;

use wire::{FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, TreeId};

use crate::caching::Caching;
use crate::deadlines::Deadline;
use crate::events::EventKind;
use crate::open::{Home, Open};
use crate::parts::PartedMap;
use crate::session::{Session, SessionState};
use crate::{
    AdmitRequest, ConnectionId, Effects, GrantedOpen, LeaseId, LimitReached, Limits, NotFound, Shell, State,
    Time, cost,
};

/// The durable handle that a CREATE requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableRequest {
    /// SMB2_CREATE_DURABLE_HANDLE_REQUEST (MS-SMB2 2.2.13.2.3).
    V1,
    /// SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2 (MS-SMB2 2.2.13.2.11).
    V2 {
        /// `CreateGuid`.
        create_guid: Guid,
        /// `Timeout`; if zero, the server chooses.
        timeout_ms: u32,
        /// SMB2_DHANDLE_FLAG_PERSISTENT, if the share is continuously available and the client supports it.
        persistent: bool,
    },
}

/// The durable handle that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableGranted {
    /// SMB2_CREATE_DURABLE_HANDLE_RESPONSE (MS-SMB2 2.2.14.2.3).
    V1,
    /// SMB2_CREATE_DURABLE_HANDLE_RESPONSE_V2 (MS-SMB2 2.2.14.2.12).
    V2 {
        /// `Timeout`.
        timeout_ms: u32,
        /// SMB2_DHANDLE_FLAG_PERSISTENT.
        persistent: bool,
    },
}

/// `Open.IsDurable` and the related fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    /// `Open.CreateGuid`; `None` for a version 1 handle.
    pub(crate) create_guid: Option<Guid>,
    /// `Open.DurableOpenTimeout`.
    pub(crate) timeout_ms: u32,
    /// `Open.DurableOpenScavengerTimeout`: set while the open is an orphan.
    pub(crate) deadline: Option<Time>,
    /// `Open.IsResilient`: the open outlives its connection, with or without caching.
    pub(crate) resilient: bool,
    /// `Open.IsPersistent`: as `resilient`, and no conflict ends the open while it waits.
    pub(crate) persistent: bool,
}

/// A reconnect (MS-SMB2 2.2.13.2.4, 2.2.13.2.12).
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// The session's id.
    pub session: SessionId,
    /// The tree connect's id.
    pub tree: TreeId,
    /// The connection of the request.
    pub connection: ConnectionId,
    /// `FileId` of the context; only its persistent part is compared.
    pub file_id: FileId,
    /// `CreateGuid` of a version 2 reconnect. It is zero for an open with a version 1 handle.
    pub create_guid: Option<Guid>,
    /// SMB2_DHANDLE_FLAG_PERSISTENT of a version 2 reconnect.
    pub persistent: bool,
    /// The key and version in the lease context of the CREATE.
    pub lease: Option<(Guid, u8)>,
    /// `Epoch` of the lease context; zero for version 1.
    pub lease_epoch: u16,
    /// The path of the CREATE.
    pub path: Arc<str>,
    /// The share's comparison of paths.
    pub is_same_path: fn(&str, &str) -> bool,
}

/// An open that is connected to its client again.
pub struct Reconnected<S: Shell> {
    /// The present state of the open: after a reconnect the volatile part of its id has changed.
    pub granted: GrantedOpen,
    /// The server's part of the open.
    pub attached: S::Open,
    /// The breaks that the client was owed.
    pub effects: Effects<S>,
}

/// A CREATE that may have been executed before (MS-SMB2 3.3.5.9.10).
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// The session's id.
    pub session: SessionId,
    /// The tree connect's id.
    pub tree: TreeId,
    /// The connection of the request.
    pub connection: ConnectionId,
    /// `CreateGuid`.
    pub create_guid: Guid,
    /// The lease key, if a lease is requested instead of an oplock.
    pub lease: Option<Guid>,
}

/// The opens that replayed CREATEs may be answered with, by client and `Open.CreateGuid`.
pub(crate) type CreateGuids = PartedMap<(Guid, Guid), FileGlobalId>;

/// A part of [`CreateGuids`].
pub(crate) type CreateGuidsPart = HashMap<(Guid, Guid), FileGlobalId>;

/// The reason for refusing a replayed CREATE (MS-SMB2 3.3.5.9.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The open belongs to another user, or was requested with other caching: STATUS_ACCESS_DENIED.
    Denied,
    /// The open belongs to another session or tree connect, or to another share: STATUS_DUPLICATE_OBJECTID.
    Elsewhere,
    /// A limit was reached.
    LimitReached(LimitReached),
    /// There is no such session: STATUS_USER_SESSION_DELETED.
    SessionGone,
}

/// The reason for refusing a reconnect (MS-SMB2 3.3.5.9.7, 3.3.5.9.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconnectError {
    /// There is no such open, it has a client, or the request does not match it: STATUS_OBJECT_NAME_NOT_FOUND.
    NotFound,
    /// The open belongs to another user: STATUS_ACCESS_DENIED.
    OtherUser,
    /// The name or the version of the lease differs: STATUS_INVALID_PARAMETER.
    InvalidParameter,
    /// There is no such session: STATUS_USER_SESSION_DELETED.
    SessionGone,
    /// There is no such tree connect: STATUS_NETWORK_NAME_DELETED.
    TreeGone,
    /// A limit was reached.
    LimitReached(LimitReached),
}

impl Durable {
    fn new(request: DurableRequest, limits: &Limits) -> Self {
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        match request {
            DurableRequest::V1 => Self {
                create_guid: None,
                timeout_ms: ms(limits.durable_v1_timeout_ms),
                deadline: None,
                resilient: false,
                persistent: false,
            },
            DurableRequest::V2 { create_guid, timeout_ms, persistent } => {
                let asked = if timeout_ms == 0 { ms(limits.durable_v2_timeout_ms) } else { timeout_ms };
                let timeout_ms = asked.min(ms(limits.durable_v2_timeout_max_ms));
                Self {
                    create_guid: Some(create_guid),
                    timeout_ms,
                    deadline: None,
                    resilient: false,
                    persistent,
                }
            }
        }
    }

    /// The durable handle of a new open with this caching (MS-SMB2 3.3.5.9.6, 3.3.5.9.10).
    pub(crate) fn of(
        request: &AdmitRequest,
        level: OplockLevel,
        lease: LeaseState,
        limits: &Limits,
    ) -> Option<Self> {
        let holds_handle = level == OplockLevel::BATCH || lease.contains(LeaseState::HANDLE);
        let is_granted = |asked: &DurableRequest| {
            holds_handle || matches!(asked, DurableRequest::V2 { persistent: true, .. })
        };
        let asked = request.durable.filter(is_granted).filter(|_| !request.is_directory)?;
        Some(Self::new(asked, limits))
    }

    pub(crate) fn granted(&self) -> DurableGranted {
        match self.create_guid {
            None => DurableGranted::V1,
            Some(_) => DurableGranted::V2 { timeout_ms: self.timeout_ms, persistent: self.persistent },
        }
    }
}

impl<S: Shell> State<S> {
    /// Connects an orphan to its client again (MS-SMB2 3.3.5.9.7, 3.3.5.9.12). `attach` makes the server's part of the
    /// open from the new id and the present part.
    pub fn reconnect(
        &mut self,
        request: &Reconnect,
        attach: impl FnOnce(FileId, &S::Open) -> S::Open,
        now: Time,
    ) -> Result<Reconnected<S>, ReconnectError> {
        let (id, home) = self.reclaimable(request)?;
        // The client knows that the CREATE succeeded.
        self.forget_replay(id);
        if request.persistent
            && let Some(Caching::Lease(lease)) = self.opens.get(&id).map(|open| open.caching)
        {
            self.renew_lease(lease, request.lease_epoch);
        }
        self.give_back(id, home, attach, now).ok_or(ReconnectError::NotFound)
    }

    /// Connects an orphan to the client that reclaims it.
    fn give_back(
        &mut self,
        id: FileGlobalId,
        home: Home,
        attach: impl FnOnce(FileId, &S::Open) -> S::Open,
        now: Time,
    ) -> Option<Reconnected<S>> {
        let volatile = self.open_ids.issue_volatile(id);
        let client = self.connections.get(&home.connection).map(|it| it.client_guid).unwrap_or_default();
        let open = self.opens.get_mut(&id)?;
        self.orphans.leave(id, open);
        open.file_id.volatile = volatile;
        // Without a lease, the client may have another GUID now.
        open.client_guid = client;
        open.attached = attach(open.file_id, &open.attached);
        open.home = Some(home);
        if let Some(durable) = &mut open.durable
            && let Some(deadline) = durable.deadline.take()
        {
            self.deadlines.clear(deadline, Deadline::Durable(id));
        }
        if let Some(session) = self.sessions.get(&home.session) {
            open.owner = session.owner.clone();
        }
        if let Some(key) = open.target.file()
            && let Some(file) = self.files.get_mut(&key)
        {
            file.awaited.remove(&id);
        }
        self.opens.name(volatile, id);
        self.enter_home(home, id);
        let open = self.opens.get(&id)?;
        let reclaimed = EventKind::Reclaimed { open: open.event(id), session: home.session };
        self.events.push(now, reclaimed);
        self.touch_log(id);
        let open = self.opens.get(&id)?;
        let (granted, attached, caching) =
            (self.granted_again(id, open), open.attached.clone(), open.caching);
        let mut effects = Effects::none();
        if let Caching::Lease(lease) = caching {
            self.send_owed_break(lease, now, &mut effects);
        }
        Some(Reconnected { granted, attached, effects })
    }

    /// The open that a CREATE with this GUID made. A replayed CREATE is answered with it (MS-SMB2 3.3.5.9.10).
    pub fn open_by_create_guid(&self, client: Guid, create_guid: Guid) -> Option<FileGlobalId> {
        self.create_guids.get(&(client, create_guid)).copied()
    }

    /// Records that a client uses an open, and so has received the answer to its CREATE: a replay no longer finds the
    /// open (`Open.IsReplayEligible`).
    pub fn forget_replay(&mut self, id: FileGlobalId) {
        cost::step();
        let Some(open) = self.opens.get_mut(&id) else {
            return;
        };
        if let Some(name) = open.replay.take() {
            self.create_guids.remove(&name);
        }
        if let Caching::Lease(lease) = open.caching
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.replayable.remove(&id);
        }
    }

    /// Finds the open that a replayed CREATE has made already (MS-SMB2 3.3.5.9.10). Returns `None` if there is no such
    /// open and the CREATE is to be executed. An orphan is connected to its client again: a client that lost the
    /// connection before the answer came has no id to reclaim it by. `attach` is as in [`Self::reconnect`].
    pub fn replay(
        &mut self,
        request: &Replay,
        attach: impl FnOnce(FileId, &S::Open) -> S::Open,
        now: Time,
    ) -> Result<Option<Reconnected<S>>, ReplayError> {
        let session_id = self.session_global(request.session).map_err(|_| ReplayError::SessionGone)?;
        let session = self.sessions.get(&session_id).ok_or(ReplayError::SessionGone)?;
        let client = self.client_of(session, request.connection).ok_or(ReplayError::SessionGone)?;
        let Some(id) = self.open_by_create_guid(client, request.create_guid) else {
            return Ok(None);
        };
        let Some(open) = self.opens.get(&id) else {
            return Ok(None);
        };
        if session.user.as_ref() != Some(&open.user) {
            return Err(ReplayError::Denied);
        }
        let lease = request.lease.map(|key| LeaseId { client, key });
        let same_kind = match open.caching {
            Caching::Lease(held) => lease == Some(held),
            Caching::Oplock { .. } | Caching::None => lease.is_none(),
        };
        if !same_kind {
            return Err(ReplayError::Denied);
        }
        let Some(home) = open.home else {
            let tree_id = *session.trees.get(&request.tree).ok_or(ReplayError::Elsewhere)?;
            let tree = self.trees.get(&tree_id).ok_or(ReplayError::Elsewhere)?;
            let is_same_place = open.origin.place() == tree.origin.place();
            if !is_same_place || session.state != SessionState::Valid {
                return Err(ReplayError::Elsewhere);
            }
            if session.open_count.get() >= self.limits.opens_per_session {
                return Err(ReplayError::LimitReached(LimitReached::OpensPerSession));
            }
            let home = Home { session: session_id, tree: tree_id, connection: request.connection };
            return Ok(self.give_back(id, home, attach, now));
        };
        if home.session != session_id || session.trees.get(&request.tree) != Some(&home.tree) {
            return Err(ReplayError::Elsewhere);
        }
        let (granted, attached) = (self.granted_again(id, open), open.attached.clone());
        Ok(Some(Reconnected { granted, attached, effects: Effects::none() }))
    }

    /// Makes an open outlive its connection, with or without caching (MS-SMB2 3.3.5.15.9).
    pub fn make_resilient(&mut self, open: FileId, timeout_ms: u32) -> Result<(), NotFound> {
        let id = self.open_global(open.into())?;
        let asked = if timeout_ms == 0 { self.limits.durable_v2_timeout_ms } else { u64::from(timeout_ms) };
        let timeout_ms = u32::try_from(asked.min(self.limits.durable_v2_timeout_max_ms)).unwrap_or(u32::MAX);
        let open = self.opens.get_mut(&id).ok_or(NotFound)?;
        let was_logged = open.logged().is_some();
        // From now on it is reclaimed as an open with a version 1 handle, unless its handle is persistent.
        let (create_guid, persistent) = match open.durable {
            Some(Durable { create_guid, persistent: true, .. }) => (create_guid, true),
            _ => (None, false),
        };
        open.durable = Some(Durable { create_guid, timeout_ms, deadline: None, resilient: true, persistent });
        if was_logged {
            self.touch_log(id);
        } else {
            self.enter_log(id);
        }
        Ok(())
    }

    /// The durable open with this `Open.DurableFileId`.
    pub(crate) fn by_durable_id(&self, persistent: u64) -> Option<FileGlobalId> {
        let issued = self.open_ids.global_of(persistent);
        let all = [issued, self.restored_ids.get(&persistent).copied()];
        all.into_iter().flatten().find(|id| {
            let open = self.opens.get(id);
            open.is_some_and(|open| open.durable.is_some() && open.file_id.persistent == persistent)
        })
    }

    /// `Connection.ClientGuid` of a session's connection: of this one, or, if it is lost, of any other, since all have
    /// the same client (MS-SMB2 3.3.5.5).
    pub(crate) fn client_of(&self, session: &Session<S>, connection: ConnectionId) -> Option<Guid> {
        let own = self.connections.get(&connection);
        own.or_else(|| session.channels.iter().find_map(|it| self.connections.get(it)))
            .map(|it| it.client_guid)
    }

    /// The answer to a CREATE for an open that exists already.
    fn granted_again(&self, id: FileGlobalId, open: &Open<S>) -> GrantedOpen {
        let (oplock, lease_state) = self.caching_of(open);
        let lease = match open.caching {
            Caching::Lease(lease) => self.leases.get(&lease),
            _ => None,
        };
        GrantedOpen {
            file_id: open.file_id,
            global_id: id,
            oplock,
            lease_state,
            lease_version: lease.map_or(0, |it| it.version),
            lease_epoch: lease.map_or(0, |it| it.epoch),
            lease_breaking: lease.is_some_and(|it| it.breaking.is_some()),
            durable: open.durable.as_ref().map(Durable::granted),
            shared: open.shared.clone(),
        }
    }

    /// True if an open becomes an orphan when the connection is lost now (MS-SMB2 3.3.7.1).
    pub(crate) fn outlives_client(&self, id: FileGlobalId, open: &Open<S>) -> bool {
        open.durable.is_some_and(|durable| {
            durable.resilient
                || durable.persistent
                || self.holder_of(id, open).is_some_and(|holder| {
                    let held = self.held(holder);
                    // Locks stay only with a holder that caches writes: no other client can have been granted the
                    // range.
                    let keeps_locks = open.locks == 0 || held.contains(LeaseState::WRITE);
                    held.contains(LeaseState::HANDLE) && keeps_locks && !self.is_breaking(holder)
                })
        })
    }

    /// Makes an orphan of an open whose connection is lost.
    pub(crate) fn orphan_open(&mut self, id: FileGlobalId, now: Time, effects: &mut Effects<S>) {
        self.cancel_locks(id, now, effects);
        let Some(open) = self.opens.get_mut(&id) else {
            return;
        };
        if open.is_persistent()
            && let Some(file) = open.target.file().and_then(|key| self.files.get_mut(&key))
        {
            file.awaited.insert(id);
        }
        if let Some(home) = open.home.take() {
            self.leave_home(home, id);
        }
        let Some(open) = self.opens.get_mut(&id) else {
            return;
        };
        if let Some(durable) = &mut open.durable {
            let deadline = now.after_ms(u64::from(durable.timeout_ms));
            durable.deadline = Some(deadline);
            self.deadlines.set(deadline, Deadline::Durable(id));
        }
        let volatile = open.file_id.volatile;
        self.opens.unname(volatile);
        let Some(open) = self.opens.get(&id) else {
            return;
        };
        let orphaned = EventKind::Orphaned { open: open.event(id) };
        self.events.push(now, orphaned);
        effects.spent = effects.spent.saturating_add(1);
        self.enter_orphan(id, now, effects);
    }

    fn reclaimable(&self, request: &Reconnect) -> Result<(FileGlobalId, Home), ReconnectError> {
        use ReconnectError::{InvalidParameter, NotFound, OtherUser, SessionGone, TreeGone};
        let session_id = self.session_global(request.session).map_err(|_| SessionGone)?;
        let session = self.sessions.get(&session_id).ok_or(SessionGone)?;
        if session.state != SessionState::Valid {
            return Err(SessionGone);
        }
        let tree_id = *session.trees.get(&request.tree).ok_or(TreeGone)?;
        let tree = self.trees.get(&tree_id).ok_or(TreeGone)?;
        let connection = self.connections.get(&request.connection).ok_or(SessionGone)?;

        // The client of a persistent open may have lost the answer with the id.
        let by_guid = || {
            let guid = request.create_guid.filter(|_| request.persistent)?;
            self.open_by_create_guid(connection.client_guid, guid)
        };
        let by_id = self.by_durable_id(request.file_id.persistent);
        let id = by_id.or_else(by_guid).ok_or(NotFound)?;
        let open = self.opens.get(&id).ok_or(NotFound)?;
        let durable = open.durable.as_ref().ok_or(NotFound)?;
        // An open with a version 1 handle has no GUID. An open of either version may be reclaimed without a GUID.
        let same_guid = request.create_guid.is_none_or(|it| it == durable.create_guid.unwrap_or_default());
        // The share may have another directory by now.
        let same_place = open.origin.place() == tree.origin.place();
        if open.home.is_some() || !same_guid || !same_place || durable.persistent != request.persistent {
            return Err(NotFound);
        }
        match (open.caching, request.lease) {
            (Caching::Lease(lease), Some((key, version))) => {
                if lease != (LeaseId { client: connection.client_guid, key }) {
                    return Err(NotFound);
                }
                if self.leases.get(&lease).is_some_and(|it| it.version != version)
                    || !(request.is_same_path)(&open.path, &request.path)
                {
                    return Err(InvalidParameter);
                }
            }
            (Caching::Lease(_), None) | (_, Some(_)) => return Err(NotFound),
            (Caching::Oplock { .. } | Caching::None, None) => {}
        }
        if session.user.as_ref() != Some(&open.user) {
            return Err(OtherUser);
        }
        if session.open_count.get() >= self.limits.opens_per_session {
            return Err(ReconnectError::LimitReached(LimitReached::OpensPerSession));
        }
        Ok((id, Home { session: session_id, tree: tree_id, connection: request.connection }))
    }
}
