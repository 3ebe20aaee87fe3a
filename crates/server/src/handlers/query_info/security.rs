//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.20.3.

use wire::msg::{ErrorContext, ErrorId, ErrorResponse, QueryInfoRequest};
use wire::{Dialect, NtStatus};

use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::handlers::put_output;
use crate::open::{Open, OpenFile};
use crate::security;

/// Answers with the parts of a file's security descriptor that are asked for.
pub(super) fn answer(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    query: &QueryInfoRequest<'_>,
    answer: &mut AnswerBuilder,
) -> Outcome {
    let which = query.additional_information;
    if !open.access().contains(security::needed(which, false)) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let stored = security::descriptor(&*file.handle)?;
    let mut descriptor = Vec::new();
    stored.selected(which).encode(&mut descriptor).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    if descriptor.len() > query.output_buffer_length as usize {
        put_length_needed(request, descriptor.len(), answer);
        return Ok(NtStatus::BUFFER_TOO_SMALL);
    }
    put_output(answer, |out| out.extend_from_slice(&descriptor));
    Ok(NtStatus::SUCCESS)
}

/// 3.3.5.20.3: how much room the descriptor takes, as the error's data.
fn put_length_needed(request: &Request<'_>, length: usize, answer: &mut AnswerBuilder) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let base = answer.base();
    let has_contexts = request.connection.negotiated.get().is_some_and(|it| it.dialect >= Dialect::SMB311);
    if has_contexts {
        let mut contexts = Vec::new();
        ErrorContext { error_id: ErrorId::DEFAULT, data: &length }.append(&mut contexts, 0);
        ErrorResponse { error_context_count: 1, error_data: &contexts }.encode(answer.body(), base);
    } else {
        ErrorResponse { error_context_count: 0, error_data: &length }.encode(answer.body(), base);
    }
}
