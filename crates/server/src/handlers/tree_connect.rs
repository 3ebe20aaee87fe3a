//! TREE_CONNECT: MS-SMB2 3.3.5.7.

use std::sync::Arc;

use auth::IdentityKind;
use wire::msg::{ShareCapabilities, ShareFlags, ShareType, TreeConnectRequest, TreeConnectResponse};
use wire::{AccessMask, Dialect, NtStatus};

use super::malformed;
use crate::config::{Caching, Grant, GrantRight, ShareSettings};
use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::session::User;
use crate::tree::{Share, ShareContent, Tree};

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
    let maximal_access = access_to(&share, &user).ok_or(NtStatus::ACCESS_DENIED)?;
    let attach = |id, _| Arc::new(Tree::new(id, Arc::clone(&share), maximal_access));
    let tree = server
        .registry
        .lock("tree_connect")
        .tree_connect(session.id(), &share.settings.name, attach, server.now())
        .map_err(crate::status::of_tree_refusal)?
        .attached;
    session.remember_tree(Arc::clone(&tree));
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

/// What the share itself lets the user do; none: not even connect.
fn access_to(share: &Share, user: &User) -> Option<AccessMask> {
    let settings = &share.settings;
    if let ShareContent::Pipes = share.content {
        return Some(AccessMask::FILE_ALL);
    }
    let listed =
        settings.users.is_empty() || settings.users.iter().any(|name| name.eq_ignore_ascii_case(&user.name));
    let admitted = match user.kind {
        IdentityKind::User => listed,
        IdentityKind::Guest | IdentityKind::Anonymous => settings.guest,
    };
    let granted = granted(settings, user).filter(|_| admitted)?;
    Some(if settings.read_only { granted & GrantRight::Read.access() } else { granted })
}

/// The highest right that a grant gives the user; everything where there are no grants. Guests are
/// not the accounts whose names they gave.
fn granted(settings: &ShareSettings, user: &User) -> Option<AccessMask> {
    if settings.grants.is_empty() {
        return Some(AccessMask::FILE_ALL);
    }
    let is_meant = |grant: &&Grant| match user.kind {
        IdentityKind::User => grant.is_for(&user.name),
        IdentityKind::Guest | IdentityKind::Anonymous => grant.is_for_everyone(),
    };
    let right = settings.grants.iter().filter(is_meant).map(|grant| grant.right).max()?;
    Some(right.access())
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
