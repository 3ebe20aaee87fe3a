//! CLOSE: MS-SMB2 3.3.5.10.
//!
//! Windows has written nothing, and removed nothing, that it could still fail with here. What the file system refuses only
//! now (a removal, data that it held back, a time) fails the CLOSE with what it says, as Samba's does; the open is gone.

use registry::CloseReason;
use wire::NtStatus;
use wire::msg::{CloseFlags, CloseRequest, CloseResponse};

use super::malformed;
use crate::core::open::OpenFile;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles CLOSE.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let close = CloseRequest::decode(request.message).map_err(malformed)?;
    let open = request.open(close.file_id)?;
    let mut response = CloseResponse::default();
    if close.flags.contains(CloseFlags::POSTQUERY_ATTRIB)
        && let Some(file) = open.file()
        && let Ok(stat) = finished(file)
    {
        response = CloseResponse {
            flags: CloseFlags::POSTQUERY_ATTRIB,
            creation_time: stat.created,
            last_access_time: stat.accessed,
            last_write_time: stat.modified,
            change_time: stat.changed,
            allocation_size: stat.allocation,
            end_of_file: stat.size,
            file_attributes: stat.attributes,
        };
    }
    let server = &request.connection.server;
    let closed =
        server.registry.lock("close").close_open(open.file_id(), CloseReason::ClientClose, server.now());
    let effects = closed.map_err(|_| NtStatus::FILE_CLOSED)?;
    // What fails from here on is told, and the open is over all the same.
    let removes = effects.dropped.iter().any(|it| it.delete_on_close_now);
    server.apply(effects);
    if let Some(failed) = open.file().and_then(|file| file.state().late) {
        return Err(failed);
    }
    if let Some(file) = open.file().filter(|file| removes && file.is_write_through()) {
        super::flush::removal(&open, file).await?;
    }
    let base = answer.base();
    response.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// The metadata that the file has once the open is gone.
fn finished(file: &OpenFile) -> vfs::Result<vfs::Stat> {
    file.finish_times();
    file.handle.stat()
}
