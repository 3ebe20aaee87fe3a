//! READ: MS-SMB2 3.3.5.12.

use std::sync::Arc;

use wire::msg::{Channel, ReadRequest, ReadResponse};
use wire::{AccessMask, NtStatus};

use super::malformed;
use crate::core::files::lock_conflicts::check_range;
use crate::core::limits;
use crate::core::open::{Open, OpenFile};
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Check, Outcome, Request, Tail};

/// Handles READ.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let read = ReadRequest::decode(request.message).map_err(malformed)?;
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    if read.length > negotiated.max_io || read.channel != Channel::NONE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    request.check_charge(read.length)?;
    let open = request.open(read.file_id)?;
    let Some(file) = open.file() else {
        return super::pipe::read(request, answer, &open, read.length).await;
    };
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    if !open.access().intersects(AccessMask::READ_DATA | AccessMask::EXECUTE) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    if read.offset.checked_add(read.length.into()).is_none_or(|end| end > i64::MAX as u64) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    check_range(&request.connection.server, &open, read.offset, read.length.into(), false)?;
    if let Some(length) = send_from_cache(request, answer, &open, &read)? {
        count(request, &open, file, &read, length);
        return Ok(NtStatus::SUCCESS);
    }

    let length = read.length as usize;
    let start = answer.body().len() + ReadResponse::PREFIX_SIZE;
    answer.body().resize(start, 0);
    request.connection.append_room(answer, length);
    let buffer = answer.body().get_mut(start..).ok_or(NtStatus::INTERNAL_ERROR)?;
    let got = match file.handle.try_read_at(buffer, read.offset).or_status()? {
        Some(got) => got,
        None => {
            let handle = Arc::clone(&file.handle);
            let mut bytes = vec![0; length];
            let (server, asking) = (Arc::clone(&request.connection.server), Arc::clone(&open));
            let (result, bytes) = crate::core::blocking::run(move || {
                // A lock may have been granted while this waited for a thread.
                let allowed = check_range(&server, &asking, read.offset, read.length.into(), false);
                let result = allowed.and_then(|()| handle.read_at(&mut bytes, read.offset).or_status());
                (result, bytes)
            })
            .await?;
            let got = result?;
            let bytes = bytes.get(..got).ok_or(NtStatus::INTERNAL_ERROR)?;
            buffer.get_mut(..got).ok_or(NtStatus::INTERNAL_ERROR)?.copy_from_slice(bytes);
            got
        }
    };
    // 3.3.5.12: there are no data, or fewer than the client's minimum.
    if (got == 0 && length != 0) || got < read.minimum_count as usize {
        return Err(NtStatus::END_OF_FILE);
    }
    let body = answer.body();
    body.truncate(start + got);
    let data_length = u32::try_from(got).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    let prefix = body.get_mut(start - ReadResponse::PREFIX_SIZE..start).ok_or(NtStatus::INTERNAL_ERROR)?;
    prefix.copy_from_slice(&ReadResponse::prefix(data_length));
    count(request, &open, file, &read, data_length);
    Ok(NtStatus::SUCCESS)
}

fn count(request: &Request<'_>, open: &Open, file: &OpenFile, read: &ReadRequest, bytes: u32) {
    file.state().position = read.offset.saturating_add(bytes.into());
    let now = request.connection.server.now();
    open.shared().count_read(bytes.into(), now);
}

/// Answers a large read directly from the page cache, if no signature or encryption is needed; `None` if that
/// is impossible.
fn send_from_cache(
    request: &Request<'_>,
    answer: &mut AnswerBuilder,
    open: &Arc<Open>,
    read: &ReadRequest,
) -> Result<Option<u32>, NtStatus> {
    let Some(file) = open.file() else { return Ok(None) };
    if read.length < limits::SENDFILE_FROM
        || request.signer.is_some()
        || !request.last
        || !answer.may_have_tail()
        || file.locking.is_strict()
        || file.handle.as_fd().is_none()
        || open.tree().share.bulkhead.is_stalled()
    {
        return Ok(None);
    }
    let size = file.handle.size().or_status()?;
    let length = size.saturating_sub(read.offset).min(read.length.into());
    let Some(length) = u32::try_from(length).ok().filter(|&length| length >= limits::SENDFILE_FROM) else {
        return Ok(None);
    };
    if length < read.minimum_count {
        return Err(NtStatus::END_OF_FILE);
    }
    // Both ends are in memory; read-ahead has probably loaded the rest.
    let mut byte = [0];
    for at in [read.offset, read.offset + u64::from(length) - 1] {
        if !matches!(file.handle.try_read_at(&mut byte, at), Ok(Some(1))) {
            return Ok(None);
        }
    }
    ReadResponse::encode_prefix(length, answer.body());
    let (server, asking, range) =
        (Arc::clone(&request.connection.server), Arc::clone(open), (read.offset, read.length));
    let may_be_read: Check = Box::new(move || check_range(&server, &asking, range.0, range.1.into(), false));
    let (handle, open) = (Arc::clone(&file.handle), Some(Arc::clone(open)));
    answer.set_tail(Tail { handle, offset: read.offset, length: length as usize, open, may_be_read });
    Ok(Some(length))
}
