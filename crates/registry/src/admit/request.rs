//! The request of CREATE to the registry, and the result.

use std::sync::Arc;

use wire::{AccessMask, FileGlobalId, FileId, Guid, LeaseState, OplockLevel, SessionId, ShareAccess, TreeId};

use crate::{
    ConnectionId, DurableGranted, DurableRequest, LimitReached, LogId, MoveCount, OpenShared, OpenTarget,
    RequestKey,
};

/// A CREATE whose name is resolved and whose access is decided.
#[derive(Clone, Debug)]
pub struct AdmitRequest {
    /// The key of the request, in case it has to wait.
    pub request: RequestKey,
    /// True if the request has waited and is tried again.
    pub is_retry: bool,
    /// The session's id.
    pub session: SessionId,
    /// The tree connect's id.
    pub tree: TreeId,
    /// The connection of the request.
    pub connection: ConnectionId,
    /// The file or pipe to open.
    pub target: OpenTarget,
    /// The path in the share, with `\`.
    pub path: Arc<str>,
    /// The granted access: generic rights and MAXIMUM_ALLOWED are resolved.
    pub access: AccessMask,
    /// `ShareAccess`.
    pub share_access: ShareAccess,
    /// True if `CreateDisposition` is FILE_SUPERSEDE, FILE_OVERWRITE or FILE_OVERWRITE_IF.
    pub overwrites: bool,
    /// The count of renames, read before the path was looked up ([`Registry::moves`](crate::Registry::moves)).
    pub looked_up: MoveCount,
    /// `Stream.AllocationSize` in bytes, before the file is overwritten. For a sparse file, its size.
    pub allocation: u64,
    /// FILE_DELETE_ON_CLOSE.
    pub delete_on_close: bool,
    /// True for a directory.
    pub is_directory: bool,
    /// `RequestedOplockLevel`, other than LEASE.
    pub oplock: OplockLevel,
    /// The requested lease; `None` if an oplock is requested.
    pub lease: Option<LeaseRequest>,
    /// The requested durable handle.
    pub durable: Option<DurableRequest>,
    /// The log of the share, which keeps the open if it becomes durable.
    pub log: Option<LogId>,
    /// The instance of an application that opens the file, in a version 2 durable request.
    pub app_instance: Option<AppInstance>,
}

impl AdmitRequest {
    /// Creates a request for the plainest open: without rights, sharing all access, without caching, not durable, and
    /// without a change of the file.
    pub fn new(
        request: RequestKey,
        (session, tree): (SessionId, TreeId),
        target: OpenTarget,
        path: Arc<str>,
    ) -> Self {
        Self {
            request,
            is_retry: false,
            session,
            tree,
            connection: request.connection,
            target,
            path,
            access: AccessMask::NONE,
            share_access: ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
            overwrites: false,
            looked_up: MoveCount::NEVER_MOVED,
            allocation: 0,
            delete_on_close: false,
            is_directory: false,
            oplock: OplockLevel::NONE,
            lease: None,
            durable: None,
            log: None,
            app_instance: None,
        }
    }

    /// `CreateGuid` of a version 2 request for a durable handle.
    pub(crate) fn create_guid(&self) -> Option<Guid> {
        match self.durable {
            Some(DurableRequest::V2 { create_guid, .. }) => Some(create_guid),
            Some(DurableRequest::V1) | None => None,
        }
    }

    /// The access that others must share. Overwriting a stream conflicts with opens that do not share writing, as an
    /// open for FILE_WRITE_DATA does, although that access is not granted (MS-FSA 2.1.5.1.2).
    pub(crate) fn shared_access(&self) -> AccessMask {
        if self.overwrites { self.access | AccessMask::WRITE_DATA } else { self.access }
    }
}

/// SMB2_CREATE_APP_INSTANCE_ID and SMB2_CREATE_APP_INSTANCE_VERSION (MS-SMB2 2.2.13.2.13, 2.2.13.2.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppInstance {
    /// `AppInstanceId`.
    pub id: Guid,
    /// `AppInstanceVersionHigh` and `AppInstanceVersionLow`.
    pub version: Option<(u64, u64)>,
    /// The maximal access of the user to the file.
    pub maximal_access: AccessMask,
}

/// SMB2_CREATE_REQUEST_LEASE and _V2 (MS-SMB2 2.2.13.2.8, 2.2.13.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// `LeaseKey`.
    pub key: Guid,
    /// `LeaseState`.
    pub state: LeaseState,
    /// 1 or 2.
    pub version: u8,
    /// `Epoch`; zero for version 1.
    pub epoch: u16,
}

/// The answer to a CREATE.
#[derive(Clone, Debug)]
pub enum Admission {
    /// The open was created.
    Granted(GrantedOpen),
    /// The open was refused.
    Refused(Refused),
    /// Breaks have been sent. The request's key will be in [`Effects::retry`](crate::Effects::retry) (call again then)
    /// or in [`Effects::cancelled`](crate::Effects::cancelled).
    MustWait,
    /// After the effects are done, the server has to look the name up again: the file is being removed, replaced or
    /// renamed, perhaps because an open was closed to make way, or was renamed since the lookup; or more opens have to
    /// be closed than one hold of the lock may close.
    LookAgain,
}

/// An open that was granted.
#[derive(Clone, Debug)]
pub struct GrantedOpen {
    /// `Open.FileId` and `Open.DurableFileId`.
    pub file_id: FileId,
    /// `Open.FileGlobalId`.
    pub global_id: FileGlobalId,
    /// The oplock level granted: LEASE if a lease was requested.
    pub oplock: OplockLevel,
    /// The lease's state; NONE without a lease.
    pub lease_state: LeaseState,
    /// The lease's version, 1 or 2, which the first open of the lease sets. Zero without a lease.
    pub lease_version: u8,
    /// The lease's epoch.
    pub lease_epoch: u16,
    /// SMB2_LEASE_FLAG_BREAK_IN_PROGRESS.
    pub lease_breaking: bool,
    /// The durable handle, if it was requested and granted.
    pub durable: Option<DurableGranted>,
    /// The part that READ and WRITE use without the lock.
    pub shared: Arc<OpenShared>,
}

/// The reason for refusing an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// STATUS_SHARING_VIOLATION.
    SharingViolation {
        /// The conflicting open.
        blocker: FileGlobalId,
    },
    /// A persistent open waits for its client, and this open must not be granted before it is back:
    /// STATUS_FILE_NOT_AVAILABLE (MS-SMB2 3.3.5.9).
    AwaitsClient {
        /// The open that waits.
        blocker: FileGlobalId,
    },
    /// STATUS_DELETE_PENDING.
    DeletePending,
    /// The lease key is in use for another file: STATUS_INVALID_PARAMETER.
    LeaseKeyInUse,
    /// The create GUID is in use: STATUS_DUPLICATE_OBJECTID, unless the request is a replay.
    CreateGuidInUse {
        /// The open with this create GUID.
        open: FileGlobalId,
    },
    /// A drain refuses new opens: STATUS_SHARING_PAUSED.
    Draining,
    /// The path is held: STATUS_SHARING_VIOLATION.
    Held,
    /// A newer instance of the application has the file: STATUS_FILE_FORCED_CLOSED.
    NewerInstance,
    /// A limit was reached.
    LimitReached(LimitReached),
    /// There is no such session, or it is not valid: STATUS_USER_SESSION_DELETED.
    SessionGone,
    /// There is no such tree connect: STATUS_NETWORK_NAME_DELETED.
    TreeGone,
}
