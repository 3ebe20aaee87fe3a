//! CREATE of what is no file of the share (pipes, the quota file), as far as it is the same for each.

use std::sync::Arc;

use registry::{Admission, AdmitRequest, GrantedOpen, RequestKey, Target};
use wire::msg::CreateAction;
use wire::{AccessMask, NtStatus, OplockLevel, ShareAccess};

use crate::connection::Request;
use crate::open::{Content, Created, Open};

/// What is opened.
pub(super) struct Apart {
    pub(super) target: Target,
    pub(super) path: Arc<str>,
    pub(super) access: AccessMask,
    pub(super) content: Content,
}

/// Makes the open: shared with everybody, cached by nobody, and gone with its session.
pub(super) fn admit(request: &mut Request<'_>, apart: Apart) -> Result<Arc<Open>, NtStatus> {
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let Apart { target, path, access, content } = apart;
    let admission = AdmitRequest {
        request: RequestKey { connection: request.connection.id, id: server.next_request() },
        is_retry: false,
        session: session.id(),
        tree: tree.id(),
        connection: request.connection.id,
        target,
        path,
        access,
        share_access: ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
        overwrites: false,
        created: false,
        allocation: 0,
        delete_on_close: false,
        is_directory: false,
        oplock: OplockLevel::NONE,
        lease: None,
        durable: None,
        app_instance: None,
    };
    let created = Created {
        actor: crate::handlers::actor(request)?,
        action: CreateAction::OPENED,
        channel_sequence: request.header.channel_sequence(),
        has_guid: false,
        parent_key: None,
    };
    let mut attached = None;
    let owner = Arc::clone(&session);
    let attach = |granted: &GrantedOpen| {
        Arc::clone(attached.insert(Arc::new(Open::new(granted, access, owner, tree, content, created))))
    };
    let (admission, effects) = server.registry.lock("open_apart").admit(admission, attach, server.now());
    server.apply(effects);
    if let Admission::Refused(refused) = admission {
        return Err(super::refused_status(refused));
    }
    let open = attached.ok_or(NtStatus::INTERNAL_ERROR)?;
    session.remember_open(Arc::clone(&open));
    request.chain.file = Some(open.file_id());
    Ok(open)
}
