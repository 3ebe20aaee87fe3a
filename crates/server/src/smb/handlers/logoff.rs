//! LOGOFF: MS-SMB2 3.3.5.6.

use registry::EndReason;
use wire::NtStatus;
use wire::msg::{LogoffRequest, LogoffResponse};

use super::malformed;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles LOGOFF.
pub(crate) fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    LogoffRequest::decode(request.message).map_err(malformed)?;
    let server = &request.connection.server;
    let session = request.session()?;
    let ended = server.registry.lock("logoff").close_session(session.id(), EndReason::Logoff, server.now());
    server.apply(ended.map_err(|_| NtStatus::USER_SESSION_DELETED)?);
    let base = answer.base();
    LogoffResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
