//! QUERY_INFO: MS-SMB2 3.3.5.20.

mod file;
mod file_system;
mod pipe;
mod security;

use wire::NtStatus;
use wire::fscc::Fit;
use wire::fscc::quota::QueryQuotaInfo;
use wire::msg::{InfoType, QueryInfoRequest};

use super::{check_transact, malformed};
use crate::core::files::quota::QuotaFile;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles QUERY_INFO.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let query = QueryInfoRequest::decode(request.message).map_err(malformed)?;
    let input_length = u32::try_from(query.input_buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    check_transact(request, &[query.output_buffer_length, input_length])?;
    let open = request.open(query.file_id)?;
    match (query.info_type, open.file()) {
        (InfoType::FILE, Some(file)) => file::answer(request, &open, file, &query, answer),
        (InfoType::FILE, None) => pipe::answer(&open, &query, answer),
        (InfoType::FILESYSTEM, _) => file_system::answer(&request.connection.server, &open, &query, answer),
        (InfoType::SECURITY, Some(file)) => security::answer(request, &open, file, &query, answer).await,
        (InfoType::QUOTA, Some(file)) if file.handle.as_any().is::<QuotaFile>() => quota(query.input_buffer),
        // 3.3.5.20.4: other files have no quotas.
        (InfoType::SECURITY | InfoType::QUOTA, _) => Err(NtStatus::NOT_SUPPORTED),
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

/// 3.3.5.20.4: there are no quotas, for any user.
fn quota(input: &[u8]) -> Outcome {
    QueryQuotaInfo::decode(input).map_err(malformed)?;
    Err(NtStatus::NO_MORE_ENTRIES)
}

/// The status for the fit of an answer (3.3.5.20.1).
fn status(fit: Fit) -> Outcome {
    match fit {
        Fit::Whole => Ok(NtStatus::SUCCESS),
        Fit::Truncated => Ok(NtStatus::BUFFER_OVERFLOW),
        Fit::TooSmall => Err(NtStatus::INFO_LENGTH_MISMATCH),
    }
}
