//! TREE_CONNECT: MS-SMB2 3.3.5.7.

use std::sync::Arc;

use registry::Standing;
use wire::msg::{ShareCapabilities, ShareFlags, ShareType, TreeConnectRequest, TreeConnectResponse};
use wire::{Dialect, NtStatus};

use super::malformed;
use crate::config::{Caching, ShareSettings};
use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::tree::{ShareContent, Tree};

/// Handles TREE_CONNECT.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let server = &request.connection.server;
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let connect = TreeConnectRequest::decode(request.message).map_err(malformed)?;
    let path = connect.path.to_string().map_err(malformed)?;
    let name = share_name(&path).ok_or(NtStatus::BAD_NETWORK_NAME)?;
    let share = server.share(name).ok_or(NtStatus::BAD_NETWORK_NAME)?;
    let session = request.session()?;
    let established = session.established().ok_or(NtStatus::USER_SESSION_DELETED)?;
    let user = session.user().ok_or(NtStatus::USER_SESSION_DELETED)?;
    // 3.3.5.7: a share that must be sealed, and a client that cannot.
    if share.settings.encrypt && established.sealing.is_none() {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let maximal_access = share.access_of(&user).ok_or(NtStatus::ACCESS_DENIED)?;
    let attach = |id, _| Arc::new(Tree::new(id, Arc::clone(&share), maximal_access));
    let tree = server
        .registry
        .lock("tree_connect")
        .tree_connect(session.id(), &share.settings.name, attach, server.now())
        .map_err(crate::status::of_tree_refusal)?
        .attached;
    session.remember_tree(Arc::clone(&tree));
    // Anonymous callers and guests get no further than this to a share that does not take them.
    if matches!(share.content, ShareContent::Disk(_)) {
        request.connection.raise_standing(Standing::Guest);
    }
    request.chain.tree_id = tree.id();
    request.header.tree = wire::TreeOrAsync::Tree { process_id: 0, tree_id: tree.id() };

    let share_type = match share.content {
        ShareContent::Disk(_) => ShareType::DISK,
        ShareContent::Pipes => ShareType::PIPE,
    };
    let mut flags = caching(&share.settings);
    if share.settings.encrypt && negotiated.dialect >= Dialect::SMB300 {
        flags |= ShareFlags::ENCRYPT_DATA;
    }
    if share.settings.access_based_enum {
        flags |= ShareFlags::ACCESS_BASED_DIRECTORY_ENUM;
    }
    let base = answer.base();
    TreeConnectResponse {
        share_type,
        share_flags: flags,
        capabilities: ShareCapabilities::NONE,
        maximal_access,
    }
    .encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// The share in `\\server\share`; which name the client uses for the server does not matter.
fn share_name(path: &str) -> Option<&str> {
    let (server, share) = path.strip_prefix("\\\\")?.split_once('\\')?;
    (!server.is_empty() && !share.is_empty() && !share.contains('\\')).then_some(share)
}

/// The caching policy for clients that are offline (MS-SMB2 2.2.10).
fn caching(settings: &ShareSettings) -> ShareFlags {
    match settings.caching {
        Caching::Manual => ShareFlags::NONE,
        Caching::Documents => ShareFlags::AUTO_CACHING,
        Caching::Programs => ShareFlags::VDO_CACHING,
        Caching::None => ShareFlags::NO_CACHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shares() {
        assert_eq!(share_name("\\\\server\\data"), Some("data"));
        assert_eq!(share_name("\\\\::1\\IPC$"), Some("IPC$"));
        for bad in ["", "data", "\\data", "\\\\data", "\\\\server\\", "\\\\\\data", "\\\\a\\b\\c"] {
            assert_eq!(share_name(bad), None, "{bad:?}");
        }
    }
}
