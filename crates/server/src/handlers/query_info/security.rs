//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.20.3.

use wire::NtStatus;
use wire::msg::QueryInfoRequest;

use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::handlers::{put_error_data, put_output};
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
        // 3.3.5.20.3: how much room the descriptor takes.
        let needed = u32::try_from(descriptor.len()).unwrap_or(u32::MAX).to_le_bytes();
        put_error_data(request, answer, &needed);
        return Ok(NtStatus::BUFFER_TOO_SMALL);
    }
    put_output(answer, |out| out.extend_from_slice(&descriptor));
    Ok(NtStatus::SUCCESS)
}
