//! FileDispositionInformation and its extension: MS-FSA 2.1.5.15.3, 2.1.5.15.4.

use std::sync::Arc;

use wire::fscc::file_info::{DispositionFlags, DispositionInfo, DispositionInfoEx};
use wire::{AccessMask, FileAttributes, NtStatus};

use super::rename::clear_handles;
use crate::connection::Request;
use crate::limits;
use crate::open::{Open, OpenFile};
use crate::status::of_vfs;

/// Whether a file is to go with its last open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    delete: bool,
    ignore_readonly: bool,
}

impl Disposition {
    pub(super) fn of(info: DispositionInfo) -> Self {
        Self { delete: info.delete_pending, ignore_readonly: false }
    }

    /// A name that goes at once and a delete-on-close that is changed afterwards do not exist here:
    /// clients that hear so ask for the plain one.
    pub(super) fn of_ex(info: DispositionInfoEx) -> Result<Self, NtStatus> {
        let flags = DispositionFlags(info.flags);
        if flags.intersects(DispositionFlags::POSIX_SEMANTICS | DispositionFlags::ON_CLOSE) {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        Ok(Self {
            delete: flags.contains(DispositionFlags::DELETE),
            ignore_readonly: flags.contains(DispositionFlags::IGNORE_READONLY_ATTRIBUTE),
        })
    }
}

/// Marks a file to be deleted with its last open, or takes that back.
pub(super) async fn set(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    wish: Disposition,
) -> Result<(), NtStatus> {
    if !open.access().contains(AccessMask::DELETE) {
        return Err(NtStatus::ACCESS_DENIED);
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
        // From now on nothing comes into it; what came since the last look keeps it.
        if let Err(status) = check_deletable(open, file, wish) {
            let undone = server.registry.lock("set_delete_pending").set_delete_pending(id, false);
            undone.map_err(|_| NtStatus::FILE_CLOSED)?;
            return Err(status);
        }
        server.watches.deleting(open.tree(), &file.path());
    }
    Ok(())
}

/// Marks the file once nobody else caches a handle of it: looked at and done in one.
async fn mark(
    request: &mut Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    wish: Disposition,
) -> Result<(), NtStatus> {
    let id = open.file_id();
    for _ in 0..limits::MAX_NAME_ATTEMPTS {
        clear_handles(request, open).await?;
        // What was closed meanwhile may have left entries behind.
        check_deletable(open, file, wish)?;
        let mut registry = request.connection.server.registry.lock("set_delete_pending");
        if !registry.caches_handle(id).map_err(|_| NtStatus::FILE_CLOSED)? {
            return registry.set_delete_pending(id, true).map_err(|_| NtStatus::FILE_CLOSED);
        }
    }
    Err(NtStatus::SHARING_VIOLATION)
}

fn check_deletable(open: &Open, file: &OpenFile, wish: Disposition) -> Result<(), NtStatus> {
    let path = file.path();
    if path.is_root() && path.stream().is_none() {
        return Err(NtStatus::CANNOT_DELETE);
    }
    let stat = file.handle.stat().map_err(|error| of_vfs(&error))?;
    if stat.attributes.contains(FileAttributes::READONLY) && !wish.ignore_readonly {
        return Err(NtStatus::CANNOT_DELETE);
    }
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    backend.check_removable(open.actor(), &path, &*file.handle).map_err(|error| of_vfs(&error))?;
    if file.is_directory {
        let empty = backend.is_empty_directory(&*file.handle).map_err(|error| of_vfs(&error))?;
        if !empty {
            return Err(NtStatus::DIRECTORY_NOT_EMPTY);
        }
    }
    Ok(())
}
