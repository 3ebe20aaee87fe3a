//! WRITE: MS-SMB2 3.3.5.13.

use std::cell::Cell;

use wire::fscc::notify::NotifyAction;
use wire::msg::{Channel, CompletionFilter, WriteFlags, WriteRequest, WriteResponse};
use wire::{AccessMask, Dialect, NtStatus};

use super::malformed;
use crate::core::files::lock_conflicts::check_range;
use crate::core::open::{Open, OpenFile};
use crate::core::server::Server;
use crate::core::status::OrStatus;
use crate::smb::connection::{AnswerBuilder, Outcome, Request};

/// Handles WRITE.
pub(crate) async fn handle(request: &mut Request<'_>, answer: &mut AnswerBuilder) -> Outcome {
    let (write, length) = match request.unread {
        None => WriteRequest::decode(request.message).map(|write| (write, write.data.len())),
        Some(unread) => WriteRequest::decode_without_data(request.message, unread.len())
            .map(|write| (write, unread.len())),
    }
    .map_err(malformed)?;
    let negotiated = request.connection.negotiated.get().ok_or(NtStatus::INVALID_PARAMETER)?;
    let length = u32::try_from(length).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    if length > negotiated.max_io || write.channel != Channel::NONE {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    request.check_charge(length)?;
    let open = request.open(write.file_id)?;
    let Some(file) = open.file() else {
        // 3.3.5.13: a pipe has no disk.
        let through = write.flags.intersects(WriteFlags::WRITE_THROUGH | WriteFlags::WRITE_UNBUFFERED);
        if through && negotiated.dialect >= Dialect::SMB300 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let unread = request.unread.map(|unread| unread.to_vec()).transpose()?;
        let data = unread.as_deref().unwrap_or(write.data);
        return super::pipe::write(request, answer, &open, data).await;
    };
    if file.is_directory {
        return Err(NtStatus::INVALID_DEVICE_REQUEST);
    }
    let place = place(&open, file, write.offset, length)?;
    if let WritePosition::At(offset) = place {
        check_range(&request.connection.server, &open, offset, length.into(), true)?;
    }
    let change = (length != 0).then(|| file.begin_write());
    let handle = &*file.handle;
    let append = |data: &[u8]| append(&request.connection.server, &open, handle, data);
    let written = match (place, request.unread) {
        (WritePosition::At(offset), None) => handle.write_at(write.data, offset).or_status()?,
        (WritePosition::At(offset), Some(unread)) => unread.write_to(handle, offset)?,
        (WritePosition::End, None) => append(write.data)?,
        (WritePosition::End, Some(unread)) => unread.with_bytes(append)??,
    };
    let count = u32::try_from(written).map_err(|_| NtStatus::INTERNAL_ERROR)?;
    drop(change);
    // Other clients see the change even if the flush fails.
    announce_write(request, &open, count);
    // In 3.3.5.13, SMB 2.1 and later refuse WRITE_THROUGH if the open was made without
    // FILE_NO_INTERMEDIATE_BUFFERING. Like Samba, this server accepts it: flushing harms no client, but a
    // refusal would.
    if write.flags.contains(WriteFlags::WRITE_THROUGH) || file.is_write_through() {
        super::flush::flush(&open, file).await?;
    }
    let base = answer.base();
    WriteResponse { count }.encode(answer.body(), base);
    Ok(NtStatus::SUCCESS)
}

/// The position of data that a client writes or copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WritePosition {
    /// At this offset.
    At(u64),
    /// At the end of the file at the time of the write.
    End,
}

