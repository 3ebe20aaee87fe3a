//! CREATE of pipes and of the quota file, which are no files of the share.

use std::sync::Arc;

use registry::{Admission, AdmitRequest, OpenTarget};
use wire::msg::CreateAction;
use wire::{AccessMask, NtStatus};

use super::admit::ask_registry;
use crate::core::open::{Content, Created, Open};
use crate::smb::connection::Request;

/// Creates the open: shared with all users, never cached, and ended with its session.
pub(super) fn admit(
    request: &mut Request<'_>,
    target: OpenTarget,
    path: &str,
    access: AccessMask,
    content: Content,
) -> Result<Arc<Open>, NtStatus> {
    let key = request.connection.server.waiters.new_key(request.connection.id);
    let ids = (request.session()?.id(), request.tree()?.id());
    let asked = AdmitRequest { access, ..AdmitRequest::new(key, ids, target, path.into()) };
    let created = Created {
        actor: crate::smb::handlers::actor(request)?,
        action: CreateAction::OPENED,
        channel_sequence: request.header.channel_sequence(),
        has_guid: false,
        parent_key: None,
    };
    let (admission, open) = ask_registry(request, asked, content, created)?;
    if let Admission::Refused(refused) = admission {
        return Err(super::refused_status(refused));
    }
    let open = open.ok_or(NtStatus::INTERNAL_ERROR)?;
    request.session()?.remember_open(Arc::clone(&open));
    request.chain.file = Some(open.file_id());
    Ok(open)
}
