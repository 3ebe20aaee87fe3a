//! FLUSH: MS-SMB2 3.3.5.11.
//!
//! The value in `Reserved1` that Apple's clients use for F_FULLFSYNC needs no special treatment: every FLUSH
//! also flushes the disk's own cache.

use std::sync::Arc;

use vfs::{Actor, Handle, RelativePath, Wanted};
use wire::msg::{FlushRequest, FlushResponse};
use wire::{AccessMask, NtStatus};

use super::malformed;
use crate::core::limits::UNFLUSHED_DIRECTORIES;
use crate::core::open::{Open, OpenFile};
use crate::core::status::{OrStatus, of_vfs};
use crate::core::tree::Tree;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Flushes a file, its name, and the other directories that renames and links through this open have changed
/// (MS-FSA 2.1.5.7).
pub(crate) async fn flush(open: &Open, file: &OpenFile) -> Result<(), NtStatus> {
    run(&file.handle).await?;
    loop {
        let Some(changed) = file.state().unflushed.first().cloned() else { return Ok(()) };
        directory(open.tree(), &changed).await?;
        file.state().unflushed.retain(|path| *path != changed);
    }
}

/// Records a directory in which a name of the file was created or removed, for the next flush.
pub(crate) async fn remember(open: &Open, file: &OpenFile, changed: RelativePath) -> Result<(), NtStatus> {
    let first = {
        let unflushed = &mut file.state().unflushed;
        if !unflushed.contains(&changed) {
            unflushed.push(changed);
        }
        unflushed.first().filter(|_| unflushed.len() > UNFLUSHED_DIRECTORIES).cloned()
    };
    let Some(first) = first else { return Ok(()) };
    directory(open.tree(), &first).await?;
    file.state().unflushed.retain(|path| *path != first);
    Ok(())
}

/// Flushes a change that was made through an open, if it was opened with FILE_WRITE_THROUGH.
pub(crate) async fn through(open: &Open, file: &OpenFile) -> Result<(), NtStatus> {
    if file.is_write_through() { flush(open, file).await } else { Ok(()) }
}

/// Flushes a directory in which a name was removed.
pub(crate) async fn directory(tree: &Tree, path: &RelativePath) -> Result<(), NtStatus> {
    let backend = tree.backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    match backend.open(&Actor::Process, path, Wanted::NOTHING) {
        Ok(opened) => run(&opened.handle).await,
        // The directory was removed as well, together with the removed name.
        Err(vfs::Error::NotFound | vfs::Error::PathNotFound) => Ok(()),
        Err(error) => Err(of_vfs(&error)),
    }
}

/// Flushes the removal of an open's file.
pub(crate) async fn removal(open: &Open, file: &OpenFile) -> Result<(), NtStatus> {
    match file.path().parent() {
        Some(parent) if !file.is_stream => directory(open.tree(), &parent).await,
        // A stream is stored with its file.
        _ => run(&file.handle).await,
    }
}

async fn run(handle: &Arc<dyn Handle>) -> Result<(), NtStatus> {
    let handle = Arc::clone(handle);
    crate::core::blocking::run(move || handle.flush()).await?.or_status()
}

/// Handles FLUSH.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let asked = FlushRequest::decode(request.message).map_err(malformed)?;
    let open = request.open(asked.file_id)?;
    if let Some(file) = open.file() {
        // For a directory, the same bits are FILE_ADD_FILE and FILE_ADD_SUBDIRECTORY.
        if !open.access().intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        request.connection.server.files.watches.note_own_change(&open);
        flush(&open, file).await?;
    }
    let base = answer.base();
    FlushResponse.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}
