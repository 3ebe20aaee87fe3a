//! CREATE of the file by which clients ask for quotas.

use std::sync::Arc;

use registry::{AdmitRequest, FileKey, RequestKey, Target};
use vfs::{Handle, RelativePath};
use wire::msg::{CreateAction, CreateResponse};
use wire::{AccessMask, NtStatus, OplockLevel, ShareAccess};

use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::open::{Content, Created, Open, OpenFile};
use crate::quota::{self, QuotaFile};

/// Opens the quota file, for whoever asks: it tells nobody anything about others.
pub(super) fn open(request: &mut Request<'_>, answer: &mut AnswerBuilder, desired: AccessMask) -> Outcome {
    let access = match desired.contains(AccessMask::MAXIMUM_ALLOWED) {
        true => quota::ACCESS,
        false => desired,
    };
    if !quota::ACCESS.contains(access) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let server = &request.connection.server;
    let (session, tree) = (Arc::clone(request.session()?), Arc::clone(request.tree()?));
    let stat = QuotaFile.stat().map_err(|error| crate::status::of_vfs(&error))?;
    let admission = AdmitRequest {
        request: RequestKey { connection: request.connection.id, id: server.next_request() },
        is_retry: false,
        session: session.id(),
        tree: tree.id(),
        connection: request.connection.id,
        // No file of a disk has this number.
        target: Target::File(FileKey { device: stat.device, inode: stat.inode, stream: 0 }),
        path: quota::NAME.into(),
        access,
        share_access: ShareAccess::READ | ShareAccess::WRITE | ShareAccess::DELETE,
        overwrites: false,
        delete_on_close: false,
        is_directory: false,
        oplock: OplockLevel::NONE,
        lease: None,
        durable: None,
        app_instance: None,
    };
    let content = Content::File(OpenFile::new(Arc::new(QuotaFile), RelativePath::default(), false, 0));
    let created = Created {
        action: CreateAction::OPENED,
        channel_sequence: request.header.channel_sequence(),
        has_guid: false,
        parent_key: None,
    };
    let mut attached = None;
    let owner = Arc::clone(&session);
    let attach = |granted: &registry::GrantedOpen| {
        Arc::clone(attached.insert(Arc::new(Open::new(granted, access, owner, tree, content, created))))
    };
    let (admission, effects) = server.registry.lock("open_quota").admit(admission, attach, server.now());
    server.apply(effects);
    if let registry::Admission::Refused(refused) = admission {
        return Err(super::refused_status(refused));
    }
    let open = attached.ok_or(NtStatus::INTERNAL_ERROR)?;
    session.remember_open(Arc::clone(&open));
    request.chain.file = Some(open.file_id());
    let base = answer.base();
    CreateResponse {
        create_action: CreateAction::OPENED,
        file_attributes: stat.attributes,
        file_id: open.file_id(),
        ..CreateResponse::default()
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
