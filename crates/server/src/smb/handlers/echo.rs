//! ECHO: MS-SMB2 3.3.5.17.

use wire::NtStatus;
use wire::msg::{EchoRequest, EchoResponse};

use super::malformed;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles ECHO. It shows that the client is alive, but does not end the idle time of its sessions.
pub(crate) fn handle(request: &Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    EchoRequest::decode(request.message).map_err(malformed)?;
    let base = answer.base();
    EchoResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
