//! CREATE and durable handles: requests, reclaims and replays (MS-SMB2 3.3.5.9.6, 3.3.5.9.7, 3.3.5.9.10,
//! 3.3.5.9.12, 3.3.5.9.13, 3.3.5.9.16).

use std::sync::Arc;

use registry::{
    AppInstance, DurableGranted, DurableRequest, GrantedOpen, Reconnect, ReconnectError, Replay, ReplayError,
};
use vfs::Forms;
use wire::create_context::{CreateContextsRequest, DurableFlags, DurableResponseV2, LeaseContext};
use wire::fscc::SmbPath;
use wire::header::HeaderFlags;
use wire::msg::{CreateAction, CreateRequest};
use wire::{AccessMask, Dialect, FileId, Guid, NtStatus, OplockLevel};

use super::decode::Wish;
use super::{Extras, Opened, respond};
use crate::core::files::replay::Creation;
use crate::core::open::Open;
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// The durable-handle contexts of a CREATE.
pub(super) enum Durability {
    /// A request for a durable handle, or none.
    Request(Option<DurableRequest>),
    /// A reclaim of a durable open.
    Reclaim(Reclaim),
}

/// A CREATE that reclaims a durable open; its other fields are ignored.
pub(super) struct Reclaim {
    file_id: FileId,
    create_guid: Option<Guid>,
    persistent: bool,
    path: String,
    lease: Option<LeaseContext>,
    maximal_access: bool,
    disk_id: bool,
}

impl Durability {
    /// Reads the contexts, some of which exclude each other. Those of version 2 are ignored before SMB 3.
    pub(super) fn of(
        create: &CreateRequest<'_>,
        contexts: &CreateContextsRequest<'_>,
        (dialect, is_posix, may_persist): (Dialect, bool, bool),
    ) -> Result<Self, NtStatus> {
        let persists = |flags| may_persist && DurableFlags(flags).contains(DurableFlags::PERSISTENT);
        let is_smb3 = dialect >= Dialect::SMB300;
        let request_v2 = contexts.durable_request_v2.filter(|_| is_smb3);
        let reconnect_v2 = contexts.durable_reconnect_v2.filter(|_| is_smb3);
        let of_first_kind = contexts.durable_request || contexts.durable_reconnect.is_some();
        let of_second_kind = request_v2.is_some() || reconnect_v2.is_some();
        if of_first_kind && of_second_kind || request_v2.is_some() && reconnect_v2.is_some() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let reclaimed = match (contexts.durable_reconnect, reconnect_v2) {
            (Some(file_id), _) => Some((file_id, None, false)),
            (None, Some(reconnect)) => {
                Some((reconnect.file_id, Some(reconnect.create_guid), persists(reconnect.flags)))
            }
            (None, None) => None,
        };
        if let Some((file_id, create_guid, persistent)) = reclaimed {
            let path = super::decode::written(create, is_posix);
            return Ok(Self::Reclaim(Reclaim {
                file_id,
                create_guid,
                persistent,
                path: display_path(path),
                lease: contexts.lease,
                maximal_access: contexts.maximal_access.is_some(),
                disk_id: contexts.query_on_disk_id,
            }));
        }
        let v1 = contexts.durable_request.then_some(DurableRequest::V1);
        let v2 = request_v2.map(|asked| DurableRequest::V2 {
            create_guid: asked.create_guid,
            timeout_ms: asked.timeout_ms,
            persistent: persists(asked.flags),
        });
        Ok(Self::Request(v2.or(v1)))
    }
}

/// The application instance of an open; valid only with a durable request of version 2.
pub(super) fn app_instance(
    contexts: &CreateContextsRequest<'_>,
    durable: Option<DurableRequest>,
    dialect: Dialect,
) -> Option<AppInstance> {
    let id = contexts.app_instance_id.filter(|_| matches!(durable, Some(DurableRequest::V2 { .. })))?;
    let version = contexts.app_instance_version.filter(|_| dialect >= Dialect::SMB311);
    let version = version.map(|it| (it.high, it.low));
    // The user's access is unknown before the file is resolved.
    Some(AppInstance { id, version, maximal_access: AccessMask::NONE })
}

/// Returns a durable open to its client.
pub(super) fn reclaim(request: &mut Request<'_>, answer: &mut AnswerBuilder, asked: &Reclaim) -> Outcome {
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let reconnect = Reconnect {
        session: session.id(),
        tree: tree.id(),
        connection: request.connection.id,
        file_id: asked.file_id,
        create_guid: asked.create_guid,
        persistent: asked.persistent,
        lease: asked.lease.map(|lease| (lease.key, if lease.v2.is_some() { 2 } else { 1 })),
        lease_epoch: asked.lease.and_then(|lease| lease.v2).map_or(0, |v2| v2.epoch),
        path: asked.path.as_str().into(),
        is_same_path: match tree.share.settings.unicode_forms {
            Forms::Exact => wire::eq_ignore_case,
            Forms::Any => |one, other| vfs::fold::equal_in(Forms::Any, one, other),
        },
    };
    let sequence = request.header.channel_sequence();
    let (owner, maximal_access) = (Arc::clone(&session), tree.maximal_access());
    let attach = |file_id, open: &Arc<Open>| Arc::new(open.reclaimed(file_id, owner, tree, sequence));
    let found = server.registry.lock("reconnect").reconnect(&reconnect, attach, server.now());
    let found = found.map_err(|error| match error {
        ReconnectError::NotFound => NtStatus::OBJECT_NAME_NOT_FOUND,
        ReconnectError::OtherUser => NtStatus::ACCESS_DENIED,
        ReconnectError::InvalidParameter => NtStatus::INVALID_PARAMETER,
        ReconnectError::SessionGone => NtStatus::USER_SESSION_DELETED,
        ReconnectError::TreeGone => NtStatus::NETWORK_NAME_DELETED,
        ReconnectError::LimitReached(limit) => crate::core::status::of_limit(limit),
    })?;
    let open = found.attached;
    open.tree().note_durable();
    session.remember_open(Arc::clone(&open));
    server.apply(found.effects);
    let extras = Extras {
        maximal_access: asked.maximal_access,
        disk_id: asked.disk_id,
        lease: asked.lease,
        // The client knows that it is durable.
        durable: None,
        apple: None,
    };
    let stat = open.file().ok_or(NtStatus::INTERNAL_ERROR)?.handle.stat().or_status()?;
    let action = CreateAction::OPENED;
    let opened = Opened { open, granted: found.granted, maximal_access, action, stat };
    respond(request, answer, &extras, &opened)
}

