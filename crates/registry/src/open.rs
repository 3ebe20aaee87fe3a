//! Opens (MS-SMB2 3.3.1.10), the central objects of the registry.
//!
//! ```text
//!                      1 admit
//!                         |
//!                         v         2 connection lost, logoff
//!        +------------- Live ----------(durable)----------> Orphan
//!        |                ^                                  | | |
//!        |                +------------ 3 reconnect ---------+ | |
//!        | 4 close_open, tree_disconnect, close_session,       | | 5 handle_timeout
//!        |   remove_share, shutdown                            | | 6 a conflicting admit
//!        v                                                     v v
//!      Closed <------------------- 4 --------------------------+-+
//! ```
//!
//! 1. [`State::admit`]: the only way in. A refused open leaves nothing behind but an entry of the refusal log.
//! 2. `State::orphan_open` (durable.rs), called by [`State::close_session`] for opens that are durable
//!    and still hold a batch oplock or a handle lease (MS-SMB2 3.3.7.1). The open keeps its share modes,
//!    locks and caching; it has no session, tree connect or connection, and a deadline.
//! 3. [`State::reconnect`] (MS-SMB2 3.3.5.9.7, 3.3.5.9.12): a new volatile id, a new session.
//! 4. `State::end_open` (close.rs): the only way out, with a [`CloseReason`]; all public functions that
//!    close call it.
//! 5. `State::end_open` with [`CloseReason::DurableExpired`].
//! 6. `State::end_open` with [`CloseReason::DurableConflict`]: there is no client to send a break to.
//!
//! Closed opens are not kept: the open leaves the tables, and [`OpenShared::closed`] has the reason for holders
//! of the `Arc`.
//!
//! Locks: see lock.rs, and order.rs for those of the tables' parts. [`OpenShared`], [`SessionShared`] and
//! [`FileShared`] are atomics: they are written under a lock or by their owner, and read without it. Arrow 1 and the
//! first of 4 are also taken by several threads at a time (`concurrent`), for plain opens.
//!
//! [`SessionShared`]: crate::SessionShared

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use wire::security::Sid;
use wire::{
    AccessMask, FileGlobalId, FileId, FoldedName, Guid, LeaseState, OplockLevel, SessionGlobalId, SessionId,
    ShareAccess, TreeGlobalId,
};

use crate::caching::Caching;
use crate::durable::Durable;
use crate::events::{EventOpen, EventUse};
use crate::share::Origin;
use crate::user_counts::UserKey;
use crate::{
    AppInstance, CloseReason, ConnectionId, FileShared, Identity, LogId, OpenTarget, Shell, State, Time,
    UserKind,
};

pub(crate) struct Open<S: Shell> {
    pub(crate) file_id: FileId,
    /// `None` for an orphan.
    pub(crate) home: Option<Home>,
    pub(crate) target: OpenTarget,
    /// The share and the directory that the path begins in.
    pub(crate) origin: Arc<Origin>,
    pub(crate) path: Arc<str>,
    /// The path in lower case: the key of the index of paths.
    pub(crate) folded: FoldedName,
    pub(crate) access: AccessMask,
    pub(crate) share_access: ShareAccess,
    pub(crate) is_directory: bool,
    pub(crate) delete_on_close: bool,
    /// FILE_DISPOSITION_POSIX_SEMANTICS: if this open asked for the delete, the name is removed when the open ends.
    pub(crate) deletes_with_own: bool,
    pub(crate) caching: Caching,
    pub(crate) durable: Option<Durable>,
    /// The log of the open's share, which keeps the open if it is durable.
    pub(crate) log: Option<LogId>,
    /// The number of the open among the orphans; `None` if it is no orphan.
    pub(crate) orphaned: Option<u64>,
    /// The client and `Open.CreateGuid`, while a replayed CREATE can be answered with the open
    /// (`Open.IsReplayEligible`).
    pub(crate) replay: Option<(Guid, Guid)>,
    pub(crate) app_instance: Option<AppInstance>,
    /// `Open.ClientGuid`.
    pub(crate) client_guid: Guid,
    pub(crate) owner: Arc<Owner>,
    /// The user whose opens include this one, for the limit.
    pub(crate) user: UserKey,
    pub(crate) created: Time,
    /// The number of byte-range locks that the open holds: derived, for the limit and for administrators.
    pub(crate) locks: usize,
    /// The number of requests of the open that wait for a lock: derived, so that a close need not look for them.
    pub(crate) waiting_locks: usize,
    /// The time of the last event about its locks.
    pub(crate) locked_event: Option<Time>,
    /// The number of breaks of the oplock that the client did not acknowledge in time.
    pub(crate) unanswered_breaks: u32,
    /// True if the session is anonymous or a guest's.
    pub(crate) of_stranger: bool,
    pub(crate) shared: Arc<OpenShared>,
    pub(crate) attached: S::Open,
}

