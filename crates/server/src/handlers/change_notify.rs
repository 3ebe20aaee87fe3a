//! CHANGE_NOTIFY: MS-SMB2 3.3.5.19.

use wire::msg::{ChangeNotifyRequest, CompletionFilter};
use wire::{AccessMask, NtStatus};

use super::{check_transact, malformed};
use crate::connection::{AnswerBuilder, Outcome, Request};

/// Handles CHANGE_NOTIFY: a well-formed one hears that the file system does not tell (3.3.5.19), upon
/// which clients look for themselves.
pub(crate) fn handle(request: &mut Request<'_>, _answer: &mut AnswerBuilder) -> Outcome {
    let notify = ChangeNotifyRequest::decode(request.message).map_err(malformed)?;
    check_transact(request, &[notify.output_buffer_length])?;
    let open = request.open(notify.file_id)?;
    if !open.file().is_some_and(|file| file.is_directory) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    // FILE_LIST_DIRECTORY.
    if !open.access().contains(AccessMask::READ_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if !notify.completion_filter.intersects(ALL_CHANGES) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Err(NtStatus::NOT_SUPPORTED)
}

/// The bits of `CompletionFilter` that mean anything (MS-SMB2 2.2.35).
const ALL_CHANGES: CompletionFilter = CompletionFilter(0x0fff);
