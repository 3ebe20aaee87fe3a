//! WRITE: MS-SMB2 3.3.5.13.

use std::sync::Arc;

use wire::fscc::notify::NotifyAction;
use wire::msg::{Channel, CompletionFilter, WriteFlags, WriteRequest, WriteResponse};
use wire::{AccessMask, NtStatus};

use super::malformed;
use crate::connection::{AnswerBuilder, Outcome, Request};
use crate::open::Open;

/// Handles WRITE.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let write = WriteRequest::decode(request.message).map_err(malformed)?;
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let length = u32::try_from(write.data.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    if length > negotiated.max_io || write.channel != Channel::NONE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    request.check_charge(length)?;
    let open = request.open(write.file_id)?;
    let Some(file) = open.file() else {
        return super::pipe::write(request, answer, &open, write.data).await;
    };
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let access = open.access();
    if !access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if write.offset.checked_add(length.into()).is_none_or(|end| end > i64::MAX as u64) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    check_locks(request, &open, &write)?;
    // Who may only append, appends (MS-FSA 2.1.5.4).
    let offset = if access.contains(AccessMask::WRITE_DATA) {
        write.offset
    } else {
        file.handle.stat().map_err(|error| crate::status::of_vfs(&error))?.size
    };
    if !write.data.is_empty() {
        file.state().times.writing(&*file.handle);
    }
    let written = file.handle.write_at(write.data, offset).map_err(|error| crate::status::of_vfs(&error))?;
    if write.flags.contains(WriteFlags::WRITE_THROUGH) {
        let handle = Arc::clone(&file.handle);
        crate::blocking::run(move || handle.flush()).await?.map_err(|error| crate::status::of_vfs(&error))?;
    }
    let count = u32::try_from(written).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    wrote(request, &open, count);
    let base = answer.base();
    WriteResponse { count }.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// What it means for others that a file's data were written: who caches them is told. Its directory shows it
/// when the open is over.
pub(crate) fn wrote(request: &Request<'_>, open: &Open, bytes: u32) {
    if let Some(file) = open.file() {
        file.set_written();
    }
    changed(request, open, bytes);
}

/// What it means for others that a file's size was set, which its directory shows at once.
pub(crate) fn resized(request: &Request<'_>, open: &Open) {
    changed(request, open, 0);
    if let Some(file) = open.file().filter(|file| !file.is_stream) {
        request.connection.server.relisted(open.tree(), &file.path(), open.parent_key());
    }
}

fn changed(request: &Request<'_>, open: &Open, bytes: u32) {
    let server = &request.connection.server;
    let shared = open.shared();
    let now = server.now();
    shared.count_written(bytes.into(), now);
    let (action, what) = data_change(open);
    server.watches.written(open, action, what, now);
    if shared.write_needs_break() {
        let effects = server.registry.lock("write").break_for_write(open.file_id(), now);
        server.apply(effects.unwrap_or_default());
    }
}

/// What it means for others that a CREATE has emptied a file.
pub(crate) fn overwritten(request: &Request<'_>, open: &Open) {
    let server = &request.connection.server;
    if open.shared().file.cachers() != 0 {
        let effects = server.registry.lock("create").break_for_overwrite(open.file_id(), server.now());
        server.apply(effects.unwrap_or_default());
    }
    let (action, what) = data_change(open);
    server.touched(open, action, what);
}

/// What those who watch hear of a change of data.
fn data_change(open: &Open) -> (NotifyAction, CompletionFilter) {
    match open.file() {
        Some(file) if file.is_stream => {
            (NotifyAction::MODIFIED_STREAM, CompletionFilter::STREAM_SIZE | CompletionFilter::STREAM_WRITE)
        }
        _ => (
            NotifyAction::MODIFIED,
            CompletionFilter::SIZE | CompletionFilter::LAST_WRITE | CompletionFilter::ATTRIBUTES,
        ),
    }
}

/// Somebody else's lock is in the way (MS-FSA 2.1.5.4).
fn check_locks(request: &Request<'_>, open: &Open, write: &WriteRequest<'_>) -> Result<(), NtStatus> {
    if !open.shared().has_locks() {
        return Ok(());
    }
    let server = &request.connection.server;
    let checked = server.registry.lock("write").check_io(
        open.file_id(),
        write.offset,
        write.data.len() as u64,
        true,
        server.now(),
    );
    checked.map_err(crate::status::of_io_refusal)
}