impl<S: Shell> Open<S> {
    /// The log that keeps the open.
    pub(crate) fn logged(&self) -> Option<LogId> {
        self.log.filter(|_| self.durable.is_some())
    }

    /// `Open.IsPersistent`.
    pub(crate) fn is_persistent(&self) -> bool {
        self.durable.is_some_and(|durable| durable.persistent)
    }

    /// The description of the open in events.
    pub(crate) fn event(&self, file: FileGlobalId) -> EventOpen {
        EventOpen {
            file,
            share: self.origin.share_name.clone(),
            path: self.path.clone(),
            owner: self.owner.clone(),
            access: self.access,
            is_directory: self.is_directory,
        }
    }

    /// The use that was made of the open, at its end.
    pub(crate) fn used(&self) -> EventUse {
        EventUse {
            session: self.home.map(|home| home.session),
            opened: self.created,
            bytes_read: self.shared.bytes_read(),
            bytes_written: self.shared.bytes_written(),
        }
    }
}

/// `Open.Session` and `Open.TreeConnect`. An open has both or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) session: SessionGlobalId,
    pub(crate) tree: TreeGlobalId,
    /// `Open.Connection`, which may have been lost while the session has others.
    pub(crate) connection: ConnectionId,
}

/// The user and client of an open or a session. An open keeps them because it may outlive its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of the user.
    pub user: Arc<str>,
    /// The domain or server that the client named.
    pub domain: Arc<str>,
    /// The kind of user.
    pub kind: UserKind,
    /// The SID of a user of a domain.
    pub sid: Option<Sid>,
    /// The name of the client.
    pub client: Arc<str>,
}

impl Owner {
    pub(crate) fn new(identity: &Identity, client: Arc<str>) -> Self {
        let kind = identity.kind();
        let (user, domain) = (identity.user.clone(), identity.domain.clone());
        Self { user, domain, kind, sid: identity.sid, client }
    }
}

/// The object does not exist, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

/// A reference to an open, by one of its two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRef {
    /// The id in requests.
    FileId(FileId),
    /// The id for administrators.
    Global(FileGlobalId),
}

impl From<FileId> for OpenRef {
    fn from(id: FileId) -> Self {
        Self::FileId(id)
    }
}

impl From<FileGlobalId> for OpenRef {
    fn from(id: FileGlobalId) -> Self {
        Self::Global(id)
    }
}

/// The part of an open that READ and WRITE use without the registry's lock.
#[derive(Debug)]
pub struct OpenShared {
    closed: AtomicU8,
    last_io: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    oplock: AtomicU8,
    lease: Option<Arc<AtomicU8>>,
    /// The part of the file that is used without the lock.
    pub file: Arc<FileShared>,
}

impl OpenShared {
    pub(crate) fn new(file: Arc<FileShared>, lease: Option<Arc<AtomicU8>>, now: Time) -> Self {
        Self {
            closed: AtomicU8::new(0),
            last_io: AtomicU64::new(now.0),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            oplock: AtomicU8::new(0),
            lease,
            file,
        }
    }

    /// The reason why the open has ended; `None` while it exists. A request checks this after it has found its open,
    /// because an administrator may have closed the open in between.
    pub fn closed(&self) -> Option<CloseReason> {
        CloseReason::from_number(self.closed.load(Relaxed))
    }

    /// Records a READ.
    pub fn count_read(&self, bytes: u64, now: Time) {
        self.bytes_read.fetch_add(bytes, Relaxed);
        self.last_io.store(now.0, Relaxed);
    }

    /// Records a WRITE.
    pub fn count_written(&self, bytes: u64, now: Time) {
        self.bytes_written.fetch_add(bytes, Relaxed);
        self.last_io.store(now.0, Relaxed);
    }

    /// The time of the last READ or WRITE, or of the open if there was none.
    pub fn last_io(&self) -> Time {
        Time(self.last_io.load(Relaxed))
    }

