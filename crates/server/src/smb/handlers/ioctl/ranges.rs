//! Sparse files: FSCTL_QUERY_ALLOCATED_RANGES, FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA (MS-FSA 2.1.5.10).

use std::sync::Arc;

use wire::ioctl::{
    AllocatedRange, FileRegion, FileRegionsQuery, SetSparse, ZeroData, encode_allocated_ranges,
    encode_file_regions,
};
use wire::layout::FixedLayout;
use wire::msg::IoctlRequest;
use wire::{AccessMask, FileAttributes, NtStatus};

use super::{Answer, done};
use crate::core::files::lock_conflicts::check_range;
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::Request;

/// MS-FSA 2.1.5.10.22.
pub(super) fn allocated(open: &Open, file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if !open.access().contains(AccessMask::READ_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let asked = AllocatedRange::decode(ioctl.input).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let start = u64::try_from(asked.file_offset).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let end = asked.file_offset.checked_add(asked.length).filter(|_| asked.length >= 0);
    let end = end.and_then(|end| u64::try_from(end).ok()).ok_or(NtStatus::INVALID_PARAMETER)?;
    let stat = file.handle.stat().or_status()?;
    let end = end.min(stat.size);
    let ranges = if start >= end {
        Vec::new()
    } else if stat.attributes.contains(FileAttributes::SPARSE_FILE) {
        file.handle.allocated_ranges(start..end).or_status()?
    } else {
        // Only files with the sparse attribute show their holes.
        std::iter::once(start..end).collect()
    };
    let listed = ranges.iter().map(|range| AllocatedRange {
        file_offset: range.start.cast_signed(),
        length: (range.end - range.start).cast_signed(),
    });
    let max = ioctl.max_output_response as usize;
    if !ranges.is_empty() && max < AllocatedRange::SIZE {
        return Err(NtStatus::BUFFER_TOO_SMALL);
    }
    let mut output = Vec::new();
    let complete =
        encode_allocated_ranges(listed, &mut output, max) && ranges.len() < vfs::limits::ALLOCATED_RANGES_MAX;
    Ok((if complete { NtStatus::SUCCESS } else { NtStatus::BUFFER_OVERFLOW }, output))
}

/// FSCTL_QUERY_FILE_REGIONS (MS-FSCC 2.3): all data of a file are valid.
pub(super) fn regions(open: &Open, file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if !open.access().contains(AccessMask::READ_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let all = FileRegionsQuery { file_offset: 0, length: i64::MAX, desired_usage: VALID_DATA };
    let asked = match ioctl.input {
        [] => all,
        input => FileRegionsQuery::decode(input).map_err(|_| NtStatus::INVALID_PARAMETER)?,
    };
    if asked.file_offset < 0 || asked.length < 0 || asked.desired_usage != VALID_DATA {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let end = asked.file_offset.checked_add(asked.length).ok_or(NtStatus::INVALID_PARAMETER)?;
    let size = file.handle.size().or_status()?;
    let length = end.min(i64::try_from(size).unwrap_or(i64::MAX)) - asked.file_offset;
    let region = FileRegion { file_offset: asked.file_offset, length, usage: VALID_DATA };
    let regions = if length > 0 { vec![region] } else { Vec::new() };
    let mut output = Vec::new();
    match encode_file_regions(&regions, &mut output, ioctl.max_output_response as usize) {
        Some(true) => done(output),
        Some(false) => Ok((NtStatus::BUFFER_OVERFLOW, output)),
        None => Err(NtStatus::BUFFER_TOO_SMALL),
    }
}

/// FILE_REGION_USAGE_VALID_CACHED_DATA (MS-FSCC 2.3).
const VALID_DATA: u32 = 1;

/// MS-FSA 2.1.5.10.37.
pub(super) fn set_sparse(open: &Open, file: &OpenFile, ioctl: &IoctlRequest<'_>) -> Answer {
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let enough = AccessMask::WRITE_DATA | AccessMask::APPEND_DATA | AccessMask::WRITE_ATTRIBUTES;
    if !open.access().intersects(enough) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let SetSparse(sparse) = SetSparse::decode(ioctl.input);
    file.handle.set_sparse(sparse).or_status()?;
    done(Vec::new())
}

/// MS-FSA 2.1.5.10.38.
pub(super) async fn zero(
    request: &Request<'_>,
    open: &Arc<Open>,
    file: &OpenFile,
    ioctl: &IoctlRequest<'_>,
) -> Answer {
    if file.is_directory {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let data = ZeroData::decode(ioctl.input).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    let (start, length) = data.range().ok_or(NtStatus::INVALID_PARAMETER)?;
    if !open.access().contains(AccessMask::WRITE_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    check_range(&request.connection.server, open, start, length, true)?;
    let change = file.begin_write();
    let (handle, server, asking) =
        (Arc::clone(&file.handle), Arc::clone(&request.connection.server), Arc::clone(open));
    let zeroed = crate::core::blocking::run(move || {
        check_range(&server, &asking, start, length, true)?;
        handle.zero(start..start.saturating_add(length)).or_status()
    })
    .await?;
    change.done();
    // An operation that fails halfway has changed the file, too.
    crate::smb::handlers::write::announce_write(request, open, 0);
    zeroed?;
    done(Vec::new())
}