/// Registers a CREATE with a create GUID as being in progress (MS-SMB2 3.3.5.9.10); `None` without a GUID.
pub(super) fn begin(request: &Request<'_>, wish: &Wish) -> Result<Option<Creation>, NtStatus> {
    let Some(DurableRequest::V2 { create_guid, .. }) = wish.durable else { return Ok(None) };
    let connection = request.connection;
    let client = connection.negotiated.get().map(|it| it.client_guid).unwrap_or_default();
    match connection.server.files.creations.begin(client, create_guid) {
        Some(creation) => Ok(Some(creation)),
        // The client must try again until the first CREATE is finished.
        None if is_replay(request) => Err(NtStatus::FILE_NOT_AVAILABLE),
        None => Err(NtStatus::DUPLICATE_OBJECTID),
    }
}

/// The open that the original of a replayed CREATE has made; `None` if there is none, or if this is not a
/// replay.
pub(super) fn replayed(request: &Request<'_>, wish: &Wish) -> Result<Option<(Extras, Opened)>, NtStatus> {
    let Some(DurableRequest::V2 { create_guid, .. }) = wish.durable else { return Ok(None) };
    if !is_replay(request) {
        return Ok(None);
    }
    let (session, tree) = (request.session()?, request.tree()?);
    let replay = Replay {
        session: session.id(),
        tree: tree.id(),
        connection: request.connection.id,
        create_guid,
        lease: wish.lease.map(|lease| lease.key),
    };
    let server = &request.connection.server;
    let sequence = request.header.channel_sequence();
    let (owner, its_tree) = (Arc::clone(session), Arc::clone(tree));
    let attach = |file_id, open: &Arc<Open>| {
        Arc::new(open.reclaimed(file_id, owner, its_tree, sequence).still_replayable())
    };
    let found = server.registry.lock("replay").replay(&replay, attach, server.now());
    let found = found.map_err(|error| match error {
        ReplayError::Denied => NtStatus::ACCESS_DENIED,
        ReplayError::Elsewhere => NtStatus::DUPLICATE_OBJECTID,
        ReplayError::LimitReached(limit) => crate::core::status::of_limit(limit),
        ReplayError::SessionGone => NtStatus::USER_SESSION_DELETED,
    })?;
    let Some(found) = found else { return Ok(None) };
    let open = found.attached;
    session.remember_open(Arc::clone(&open));
    server.apply(found.effects);
    let mut granted = found.granted;
    let mut extras = Extras::of(&open, wish, &granted);
    if granted.oplock != OplockLevel::LEASE {
        // As in Windows, the answer contains what this request asks for, not what the open has.
        granted.oplock = wish.oplock;
        let persists = matches!(extras.durable, Some(DurableGranted::V2 { persistent: true, .. }));
        extras.durable = extras.durable.filter(|_| persists || wish.oplock == OplockLevel::BATCH);
    }
    let stat = open.file().ok_or(NtStatus::INTERNAL_ERROR)?.handle.stat().or_status()?;
    let (maximal_access, action) = (tree.maximal_access(), open.action);
    Ok(Some((extras, Opened { open, granted, maximal_access, action, stat })))
}

/// The context that reports the granted durability.
pub(super) fn answer_v2(granted: Option<DurableGranted>) -> Option<DurableResponseV2> {
    match granted {
        Some(DurableGranted::V2 { timeout_ms, persistent }) => {
            let flags = if persistent { DurableFlags::PERSISTENT } else { DurableFlags::NONE };
            Some(DurableResponseV2 { timeout_ms, flags: flags.0 })
        }
        Some(DurableGranted::V1) | None => None,
    }
}

impl Extras {
    /// The contexts of the answer to a CREATE.
    pub(super) fn of(open: &Open, wish: &Wish, granted: &GrantedOpen) -> Self {
        if granted.durable.is_some() {
            open.tree().note_durable();
        }
        Self {
            maximal_access: wish.query_maximal_access,
            disk_id: wish.query_disk_id,
            lease: wish.lease,
            durable: granted.durable,
            apple: super::apple::answer(open, wish.apple),
        }
    }
}

fn is_replay(request: &Request<'_>) -> bool {
    request.is_smb3() && request.header.flags.contains(HeaderFlags::REPLAY_OPERATION)
}

/// The path in the registry's form; an invalid path stays as it is, and equals no other.
fn display_path(path: String) -> String {
    let relative = super::canonical(&path)
        .ok()
        .and_then(|path| SmbPath::parse(&path).ok().and_then(|parsed| super::relative_path(parsed).ok()));
    relative.map_or(path, |relative| crate::smb::handlers::display_path(&relative))
}
