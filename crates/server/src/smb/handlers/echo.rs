//! ECHO: MS-SMB2 3.3.5.17.

use wire::NtStatus;
use wire::msg::{EchoRequest, EchoResponse};

use super::malformed;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles ECHO. It proves that the client is there, not that anybody uses it: idle time goes on.
pub(crate) fn handle(request: &Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    EchoRequest::decode(request.message).map_err(malformed)?;
    let base = answer.base();
    EchoResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
