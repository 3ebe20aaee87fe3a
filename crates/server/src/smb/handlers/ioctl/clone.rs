//! FSCTL_DUPLICATE_EXTENTS_TO_FILE: MS-SMB2 3.3.5.15.17, MS-FSA 2.1.5.10.4.

use std::sync::Arc;

use vfs::Capabilities;
use wire::ioctl::DuplicateExtents;
use wire::layout::FixedLayout;
use wire::msg::IoctlRequest;
use wire::{AccessMask, NtStatus};

use super::{Answer, done};
use crate::core::bulkhead;
use crate::core::files::lock_conflicts::check_range;
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::Request;

/// Clones a range of one file into another, if the file system supports that.
pub(super) async fn duplicate(
    request: &Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    let backend = open.tree().backend().ok_or(NtStatus::INVALID_DEVICE_REQUEST)?;
    let capabilities = backend.capabilities_at(&*file.handle).or_status()?;
    if !capabilities.contains(Capabilities::BLOCK_CLONES) {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let wish = DuplicateExtents::decode(ioctl.input).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let source = request.session()?.open(wish.source).ok_or(NtStatus::INVALID_HANDLE)?;
    let _crossing = bulkhead::cross(&source.tree().share.bulkhead, &open.tree().share.bulkhead).await;
    let from = source.file().filter(|it| !it.is_directory).ok_or(NtStatus::INVALID_PARAMETER)?;
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if !source.access().contains(AccessMask::READ_DATA) || !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| NtStatus::INVALID_PARAMETER);
    let (start, target, length) =
        (unsigned(wish.source_offset)?, unsigned(wish.target_offset)?, unsigned(wish.byte_count)?);
    let end = start.checked_add(length).ok_or(NtStatus::INVALID_PARAMETER)?;
    if end > from.handle.size().or_status()? {
        return Err(NtStatus::NOT_SUPPORTED);
    }
    let server = &request.connection.server;
    check_range(server, &source, start, length, false)?;
    check_range(server, open, target, length, true)?;
    if length == 0 {
        return done(Vec::new());
    }
    let change = file.begin_write();
    let (from, to) = (Arc::clone(&from.handle), Arc::clone(&file.handle));
    let (server, into, out_of) = (Arc::clone(server), Arc::clone(open), Arc::clone(&source));
    let cloned = crate::core::blocking::run(move || {
        check_range(&server, &out_of, start, length, false)?;
        check_range(&server, &into, target, length, true)?;
        to.duplicate_extents(&*from, start..end, target).or_status()
    })
    .await?;
    change.done();
    // An operation that fails halfway has changed the file, too.
    crate::smb::handlers::write::announce_write(request, open, 0);
    cloned?;
    done(Vec::new())
}