    /// The number of bytes that were read through the open.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// The number of bytes that were written through the open.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Relaxed)
    }

    /// True if READ and WRITE must call [`State::check_io`]: the file has byte-range locks.
    pub fn has_locks(&self) -> bool {
        self.file.lock_count() != 0
    }

    /// True if a change of the data must call [`State::break_for_write`], because others may cache the data. The server
    /// checks this after the change has reached the store and before it answers the request, so that caches that began
    /// in between are broken as well.
    pub fn write_needs_break(&self) -> bool {
        let leased = self.lease.as_ref().is_some_and(|state| state.load(Relaxed) != 0);
        let exclusive = self.oplock.load(Relaxed) > OplockLevel::LEVEL_II.0;
        self.file.cachers() > u32::from(leased || exclusive)
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.closed.store(reason as u8, Relaxed);
    }

    pub(crate) fn set_oplock(&self, level: OplockLevel) {
        self.oplock.store(level.0, Relaxed);
    }
}

/// The registry's view of an open.
pub struct OpenInfo<S: Shell> {
    /// `Open.FileGlobalId`.
    pub global_id: FileGlobalId,
    /// `Open.FileId` and `Open.DurableFileId`.
    pub file_id: FileId,
    /// The file or pipe.
    pub target: OpenTarget,
    /// The share.
    pub share: Arc<str>,
    /// The path in the share, which a rename changes.
    pub path: Arc<str>,
    /// `Open.GrantedAccess`.
    pub access: AccessMask,
    /// The access that the open shares with others.
    pub share_access: ShareAccess,
    /// True for a directory.
    pub is_directory: bool,
    /// The session; `None` for an orphan.
    pub session: Option<SessionGlobalId>,
    /// `Open.OplockLevel`.
    pub oplock: OplockLevel,
    /// The state of the open's lease.
    pub lease: LeaseState,
    /// The part that requests use without the lock.
    pub shared: Arc<OpenShared>,
    /// The server's part of the open.
    pub attached: S::Open,
}

impl<S: Shell> State<S> {
    /// The open with this id; `None` if it has ended or belongs to another session (MS-SMB2 3.3.5.10 and others:
    /// "locate the open in Session.OpenTable").
    pub fn open_of(&self, session: SessionId, id: FileId) -> Option<OpenInfo<S>> {
        let global_id = self.open_global(id.into()).ok()?;
        let session = self.session_global(session).ok()?;
        let open = self.opens.get(&global_id)?;
        (open.home?.session == session).then(|| self.open_info(global_id, open))
    }

    /// The registry's view of an open.
    pub fn open(&self, id: impl Into<OpenRef>) -> Option<OpenInfo<S>> {
        let global_id = self.open_global(id.into()).ok()?;
        self.opens.get(&global_id).map(|open| self.open_info(global_id, open))
    }

    pub(crate) fn open_global(&self, id: OpenRef) -> Result<FileGlobalId, NotFound> {
        let global_id = match id {
            OpenRef::Global(id) => id,
            OpenRef::FileId(id) => self.opens.by_volatile_id(id.volatile).ok_or(NotFound)?,
        };
        let open = self.opens.get(&global_id).ok_or(NotFound)?;
        match id {
            OpenRef::FileId(id) if open.file_id != id => Err(NotFound),
            _ => Ok(global_id),
        }
    }

    fn open_info(&self, global_id: FileGlobalId, open: &Open<S>) -> OpenInfo<S> {
        let (oplock, lease) = self.caching_of(open);
        OpenInfo {
            global_id,
            file_id: open.file_id,
            target: open.target.clone(),
            share: open.origin.share_name.clone(),
            path: open.path.clone(),
            access: open.access,
            share_access: open.share_access,
            is_directory: open.is_directory,
            session: open.home.map(|home| home.session),
            oplock,
            lease,
            shared: open.shared.clone(),
            attached: open.attached.clone(),
        }
    }
}

/// Objects by a 64-bit id that the registry issued. The ids are spread by [`WireIds`](crate::ids::WireIds)
/// already, and clients do not choose the entries of the table, so the id is its own hash.
pub(crate) type IdMap<K = u64, V = FileGlobalId> = HashMap<K, V, BuildHasherDefault<IssuedIdHasher>>;

/// See [`IdMap`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IssuedIdHasher(u64);

impl Hasher for IssuedIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
