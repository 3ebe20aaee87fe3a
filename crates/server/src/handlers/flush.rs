//! FLUSH: MS-SMB2 3.3.5.11.
//!
//! What Apple's clients put into `Reserved1` for F_FULLFSYNC asks for no more than every FLUSH does: the disk's own
//! cache is flushed too.

use wire::msg::{FlushRequest, FlushResponse};
use wire::{AccessMask, NtStatus};

use super::malformed;
use crate::connection::{AnswerBuilder, Outcome, Request};

/// Handles FLUSH.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let flush = FlushRequest::decode(request.message).map_err(malformed)?;
    let open = request.open(flush.file_id)?;
    if let Some(file) = open.file() {
        // The same bits are FILE_ADD_FILE and FILE_ADD_SUBDIRECTORY for a directory.
        if !open.access().intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        // LastWriteTime is flushed with the rest.
        file.state().times.catch_up(&*file.handle);
        request.connection.server.watches.tended(&open);
        file.flush().await?;
    }
    let base = answer.base();
    FlushResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
