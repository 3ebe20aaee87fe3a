//! CLOSE: MS-SMB2 3.3.5.10.
//!
//! In Windows, CLOSE cannot fail for reasons of the file system. Here, an error that the file system reports
//! only now (for a removal, cached data or a time) becomes the status of the CLOSE, as in Samba; the open
//! ends in any case.

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
            file_attributes: open.tree().shown_attributes(file.path().name(), stat.attributes),
        };
    }
    let server = &request.connection.server;
    let closed = server.registry.close_open(open.file_id(), CloseReason::ClientClose, server.now());
    let mut effects = closed.map_err(|_| NtStatus::FILE_CLOSED)?;
    // The end is written to the log here, and so is a delete that became pending with it for other opens.
    let is_logged = open.tree().log().is_some_and(|log| effects.logs.remove(&log.id()));
    // Later errors are returned, but the open has ended.
    let removes = effects.dropped.iter().any(|it| it.delete_on_close_now);
    server.apply(effects);
    if is_logged {
        server.commit_share(open.tree()).await?;
    }
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

/// The metadata of the file after the end of the open.
fn finished(file: &OpenFile) -> vfs::Result<vfs::Stat> {
    file.finish_times();
    file.handle.stat()
}
