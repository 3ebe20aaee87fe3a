//! CREATE of what is no file of the share (pipes, the quota file), as far as it is the same for each.

use std::sync::Arc;

use registry::{Admission, AdmitRequest, GrantedOpen, OpenTarget};
use wire::msg::CreateAction;
use wire::{AccessMask, NtStatus};

use crate::core::open::{Content, Created, Open};
use crate::smb::connection::Request;

/// What is opened.
pub(super) struct SpecialFile {
    pub(super) target: OpenTarget,
    pub(super) path: Arc<str>,
    pub(super) access: AccessMask,
    pub(super) content: Content,
}

/// Makes the open: shared with everybody, cached by nobody, and gone with its session.
pub(super) fn admit(request: &mut Request<'_>, apart: SpecialFile) -> Result<Arc<Open>, NtStatus> {
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let SpecialFile { target, path, access, content } = apart;
    let key = server.waiters.new_key(request.connection.id);
    let plain = AdmitRequest::new(key, (session.id(), tree.id()), target, path);
    let admission = AdmitRequest { access, ..plain };
    let created = Created {
        actor: crate::smb::handlers::actor(request)?,
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
