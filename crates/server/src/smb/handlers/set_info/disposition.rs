//! FileDispositionInformation and its extension: MS-FSA 2.1.5.15.3, 2.1.5.15.4.

use std::sync::Arc;

use wire::fscc::file_info::{DispositionFlags, DispositionInfo, DispositionInfoEx};
use wire::msg::CreateOptions;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::rename::clear_handles;
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::Request;

/// A request to delete a file or to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    delete: bool,
    ignore_readonly: bool,
    /// True if the name is removed with the requesting open instead of the last one.
    with_own_open: bool,
    /// True if FILE_DELETE_ON_CLOSE of the open is set or cleared.
    on_close: bool,
}

impl Disposition {
    /// A POSIX open's delete has POSIX semantics.
    pub(super) fn of(file: &OpenFile, info: DispositionInfo) -> Self {
        let with_own_open = file.posix && !file.is_stream;
        Self { delete: info.delete_pending, ignore_readonly: false, with_own_open, on_close: false }
    }

    /// Decodes the flags. FILE_DISPOSITION_ON_CLOSE is only for opens that were made with
    /// FILE_DELETE_ON_CLOSE, as in Windows. FILE_DISPOSITION_FORCE_IMAGE_SECTION_CHECK has no effect, because
    /// there are no running images.
    pub(super) fn of_ex(file: &OpenFile, info: DispositionInfoEx) -> Result<Self, NtStatus> {
        let flags = DispositionFlags(info.flags);
        if flags.0 & !DISPOSITION_FLAGS.0 != 0 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let on_close = flags.contains(DispositionFlags::ON_CLOSE);
        if on_close && file.mode & CreateOptions::DELETE_ON_CLOSE.0 == 0 {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        Ok(Self {
            delete: flags.contains(DispositionFlags::DELETE),
            ignore_readonly: flags.contains(DispositionFlags::IGNORE_READONLY_ATTRIBUTE),
            // The name of a stream belongs to its file.
            with_own_open: (file.posix || flags.contains(DispositionFlags::POSIX_SEMANTICS))
                && !file.is_stream,
            on_close,
        })
    }
}

/// Marks a file for deletion with its last open, or clears the mark.
pub(super) async fn set(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    wish: Disposition,
) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::DELETE) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if wish.on_close {
        return set_on_close(request, open, file, wish);
    }
    let id = open.file_id();
    if wish.delete {
        check_deletable(open, file, wish)?;
        mark(request, open, file, wish).await?;
    } else {
        let server = &request.connection.server;
        let done = server.registry.lock("set_delete_pending").set_delete_pending(id, false);
        done.map_err(|_| NtStatus::FILE_CLOSED)?;
    }
    let server = &request.connection.server;
    if wish.delete && file.is_directory {
        // The mark prevents new entries; an entry that was created before it keeps the directory.
        if let Err(status) = check_deletable(open, file, wish) {
            let undone = server.registry.lock("set_delete_pending").set_delete_pending(id, false);
            undone.map_err(|_| NtStatus::FILE_CLOSED)?;
            return Err(status);
        }
        server.files.watches.end_for_delete(open.tree(), &file.path());
    }
    Ok(())
}

/// Marks the file when no other client caches a handle of it, checking and marking under one lock.
async fn mark(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    wish: Disposition,
) -> Result<(), NtStatus> {
    let id = open.file_id();
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        if clear_handles(request, open).await? {
            // Files that were closed meanwhile may have left entries.
            check_deletable(open, file, wish)?;
        }
        let mut registry = request.connection.server.registry.lock("set_delete_pending");
        if !registry.caches_handle(id).map_err(|_| NtStatus::FILE_CLOSED)? {
            let done = registry.set_delete_pending(id, true);
            let done = done
                .and_then(|gone| registry.set_delete_with_own_open(id, wish.with_own_open).map(|()| gone));
            drop(registry);
            return done.map(drop).map_err(|_| NtStatus::FILE_CLOSED);
        }
    }
    Err(NtStatus::SHARING_VIOLATION)
}

/// Sets or clears FILE_DELETE_ON_CLOSE of an open.
fn set_on_close(
    request: &Request<'_>,
    open: &Open,
    file: &OpenFile,
    wish: Disposition,
) -> Result<(), NtStatus> {
    if wish.delete {
        check_deletable(open, file, wish)?;
    }
    let mut registry = request.connection.server.registry.lock("set_delete_on_close");
    let done = registry.set_delete_on_close(open.file_id(), wish.delete);
    let done = done.and_then(|()| registry.set_delete_with_own_open(open.file_id(), wish.with_own_open));
    drop(registry);
    done.map_err(|_| NtStatus::FILE_CLOSED)?;
    let bit = CreateOptions::DELETE_ON_CLOSE.0;
    file.set_mode(bit, if wish.delete { bit } else { 0 });
    Ok(())
}

fn check_deletable(open: &Open, file: &OpenFile, wish: Disposition) -> Result<(), NtStatus> {
    let path = file.path();
    if path.is_root() && path.stream().is_none() {
        return Err(NtStatus::CANNOT_DELETE);
    }
    let stat = file.handle.stat().or_status()?;
    if stat.attributes.contains(FileAttributes::READONLY) && !wish.ignore_readonly {
        return Err(NtStatus::CANNOT_DELETE);
    }
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    match backend.check_removable(open.actor(), &path, &*file.handle) {
        // The name is gone or belongs to another file, so there is nothing to remove.
        Err(vfs::Error::NotFound | vfs::Error::PathNotFound | vfs::Error::Replaced) => {}
        checked => checked.or_status()?,
    }
    if file.is_directory {
        let empty = backend.is_empty_directory(&*file.handle).or_status()?;
        if !empty {
            return Err(NtStatus::DIRECTORY_NOT_EMPTY);
        }
    }
    Ok(())
}

/// The supported flags.
const DISPOSITION_FLAGS: DispositionFlags = DispositionFlags(
    DispositionFlags::DELETE.0
        | DispositionFlags::POSIX_SEMANTICS.0
        | DispositionFlags::FORCE_IMAGE_SECTION_CHECK.0
        | DispositionFlags::ON_CLOSE.0
        | DispositionFlags::IGNORE_READONLY_ATTRIBUTE.0,
);