/// The position for data that a client writes at `offset`; used by WRITE and server-side copies.
///
/// - With FILE_WRITE_DATA, the data go to the offset.
/// - With FILE_APPEND_DATA alone, if the user could have requested FILE_WRITE_DATA as well, the data also go
///   to the offset. MS-SMB2 3.3.5.13 would refuse offsets within the file, but notes that Windows accepts
///   either right, and smbtorture's smb2.rw.append shows that Windows then uses the offset. That is
///   necessary: clients write back whole pages, and repeat writes after a lost connection, which would
///   otherwise appear twice.
/// - If the file's permissions let the user only append, the data go to the end, whatever the offset, as in
///   MS-FSA 2.1.5.4 and in the file system's own calls: the user may not change existing data.
/// - An open with FILE_APPEND_DATA alone can request the end with the offset -1 (MS-FSA 2.1.5.4, "ByteOffset
///   could be negative"). With FILE_WRITE_DATA that is an invalid offset, as in Windows.
///
/// All other operations that change data (SET_INFO of sizes, FSCTL_SET_ZERO_DATA,
/// FSCTL_DUPLICATE_EXTENTS_TO_FILE, overwriting dispositions) need FILE_WRITE_DATA.
pub(crate) fn place(
    open: &Open,
    file: &OpenFile,
    offset: u64,
    length: u32,
) -> Result<WritePosition, NtStatus> {
    let access = open.access();
    if !access.intersects(AccessMask::WRITE_DATA | AccessMask::APPEND_DATA) {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let only_appends = !access.contains(AccessMask::WRITE_DATA);
    if only_appends && offset == END_OF_FILE {
        return Ok(WritePosition::End);
    }
    if offset.checked_add(length.into()).is_none_or(|end| end > i64::MAX as u64) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(if only_appends && file.append_only { WritePosition::End } else { WritePosition::At(offset) })
}

/// The offset that means the end of the file.
const END_OF_FILE: u64 = u64::MAX;

/// Appends to a file; checks byte-range locks for the range that is written.
pub(crate) fn append(
    server: &Server,
    open: &Open,
    handle: &dyn vfs::Handle,
    data: &[u8],
) -> Result<usize, NtStatus> {
    let refused = Cell::new(NtStatus::FILE_LOCK_CONFLICT);
    let may_write_at = |end: u64| match check_range(server, open, end, data.len() as u64, true) {
        Ok(()) => true,
        Err(status) => {
            refused.set(status);
            false
        }
    };
    let appended = handle.append(data, &may_write_at).or_status()?;
    appended.ok_or(refused.get())
}

/// Breaks the caching of a file whose data were written and notifies its watches. Its directory shows the
/// change when the open ends.
pub(crate) fn announce_write(request: &Request<'_>, open: &Open, bytes: u32) {
    if let Some(file) = open.file() {
        file.set_written();
    }
    announce_data_change(request, open, bytes);
}

/// Breaks the caching of a file whose size was set and notifies its watches. Its directory shows the change at once.
pub(crate) fn announce_size(request: &Request<'_>, open: &Open) {
    announce_data_change(request, open, 0);
    if let Some(file) = open.file().filter(|file| !file.is_stream) {
        request.connection.server.break_directory_leases(open.tree(), &file.path(), open.parent_key());
    }
}

fn announce_data_change(request: &Request<'_>, open: &Open, bytes: u32) {
    let server = &request.connection.server;
    let shared = open.shared();
    let now = server.now();
    shared.count_written(bytes.into(), now);
    let (action, what) = data_change(open);
    server.files.watches.notify_write(open, action, what, now);
    if shared.write_needs_break() {
        let effects = server.registry.lock("write").break_for_write(open.file_id(), now);
        server.apply(effects.unwrap_or_default());
    }
}

/// Breaks the caching of a file that a CREATE has emptied and notifies its watches.
pub(crate) fn announce_overwrite(request: &Request<'_>, open: &Open) {
    let server = &request.connection.server;
    if open.shared().file.cachers() != 0 {
        let effects = server.registry.lock("create").break_for_overwrite(open.file_id(), server.now());
        server.apply(effects.unwrap_or_default());
    }
    let (action, what) = data_change(open);
    server.notify_change_of(open, action, what);
}

/// The notification for a change of data.
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
