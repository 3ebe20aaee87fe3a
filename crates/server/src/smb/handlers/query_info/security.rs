//! SMB2_0_INFO_SECURITY: MS-SMB2 3.3.5.20.3.

use wire::NtStatus;
use wire::create_context::AaplServerCaps;
use wire::msg::QueryInfoRequest;

use crate::core::open::{Open, OpenFile};
use crate::core::security;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};
use crate::smb::handlers::{put_error_data, put_output};

/// Answers with the requested parts of a file's security descriptor.
pub(super) async fn answer(
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
    let server = &request.connection.server;
    if server.asks_name_service() {
        // Without an answer, Unix users and groups are shown.
        _ = server.find_ids(security::ids_to_show(&*file.handle)).await;
    }
    let user = crate::smb::handlers::user_of_files(request)?;
    let mut shown = security::descriptor(&*file.handle, &user.token)?.selected(which);
    if open.tree().apple().contains(AaplServerCaps::NFS_ACE)
        && let Some(dacl) = &mut shown.dacl
        && let Ok(Some(permissions)) = file.handle.posix_permissions()
    {
        security::nfs::show(dacl, &permissions);
    }
    let mut descriptor = Vec::new();
    shown.encode(&mut descriptor).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    if descriptor.len() > query.output_buffer_length as usize {
        // 3.3.5.20.3: the size of the descriptor.
        let needed = u32::try_from(descriptor.len()).unwrap_or(u32::MAX).to_le_bytes();
        put_error_data(request, answer, &needed);
        return Ok(NtStatus::BUFFER_TOO_SMALL);
    }
    put_output(answer, |out| out.extend_from_slice(&descriptor));
    Ok(NtStatus::SUCCESS)
}
