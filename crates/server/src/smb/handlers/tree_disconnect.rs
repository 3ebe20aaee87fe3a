//! TREE_DISCONNECT: MS-SMB2 3.3.5.8.

use wire::NtStatus;
use wire::msg::{TreeDisconnectRequest, TreeDisconnectResponse};

use super::malformed;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles TREE_DISCONNECT.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    TreeDisconnectRequest::decode(request.message).map_err(malformed)?;
    let server = &request.connection.server;
    let (session, tree) = (request.session()?, request.tree()?.id());
    let ended = server.registry.lock("tree_disconnect").tree_disconnect(session.id(), tree, server.now());
    session.forget_tree(tree);
    server.apply(ended.map_err(|_| NtStatus::NETWORK_NAME_DELETED)?);
    // The answer must not hold the share, so that its disk can be unmounted if no other client is connected.
    request.tree = None;
    let base = answer.base();
    TreeDisconnectResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
